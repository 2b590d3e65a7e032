// scan_x86_avx2.c: the constant-time scan with 32-byte registers: a row is one
// register; a plane of a block (8 bytes of each of its pins) is two.
#include "../bytes.h"
#include "../kernels.h"
#include "siphash.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2")

static inline __m256i avx2_load(const uint8_t *p) {
  return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

// Returns a mask: true if any 64-bit lane of `equal` is all ones. The lanes are
// combined by arithmetic, without branches.
static inline uint64_t avx2_any_lane(__m256i equal) {
  const __m128i half = _mm_or_si128(_mm256_castsi256_si128(equal),
                                    _mm256_extracti128_si256(equal, 1));
  const __m128i lane = _mm_or_si128(half, _mm_unpackhi_epi64(half, half));
  return (uint64_t)_mm_cvtsi128_si64(lane);
}

static uint64_t avx2_scan_rows(const uint8_t *rows, size_t num_rows,
                               const uint8_t *digest) {
  const __m256i wanted = avx2_load(digest);
  __m256i found = _mm256_setzero_si256();
  for (size_t i = 0; i < num_rows; i++) LOOP(num_rows - i, i <= num_rows)
  {
    // A row is equal if all four lanes are: AND them by swapping halves twice.
    const __m256i lanes =
        _mm256_cmpeq_epi64(avx2_load(rows + PV_DIGEST_LEN * i), wanted);
    const __m256i pairs =
        _mm256_and_si256(lanes, _mm256_shuffle_epi32(lanes, 0x4e));
    const __m256i all =
        _mm256_and_si256(pairs, _mm256_permute4x64_epi64(pairs, 0x4e));
    found = _mm256_or_si256(found, all);
  }
  return avx2_any_lane(found);
}

// `num_digests` is a constant, so that each digest stays in its own registers.
PV_INLINE void avx2_scan_group(uint64_t *out_found, const uint8_t *blocks,
                               size_t num_blocks, const uint8_t *digests,
                               size_t num_digests) {
  __m256i wanted[SCAN_DIGESTS][4];
  __m256i found[SCAN_DIGESTS];
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++) CHANGES(d, wanted, found)
  LOOP(num_digests - d, d <= num_digests)
  {
    PV_UNROLL
    for (size_t plane = 0; plane < 4; plane++) CHANGES(plane, wanted)
    LOOP(4 - plane, plane <= 4)
    {
      const uint8_t *part = digests + PV_DIGEST_LEN * d + 8 * plane;
      wanted[d][plane] = _mm256_set1_epi64x((long long)load_le64(part));
    }
    found[d] = _mm256_setzero_si256();
  }
  for (size_t i = 0; i < 2 * num_blocks; i++) CHANGES(i, found)
  LOOP(2 * num_blocks - i, i <= 2 * num_blocks)
  {
    const uint8_t *half = blocks + 256 * (i / 2) + 32 * (i % 2);
    const __m256i planes[4] = {avx2_load(half), avx2_load(half + 64),
                               avx2_load(half + 128), avx2_load(half + 192)};
    PV_UNROLL
    for (size_t d = 0; d < num_digests; d++) CHANGES(d, found)
    LOOP(num_digests - d, d <= num_digests)
    {
      const __m256i first =
          _mm256_and_si256(_mm256_cmpeq_epi64(planes[0], wanted[d][0]),
                           _mm256_cmpeq_epi64(planes[1], wanted[d][1]));
      const __m256i last =
          _mm256_and_si256(_mm256_cmpeq_epi64(planes[2], wanted[d][2]),
                           _mm256_cmpeq_epi64(planes[3], wanted[d][3]));
      found[d] = _mm256_or_si256(found[d], _mm256_and_si256(first, last));
    }
  }
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++)
    CHANGES(d, BYTES(out_found, 8 * num_digests))
  LOOP(num_digests - d, d <= num_digests)
  {
    out_found[d] = avx2_any_lane(found[d]);
  }
}

static void avx2_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                             size_t num_blocks, const uint8_t *digests,
                             size_t num_digests) {
  switch (num_digests) {
    case 1:
      avx2_scan_group(out_found, blocks, num_blocks, digests, 1);
      break;
    case 2:
      avx2_scan_group(out_found, blocks, num_blocks, digests, 2);
      break;
    case 3:
      avx2_scan_group(out_found, blocks, num_blocks, digests, 3);
      break;
    default:
      avx2_scan_group(out_found, blocks, num_blocks, digests, SCAN_DIGESTS);
      break;
  }
}

PV_TARGET_END

const pv_kernel pv__scan_avx2 = {.name = "avx2",
                                 .needs = CPU_AVX2,
                                 .scan_rows = avx2_scan_rows,
                                 .scan_blocks = avx2_scan_blocks,
                                 .hash_ends = pv__hash_ends_avx2};

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
