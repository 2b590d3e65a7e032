// Harnesses for policy_hash.h and policy_hash.c.
#include "harness.h"
#include "libc.h"
#include "policy_hash.c"

#include "siphash.contracts.h"
#include "policy.contracts.h"
#include "policy_hash.contracts.h"

// The contracts of sha256.c.
void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len)  //
    REQUIRES(FRESH(out, 32) && len <= PV_PROVED_LEN_MAX)          //
    REQUIRES(FRESH(data, len))                                    //
    ASSIGNS(BYTES(out, 32));

void pv__sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                      size_t num_messages, pv_span wanted_next)    //
    REQUIRES(num_messages <= 256)                                  //
    REQUIRES(FRESH(out_digests, 32 * num_messages))                //
    REQUIRES(FRESH(messages, 16 * num_messages))                   //
    ASSIGNS(BYTES(out_digests, 32 * num_messages));

void prove_load_last(void) {
  const uint8_t *name;
  size_t name_len;
  size_t len;
  const uint64_t bytes = load_last(name, name_len, len);
  REACHED(len == 0);
  REACHED(len == 5 && name_len == 5 && bytes == 9);
  REACHED(len == 5 && name_len == 99 && bytes == 9);
  REACHED(len == 55 && bytes == 9);
}

void prove_hash_name(void) {
  const uint64_t *key;
  const uint8_t *name;
  size_t name_len;
  hash_name(key, name, name_len);
  REACHED(name_len == 7);
  REACHED(name_len == 17);
}

void prove_hash_tag(void) {
  uint64_t hash;
  REACHED(hash_tag(hash) == 1);
}

void prove_hash_bucket(void) {
  uint32_t bucket_mask;
  uint64_t hash;
  uint32_t shape;
  REACHED(hash_bucket(bucket_mask, hash, shape) == 1);
}

void prove_add_ends(void) {
  host_ends *out;
  size_t i;
  uint64_t bytes;
  add_ends(out, i, bytes);
  REACHED(i == 31);
  REACHED(i == 0 && bytes == 0);
}

void prove_pv__find_ends(void) {
  host_ends *out;
  const uint64_t *key;
  const uint8_t *host;
  size_t host_len;
  pv__find_ends(out, key, host, host_len);
  REACHED(host_len == 253);
  REACHED(host_len == 1);
}

void prove_pv__digest_pieces(void) {
  uint8_t *digest;
  const pv_span *pieces;
  size_t num_pieces;
  pv__digest_pieces(digest, pieces, num_pieces);
  REACHED(num_pieces == 256);
}

void prove_find_blocks(void) {
  pv_span *out_blocks;
  const uint8_t *bytes;
  size_t bytes_len;
  size_t *at;
  const size_t num = find_blocks(out_blocks, bytes, bytes_len, at);
  REACHED(num == 0);
  REACHED(num == 256 && some == 9);
}

void prove_pv__digest_policy(void) {
  uint8_t *out;
  const uint8_t *bytes;
  size_t bytes_len;
  pv__digest_policy(out, bytes, bytes_len);
  REACHED(bytes_len > 2000000);
}
