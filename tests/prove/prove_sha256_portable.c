// Harness for sha256_portable.c: the kernel is cut after each round, and after
// each word of the schedule.
#include "follow.h"

static void cut_round(uint32_t *d, uint32_t *h) {
  follower *f = &followers[0];
  if (f->num_blocks == 0 || f->num_rounds == 64) {
    for (int t = 0; t < 16; t++) {
      follow_loaded(f, t);
    }
  }
  follow_round(f);
  CUT(*h, f->v.a);
  CUT(*d, f->v.e);
}

static void cut_word(uint32_t *word) {
  uint32_t *w = follow_word(&followers[0]);
  CUT(*word, *w);
}

#define AFTER_ROUND(d, h) cut_round(d, h)
#define AFTER_WORD(word) cut_word(word)

#include "sha256_portable.c"

void prove_sha256_portable(void) {
  FOLLOW(sha256_portable, 1, 2);
}
