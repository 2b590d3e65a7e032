// memo.h: the chain of a handshake as bytes, which a session can carry.
#ifndef PINVERIFY_OPENSSL_MEMO_H
#define PINVERIFY_OPENSSL_MEMO_H

#include "../pinverify_openssl.h"
#include "hash_cache.h"

// The bytes are:
//
//   offset  bytes
//        0      8  "pvchain2"
//        8      1  1: OpenSSL verified the chain. 0: only the leaf counts
//        9      1  number of issuers
//       10      1  length of the host
//       11      1  zero
//       12     32  SHA-256 of the leaf
//       44         the host; then a hashed_cert for each issuer
//
// The leaf itself is in the session. Its digest binds the bytes to the leaf.
typedef struct pv__memo {
  bool is_verified;
  const char *host;
  size_t host_len;
  const uint8_t *leaf_sha256;
  size_t num_issuers;
  const hashed_cert *issuers;
} pv__memo;

// pv__memo_write encodes a chain that OpenSSL has verified, leaf first; or, if
// `chain` is NULL, the fact that it verified none. It returns false, and `*out`
// is empty, if there are too many certificates or memory is short.
bool pv__memo_write(pv__buffer *out, pv__hash_cache *cache,
                    const hashed_cert *leaf, STACK_OF(X509) *chain,
                    const char *host);

// pv__memo_read makes a view of these bytes. It returns false if they are
// anything but what pv__memo_write wrote.
bool pv__memo_read(pv__memo *out, const uint8_t *data, size_t len);

#endif  // PINVERIFY_OPENSSL_MEMO_H
