// Harnesses for sha256_x86_shani.c: one message, and two or three side by side.
#include <immintrin.h>

#include "fips180.h"
#include "kernels/sha256_x86_shani.c"

typedef m128 quad;
typedef shani_state lane_state;
typedef shani_lane kernel_lane;

static fips_variables variables_of(shani_state s) {
  return (fips_variables){s.abef[3], s.abef[2], s.cdgh[3], s.cdgh[2],
                          s.abef[1], s.abef[0], s.cdgh[1], s.cdgh[0]};
}

static shani_state state_of(fips_variables v) {
  return (shani_state){{v.f, v.e, v.b, v.a}, {v.h, v.g, v.d, v.c}};
}

enum { LANES_MAX = SHANI_LANES_MAX };

#define KERNEL(name) shani_##name
#include "prove_sha256_four_rounds.h"

void prove_pv__sha256_shani(void) {
  FOLLOW(pv__sha256_shani, 1, 2);
}

void prove_pv__sha256_shani_x2(void) {
  FOLLOW(pv__sha256_shani_x2, 2, 1);
}

void prove_pv__sha256_shani_x3(void) {
  FOLLOW(pv__sha256_shani_x3, 3, 1);
}

// ---- a message by itself: begin takes whole blocks, end the rest ------------

void prove_pv__sha256_shani_begin(void) {
  for (size_t num_blocks = 0; num_blocks <= 2; num_blocks += 2) {
    follower *f = &followers[0];
    uint8_t *data = malloc(64 * num_blocks);
    uint32_t *state = malloc(sizeof(uint32_t[8]));
    put_hash(f->hash, fips_begin(fips_h0));
    f->next_block = data;
    f->num_blocks = 0;
    pv__sha256_shani_begin(state, data, num_blocks);
    __CPROVER_assert((size_t)f->num_blocks == num_blocks, "all blocks");
    const shani_state s = {{state[0], state[1], state[2], state[3]},
                           {state[4], state[5], state[6], state[7]}};
    variables_as_specified(variables_of(s), fips_begin(f->hash));
    REACHED(num_blocks == 2 && state[7] != 0);
  }
}

// The message of each lane, of which blocks are done; whole ones and the rest.
static pv_span messages[LANES_MAX];

void specified_padded_words(shani_state *s, shani_lane *lane, int lanes) {
  for (int l = 0; l < lanes; l++) {
    follower *f = &followers[l];
    for (int t = 0; t < 16; t++) {
      __CPROVER_assert(lane[l].w[t / 4][t % 4] ==
                           fips_padded_word(messages[l].data, messages[l].len,
                                            (uint64_t)f->num_blocks, t),
                       "the padded word as specified");
    }
    variables_as_specified(variables_of(s[l]), fips_begin(f->hash));
    const fips_variables anything = any_variables();
    put_hash(f->hash, anything);
    s[l] = state_of(anything);
    f->num_blocks += 1;
  }
}

static void digest_as_specified(int l, const uint8_t *out) {
  __CPROVER_assert(
      (uint64_t)followers[l].num_blocks == fips_num_blocks(messages[l].len),
      "all blocks");
  for (int i = 0; i < 8; i++) {
    __CPROVER_assert(fips_message_word(out, i) == followers[l].hash[i],
                     "the digest as specified");
  }
}

size_t nondet_size(void);

// Every length, and whatever state the whole blocks have led to.
void prove_pv__sha256_shani_end(void) {
  follower *f = &followers[0];
  const size_t len = nondet_size();
  __CPROVER_assume(len <= PV_PROVED_LEN_MAX);
  messages[0] = (pv_span){malloc(len), len};
  f->num_blocks = (int64_t)(len / 64);
  const fips_variables v = any_variables();
  const shani_state s = state_of(v);
  put_hash(f->hash, v);
  uint32_t *state = malloc(sizeof(uint32_t[8]));
  for (int i = 0; i < 4; i++) {
    state[i] = s.abef[i];
    state[4 + i] = s.cdgh[i];
  }
  uint8_t *out = malloc(32);
  pv__sha256_shani_end(out, state, messages[0].data, len);
  digest_as_specified(0, out);
  REACHED(len % 64 == 55);
  REACHED(len % 64 == 56);
}

// ---- three messages that are alike ------------------------------------------

// The messages lie in another order than their lanes.
static void follow_alike(size_t num_whole, size_t num_tail) {
  const uint8_t order[3] = {2, 0, 1};
  pv_span column[3];
  for (int l = 0; l < 3; l++) {
    const size_t len = 64 * num_whole + nondet_size() % 64;
    __CPROVER_assume(fips_num_blocks(len) == num_whole + num_tail);
    messages[l] = (pv_span){malloc(len), len};
    column[order[l]] = messages[l];
    followers[l].num_blocks = 0;
    put_hash(followers[l].hash, fips_begin(fips_h0));
  }
  uint8_t *out = malloc(3 * 32);
  pv__sha256_shani_alike_x3(out, column, order, num_whole, num_tail);
  for (int l = 0; l < 3; l++) {
    digest_as_specified(l, out + 32 * order[l]);
  }
  REACHED(num_tail == 2 && out[0] == 0);
}

void prove_pv__sha256_shani_alike_x3(void) {
  follow_alike(0, 1);
  follow_alike(1, 2);
}
