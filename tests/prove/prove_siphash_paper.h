// prove_siphash_paper.h: SipHash-1-3 step by step, as Aumasson and Bernstein have
// published it (SipHash: a fast short-input PRF, 2012, 2.1 to 2.4 and figure 2.1).
#ifndef PINVERIFY_PROVE_SIPHASH_PAPER_H
#define PINVERIFY_PROVE_SIPHASH_PAPER_H

#include <stdint.h>

#include "contracts.h"

MAY_WRAP_BEGIN
static uint64_t paper_rotate(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

// Half of a round: each of two words is added to, and its partner rotated and
// joined to it.
static void paper_half_round(uint64_t *a, uint64_t *b, int of_b, uint64_t *c,
                             uint64_t *d, int of_d) {
  *a += *b;
  *c += *d;
  *b = paper_rotate(*b, of_b) ^ *a;
  *d = paper_rotate(*d, of_d) ^ *c;
  *a = paper_rotate(*a, 32);
}

static void paper_round(uint64_t v[4]) {
  paper_half_round(&v[0], &v[1], 13, &v[2], &v[3], 16);
  paper_half_round(&v[2], &v[1], 17, &v[0], &v[3], 21);
}
MAY_WRAP_END

// Initialization (2.1).
static void paper_start(uint64_t v[4], const uint64_t key[2]) {
  static const char text[] = "somepseudorandomlygeneratedbytes";
  for (int j = 0; j < 4; j++) {
    v[j] = 0;
    for (int i = 0; i < 8; i++) {
      v[j] = v[j] << 8 | (uint8_t)text[8 * j + i];
    }
    v[j] ^= key[j % 2];
  }
}

// Compression of one word, with c = 1 (2.2).
static void paper_compress(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  paper_round(v);
  v[0] ^= word;
}

// Finalization, with d = 3 (2.3).
static uint64_t paper_finalize(uint64_t v[4]) {
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) {
    paper_round(v);
  }
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif  // PINVERIFY_PROVE_SIPHASH_PAPER_H
