// Harnesses for sha256_x86_avx512.c, whose words have sixteen lanes.
#include <immintrin.h>

#include "sha256_x86_avx512.c"

#define LANE(word, l) (word)[l]

#include "lanes.h"

void prove_sha256_avx512_x16(void) {
  FOLLOW(sha256_avx512_x16, LANES, 1);
}
