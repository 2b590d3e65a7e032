// Harnesses for sha256_x86_avx2.c, whose words have eight lanes.
#include <immintrin.h>

#include "kernels/sha256_x86_avx2.c"

enum { LANES = AVX2_LANES };

#define KERNEL(name) avx2_##name
#define LANE(word, l) (word)[l]

#include "prove_sha256_rounds.h"

void prove_pv__sha256_avx2_x8(void) {
  FOLLOW(pv__sha256_avx2_x8, LANES, 1);
}
