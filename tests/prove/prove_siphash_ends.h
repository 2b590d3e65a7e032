// prove_siphash_ends.h: follows a kernel that hashes the ends of a name: each gets
// a hash that was asked for with its own word and state. Include the kernel's
// source first, and define LANES, the number of ends that it finishes at a time.
#ifndef PINVERIFY_PROVE_SIPHASH_ENDS_H
#define PINVERIFY_PROVE_SIPHASH_ENDS_H

#include "harness.h"

// Eleven ends fill no whole number of vectors. None is longer than 31.
enum { ENDS = 11, FINISHED = (ENDS + LANES - 1) / LANES * LANES, WORDS = 4 };

static sip_state states[WORDS];
static uint64_t last_words[FINISHED], hashes[FINISHED];
static size_t num_finished;

// One of the four words of the state before the last word of the next end.
#define NEXT_STATE(j) (states[last_words[num_finished] >> 59].v[j])

// Keeps the hash that the next end got, for the word that it was asked with.
static void finish_next(uint64_t bytes, uint64_t hash) {
  __CPROVER_assert(bytes == last_words[num_finished], "its last word");
  hashes[num_finished] = hash;
  num_finished += 1;
}

static void follow(void (*hash_ends)(uint64_t *, const sip_state *,
                                     const uint64_t *, size_t)) {
  sip_state any_states[WORDS];
  uint64_t any_words[FINISHED], out[FINISHED];
  for (int i = 0; i < WORDS; i++) {
    states[i] = any_states[i];
  }
  for (int i = 0; i < FINISHED; i++) {
    last_words[i] = any_words[i];
    __CPROVER_assume(last_words[i] >> 56 < 8 * WORDS);
  }
  hash_ends(out, states, last_words, ENDS);
  __CPROVER_assert(num_finished == FINISHED, "each end");
  for (int i = 0; i < ENDS; i++) {
    __CPROVER_assert(out[i] == hashes[i], "the hash of the end");
  }
  REACHED(out[ENDS - 1] == 0 && last_words[ENDS - 1] >> 56 == 31);
}

#endif  // PINVERIFY_PROVE_SIPHASH_ENDS_H
