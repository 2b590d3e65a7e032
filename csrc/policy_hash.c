// policy_hash.c: the hashes of a host, and the digest of a compiled policy,
// over the digests of its blocks: kernels hash many side by side.
#include "policy_hash.h"

#include <string.h>

#include "policy.h"
#include "sha256.h"

enum { COVERED_AT = 40, BLOCK_BYTES = 4096 };

// Adds the ends that begin behind a dot in word `i` of a host, counted from its
// last one, and the host itself, if it begins `left` < 8 bytes before the end.
static void add_ends(host_ends *out, uint64_t *out_last_words, size_t i,
                     uint64_t bytes, size_t left) {
  for (size_t n = 0; n < 8; n++) {
    if (n == left || (bytes >> 8 * n & 0xff) == '.') {
      const size_t len = 8 * i + n;
      out->lens[out->num] = (uint8_t)len;
      out_last_words[out->num] =
          sip_last_word(bytes & ((UINT64_C(1) << 8 * n) - 1), len);
      out->num += 1;
    }
  }
}

void pv__find_ends(host_ends *out, const uint64_t key[2], const uint8_t *host,
                   size_t host_len) {
  sip_state states[HOST_WORDS];
  uint64_t last_words[ENDS_MAX];
  sip_state hash = sip_start(key);
  out->num = 0;
  for (size_t i = 0; 8 * i <= host_len; i++)
    CHANGES(i, hash, WHOLE(states), WHOLE(last_words), WHOLE(out))
  LOOP(HOST_WORDS - i,
       i <= HOST_WORDS && out->num <= 8 * i && ENDS_FIT(out, host_len) &&
           IMPLIES(8 * i > host_len, out->num > 0))
  {
    const size_t left = host_len - 8 * i;
    const uint64_t bytes = load_last(host, host_len, left);
    states[i] = hash;
    add_ends(out, last_words, i, bytes, left);
    sip_absorb(hash.v, bytes);
  }
  // A lane without an end has the first state.
  memset(last_words + out->num, 0, ENDS_ALIGN * sizeof last_words[0]);
  pv__hash_ends(out->hashes, states, last_words, out->num);
}

void pv__digest_pieces(uint8_t digest[32], const pv_span *pieces,
                       size_t num_pieces) {
  uint8_t all[PV_DIGEST_LEN * (1 + PIECES_MAX)];
  memcpy(all, digest, PV_DIGEST_LEN);
  pv__sha256_chunk(all + PV_DIGEST_LEN, pieces, num_pieces, (pv_span){NULL, 0});
  pv_sha256(digest, all, PV_DIGEST_LEN * (1 + num_pieces));
}

// Finds up to PIECES_MAX blocks from position `at` on, and returns their
// number. The last block of a policy may be shorter.
static size_t find_blocks(pv_span out_blocks[PIECES_MAX], const uint8_t *bytes,
                          size_t bytes_len, size_t at) {
  GHOST(const size_t start = at)
  size_t num = 0;
  for (; num < PIECES_MAX && at < bytes_len; num++)
    CHANGES(num, at, WHOLE(out_blocks))
  LOOP(PIECES_MAX - num,
       num <= PIECES_MAX && at <= bytes_len && (num > 0 || at == start) &&
           IMPLIES(num > 0, at > start) &&
           IMPLIES(some < num, IS_BLOCK(out_blocks[some], bytes, bytes_len)))
  {
    const size_t left = bytes_len - at;
    const size_t len = left < BLOCK_BYTES ? left : BLOCK_BYTES;
    out_blocks[num] = (pv_span){bytes + at, len};
    at += len;
  }
  return num;
}

void pv__digest_policy(uint8_t out[32], const uint8_t *bytes,
                       size_t bytes_len) {
  pv_span blocks[PIECES_MAX];
  pv_sha256(out, bytes + COVERED_AT, HEADER_LEN - COVERED_AT);
  for (size_t at = HEADER_LEN; at < bytes_len;)
    CHANGES(at, WHOLE(blocks), BYTES(out, 32))
  LOOP(bytes_len - at, HEADER_LEN <= at && at <= bytes_len)
  {
    const size_t num = find_blocks(blocks, bytes, bytes_len, at);
    pv__digest_pieces(out, blocks, num);
    const size_t len = (size_t)BLOCK_BYTES * num;
    at = len < bytes_len - at ? at + len : bytes_len;
  }
}
