// Harnesses for sha256_x86_shani.c: one message, and two or three side by side.
#include <immintrin.h>

#include "fips180.h"
#include "sha256_x86_shani.c"

typedef m128 quad;
typedef shani_state lane_state;
typedef shani_lane kernel_lane;

static fips_variables variables_of(shani_state s) {
  return (fips_variables){s.abef[3], s.abef[2], s.cdgh[3], s.cdgh[2],
                          s.abef[1], s.abef[0], s.cdgh[1], s.cdgh[0]};
}

static shani_state state_of(fips_variables v) {
  return (shani_state){{v.f, v.e, v.b, v.a}, {v.h, v.g, v.d, v.c}};
}

#include "quads.h"

void prove_sha256_shani(void) {
  FOLLOW(sha256_shani, 1, 2);
}

void prove_sha256_shani_x2(void) {
  FOLLOW(sha256_shani_x2, 2, 1);
}

void prove_sha256_shani_x3(void) {
  FOLLOW(sha256_shani_x3, 3, 1);
}
