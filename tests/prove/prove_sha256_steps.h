// prove_sha256_steps.h: compares a kernel of SHA-256 with the specification,
// step by step.
//
// SHA-256 as one formula is too much for a solver. So the two go side by side,
// and are cut after each step: the step is asserted to have given both the same
// value, and then both go on with one new value of which nothing is known. What
// is shown for every such value holds for the one that was there, too.
//
// The kernel is the product's own source, included as text. A step is a
// function of it that is proved by itself; where the kernel calls it, a
// stand-in looks on (prove_sha256_rounds.h, prove_sha256_four_rounds.h).
#ifndef PINVERIFY_PROVE_SHA256_STEPS_H
#define PINVERIFY_PROVE_SHA256_STEPS_H

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
  const uint8_t *next_block;
  int64_t num_blocks;  // done
} follower;

static follower followers[SHA256_LANES_MAX];

// ---- a whole call -----------------------------------------------------------

// States and messages of which nothing is known, each in memory of its own, in
// which there is room for no byte more.
typedef struct call {
  uint32_t (*states)[8];
  const uint8_t **in;
  size_t num_blocks;
} call;

// malloc does not fail here (sha256_kernels.toml): the core asks for no memory.
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

#endif  // PINVERIFY_PROVE_SHA256_STEPS_H
