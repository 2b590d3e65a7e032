// immintrin.h: stands in for the compiler's own while a prover reads a kernel.
// Every intrinsic that the kernels use is its model; another one would be an
// unknown function, and the proof would not start.
#ifndef PINVERIFY_PROVE_IMMINTRIN_H
#define PINVERIFY_PROVE_IMMINTRIN_H

#include "model_x86.h"

typedef m128 __m128i;
typedef m256 __m256i;
typedef m512 __m512i;
typedef uint64_t __mmask64;

// What the cast puts above its argument is not said: anything.
m512 nondet_m512(void);

static inline m512 prove_mm512_castsi256_si512(m256 a) {
  m512 r = nondet_m512();
  for (int i = 0; i < 8; i++) {
    r[i] = a[i];
  }
  return r;
}

#define _mm512_castsi256_si512 prove_mm512_castsi256_si512

// It clears the upper parts of registers, which no variable is in then.
#define _mm256_zeroupper() ((void)0)

#define _mm_add_epi32 model_mm_add_epi32
#define _mm_alignr_epi8 model_mm_alignr_epi8
#define _mm_blend_epi16 model_mm_blend_epi16
#define _mm_cvtsi128_si64 model_mm_cvtsi128_si64
#define _mm_loadu_si128 model_mm_loadu_si128
#define _mm_movemask_epi8 model_mm_movemask_epi8
#define _mm_or_si128 model_mm_or_si128
#define _mm_set_epi32 model_mm_set_epi32
#define _mm_set_epi64x model_mm_set_epi64x
#define _mm_sha256msg1_epu32 model_mm_sha256msg1_epu32
#define _mm_sha256msg2_epu32 model_mm_sha256msg2_epu32
#define _mm_sha256rnds2_epu32 model_mm_sha256rnds2_epu32
#define _mm_shuffle_epi32 model_mm_shuffle_epi32
#define _mm_shuffle_epi8 model_mm_shuffle_epi8
#define _mm_storeu_si128 model_mm_storeu_si128
#define _mm_unpackhi_epi64 model_mm_unpackhi_epi64

#define _mm256_and_si256 model_mm256_and_si256
#define _mm256_broadcastsi128_si256 model_mm256_broadcastsi128_si256
#define _mm256_castsi256_si128 model_mm256_castsi256_si128
#define _mm256_cmpeq_epi64 model_mm256_cmpeq_epi64
#define _mm256_cmpneq_epi64_mask model_mm256_cmpneq_epi64_mask
#define _mm256_extracti128_si256 model_mm256_extracti128_si256
#define _mm256_loadu_si256 model_mm256_loadu_si256
#define _mm256_or_si256 model_mm256_or_si256
#define _mm256_permute2x128_si256 model_mm256_permute2x128_si256
#define _mm256_permute4x64_epi64 model_mm256_permute4x64_epi64
#define _mm256_set1_epi64x model_mm256_set1_epi64x
#define _mm256_set_epi64x model_mm256_set_epi64x
#define _mm256_set_m128i model_mm256_set_m128i
#define _mm256_setzero_si256 model_mm256_setzero_si256
#define _mm256_shuffle_epi32 model_mm256_shuffle_epi32
#define _mm256_shuffle_epi8 model_mm256_shuffle_epi8
#define _mm256_storeu_si256 model_mm256_storeu_si256
#define _mm256_unpackhi_epi32 model_mm256_unpackhi_epi32
#define _mm256_unpackhi_epi64 model_mm256_unpackhi_epi64
#define _mm256_unpacklo_epi32 model_mm256_unpacklo_epi32
#define _mm256_unpacklo_epi64 model_mm256_unpacklo_epi64

#define _mm512_castsi512_si128 model_mm512_castsi512_si128
#define _mm512_castsi512_si256 model_mm512_castsi512_si256
#define _mm512_cmpeq_epi64_mask model_mm512_cmpeq_epi64_mask
#define _mm512_extracti32x4_epi32 model_mm512_extracti32x4_epi32
#define _mm512_extracti64x4_epi64 model_mm512_extracti64x4_epi64
#define _mm512_inserti64x4 model_mm512_inserti64x4
#define _mm512_loadu_si512 model_mm512_loadu_si512
#define _mm512_mask_blend_epi8 model_mm512_mask_blend_epi8
#define _mm512_mask_set1_epi64 model_mm512_mask_set1_epi64
#define _mm512_maskz_loadu_epi8 model_mm512_maskz_loadu_epi8
#define _mm512_min_epu64 model_mm512_min_epu64
#define _mm512_permutex2var_epi64 model_mm512_permutex2var_epi64
#define _mm512_set1_epi64 model_mm512_set1_epi64
#define _mm512_set1_epi8 model_mm512_set1_epi8
#define _mm512_set4_epi32 model_mm512_set4_epi32
#define _mm512_set_epi64 model_mm512_set_epi64
#define _mm512_setzero_si512 model_mm512_setzero_si512
#define _mm512_shuffle_epi8 model_mm512_shuffle_epi8
#define _mm512_shuffle_i32x4 model_mm512_shuffle_i32x4
#define _mm512_storeu_si512 model_mm512_storeu_si512
#define _mm512_ternarylogic_epi64 model_mm512_ternarylogic_epi64
#define _mm512_unpackhi_epi32 model_mm512_unpackhi_epi32
#define _mm512_unpackhi_epi64 model_mm512_unpackhi_epi64
#define _mm512_unpacklo_epi32 model_mm512_unpacklo_epi32
#define _mm512_unpacklo_epi64 model_mm512_unpacklo_epi64
#define _mm512_xor_si512 model_mm512_xor_si512

#endif  // PINVERIFY_PROVE_IMMINTRIN_H
