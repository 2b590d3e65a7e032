// sha256_x86_avx512.c: SHA-256 of sixteen messages side by side on AVX-512.
// Lane i of each vector is message i.
#include "../kernels.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2,avx512f,avx512vl,avx512bw")

enum { AVX512_LANES = 16 };

typedef uint32_t avx512_word __attribute__((vector_size(4 * AVX512_LANES)));

#define SHA256_NAME(name) avx512_##name
#include "sha256_rounds.h"

// Transposes four rows of four words, in each quarter separately.
PV_INLINE void avx512_transpose_quarters(__m512i r[4]) {
  const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]);
  const __m512i b = _mm512_unpackhi_epi32(r[0], r[1]);
  const __m512i c = _mm512_unpacklo_epi32(r[2], r[3]);
  const __m512i d = _mm512_unpackhi_epi32(r[2], r[3]);
  r[0] = _mm512_unpacklo_epi64(a, c);
  r[1] = _mm512_unpackhi_epi64(a, c);
  r[2] = _mm512_unpacklo_epi64(b, d);
  r[3] = _mm512_unpackhi_epi64(b, d);
}

// Quarter j of row i goes to quarter i of row j.
PV_INLINE void avx512_transpose_of_quarters(__m512i *r0, __m512i *r1,
                                            __m512i *r2, __m512i *r3) {
  const __m512i a = _mm512_shuffle_i32x4(*r0, *r1, 0x44);
  const __m512i b = _mm512_shuffle_i32x4(*r0, *r1, 0xee);
  const __m512i c = _mm512_shuffle_i32x4(*r2, *r3, 0x44);
  const __m512i d = _mm512_shuffle_i32x4(*r2, *r3, 0xee);
  *r0 = _mm512_shuffle_i32x4(a, c, 0x88);
  *r1 = _mm512_shuffle_i32x4(a, c, 0xdd);
  *r2 = _mm512_shuffle_i32x4(b, d, 0x88);
  *r3 = _mm512_shuffle_i32x4(b, d, 0xdd);
}

// Transposes: word j of row i goes to word i of row j.
PV_INLINE void avx512_transpose(__m512i r[AVX512_LANES]) {
  for (int i = 0; i < AVX512_LANES; i += 4) {
    avx512_transpose_quarters(r + i);
  }
  for (int i = 0; i < 4; i++) {
    avx512_transpose_of_quarters(&r[i], &r[i + 4], &r[i + 8], &r[i + 12]);
  }
}

// Loads the sixteen words of each lane's block at byte `at`, from big-endian.
PV_INLINE void avx512_load_words(avx512_word w[16], const uint8_t *const *in,
                                 size_t at) {
  const __m512i swap =
      _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
  __m512i rows[AVX512_LANES];
  for (int l = 0; l < AVX512_LANES; l++) {
    rows[l] = _mm512_shuffle_epi8(_mm512_loadu_si512(in[l] + at), swap);
  }
  avx512_transpose(rows);
  for (int t = 0; t < 16; t++) {
    w[t] = (avx512_word)rows[t];
  }
}

// A state is half a row, so the states of messages i and i + 4 share a row.
// Then the words of each message end up in its own lane.
PV_INLINE __m512i avx512_load_two_states(uint32_t (*states)[8], int i) {
  const __m256i low =
      _mm256_loadu_si256((const __m256i *)(const void *)states[i]);
  const __m256i high =
      _mm256_loadu_si256((const __m256i *)(const void *)states[i + 4]);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

PV_INLINE void avx512_store_two_states(uint32_t (*states)[8], int i,
                                       __m512i row) {
  _mm256_storeu_si256((__m256i *)(void *)states[i],
                      _mm512_castsi512_si256(row));
  _mm256_storeu_si256((__m256i *)(void *)states[i + 4],
                      _mm512_extracti64x4_epi64(row, 1));
}

PV_INLINE void avx512_load_states(avx512_word s[8], uint32_t (*states)[8]) {
  __m512i low[4], high[4];
  for (int i = 0; i < 4; i++) {
    low[i] = avx512_load_two_states(states, i);
    high[i] = avx512_load_two_states(states, i + 8);
  }
  avx512_transpose_quarters(low);
  avx512_transpose_quarters(high);
  for (int i = 0; i < 4; i++) {
    s[i] = (avx512_word)_mm512_shuffle_i32x4(low[i], high[i], 0x88);
    s[i + 4] = (avx512_word)_mm512_shuffle_i32x4(low[i], high[i], 0xdd);
  }
}

PV_INLINE void avx512_store_states(uint32_t (*states)[8],
                                   const avx512_word s[8]) {
  const __m512i low_quarters = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
  const __m512i high_quarters = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  __m512i low[4], high[4];
  for (int i = 0; i < 4; i++) {
    const __m512i a = (__m512i)s[i];
    const __m512i e = (__m512i)s[i + 4];
    low[i] = _mm512_permutex2var_epi64(a, low_quarters, e);
    high[i] = _mm512_permutex2var_epi64(a, high_quarters, e);
  }
  avx512_transpose_quarters(low);
  avx512_transpose_quarters(high);
  for (int i = 0; i < 4; i++) {
    avx512_store_two_states(states, i, low[i]);
    avx512_store_two_states(states, i + 8, high[i]);
  }
}

void pv__sha256_avx512_x16(uint32_t (*states)[8], const uint8_t *const *in,
                           size_t num_blocks) {
  avx512_word s[8];
  avx512_load_states(s, states);
  for (size_t i = 0; i < num_blocks; i++) {
    avx512_word w[16];
    avx512_load_words(w, in, 64 * i);
    avx512_hash_words(s, w);
  }
  avx512_store_states(states, s);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
