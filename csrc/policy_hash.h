// policy_hash.h: the two hashes of a compiled policy (pinverify.h, section 5):
// a keyed one of names, for the index, and a digest of many pieces.
#ifndef PINVERIFY_POLICY_HASH_H
#define PINVERIFY_POLICY_HASH_H

#include "bytes.h"
#include "pinverify.h"
#include "prove.h"

// ---- the hash of names: SipHash-1-3, from the last byte to the first --------
//
// Names may come from an adversary who knows this code. So the key depends on
// all names of the policy: adding one moves all others to new buckets.

typedef struct name_hash {
  uint64_t v[4];
  uint64_t word;  // the bytes that are not in `v` yet, the first one lowest
  uint64_t len;   // of all bytes
} name_hash;

MAY_WRAP_BEGIN
static inline uint64_t rotate_left(uint64_t x, uint32_t n) {
  return x << n | x >> (64 - n);
}

// SipRound (Aumasson and Bernstein, SipHash, 2.2).
static inline void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate_left(v[1], 13) ^ v[0];
  v[3] = rotate_left(v[3], 16) ^ v[2];
  v[0] = rotate_left(v[0], 32) + v[3];
  v[2] += v[1];
  v[1] = rotate_left(v[1], 17) ^ v[2];
  v[3] = rotate_left(v[3], 21) ^ v[0];
  v[2] = rotate_left(v[2], 32);
}
MAY_WRAP_END

static inline void hash_word(name_hash *hash, uint64_t word) {
  hash->v[3] ^= word;
  sip_round(hash->v);
  hash->v[0] ^= word;
}

// The bytes of a name from the last to the first, as one number.
static inline uint64_t load_be64(const uint8_t *p) {
  return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline name_hash hash_start(const uint64_t key[2]) {
  return (name_hash){.v = {key[0] ^ UINT64_C(0x736f6d6570736575),
                           key[1] ^ UINT64_C(0x646f72616e646f6d),
                           key[0] ^ UINT64_C(0x6c7967656e657261),
                           key[1] ^ UINT64_C(0x7465646279746573)}};
}

static inline void hash_byte(name_hash *hash, uint8_t c) {
  hash->word |= (uint64_t)c << 8 * (hash->len % 8);
  hash->len += 1;
  if (hash->len % 8 == 0) {
    hash_word(hash, hash->word);
    hash->word = 0;
  }
}

// hash_value returns the hash of the bytes so far; more may follow.
static inline uint64_t hash_value(name_hash hash) {
  hash_word(&hash, hash.word | hash.len % 256 << 56);
  hash.v[2] ^= 0xff;
  sip_round(hash.v);
  sip_round(hash.v);
  sip_round(hash.v);
  return hash.v[0] ^ hash.v[1] ^ hash.v[2] ^ hash.v[3];
}

// hash_name does the same for all bytes of a name.
static inline uint64_t hash_name(const uint64_t key[2], const uint8_t *name,
                                 size_t name_len) {
  name_hash hash = hash_start(key);
  size_t left = name_len;
  for (; left >= 8; left -= 8) CHANGES(left, hash)
  LOOP(left, left <= name_len && left % 8 == name_len % 8 && hash.len == 0)
  {
    hash_word(&hash, load_be64(name + left - 8));
  }
  hash.len = name_len - left;
  if (left > 0 && name_len >= 8) {  // what hash_byte would do, at once
    hash.word = load_be64(name) >> 8 * (8 - left);
    hash.len += left;
    left = 0;
  }
  for (; left > 0; left--) CHANGES(left, hash)
  LOOP(left, left < 8 && left <= name_len && hash.len == name_len - left)
  {
    hash_byte(&hash, name[left - 1]);
  }
  return hash_value(hash);
}

static inline uint32_t hash_tag(uint64_t hash) {
  return (uint32_t)(hash >> 32);
}

// hash_bucket returns the bucket of a name in one shape. The shapes of a name
// go to different buckets, so that three rules for one name do not share one.
static inline uint32_t hash_bucket(uint32_t bucket_mask, uint64_t hash,
                                   uint32_t shape) {
  return ((uint32_t)(hash & UINT32_MAX) ^ shape) & bucket_mask;
}

// ---- the digest of many pieces ----------------------------------------------

enum { PIECES_MAX = 256 };  // at a time

// pv__digest_pieces replaces a digest by that of itself and the digests of up
// to PIECES_MAX pieces, which are hashed side by side.
void pv__digest_pieces(uint8_t digest[32], const pv_span *pieces,
                       size_t num_pieces);

// pv__digest_policy computes the digest of a compiled policy, which has at
// least a header.
void pv__digest_policy(uint8_t out[32], const uint8_t *bytes, size_t bytes_len);

#endif  // PINVERIFY_POLICY_HASH_H
