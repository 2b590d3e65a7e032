// sha256_x86_avx512.c: SHA-256 of sixteen messages side by side on AVX-512.
// Lane i of each vector is message i.
#include "internal.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2,avx512f,avx512vl,avx512bw")

enum { LANES = 16 };

typedef uint32_t word __attribute__((vector_size(4 * LANES)));

#include "sha256_rounds.h"

// Four rows of four words each become columns, in each quarter by itself.
static inline void transpose_quarters(__m512i r[4]) {
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
static inline void transpose_of_quarters(__m512i *r0, __m512i *r1, __m512i *r2,
                                         __m512i *r3) {
  const __m512i a = _mm512_shuffle_i32x4(*r0, *r1, 0x44);
  const __m512i b = _mm512_shuffle_i32x4(*r0, *r1, 0xee);
  const __m512i c = _mm512_shuffle_i32x4(*r2, *r3, 0x44);
  const __m512i d = _mm512_shuffle_i32x4(*r2, *r3, 0xee);
  *r0 = _mm512_shuffle_i32x4(a, c, 0x88);
  *r1 = _mm512_shuffle_i32x4(a, c, 0xdd);
  *r2 = _mm512_shuffle_i32x4(b, d, 0x88);
  *r3 = _mm512_shuffle_i32x4(b, d, 0xdd);
}

// Row i becomes column i: word j of row i goes to word i of row j.
static inline void transpose(__m512i r[LANES]) {
  for (int i = 0; i < LANES; i += 4) {
    transpose_quarters(r + i);
  }
  for (int i = 0; i < 4; i++) {
    transpose_of_quarters(&r[i], &r[i + 4], &r[i + 8], &r[i + 12]);
  }
}

// The sixteen words of each block, from big-endian.
static inline void load_words(word w[16], const uint8_t *const *block) {
  const __m512i swap =
      _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
  __m512i rows[LANES];
  for (int l = 0; l < LANES; l++) {
    rows[l] = _mm512_shuffle_epi8(_mm512_loadu_si512(block[l]), swap);
  }
  transpose(rows);
  for (int t = 0; t < 16; t++) {
    w[t] = (word)rows[t];
  }
}

static inline void load_states(word s[8], uint32_t (*states)[8]) {
  __m512i rows[LANES];
  for (int l = 0; l < LANES; l++) {
    rows[l] = _mm512_zextsi256_si512(
        _mm256_loadu_si256((const __m256i *)(const void *)states[l]));
  }
  transpose(rows);
  for (int i = 0; i < 8; i++) {
    s[i] = (word)rows[i];
  }
}

static inline void store_states(uint32_t (*states)[8], const word s[8]) {
  __m512i rows[LANES];
  for (int i = 0; i < 8; i++) {
    rows[i] = (__m512i)s[i];
    rows[i + 8] = _mm512_setzero_si512();
  }
  transpose(rows);
  for (int l = 0; l < LANES; l++) {
    _mm256_storeu_si256((__m256i *)(void *)states[l],
                        _mm512_castsi512_si256(rows[l]));
  }
}

void sha256_avx512_x16(uint32_t (*states)[8], const uint8_t *const *blocks,
                       size_t num_blocks) {
  word s[8];
  load_states(s, states);
  for (size_t i = 0; i < num_blocks; i++) {
    word w[16];
    load_words(w, blocks + LANES * i);
    hash_words(s, w);
  }
  store_states(states, s);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file may not be empty

#endif
