// Harnesses for the meaning of kernels/siphash.h, which is what was published, and
// of siphash_portable.c.
#include "harness.h"
#include "kernels/siphash_portable.c"
#include "prove_siphash_paper.h"

void prove_sip_start(void) {
  uint64_t key[2], v[4];
  const sip_state state = sip_start(key);
  paper_start(v, key);
  for (int j = 0; j < 4; j++) {
    __CPROVER_assert(state.v[j] == v[j], "as published");
  }
  REACHED(v[3] == 0);
}

void prove_sip_absorb(void) {
  uint64_t mine[4], v[4], word;
  for (int j = 0; j < 4; j++) {
    v[j] = mine[j];
  }
  sip_absorb(mine, word);
  paper_compress(v, word);
  for (int j = 0; j < 4; j++) {
    __CPROVER_assert(mine[j] == v[j], "as published");
  }
  REACHED(v[3] == 0);
}

void prove_sip_finish(void) {
  uint64_t mine[4], v[4], word;
  for (int j = 0; j < 4; j++) {
    v[j] = mine[j];
  }
  const uint64_t hash = sip_finish(mine, word);
  paper_compress(v, word);
  __CPROVER_assert(hash == paper_finalize(v), "as published");
  REACHED(hash == 0);
}

// ---- ends -------------------------------------------------------------------

// No end is longer than 31.
enum { NUM = 11, WORDS = 4 };

static sip_state states[WORDS];
static uint64_t last_words[NUM], hashes[NUM];
static size_t num_finished;

// Any hash, if it is asked for what the next end has.
sip_word any_hash(sip_word v[4], sip_word bytes) {
  uint64_t any;
  const uint64_t word = last_words[num_finished];
  __CPROVER_assert(bytes == word, "the last word of the end");
  for (int j = 0; j < 4; j++) {
    __CPROVER_assert(v[j] == states[word >> 56 >> 3].v[j],
                     "the state before it");
  }
  hashes[num_finished] = any;
  num_finished += 1;
  return any;
}

void prove_pv__hash_ends_portable(void) {
  sip_state any_states[WORDS];
  uint64_t any_words[NUM], out[NUM];
  for (int i = 0; i < WORDS; i++) {
    states[i] = any_states[i];
  }
  for (int i = 0; i < NUM; i++) {
    last_words[i] = any_words[i];
    __CPROVER_assume(last_words[i] >> 56 < 8 * WORDS);
  }
  pv__hash_ends_portable(out, states, last_words, NUM);
  __CPROVER_assert(num_finished == NUM, "each end");
  for (int i = 0; i < NUM; i++) {
    __CPROVER_assert(out[i] == hashes[i], "the hash of the end");
  }
  REACHED(out[NUM - 1] == 0 && last_words[NUM - 1] >> 56 == 31);
}
