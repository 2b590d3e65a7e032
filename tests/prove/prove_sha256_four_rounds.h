// prove_sha256_four_rounds.h: harnesses for kernels whose instructions compute
// several rounds, or words of the schedule, at once: a quad is a vector of four
// words. Include the kernel's source first, and define the types `quad`,
// `lane_state` and `kernel_lane`; variables_of(s), the variables of a state;
// state_of(v), the state of variables; KERNEL(name), the kernel's `name`; and
// for a kernel that knows one lane only, HASH_WORDS(s, lane, lanes), which calls
// its hash_words.
//
// As in prove_sha256_rounds.h there are three steps, each for every value:
// four_rounds and next_words; then hash_words, which calls them; then the whole
// kernel. A stand-in asserts that its arguments are those of the specification
// at this point. Then both sides continue with one new value.
#ifndef PINVERIFY_PROVE_SHA256_FOUR_ROUNDS_H
#define PINVERIFY_PROVE_SHA256_FOUR_ROUNDS_H

#include "prove_sha256_steps.h"

// The kernel's own names, and a harness for one of them.
#define four_rounds KERNEL(four_rounds)
#define next_words KERNEL(next_words)
#define hash_words KERNEL(hash_words)
#ifndef HASH_WORDS
#define HASH_WORDS(s, lane, lanes) hash_words(s, lane, lanes)
#endif
#define PROVE_(name) prove_##name
#define PROVE(name) PROVE_(name)

static fips_variables any_variables(void) {
  return (fips_variables){nondet_u32(), nondet_u32(), nondet_u32(),
                          nondet_u32(), nondet_u32(), nondet_u32(),
                          nondet_u32(), nondet_u32()};
}

static quad any_quad(void) {
  return (quad){nondet_u32(), nondet_u32(), nondet_u32(), nondet_u32()};
}

static void variables_as_specified(fips_variables mine, fips_variables v) {
  __CPROVER_assert(
      mine.a == v.a && mine.b == v.b && mine.c == v.c && mine.d == v.d,
      "a to d as specified");
  __CPROVER_assert(
      mine.e == v.e && mine.f == v.f && mine.g == v.g && mine.h == v.h,
      "e to h as specified");
}

static void words_as_specified(quad mine, quad w) {
  __CPROVER_assert(
      mine[0] == w[0] && mine[1] == w[1] && mine[2] == w[2] && mine[3] == w[3],
      "four words as specified");
}

static void put_hash(uint32_t hash[8], fips_variables v) {
  const uint32_t in_order[8] = {v.a, v.b, v.c, v.d, v.e, v.f, v.g, v.h};
  for (int i = 0; i < 8; i++) {
    hash[i] = in_order[i];
  }
}

// ---- four rounds, and four words of the schedule ----------------------------

void PROVE(four_rounds)(void) {
  fips_variables v = any_variables();
  const lane_state s = state_of(v);
  const quad w = any_quad();
  const uint32_t k[4] = {nondet_u32(), nondet_u32(), nondet_u32(),
                         nondet_u32()};
  const fips_variables mine = variables_of(four_rounds(s, w, k));
  for (int i = 0; i < 4; i++) {
    v = fips_round(v, k[i], w[i]);
  }
  variables_as_specified(mine, v);
  REACHED(mine.a == 0);
  REACHED(mine.h != 0);
}

void PROVE(next_words)(void) {
  const quad w[4] = {any_quad(), any_quad(), any_quad(), any_quad()};
  uint32_t schedule[20];
  for (int t = 0; t < 16; t++) {
    schedule[t] = w[t / 4][t % 4];
  }
  for (int t = 16; t < 20; t++) {
    schedule[t] = fips_schedule_word(schedule, t);
  }
  const quad mine = next_words(w[0], w[1], w[2], w[3]);
  words_as_specified(
      mine, (quad){schedule[16], schedule[17], schedule[18], schedule[19]});
  REACHED(mine[0] == 0);
  REACHED(mine[3] != 0);
}

// ---- a block of each lane, given as its words -------------------------------

// The specification of each lane: its variables, and its schedule in quads.
static fips_variables variables[LANES_MAX];
static quad schedule[LANES_MAX][16];
static int num_rounds[LANES_MAX], num_words[LANES_MAX];

// The lanes come in turn.
static int num_lanes, num_rounds_calls, num_words_calls;

lane_state specified_rounds(lane_state s, quad w, const uint32_t *k) {
  const int l = num_rounds_calls % num_lanes;
  num_rounds_calls += 1;
  const int t = num_rounds[l];
  __CPROVER_assert(t + 4 <= num_words[l], "the words are there");
  variables_as_specified(variables_of(s), variables[l]);
  words_as_specified(w, schedule[l][t / 4]);
  words_as_specified(
      (quad){k[0], k[1], k[2], k[3]},
      (quad){fips_k[t], fips_k[t + 1], fips_k[t + 2], fips_k[t + 3]});
  num_rounds[l] += 4;
  variables[l] = any_variables();
  return state_of(variables[l]);
}

quad specified_next_words(quad w0, quad w4, quad w8, quad w12) {
  const int l = num_words_calls % num_lanes;
  num_words_calls += 1;
  const int next = num_words[l] / 4;
  __CPROVER_assert(next < 16, "a block has 64 words");
  words_as_specified(w0, schedule[l][next - 4]);
  words_as_specified(w4, schedule[l][next - 3]);
  words_as_specified(w8, schedule[l][next - 2]);
  words_as_specified(w12, schedule[l][next - 1]);
  num_words[l] += 4;
  schedule[l][next] = any_quad();
  return schedule[l][next];
}

static void follow_hash_words(int lanes) {
  lane_state s[LANES_MAX];
  kernel_lane lane[LANES_MAX];
  uint32_t hash[LANES_MAX][8];
  num_lanes = lanes;
  for (int l = 0; l < lanes; l++) {
    variables[l] = any_variables();
    put_hash(hash[l], variables[l]);
    s[l] = state_of(variables[l]);
    for (int i = 0; i < 4; i++) {
      schedule[l][i] = any_quad();
      lane[l].w[i] = schedule[l][i];
    }
    num_words[l] = 16;
    num_rounds[l] = 0;
  }
  HASH_WORDS(s, lane, lanes);
  for (int l = 0; l < lanes; l++) {
    __CPROVER_assert(num_rounds[l] == 64, "a block has 64 rounds");
    fips_end(hash[l], variables[l]);
    variables_as_specified(variables_of(s[l]), fips_begin(hash[l]));
  }
  REACHED(variables_of(s[lanes - 1]).a == 0);
  REACHED(variables_of(s[lanes - 1]).h != 0);
}

// With one lane, and with as many more as the kernel can have.
void PROVE(hash_words)(void) {
  for (int lanes = 1; lanes <= LANES_MAX; lanes++) {
    follow_hash_words(lanes);
  }
}

// ---- a whole kernel ---------------------------------------------------------

void specified_hash_words(lane_state *s, kernel_lane *lane, int lanes) {
  for (int l = 0; l < lanes; l++) {
    follower *f = &followers[l];
    for (int t = 0; t < 16; t++) {
      __CPROVER_assert(
          lane[l].w[t / 4][t % 4] == fips_message_word(f->next_block, t),
          "the word of the message as specified");
    }
    variables_as_specified(variables_of(s[l]), fips_begin(f->hash));
    const fips_variables anything = any_variables();
    put_hash(f->hash, anything);
    s[l] = state_of(anything);
    lane[l].s = state_of(any_variables());
    for (int i = 0; i < 4; i++) {
      lane[l].w[i] = any_quad();
    }
    f->next_block += 64;
    f->num_blocks += 1;
  }
}

#endif  // PINVERIFY_PROVE_SHA256_FOUR_ROUNDS_H
