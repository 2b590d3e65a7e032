// Harnesses for sha256_x86_shani.c. The kernel is cut where the models have
// done a round, or a word of the schedule, and where it has loaded words.
#include "follow.h"

// The lanes come in turn: four rounds of one, then of the next one, and so on.
static int num_lanes, num_loads, num_rounds, num_words;

static void cut_round(uint32_t *a, uint32_t *e) {
  follower *f = &followers[num_rounds / 4 % num_lanes];
  num_rounds += 1;
  follow_round(f);
  CUT(*a, f->v.a);
  CUT(*e, f->v.e);
  if (f->num_rounds == 64) {
    end_block(f);
  }
}

static void cut_word(uint32_t *word) {
  follower *f = &followers[num_words / 4 % num_lanes];
  num_words += 1;
  uint32_t *w = follow_word(f);
  CUT(*word, *w);
}

#define AFTER_SHA_ROUND(a, e) cut_round(a, e)
#define AFTER_SHA_WORD(word) cut_word(word)

#include <immintrin.h>

static m128 cut_loaded(m128 words) {
  follower *f = &followers[num_loads / 4 % num_lanes];
  const int t = 4 * (num_loads % 4);
  num_loads += 1;
  for (int i = 0; i < 4; i++) {
    uint32_t *w = follow_loaded(f, t + i);
    CUT(words[i], *w);
  }
  return words;
}

#undef _mm_shuffle_epi8
#define _mm_shuffle_epi8(bytes, order) \
  cut_loaded(model_mm_shuffle_epi8(bytes, order))

#include "sha256_x86_shani.c"

void prove_sha256_shani(void) {
  num_lanes = 1;
  FOLLOW(sha256_shani, 1, 2);
}

void prove_sha256_shani_x2(void) {
  num_lanes = 2;
  FOLLOW(sha256_shani_x2, 2, 1);
}

void prove_sha256_shani_x3(void) {
  num_lanes = 3;
  FOLLOW(sha256_shani_x3, 3, 1);
}
