// follow.h: the specification follows a kernel, step by step.
//
// SHA-256 as one formula is too much for a solver. So the two go side by side,
// and are cut after each step: the step is asserted to have given both the same
// value, and then both go on with one new value of which nothing is known. What
// is shown for every such value holds for the one that was there, too. Between
// two cuts there are a few rotations and additions, in whatever order.
//
// The kernel is the product's own source, included as text. Its steps are found
// where sha256_rounds.h has AFTER_ROUND and AFTER_WORD, or where the model of
// an instruction does one.
#ifndef PINVERIFY_FOLLOW_H
#define PINVERIFY_FOLLOW_H

#include <stddef.h>
#include <stdlib.h>

#include "fips180.h"
#include "harness.h"

uint32_t nondet_u32(void);

// Whether the two are the same; from here on they are the same, and anything.
#define CUT(mine, specified)                                        \
  do {                                                              \
    __CPROVER_assert((mine) == (specified), #mine " as specified"); \
    const uint32_t anything = nondet_u32();                         \
    (mine) = anything;                                              \
    (specified) = anything;                                         \
  } while (0)

// A follower is the specification of one lane, as far as the kernel has come.
typedef struct follower {
  uint32_t hash[8];
  uint32_t w[64];
  fips_variables v;
  const uint8_t *next_block;
  int num_blocks;  // ended
  int num_words;   // of the block's schedule
  int num_rounds;  // of the block
} follower;

static follower followers[SHA256_LANES_MAX];

// After the last cut of a block.
static void end_block(follower *f) {
  fips_end(f->hash, f->v);
  f->next_block += 64;
  f->num_blocks += 1;
}

// The next word of the message, number t. The first one begins a block.
static uint32_t *follow_loaded(follower *f, int t) {
  if (t == 0) {
    f->v = fips_begin(f->hash);
    f->num_words = 0;
    f->num_rounds = 0;
  }
  __CPROVER_assert(t == f->num_words && t < 16, "the next word");
  f->w[t] = fips_message_word(f->next_block, t);
  f->num_words += 1;
  return &f->w[t];
}

// The next word of the schedule.
static uint32_t *follow_word(follower *f) {
  const int t = f->num_words;
  __CPROVER_assert(16 <= t && t < 64, "a block has 64 words");
  f->w[t] = fips_schedule_word(f->w, t);
  f->num_words += 1;
  return &f->w[t];
}

static void follow_round(follower *f) {
  const int t = f->num_rounds;
  __CPROVER_assert(t < f->num_words, "the word is there");
  f->v = fips_round(f->v, fips_k[t], f->w[t]);
  f->num_rounds += 1;
}

// ---- a whole call -----------------------------------------------------------

// States and messages of which nothing is known, each in memory of its own, in
// which there is room for no byte more.
typedef struct call {
  uint32_t (*states)[8];
  const uint8_t **in;
  size_t num_blocks;
} call;

// malloc does not fail here (sha256.toml): the core asks for no memory.
static call begin_call(int num_lanes, size_t num_blocks) {
  call c = {malloc(sizeof(uint32_t[8]) * (size_t)num_lanes),
            malloc(sizeof(uint8_t *) * (size_t)num_lanes), num_blocks};
  for (int l = 0; l < num_lanes; l++) {
    c.in[l] = malloc(64 * num_blocks);
    followers[l].next_block = c.in[l];
    followers[l].num_blocks = 0;
    for (int i = 0; i < 8; i++) {
      followers[l].hash[i] = c.states[l][i];
    }
  }
  return c;
}

static void end_call(call c, int num_lanes) {
  for (int l = 0; l < num_lanes; l++) {
    follower *f = &followers[l];
    __CPROVER_assert((size_t)f->num_blocks == c.num_blocks, "all blocks");
    for (int i = 0; i < 8; i++) {
      __CPROVER_assert(c.states[l][i] == f->hash[i], "the state as specified");
    }
  }
  const bool hashed = c.num_blocks > 0;
  REACHED(hashed && c.states[num_lanes - 1][7] == 0);
  REACHED(hashed && c.states[num_lanes - 1][7] != 0);
}

// No block, and as many as are asked for: one shows what a block does, two that
// the second goes on where the first ended.
#define FOLLOW(kernel, num_lanes, num_blocks)              \
  do {                                                     \
    const call none = begin_call(num_lanes, 0);            \
    kernel(none.states, none.in, 0);                       \
    end_call(none, num_lanes);                             \
    const call blocks = begin_call(num_lanes, num_blocks); \
    kernel(blocks.states, blocks.in, num_blocks);          \
    end_call(blocks, num_lanes);                           \
  } while (0)

#endif  // PINVERIFY_FOLLOW_H
