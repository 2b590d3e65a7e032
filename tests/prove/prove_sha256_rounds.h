// prove_sha256_rounds.h: harnesses for kernels that use sha256_rounds.h, in
// which a `word` is one lane or a vector of them. Include the kernel's source
// first, and define LANES, the number of lanes of a word; LANE(word, l), which
// is lane l; and KERNEL(name), the name that the kernel gives to `name` of
// sha256_rounds.h.
//
// That each lane is SHA-256 is shown in three steps, each for every value:
//   1. one_round and next_word do to each lane what FIPS 180-4 says.
//   2. hash_words calls them in its order, with its words and constants.
//   3. The kernel hands every lane's state and block to hash_words, and stores
//      what it gets.
// Where a step has proved a function, the next one calls a stand-in for it
// (sha256_kernels.toml). That asserts that its arguments are what the specification
// has at that place. Then both sides go on with one new value of which nothing
// is known: from the same values they would have come to the same.
#ifndef PINVERIFY_PROVE_SHA256_ROUNDS_H
#define PINVERIFY_PROVE_SHA256_ROUNDS_H

#include "prove_sha256_steps.h"

// The kernel's own names, and a harness for one of them.
#define word KERNEL(word)
#define one_round KERNEL(one_round)
#define next_word KERNEL(next_word)
#define hash_words KERNEL(hash_words)
#define PROVE_(name) prove_##name
#define PROVE(name) PROVE_(name)

word nondet_word(void);

static bool same_lanes(word x, word y) {
  bool same = true;
  for (int l = 0; l < LANES; l++) {
    same = same && LANE(x, l) == LANE(y, l);
  }
  return same;
}

#define AS_SPECIFIED(mine, specified) \
  __CPROVER_assert(same_lanes(mine, specified), #mine " as specified")

// CBMC 6.6 knows no shift of a vector to the right. C has it lane by lane.
word shr_of_lanes(word x, int n) {
  word r = x;
  for (int l = 0; l < LANES; l++) {
    LANE(r, l) = LANE(x, l) >> n;
  }
  return r;
}

// ---- a round, and a word of the schedule ------------------------------------

void PROVE(one_round)(void) {
  const word a = nondet_word(), b = nondet_word(), c = nondet_word();
  const word d = nondet_word(), e = nondet_word(), f = nondet_word();
  const word g = nondet_word(), h = nondet_word(), w = nondet_word();
  const uint32_t k = nondet_u32();
  word new_d = d, new_h = h;
  one_round(a, b, c, &new_d, e, f, g, &new_h, w, k);
  for (int l = 0; l < LANES; l++) {
    const fips_variables v = fips_round(
        (fips_variables){LANE(a, l), LANE(b, l), LANE(c, l), LANE(d, l),
                         LANE(e, l), LANE(f, l), LANE(g, l), LANE(h, l)},
        k, LANE(w, l));
    __CPROVER_assert(LANE(new_h, l) == v.a && LANE(a, l) == v.b &&
                         LANE(b, l) == v.c && LANE(c, l) == v.d,
                     "a to d as specified");
    __CPROVER_assert(LANE(new_d, l) == v.e && LANE(e, l) == v.f &&
                         LANE(f, l) == v.g && LANE(g, l) == v.h,
                     "e to h as specified");
  }
  REACHED(LANE(new_h, LANES - 1) == 0);
  REACHED(LANE(new_d, LANES - 1) != 0);
}

void PROVE(next_word)(void) {
  word before[16], w[16];
  for (int i = 0; i < 16; i++) {
    before[i] = nondet_word();
    w[i] = before[i];
  }
  for (int t = 0; t < 16; t++) {
    next_word(w, t);
    const word next = w[t];
    const word w0 = before[t], w1 = before[(t + 1) % 16];
    const word w9 = before[(t + 9) % 16], w14 = before[(t + 14) % 16];
    for (int l = 0; l < LANES; l++) {
      uint32_t last[16];  // the others may be anything
      last[0] = LANE(w0, l);
      last[1] = LANE(w1, l);
      last[9] = LANE(w9, l);
      last[14] = LANE(w14, l);
      __CPROVER_assert(LANE(next, l) == fips_schedule_word(last, 16),
                       "the word as specified");
    }
    REACHED(LANE(next, LANES - 1) == 0);
    w[t] = nondet_word();
    before[t] = w[t];
  }
  for (int i = 0; i < 16; i++) {
    AS_SPECIFIED(w[i], before[i]);
  }
}

// ---- a block, given as its words --------------------------------------------

// The specification of all lanes: its variables a to h, and its schedule.
static word variables[8], schedule[64];
static int num_rounds, num_words;

void specified_round(word a, word b, word c, word *d, word e, word f, word g,
                     word *h, word w, uint32_t k) {
  AS_SPECIFIED(a, variables[0]);
  AS_SPECIFIED(b, variables[1]);
  AS_SPECIFIED(c, variables[2]);
  AS_SPECIFIED(*d, variables[3]);
  AS_SPECIFIED(e, variables[4]);
  AS_SPECIFIED(f, variables[5]);
  AS_SPECIFIED(g, variables[6]);
  AS_SPECIFIED(*h, variables[7]);
  __CPROVER_assert(num_rounds < num_words, "the word is there");
  AS_SPECIFIED(w, schedule[num_rounds]);
  __CPROVER_assert(k == fips_k[num_rounds], "the constant as specified");
  num_rounds += 1;
  *d = nondet_word();
  *h = nondet_word();
  for (int i = 7; i > 0; i--) {
    variables[i] = variables[i - 1];
  }
  variables[4] = *d;
  variables[0] = *h;
}

void specified_word(word w[16], int t) {
  __CPROVER_assert(num_words < 64, "a block has 64 words");
  for (int i = 0; i < 16; i++) {
    AS_SPECIFIED(w[(t + i) % 16], schedule[num_words - 16 + i]);
  }
  w[t] = nondet_word();
  schedule[num_words] = w[t];
  num_words += 1;
}

void PROVE(hash_words)(void) {
  word before[8], state[8], w[16];
  for (int i = 0; i < 8; i++) {
    before[i] = nondet_word();
    state[i] = before[i];
    variables[i] = before[i];
  }
  for (int t = 0; t < 16; t++) {
    w[t] = nondet_word();
    schedule[t] = w[t];
  }
  num_rounds = 0;
  num_words = 16;
  hash_words(state, w);
  __CPROVER_assert(num_rounds == 64, "a block has 64 rounds");
  for (int i = 0; i < 8; i++) {
    for (int l = 0; l < LANES; l++) {
      __CPROVER_assert(
          LANE(state[i], l) == LANE(variables[i], l) + LANE(before[i], l),
          "the state as specified");
    }
  }
  REACHED(LANE(state[7], LANES - 1) == 0);
  REACHED(LANE(state[7], LANES - 1) != 0);
}

// ---- the whole kernel -------------------------------------------------------

void specified_words(word state[8], word w[16]) {
  for (int t = 0; t < 16; t++) {
    const word mine = w[t];
    for (int l = 0; l < LANES; l++) {
      const uint8_t *block = followers[l].next_block;
      __CPROVER_assert(LANE(mine, l) == fips_message_word(block, t),
                       "the word of the message as specified");
    }
    w[t] = nondet_word();
  }
  for (int i = 0; i < 8; i++) {
    word mine = state[i];
    for (int l = 0; l < LANES; l++) {
      CUT(LANE(mine, l), followers[l].hash[i]);
    }
    state[i] = mine;
  }
  for (int l = 0; l < LANES; l++) {
    followers[l].next_block += 64;
    followers[l].num_blocks += 1;
  }
}

#endif  // PINVERIFY_PROVE_SHA256_ROUNDS_H
