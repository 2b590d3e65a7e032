// evidence.c: the chain of a handshake as bytes, which a session can carry.
#include "evidence.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <string.h>

static const char MAGIC[8] = {'p', 'v', 'c', 'h', 'a', 'i', 'n', '1'};

enum { HEADER_LEN = 44, LENGTH_LEN = 3, CERT_LEN_MAX = 0xffffff };

void pv__buffer_free(pv__buffer *buffer) {
  OPENSSL_free(buffer->data);
  *buffer = (pv__buffer){NULL, 0};
}

bool pv__buffer_of_cert(pv__buffer *out, X509 *cert) {
  unsigned char *der = NULL;
  const int len = i2d_X509(cert, &der);
  *out = (pv__buffer){der, len > 0 ? (size_t)len : 0};
  if (len <= 0 || len > CERT_LEN_MAX) {
    pv__buffer_free(out);
    return false;
  }
  return true;
}

// Appends one certificate to a buffer, with its length before it.
static bool append_cert(pv__buffer *out, X509 *cert) {
  pv__buffer der;
  if (!pv__buffer_of_cert(&der, cert)) {
    return false;
  }
  uint8_t *grown = OPENSSL_realloc(out->data, out->len + LENGTH_LEN + der.len);
  if (grown != NULL) {
    uint8_t *at = grown + out->len;
    at[0] = (uint8_t)der.len;
    at[1] = (uint8_t)(der.len >> 8);
    at[2] = (uint8_t)(der.len >> 16);
    memcpy(at + LENGTH_LEN, der.data, der.len);
    out->data = grown;
    out->len += LENGTH_LEN + der.len;
  }
  pv__buffer_free(&der);
  return grown != NULL;
}

static bool append_issuers(pv__buffer *out, STACK_OF(X509) *chain) {
  for (pv__stack_index i = 1; i < sk_X509_num(chain); i++) {
    if (!append_cert(out, sk_X509_value(chain, i))) {
      return false;
    }
  }
  return true;
}

bool pv__evidence_write(pv__buffer *out, const pv__buffer *leaf_der,
                        STACK_OF(X509) *chain, const char *host,
                        size_t host_len) {
  const pv__stack_index num = chain == NULL ? 1 : sk_X509_num(chain);
  *out = (pv__buffer){NULL, 0};
  if (num < 1 || num > PV_OPENSSL_CERTS_MAX || host_len > PV_HOST_MAX) {
    return false;
  }
  out->data = OPENSSL_zalloc(HEADER_LEN + host_len);
  if (out->data == NULL) {
    return false;
  }
  out->len = HEADER_LEN + host_len;
  memcpy(out->data, MAGIC, sizeof(MAGIC));
  out->data[8] = chain != NULL;
  out->data[9] = (uint8_t)(num - 1);
  out->data[10] = (uint8_t)host_len;
  pv_sha256(out->data + 12, leaf_der->data, leaf_der->len);
  memcpy(out->data + HEADER_LEN, host, host_len);
  if (chain != NULL && !append_issuers(out, chain)) {
    pv__buffer_free(out);
    return false;
  }
  return true;
}

// Takes the next certificate from the front of `in`.
static bool take_cert(pv_span *out, pv_span *in) {
  if (in->len < LENGTH_LEN) {
    return false;
  }
  const size_t len =
      in->data[0] | (size_t)in->data[1] << 8 | (size_t)in->data[2] << 16;
  if (len > in->len - LENGTH_LEN) {
    return false;
  }
  *out = (pv_span){in->data + LENGTH_LEN, len};
  *in = (pv_span){out->data + len, in->len - LENGTH_LEN - len};
  return true;
}

bool pv__evidence_read(pv__evidence *out, const uint8_t *data, size_t len) {
  *out = (pv__evidence){.num_issuers = 0};
  if (len < HEADER_LEN || memcmp(data, MAGIC, sizeof(MAGIC)) != 0 ||
      data[8] > 1 || data[9] >= PV_OPENSSL_CERTS_MAX || data[11] != 0 ||
      data[10] > len - HEADER_LEN) {
    return false;
  }
  const size_t host_len = data[10];
  pv_span in = {data + HEADER_LEN + host_len, len - HEADER_LEN - host_len};
  for (size_t i = 0; i < data[9]; i++) {
    if (!take_cert(&out->issuers[i], &in)) {
      return false;
    }
  }
  out->is_verified = data[8] == 1;
  out->leaf_sha256 = data + 12;
  out->host = (const char *)data + HEADER_LEN;
  out->host_len = host_len;
  out->num_issuers = data[9];
  return in.len == 0;
}
