// Harnesses for sha256_x86_avx2.c, whose words have eight lanes.
#include <immintrin.h>

#include "sha256_x86_avx2.c"

#define LANE(word, l) (word)[l]

#include "lanes.h"

void prove_sha256_avx2_x8(void) {
  FOLLOW(sha256_avx2_x8, LANES, 1);
}
