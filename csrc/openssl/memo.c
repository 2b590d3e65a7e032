// memo.c: the chain of a handshake as bytes, which a session can carry.
#include "memo.h"

#include <string.h>

static const char MAGIC[8] = {'p', 'v', 'c', 'h', 'a', 'i', 'n', '2'};

enum { HOST_AT = 44 };

_Static_assert(sizeof(hashed_cert) == 65, "a session keeps it as it is");

bool pv__memo_write(pv__buffer *out, pv__hash_cache *cache,
                    const hashed_cert *leaf, STACK_OF(X509) *chain,
                    const char *host) {
  const pv__stack_index num = chain == NULL ? 1 : sk_X509_num(chain);
  const size_t host_len = strlen(host);
  *out = (pv__buffer){NULL, 0};
  if (num < 1 || num > PV_OPENSSL_CERTS_MAX || host_len > PV_HOST_MAX) {
    return false;
  }
  const size_t len =
      HOST_AT + host_len + sizeof(hashed_cert) * (size_t)(num - 1);
  uint8_t *data = OPENSSL_zalloc(len);
  if (data == NULL) {
    return false;
  }
  *out = (pv__buffer){data, len};
  memcpy(data, MAGIC, sizeof(MAGIC));
  data[8] = chain != NULL;
  data[9] = (uint8_t)(num - 1);
  data[10] = (uint8_t)host_len;
  memcpy(data + 12, leaf->digests.of[PV_CERTIFICATE], PV_DIGEST_LEN);
  memcpy(data + HOST_AT, host, host_len);
  hashed_cert *issuer = (hashed_cert *)(data + HOST_AT + host_len);
  for (pv__stack_index i = 1; i < num; i++) {
    if (!pv__cert_hashed(issuer++, cache, sk_X509_value(chain, i))) {
      pv__buffer_free(out);
      return false;
    }
  }
  return true;
}

bool pv__memo_read(pv__memo *out, const uint8_t *data, size_t len) {
  *out = (pv__memo){.num_issuers = 0};
  if (len < HOST_AT || memcmp(data, MAGIC, sizeof(MAGIC)) != 0 || data[8] > 1 ||
      data[9] >= PV_OPENSSL_CERTS_MAX || data[11] != 0 ||
      len != HOST_AT + data[10] + sizeof(hashed_cert) * data[9]) {
    return false;
  }
  *out = (pv__memo){
      .is_verified = data[8] == 1,
      .host = (const char *)data + HOST_AT,
      .host_len = data[10],
      .leaf_sha256 = data + 12,
      .num_issuers = data[9],
      .issuers = (const hashed_cert *)(data + HOST_AT + data[10])};
  return true;
}
