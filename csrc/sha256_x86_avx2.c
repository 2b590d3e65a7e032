// sha256_x86_avx2.c: SHA-256 of eight messages side by side on AVX2, for
// processors without SHA instructions. Lane i of each vector is message i.
#include "internal.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2")

enum { LANES = 8 };

typedef uint32_t word __attribute__((vector_size(4 * LANES)));

#include "sha256_rounds.h"

PV_INLINE __m256i load_row(const void *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}

// Row i becomes column i: word j of row i goes to word i of row j. First
// within each half of a vector, from pairs to fours; then the halves.
PV_INLINE void transpose(__m256i r[LANES]) {
  __m256i two[LANES], four[LANES];
  for (int i = 0; i < LANES; i += 2) {
    two[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    two[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < LANES; i += 4) {
    four[i] = _mm256_unpacklo_epi64(two[i], two[i + 2]);
    four[i + 1] = _mm256_unpackhi_epi64(two[i], two[i + 2]);
    four[i + 2] = _mm256_unpacklo_epi64(two[i + 1], two[i + 3]);
    four[i + 3] = _mm256_unpackhi_epi64(two[i + 1], two[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2x128_si256(four[i], four[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(four[i], four[i + 4], 0x31);
  }
}

// Eight words of each lane, from big-endian, beginning with byte `at`.
PV_INLINE void load_words(word w[LANES], const uint8_t *const *in, size_t at) {
  const __m256i swap =
      _mm256_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL,
                        0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m256i rows[LANES];
  for (int l = 0; l < LANES; l++) {
    rows[l] = _mm256_shuffle_epi8(load_row(in[l] + at), swap);
  }
  transpose(rows);
  for (int t = 0; t < LANES; t++) {
    w[t] = (word)rows[t];
  }
}

PV_INLINE void load_states(word s[8], uint32_t (*states)[8]) {
  __m256i rows[LANES];
  for (int l = 0; l < LANES; l++) {
    rows[l] = load_row(states[l]);
  }
  transpose(rows);
  for (int i = 0; i < 8; i++) {
    s[i] = (word)rows[i];
  }
}

PV_INLINE void store_states(uint32_t (*states)[8], const word s[8]) {
  __m256i rows[LANES];
  for (int i = 0; i < 8; i++) {
    rows[i] = (__m256i)s[i];
  }
  transpose(rows);
  for (int l = 0; l < LANES; l++) {
    _mm256_storeu_si256((__m256i *)(void *)states[l], rows[l]);
  }
}

void sha256_avx2_x8(uint32_t (*states)[8], const uint8_t *const *in,
                    size_t num_blocks) {
  word s[8];
  load_states(s, states);
  for (size_t i = 0; i < num_blocks; i++) {
    word w[16];
    load_words(w, in, 64 * i);
    load_words(w + 8, in, 64 * i + 32);
    hash_words(s, w);
  }
  store_states(states, s);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file may not be empty

#endif
