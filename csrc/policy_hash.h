// policy_hash.h: the two hashes of a compiled policy (pinverify_compile.h,
// section 1): a keyed hash of names, for the index, and a digest of many
// pieces.
#ifndef PINVERIFY_POLICY_HASH_H
#define PINVERIFY_POLICY_HASH_H

#include "bytes.h"
#include "kernels.h"
#include "kernels/siphash.h"
#include "pinverify.h"
#include "prove.h"

// ---- the hash of names: SipHash-1-3, from the last byte to the first --------
//
// Names may come from an adversary who knows this code. So the key depends on
// all names of the policy: adding one moves all others to new buckets.

static inline uint64_t load_be64(const uint8_t *p) {
  return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

// load_last returns the last eight of the first `len` bytes of a name, or all
// of them if there are fewer, as a number whose lowest byte is the last.
static inline uint64_t load_last(const uint8_t *name, size_t name_len,
                                 size_t len) {
  if (len > 0 && name_len >= 8) {
    return len >= 8 ? load_be64(name + len - 8)
                    : load_be64(name) >> 8 * (8 - len);
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < len; i++) {
    bytes = bytes << 8 | name[i];
  }
  return bytes;
}

static inline uint64_t hash_name(const uint64_t key[2], const uint8_t *name,
                                 size_t name_len) {
  sip_state hash = sip_start(key);
  size_t left = name_len;
  for (; left >= 8; left -= 8) CHANGES(left, hash)
  LOOP(left, left <= name_len)
  {
    sip_absorb(hash.v, load_last(name, name_len, left));
  }
  const uint64_t bytes = load_last(name, name_len, left);
  return sip_finish(hash.v, sip_last_word(bytes, name_len));
}

static inline uint32_t hash_tag(uint64_t hash) {
  return (uint32_t)(hash >> 32);
}

// hash_bucket returns the bucket of a name with a shape. The shapes of one name
// have different buckets, so that three rules for one name do not share a
// bucket.
static inline uint32_t hash_bucket(uint32_t bucket_mask, uint64_t hash,
                                   uint32_t shape) {
  return ((uint32_t)(hash & UINT32_MAX) ^ shape) & bucket_mask;
}

enum { HOST_WORDS = PV_HOST_MAX / 8 + 1, ENDS_KEPT = PV_ANY_LABELS_MAX + 2 };

// The ends of a host that begin at a label and may be the name of a rule, the
// shortest first: those that may follow "**.", and the longest two. An end may
// be empty. The hash of an end continues that of a shorter one; all are
// completed side by side.
typedef struct host_ends {
  uint64_t hashes[ENDS_KEPT + ENDS_ALIGN];
  uint8_t lens[ENDS_KEPT + 1];
  size_t num;
} host_ends;

// pv__find_ends finds the ends of a host of at most PV_HOST_MAX bytes.
void pv__find_ends(host_ends *out, const uint64_t key[2], const uint8_t *host,
                   size_t host_len);

// ---- the digest of many pieces ----------------------------------------------

enum { PIECES_MAX = 256 };  // at a time

// pv__digest_pieces replaces a digest by the SHA-256 of that digest followed by
// the digests of up to PIECES_MAX pieces, which are hashed side by side.
void pv__digest_pieces(uint8_t digest[32], const pv_span *pieces,
                       size_t num_pieces);

// pv__digest_policy computes the digest of a compiled policy, which has at
// least a header.
void pv__digest_policy(uint8_t out[32], const uint8_t *bytes, size_t bytes_len);

#endif  // PINVERIFY_POLICY_HASH_H
