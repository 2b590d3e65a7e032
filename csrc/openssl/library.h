// library.h: OpenSSL; or BoringSSL, and what it lacks.
#ifndef PINVERIFY_OPENSSL_LIBRARY_H
#define PINVERIFY_OPENSSL_LIBRARY_H

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#ifdef OPENSSL_IS_BORINGSSL

#include <pthread.h>
#include <string.h>

typedef uint32_t pv__error;  // of the error queue
typedef size_t pv__stack_index;
typedef int (*SSL_verify_cb)(int ok, X509_STORE_CTX *store);

// The callback that guard.h sets: the key-log callback.
typedef void pv__guard_callback(const SSL *ssl, const char *line);

#define CRYPTO_ONCE pthread_once_t
#define CRYPTO_ONCE_STATIC_INIT PTHREAD_ONCE_INIT
#define CRYPTO_THREAD_run_once(once, function) \
  (pthread_once((once), (function)) == 0)

#define ERR_R_PASSED_INVALID_ARGUMENT ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED
#define ERR_raise_data(library, reason, ...)                  \
  (ERR_put_error((library), 0, (reason), __FILE__, __LINE__), \
   ERR_add_error_dataf(__VA_ARGS__))

#define SSL_in_before SSL_in_init

// Early data is not a step, and a session does not tell its name.
#define pv__max_early_data(session) ((void)(session), 0u)
#define SSL_SESSION_get0_hostname(session) ((void)(session), (char *)NULL)

// An X509_STORE_CTX does not tell its callback, but keeps an error.
#define pv__is_callback_of(callback, store) \
  (X509_STORE_CTX_get_error(store) == X509_V_OK)

// The result of a verification is in the session, and cannot be changed.
#define SSL_set_verify_result(ssl, result) ((void)(ssl))

static inline void *pv__zalloc(size_t len) {
  void *data = OPENSSL_malloc(len);
  if (data != NULL) {
    memset(data, 0, len);
  }
  return data;
}
#define OPENSSL_zalloc pv__zalloc

// The connection keeps a reference.
static inline X509 *SSL_get0_peer_certificate(const SSL *ssl) {
  X509 *cert = SSL_get_peer_certificate(ssl);
  X509_free(cert);
  return cert;
}

#else

#define pv__max_early_data SSL_SESSION_get_max_early_data

#define pv__is_callback_of(callback, store) \
  (X509_STORE_CTX_get_verify_cb(store) == (callback))

typedef unsigned long pv__error;
typedef int pv__stack_index;

// The callback that guard.h sets: the security callback.
typedef int pv__guard_callback(const SSL *ssl, const SSL_CTX *ctx, int op,
                               int bits, int nid, void *other, void *ex);

#endif

#endif  // PINVERIFY_OPENSSL_LIBRARY_H
