// Harnesses for sha256_x86_avx512.c, whose words have sixteen lanes.
#include <immintrin.h>

#include "kernels/sha256_x86_avx512.c"

enum { LANES = AVX512_LANES };

#define KERNEL(name) avx512_##name
#define LANE(word, l) (word)[l]

#include "prove_sha256_rounds.h"

void prove_pv__sha256_avx512_x16(void) {
  FOLLOW(pv__sha256_avx512_x16, LANES, 1);
}
