// policy_hash.c: the hashes of a host, and the digest of a compiled policy. The
// latter is a digest of the digests of blocks, because kernels hash many blocks
// side by side.
#include "policy_hash.h"

#include <string.h>

#include "policy_layout.h"
#include "sha256.h"

enum { COVERED_AT = 40, BLOCK_BYTES = 4096 };

// Adds the ends that follow a dot in word `i` of a host, counted from its last
// word, until there are PV_ANY_LABELS_MAX ends.
static void add_ends(host_ends *out, size_t i, uint64_t bytes) {
  for (uint64_t dots = find_dots(bytes);
       dots != 0 && out->num < PV_ANY_LABELS_MAX; dots &= dots - 1) {
    out->lens[out->num] = (uint8_t)(8 * i + lowest_dot(dots));
    out->num += 1;
  }
}

void pv__find_ends(host_ends *out, const uint64_t key[2], const uint8_t *host,
                   size_t host_len) {
  sip_state states[HOST_WORDS];
  uint64_t words[HOST_WORDS], last_words[ENDS_KEPT + ENDS_ALIGN];
  sip_state hash = sip_start(key);
  out->num = 0;
  for (size_t i = 0; 8 * i <= host_len; i++)
    CHANGES(i, hash, WHOLE(states), WHOLE(words), WHOLE(out))
  LOOP(HOST_WORDS - i, i <= HOST_WORDS && FEW_ENDS_FIT(out, host_len))
  {
    words[i] = load_last(host, host_len, host_len - 8 * i);
    states[i] = hash;
    add_ends(out, i, words[i]);
    sip_absorb(hash.v, words[i]);
  }
  if (out->num == PV_ANY_LABELS_MAX) {
    const uint8_t *dot = memchr(host, '.', host_len);  // not NULL
    out->lens[out->num] = dot ? (uint8_t)(host + host_len - dot - 1) : 0;
    out->num += out->lens[out->num] > out->lens[out->num - 1];
  }
  out->lens[out->num] = (uint8_t)host_len;
  out->num += 1;
  for (size_t i = 0; i < out->num; i++) CHANGES(i, WHOLE(last_words))
  LOOP(out->num - i, i <= out->num)
  {
    const size_t len = out->lens[i];
    const uint64_t mask = (UINT64_C(1) << 8 * (len % 8)) - 1;
    last_words[i] = sip_last_word(words[len / 8] & mask, len);
  }
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

// Finds up to PIECES_MAX blocks from `*at` on, moves `*at` behind them, and
// returns their number. The last block of a policy may be shorter.
static size_t find_blocks(pv_span out_blocks[PIECES_MAX], const uint8_t *bytes,
                          size_t bytes_len, size_t *at) {
  GHOST(const size_t start = *at)
  size_t num = 0;
  for (; num < PIECES_MAX && *at < bytes_len; num++)
    CHANGES(num, *at, WHOLE(out_blocks))
  LOOP(PIECES_MAX - num,
       num <= PIECES_MAX && *at <= bytes_len && (num > 0 || *at == start) &&
           IMPLIES(num > 0, *at > start) &&
           IMPLIES(some < num, IS_BLOCK(out_blocks[some], bytes, bytes_len)))
  {
    const size_t left = bytes_len - *at;
    const size_t len = left < BLOCK_BYTES ? left : BLOCK_BYTES;
    out_blocks[num] = (pv_span){bytes + *at, len};
    *at += len;
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
    pv__digest_pieces(out, blocks, find_blocks(blocks, bytes, bytes_len, &at));
  }
}
