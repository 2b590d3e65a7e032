// Harnesses for sha256_x86_bmi2.c: one message, on processors with and without
// AVX-512.
#include <immintrin.h>

#include "fips180.h"
#include "kernels/sha256_x86_bmi2.c"

typedef bmi2_quad_word quad;
typedef bmi2_state lane_state;

// The kernel has one lane, and passes its words alone.
typedef struct kernel_lane {
  lane_state s;
  quad w[4];
} kernel_lane;

static fips_variables variables_of(bmi2_state s) {
  return (fips_variables){s.a, s.b, s.c, s.d, s.e, s.f, s.g, s.h};
}

static bmi2_state state_of(fips_variables v) {
  return (bmi2_state){v.a, v.b, v.c, v.d, v.e, v.f, v.g, v.h};
}

enum { LANES_MAX = 1 };

#define KERNEL(name) bmi2_##name
#define HASH_WORDS(s, lane, lanes) bmi2_hash_words(s, (lane)->w)
#include "prove_sha256_four_rounds.h"

// CBMC 6.6 knows no shift of a vector to the right. C has it word by word.
bmi2_quad_word shr_of_words(bmi2_quad_word x, int n) {
  return (bmi2_quad_word){x[0] >> n, x[1] >> n, x[2] >> n, x[3] >> n};
}

void specified_words_of_one(bmi2_state *s, bmi2_quad_word w[4]) {
  kernel_lane lane = {*s, {w[0], w[1], w[2], w[3]}};
  specified_hash_words(s, &lane, 1);
  for (int i = 0; i < 4; i++) {
    w[i] = lane.w[i];
  }
}

void prove_pv__sha256_bmi2(void) {
  FOLLOW(pv__sha256_bmi2, 1, 2);
}

void prove_pv__sha256_bmi2_avx512(void) {
  FOLLOW(pv__sha256_bmi2_avx512, 1, 2);
}
