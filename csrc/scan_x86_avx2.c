// scan_x86_avx2.c: the constant-time scan with 32-byte registers: a row is one
// register, a plane of a block is two.
#include "internal.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2")

static inline __m256i load(const uint8_t *p) {
  return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

// A mask: whether any 64-bit lane of `equal` is all ones. Lanes are gathered by
// arithmetic; nothing branches on them.
static inline uint64_t any_lane(__m256i equal) {
  const __m128i half = _mm_or_si128(_mm256_castsi256_si128(equal),
                                    _mm256_extracti128_si256(equal, 1));
  const __m128i lane = _mm_or_si128(half, _mm_unpackhi_epi64(half, half));
  return (uint64_t)_mm_cvtsi128_si64(lane);
}

static uint64_t scan_rows(const uint8_t *rows, size_t num_rows,
                          const uint8_t *digest) {
  const __m256i wanted = load(digest);
  __m256i found = _mm256_setzero_si256();
  for (size_t i = 0; i < num_rows; i++) {
    // A row is equal if all four lanes are: AND them by swapping halves twice.
    const __m256i lanes =
        _mm256_cmpeq_epi64(load(rows + PV_DIGEST_LEN * i), wanted);
    const __m256i pairs =
        _mm256_and_si256(lanes, _mm256_shuffle_epi32(lanes, 0x4e));
    const __m256i all =
        _mm256_and_si256(pairs, _mm256_permute4x64_epi64(pairs, 0x4e));
    found = _mm256_or_si256(found, all);
  }
  return any_lane(found);
}

static uint64_t scan_blocks(const uint8_t *blocks, size_t num_blocks,
                            const uint8_t *digest) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i wanted[4];
  __m256i found = zero;
  for (int plane = 0; plane < 4; plane++) {
    wanted[plane] =
        _mm256_set1_epi64x((long long)load_le64(digest + 8 * plane));
  }
  for (size_t i = 0; i < num_blocks; i++) {
    const uint8_t *block = blocks + 256 * i;
    __m256i low = zero;   // how pins 0 to 3 differ
    __m256i high = zero;  // how pins 4 to 7 differ
    for (int plane = 0; plane < 4; plane++) {
      const __m256i pins_low = load(block + 64 * plane);
      const __m256i pins_high = load(block + 64 * plane + 32);
      low = _mm256_or_si256(low, _mm256_xor_si256(pins_low, wanted[plane]));
      high = _mm256_or_si256(high, _mm256_xor_si256(pins_high, wanted[plane]));
    }
    found = _mm256_or_si256(found, _mm256_cmpeq_epi64(low, zero));
    found = _mm256_or_si256(found, _mm256_cmpeq_epi64(high, zero));
  }
  return any_lane(found);
}

PV_TARGET_END

const pv_kernel pv_scan_avx2 = {.name = "avx2",
                                .needs = CPU_AVX2,
                                .scan_rows = scan_rows,
                                .scan_blocks = scan_blocks};

#else

typedef int not_on_this_cpu;  // a C file may not be empty

#endif
