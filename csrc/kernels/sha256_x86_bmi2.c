// sha256_x86_bmi2.c: SHA-256 of one message on x86-64 with AVX2 and BMI2, for
// processors without SHA instructions.
//
// A round waits for the one before it, so vectors are of no use for rounds.
// BMI2 rotates into another register, which saves a copy for each rotation.
// Vectors compute four words of the schedule at a time, and leave the scalar
// units to the rounds. The words go to these units through memory; otherwise
// compilers extract each from its vector, or do rounds in vectors, which is a
// fifth slower.
#include "../kernels.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2,bmi,bmi2")

typedef uint32_t bmi2_word;

#define SHA256_NAME(name) bmi2_##name
#define SHA256_ROUND_ALONE
#include "sha256_rounds.h"

typedef uint32_t bmi2_quad_word __attribute__((vector_size(16)));

#define SHA256_NAME(name) bmi2_quad_##name
#define SHA256_SCHEDULE_ALONE
#include "sha256_rounds.h"

typedef struct bmi2_state {
  uint32_t a, b, c, d, e, f, g, h;
} bmi2_state;

PV_INLINE bmi2_quad_word bmi2_load_quad(const void *p) {
  return (bmi2_quad_word)_mm_loadu_si128((const __m128i *)p);
}

// Loads four words of the message, converted from big-endian.
PV_INLINE bmi2_quad_word bmi2_load_words(const uint8_t *p) {
  const __m128i swap =
      _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  return (bmi2_quad_word)_mm_shuffle_epi8((__m128i)bmi2_load_quad(p), swap);
}

// Does four rounds with the words w, whose constants begin at k.
PV_INLINE bmi2_state bmi2_four_rounds(bmi2_state s, bmi2_quad_word w,
                                      const uint32_t *k) {
  uint32_t wk[4];
  _mm_storeu_si128((__m128i *)(void *)wk, (__m128i)(w + bmi2_load_quad(k)));
  __asm__("" : "+m"(wk));
  bmi2_one_round(s.a, s.b, s.c, &s.d, s.e, s.f, s.g, &s.h, wk[0], 0);
  bmi2_one_round(s.h, s.a, s.b, &s.c, s.d, s.e, s.f, &s.g, wk[1], 0);
  bmi2_one_round(s.g, s.h, s.a, &s.b, s.c, s.d, s.e, &s.f, wk[2], 0);
  bmi2_one_round(s.f, s.g, s.h, &s.a, s.b, s.c, s.d, &s.e, wk[3], 0);
  return (bmi2_state){s.e, s.f, s.g, s.h, s.a, s.b, s.c, s.d};
}

// Returns words 2 and 3 of `low` before words 0 and 1 of `high`.
PV_INLINE bmi2_quad_word bmi2_from_word_2(bmi2_quad_word low,
                                          bmi2_quad_word high) {
  return (bmi2_quad_word)_mm_alignr_epi8((__m128i)high, (__m128i)low, 8);
}

// Returns words 1 to 3 of `low` before word 0 of `high`.
PV_INLINE bmi2_quad_word bmi2_from_word_1(bmi2_quad_word low,
                                          bmi2_quad_word high) {
  return (bmi2_quad_word)_mm_alignr_epi8((__m128i)high, (__m128i)low, 4);
}

// Returns the next four words of the schedule, from the sixteen before them.
// The last two need the first two.
PV_INLINE bmi2_quad_word bmi2_next_words(bmi2_quad_word w0, bmi2_quad_word w4,
                                         bmi2_quad_word w8,
                                         bmi2_quad_word w12) {
  const bmi2_quad_word none = {0, 0, 0, 0};
  bmi2_quad_word next = w0 + bmi2_from_word_1(w8, w12) +
                        bmi2_quad_small_sigma0(bmi2_from_word_1(w0, w4));
  next += bmi2_quad_small_sigma1(bmi2_from_word_2(w12, none));
  next += bmi2_quad_small_sigma1(bmi2_from_word_2(none, next));
  return next;
}

// Hashes one block, given as its sixteen words, into the state.
PV_INLINE void bmi2_hash_words(bmi2_state *state, bmi2_quad_word w[4]) {
  bmi2_state s = *state;
  PV_UNROLL
  for (int i = 0; i < 12; i++) {
    s = bmi2_four_rounds(s, w[i % 4], sha256_k + 4 * i);
    w[i % 4] = bmi2_next_words(w[i % 4], w[(i + 1) % 4], w[(i + 2) % 4],
                               w[(i + 3) % 4]);
  }
  PV_UNROLL
  for (int i = 12; i < 16; i++) {
    s = bmi2_four_rounds(s, w[i % 4], sha256_k + 4 * i);
  }
  *state = (bmi2_state){state->a + s.a, state->b + s.b, state->c + s.c,
                        state->d + s.d, state->e + s.e, state->f + s.f,
                        state->g + s.g, state->h + s.h};
}

PV_INLINE void bmi2_hash_blocks(uint32_t state[8], const uint8_t *block,
                                size_t num_blocks) {
  bmi2_state s = {state[0], state[1], state[2], state[3],
                  state[4], state[5], state[6], state[7]};
  for (size_t i = 0; i < num_blocks; i++) {
    bmi2_quad_word w[4];
    for (int j = 0; j < 4; j++) {
      w[j] = bmi2_load_words(block + 64 * i + 16 * j);
    }
    bmi2_hash_words(&s, w);
  }
  const uint32_t words[8] = {s.a, s.b, s.c, s.d, s.e, s.f, s.g, s.h};
  for (int i = 0; i < 8; i++) {
    state[i] = words[i];
  }
}

void pv__sha256_bmi2(uint32_t (*states)[8], const uint8_t *const *in,
                     size_t num_blocks) {
  bmi2_hash_blocks(states[0], in[0], num_blocks);
}

PV_TARGET_END

// AVX-512VL has a rotation of vectors.
PV_TARGET_BEGIN("avx2,bmi,bmi2,avx512vl")

void pv__sha256_bmi2_avx512(uint32_t (*states)[8], const uint8_t *const *in,
                            size_t num_blocks) {
  bmi2_hash_blocks(states[0], in[0], num_blocks);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
