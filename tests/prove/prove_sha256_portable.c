// Harnesses for sha256_portable.c: a word is one lane.
#include "sha256_portable.c"

enum { LANES = 1 };

#define LANE(word, l) (word)

#include "lanes.h"

void prove_sha256_portable(void) {
  FOLLOW(sha256_portable, 1, 2);
}
