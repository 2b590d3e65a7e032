// Harnesses for sha256_portable.c: a word is one lane.
#include "kernels/sha256_portable.c"

enum { LANES = 1 };

#define KERNEL(name) portable_##name
#define LANE(word, l) (word)

#include "prove_sha256_rounds.h"

void prove_pv__sha256_portable(void) {
  FOLLOW(pv__sha256_portable, 1, 2);
}
