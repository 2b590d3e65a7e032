// guard_openssl.c: the security callback, which OpenSSL calls in each handshake
// and copies to each connection.
#include "guard.h"
#include "handshake.h"
#include "rejected_connection.h"

#ifndef OPENSSL_IS_BORINGSSL

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

// The security callback that contexts have if the application sets none.
static pv__guard_callback *security_of_openssl = NULL;

static void find_security_of_openssl(void) {
  SSL_CTX *fresh = SSL_CTX_new(TLS_method());
  if (fresh != NULL) {
    security_of_openssl = SSL_CTX_get_security_callback(fresh);
  }
  SSL_CTX_free(fresh);
}

// Tells if a handshake goes on that the adapter does not see. The usual answer
// comes first: the connection has our callback, since its handshake began.
static bool is_unseen(const SSL *ssl) {
  return ssl != NULL && SSL_get_info_callback(ssl) != pv__on_info &&
         SSL_in_init(ssl) && !SSL_in_before(ssl) && !pv__is_followed(ssl);
}

// Tells if a question is one that OpenSSL asks for each cipher and signature
// algorithm that a client knows, 120 times before a ClientHello. These are not
// checked: the questions about versions and groups are often enough.
static bool is_of_a_list(int op) {
  return op == SSL_SECOP_CIPHER_SUPPORTED || op == SSL_SECOP_SIGALG_SUPPORTED ||
         op == SSL_SECOP_SIGALG_MASK;
}

// Notes the context of a server while it handles a ClientHello: the callbacks
// for that and for SNI were called, and the one of SSL_CTX_set_cert_cb was not.
static void note_context(const SSL *ssl, int op) {
  pv__connection *connection = op != SSL_SECOP_SIGALG_SHARED || ssl == NULL
                                   ? NULL
                                   : pv__connection_of(ssl);
  if (connection != NULL && connection->selected_early == NULL) {
    connection->selected_early = SSL_get_SSL_CTX(ssl);
  }
}

static int refuse_unseen(void) {
  pv__raise_unseen();
  return 0;
}

static int on_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits,
                       int nid, void *other, void *ex) {
  if (!is_of_a_list(op) && is_unseen(ssl)) {
    return refuse_unseen();
  }
  note_context(ssl, op);
  return security_of_openssl(ssl, ctx, op, bits, nid, other, ex);
}

static int on_security_composed(const SSL *ssl, const SSL_CTX *ctx, int op,
                                int bits, int nid, void *other, void *ex) {
  const pv__pinned *pinned =
      pv__pinned_of(ssl == NULL ? ctx : SSL_get_SSL_CTX(ssl));
  if (pinned == NULL) {
    return 0;
  }
  if (!is_of_a_list(op) && is_unseen(ssl)) {
    return refuse_unseen();
  }
  note_context(ssl, op);
  return pinned->guarded(ssl, ctx, op, bits, nid, other, ex);
}

bool pv__guard_init(void) {
  return CRYPTO_THREAD_run_once(&once, find_security_of_openssl) == 1 &&
         security_of_openssl != NULL;
}

void pv__guard(SSL_CTX *ctx, pv__pinned *pinned) {
  pinned->guarded = SSL_CTX_get_security_callback(ctx);
  SSL_CTX_set_security_callback(ctx, pinned->guarded == security_of_openssl
                                         ? on_security
                                         : on_security_composed);
}

#endif
