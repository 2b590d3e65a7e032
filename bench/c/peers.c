// peers.c: the functions of peers.h.
// SHA256_Init and its sisters are deprecated since OpenSSL 3.0, and are still
// the fastest way that OpenSSL has for a short message.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "peers.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#if defined(HAVE_GNUTLS)
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#endif
#if defined(HAVE_MBEDTLS)
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#endif

int openssl_contains(const uint8_t *pins, size_t num_pins,
                     const uint8_t digest[32]) {
  int found = 0;
  for (size_t i = 0; i < num_pins; i++) {
    found |= CRYPTO_memcmp(pins + 32 * i, digest, 32) == 0;
  }
  return found;
}

void openssl_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, data, len);
  SHA256_Final(out, &context);
}

static int openssl_is_pinned(const uint8_t *pins, size_t num_pins,
                             const uint8_t *cert, size_t cert_len) {
  uint8_t digest[32];
  uint8_t *spki = NULL;
  X509 *x509 = d2i_X509(NULL, &cert, (long)cert_len);
  if (x509 == NULL) {
    return 0;
  }
  const int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
  int found = 0;
  if (len > 0) {
    openssl_sha256(digest, spki, (size_t)len);
    found = openssl_contains(pins, num_pins, digest);
  }
  OPENSSL_free(spki);
  X509_free(x509);
  return found;
}

#if defined(HAVE_GNUTLS)
static int gnutls_is_pinned(const uint8_t *pins, size_t num_pins,
                            const uint8_t *cert, size_t cert_len) {
  gnutls_x509_crt_t x509;
  gnutls_datum_t der = {(unsigned char *)(uintptr_t)cert, (unsigned)cert_len};
  uint8_t digest[32];
  size_t digest_len = sizeof digest;
  int found = 0;
  if (gnutls_x509_crt_init(&x509) < 0) {
    return 0;
  }
  if (gnutls_x509_crt_import(x509, &der, GNUTLS_X509_FMT_DER) == 0 &&
      gnutls_x509_crt_get_key_id(x509, GNUTLS_KEYID_USE_SHA256, digest,
                                 &digest_len) == 0) {
    found = openssl_contains(pins, num_pins, digest);
  }
  gnutls_x509_crt_deinit(x509);
  return found;
}
#else
#define gnutls_is_pinned NULL
#endif

#if defined(HAVE_MBEDTLS)
static int mbedtls_is_pinned(const uint8_t *pins, size_t num_pins,
                             const uint8_t *cert, size_t cert_len) {
  mbedtls_x509_crt x509;
  uint8_t digest[32];
  int found = 0;
  mbedtls_x509_crt_init(&x509);
  if (mbedtls_x509_crt_parse_der_nocopy(&x509, cert, cert_len) == 0 &&
      mbedtls_sha256(x509.pk_raw.p, x509.pk_raw.len, digest, 0) == 0) {
    found = openssl_contains(pins, num_pins, digest);
  }
  mbedtls_x509_crt_free(&x509);
  return found;
}
#else
#define mbedtls_is_pinned NULL
#endif

const peer peers[] = {{"OpenSSL", openssl_is_pinned},
                      {"GnuTLS", gnutls_is_pinned},
                      {"mbedTLS", mbedtls_is_pinned}};
const size_t num_peers = sizeof peers / sizeof peers[0];
