// siphash_x86.c: the hashes of the ends of a name on AVX2 and AVX-512, four
// side by side. Lane i of each vector is end i.
#include "../kernels.h"
#include "siphash.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2")

enum { SIP_LANES = 4 };

typedef uint64_t avx2_sip_word __attribute__((vector_size(8 * SIP_LANES)));

#define SIPHASH_NAME(name) avx2_sip_##name
#include "siphash_rounds.h"

// Loads the states that four ends begin with, and transposes them: word j of
// state i goes to lane i of v[j].
PV_INLINE void avx2_sip_load(avx2_sip_word v[4], const sip_state *states,
                             const uint64_t *last_words) {
  __m256i rows[SIP_LANES];
  for (int i = 0; i < SIP_LANES; i++) {
    rows[i] = _mm256_loadu_si256(
        (const __m256i *)(const void *)states[last_words[i] >> 59].v);
  }
  const __m256i low01 = _mm256_unpacklo_epi64(rows[0], rows[1]);
  const __m256i high01 = _mm256_unpackhi_epi64(rows[0], rows[1]);
  const __m256i low23 = _mm256_unpacklo_epi64(rows[2], rows[3]);
  const __m256i high23 = _mm256_unpackhi_epi64(rows[2], rows[3]);
  v[0] = (avx2_sip_word)_mm256_permute2x128_si256(low01, low23, 0x20);
  v[1] = (avx2_sip_word)_mm256_permute2x128_si256(high01, high23, 0x20);
  v[2] = (avx2_sip_word)_mm256_permute2x128_si256(low01, low23, 0x31);
  v[3] = (avx2_sip_word)_mm256_permute2x128_si256(high01, high23, 0x31);
}

// A few ends are hashed one by one, which takes less time than loading lanes.
PV_INLINE void avx2_sip_ends(uint64_t *out_hashes, const sip_state *states,
                             const uint64_t *last_words, size_t num) {
  if (num < 2 * SIP_LANES) {
    pv__hash_ends_portable(out_hashes, states, last_words, num);
    return;
  }
  for (size_t i = 0; i < num; i += SIP_LANES)
    CHANGES(i, WHOLE(out_hashes))
  LOOP(num + SIP_LANES - i, i < num + SIP_LANES && i % SIP_LANES == 0)
  {
    avx2_sip_word v[4];
    avx2_sip_load(v, states, last_words + i);
    const avx2_sip_word words = (avx2_sip_word)_mm256_loadu_si256(
        (const __m256i *)(const void *)(last_words + i));
    _mm256_storeu_si256((__m256i *)(void *)(out_hashes + i),
                        (__m256i)avx2_sip_finish(v, words));
  }
}

void pv__hash_ends_avx2(uint64_t *out_hashes, const sip_state *states,
                        const uint64_t *last_words, size_t num) {
  avx2_sip_ends(out_hashes, states, last_words, num);
}

PV_TARGET_END

// AVX-512 has a rotation, which compilers use in place of two shifts.
PV_TARGET_BEGIN("avx2,avx512f,avx512vl")

void pv__hash_ends_avx512(uint64_t *out_hashes, const sip_state *states,
                          const uint64_t *last_words, size_t num) {
  avx2_sip_ends(out_hashes, states, last_words, num);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
