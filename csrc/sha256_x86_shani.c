// sha256_x86_shani.c: the SHA-256 block function on the SHA extensions of
// x86-64 (Intel SDM 2, SHA256RNDS2 and its neighbours), one message at a time.
#include "internal.h"

#if PV_X86_64
#include <immintrin.h>

#include "sha256_k.h"

PV_TARGET_BEGIN("sha,ssse3,sse4.1")

// The instructions keep the eight words of the state in two registers, highest
// word first: ABEF and CDGH.
typedef struct shani_state {
  __m128i abef;
  __m128i cdgh;
} shani_state;

static inline shani_state load_state(const uint32_t *state) {
  const __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
  const __m128i hgfe =
      _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  return (shani_state){_mm_alignr_epi8(cdab, efgh, 8),
                       _mm_blend_epi16(efgh, cdab, 0xf0)};
}

static inline void store_state(uint32_t *state, shani_state s) {
  const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(state + 4),
                   _mm_alignr_epi8(dchg, feba, 8));
}

// Four words of the message, from big-endian.
static inline __m128i load_words(const uint8_t *p) {
  const __m128i swap =
      _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
                          swap);
}

// Four rounds with the words w, whose constants begin at k.
static inline shani_state four_rounds(shani_state s, __m128i w,
                                      const uint32_t *k) {
  __m128i wk =
      _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)k));
  s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
  wk = _mm_shuffle_epi32(wk, 0x0e);
  s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, wk);
  return s;
}

// The next four words of the schedule, from the sixteen before them.
static inline __m128i next_words(__m128i w0, __m128i w4, __m128i w8,
                                 __m128i w12) {
  const __m128i w9 = _mm_alignr_epi8(w12, w8, 4);
  return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), w9),
                              w12);
}

static inline shani_state hash_block(shani_state s, const uint8_t *block) {
  const uint32_t *k = sha256_k;
  __m128i w0 = load_words(block);
  __m128i w4 = load_words(block + 16);
  __m128i w8 = load_words(block + 32);
  __m128i w12 = load_words(block + 48);
  for (int round = 0; round < 48; round += 16) {
    s = four_rounds(s, w0, k + round);
    w0 = next_words(w0, w4, w8, w12);
    s = four_rounds(s, w4, k + round + 4);
    w4 = next_words(w4, w8, w12, w0);
    s = four_rounds(s, w8, k + round + 8);
    w8 = next_words(w8, w12, w0, w4);
    s = four_rounds(s, w12, k + round + 12);
    w12 = next_words(w12, w0, w4, w8);
  }
  s = four_rounds(s, w0, k + 48);
  s = four_rounds(s, w4, k + 52);
  s = four_rounds(s, w8, k + 56);
  return four_rounds(s, w12, k + 60);
}

static void hash_blocks(uint32_t *state, const uint8_t *const *in,
                        size_t num_blocks) {
  shani_state s = load_state(state);
  for (size_t i = 0; i < num_blocks; i++) {
    const shani_state before = s;
    s = hash_block(s, in[0] + 64 * i);
    s.abef = _mm_add_epi32(s.abef, before.abef);
    s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
  }
  store_state(state, s);
}

PV_TARGET_END

const pv_kernel pv_sha256_shani = {
    .name = "shani", .needs = CPU_SHANI, .lanes = 1, .sha256 = hash_blocks};

#else

typedef int not_on_this_cpu;  // a C file may not be empty

#endif
