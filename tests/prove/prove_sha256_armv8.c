// Harnesses for sha256_armv8.c: one message, and two side by side.
#include "toolchain.h"

// CBMC takes the code for that of x86-64; the order of its bytes is the same.
#undef PV_AARCH64
#define PV_AARCH64 1

#include <arm_neon.h>

#include "fips180.h"
#include "kernels/sha256_armv8.c"

typedef m32x4 quad;
typedef armv8_state lane_state;
typedef armv8_lane kernel_lane;

static fips_variables variables_of(armv8_state s) {
  return (fips_variables){s.abcd[0], s.abcd[1], s.abcd[2], s.abcd[3],
                          s.efgh[0], s.efgh[1], s.efgh[2], s.efgh[3]};
}

static armv8_state state_of(fips_variables v) {
  return (armv8_state){{v.a, v.b, v.c, v.d}, {v.e, v.f, v.g, v.h}};
}

enum { LANES_MAX = ARMV8_LANES_MAX };

#define KERNEL(name) armv8_##name
#include "prove_sha256_four_rounds.h"

void prove_pv__sha256_armv8(void) {
  FOLLOW(pv__sha256_armv8, 1, 2);
}

void prove_pv__sha256_armv8_x2(void) {
  FOLLOW(pv__sha256_armv8_x2, 2, 1);
}
