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

// ---- ends, one after the other ----------------------------------------------

enum { LANES = 1 };

#include "prove_siphash_ends.h"

// Any hash, if it is asked for what the next end has.
sip_word any_hash(sip_word v[4], sip_word bytes) {
  uint64_t any;
  for (int j = 0; j < 4; j++) {
    __CPROVER_assert(v[j] == NEXT_STATE(j), "the state before it");
  }
  finish_next(bytes, any);
  return any;
}

void prove_pv__hash_ends_portable(void) {
  follow(pv__hash_ends_portable);
}
