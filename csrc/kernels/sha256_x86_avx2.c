// sha256_x86_avx2.c: SHA-256 of eight messages side by side on AVX2, for
// processors without SHA instructions. Lane i of each vector is message i.
#include "../kernels.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2")

enum { AVX2_LANES = 8 };

typedef uint32_t avx2_word __attribute__((vector_size(4 * AVX2_LANES)));

#define SHA256_NAME(name) avx2_##name
#include "sha256_rounds.h"

PV_INLINE __m256i avx2_load_row(const void *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}

// Transposes: word j of row i goes to word i of row j. First within each half
// of a vector, pairs and then fours; then the halves.
PV_INLINE void avx2_transpose(__m256i r[AVX2_LANES]) {
  __m256i two[AVX2_LANES], four[AVX2_LANES];
  for (int i = 0; i < AVX2_LANES; i += 2) {
    two[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    two[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < AVX2_LANES; i += 4) {
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

// Loads eight words of each lane, from byte `at`, converted from big-endian.
PV_INLINE void avx2_load_words(avx2_word w[AVX2_LANES],
                               const uint8_t *const *in, size_t at) {
  const __m256i swap =
      _mm256_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL,
                        0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m256i rows[AVX2_LANES];
  for (int l = 0; l < AVX2_LANES; l++) {
    rows[l] = _mm256_shuffle_epi8(avx2_load_row(in[l] + at), swap);
  }
  avx2_transpose(rows);
  for (int t = 0; t < AVX2_LANES; t++) {
    w[t] = (avx2_word)rows[t];
  }
}

PV_INLINE void avx2_load_states(avx2_word s[8], uint32_t (*states)[8]) {
  __m256i rows[AVX2_LANES];
  for (int l = 0; l < AVX2_LANES; l++) {
    rows[l] = avx2_load_row(states[l]);
  }
  avx2_transpose(rows);
  for (int i = 0; i < 8; i++) {
    s[i] = (avx2_word)rows[i];
  }
}

PV_INLINE void avx2_store_states(uint32_t (*states)[8], const avx2_word s[8]) {
  __m256i rows[AVX2_LANES];
  for (int i = 0; i < 8; i++) {
    rows[i] = (__m256i)s[i];
  }
  avx2_transpose(rows);
  for (int l = 0; l < AVX2_LANES; l++) {
    _mm256_storeu_si256((__m256i *)(void *)states[l], rows[l]);
  }
}

void pv__sha256_avx2_x8(uint32_t (*states)[8], const uint8_t *const *in,
                        size_t num_blocks) {
  avx2_word s[8];
  avx2_load_states(s, states);
  for (size_t i = 0; i < num_blocks; i++) {
    avx2_word w[16];
    avx2_load_words(w, in, 64 * i);
    avx2_load_words(w + 8, in, 64 * i + 32);
    avx2_hash_words(s, w);
  }
  avx2_store_states(states, s);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
