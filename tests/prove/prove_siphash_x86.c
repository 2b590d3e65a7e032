// Harnesses for siphash_x86.c: where it reads and writes, and that each lane is
// SipHash.
#include <immintrin.h>

#include "kernels/siphash_x86.c"

#include "harness.h"
#include "prove_siphash_paper.h"
#include "siphash.contracts.h"
#include "siphash_x86.contracts.h"

avx2_sip_word nondet_words(void);

// CBMC 6.6 knows no shift of a vector to the right. C has it lane by lane.
avx2_sip_word shr_of_lanes(avx2_sip_word x, int n) {
  avx2_sip_word r = x;
  for (int l = 0; l < SIP_LANES; l++) {
    r[l] = x[l] >> n;
  }
  return r;
}

#if defined(ANY_NUMBER)

void prove_avx2_sip_ends(void) {
  uint64_t *out_hashes;
  const sip_state *states;
  const uint64_t *last_words;
  size_t num;
  avx2_sip_ends(out_hashes, states, last_words, num);
  REACHED(num == 0);
  REACHED(num == 254);
}

void prove_avx2_sip_load(void) {
  avx2_sip_word *v;
  const sip_state *states;
  const uint64_t *last_words;
  avx2_sip_load(v, states, last_words);
  REACHED(true);
}

#else

void prove_avx2_sip_finish(void) {
  avx2_sip_word v[4];
  uint64_t lanes[SIP_LANES][4];
  const avx2_sip_word bytes = nondet_words();
  for (int j = 0; j < 4; j++) {
    v[j] = nondet_words();
    for (int l = 0; l < SIP_LANES; l++) {
      lanes[l][j] = v[j][l];
    }
  }
  const avx2_sip_word hashes = avx2_sip_finish(v, bytes);
  for (int l = 0; l < SIP_LANES; l++) {
    paper_compress(lanes[l], bytes[l]);
    __CPROVER_assert(hashes[l] == paper_finalize(lanes[l]), "as published");
  }
  REACHED(hashes[SIP_LANES - 1] == 0);
}

// ---- ends, in three vectors -------------------------------------------------

enum { LANES = SIP_LANES };

#include "prove_siphash_ends.h"

// Any hashes, if the lanes have what the next ends have.
avx2_sip_word any_hashes(avx2_sip_word v[4], avx2_sip_word bytes) {
  const avx2_sip_word any = nondet_words();
  for (int l = 0; l < SIP_LANES; l++) {
    for (int j = 0; j < 4; j++) {
      __CPROVER_assert(v[j][l] == NEXT_STATE(j), "the state before it");
    }
    finish_next(bytes[l], any[l]);
  }
  return any;
}

void prove_pv__hash_ends_avx2(void) {
  follow(pv__hash_ends_avx2);
}

void prove_pv__hash_ends_avx512(void) {
  follow(pv__hash_ends_avx512);
}

#endif
