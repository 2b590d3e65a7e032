// scan_x86_avx512.c: the constant-time scan with 64-byte registers: a plane of
// a block (8 bytes of each of its pins) is one register, and one instruction
// accumulates its differences.
#include "../bytes.h"
#include "../constant_time.h"
#include "../kernels.h"
#include "siphash.h"

#if PV_X86_64
#include <immintrin.h>

PV_TARGET_BEGIN("avx2,avx512f,avx512vl")

PV_INLINE __m512i avx512_load(const uint8_t *p) {
  return _mm512_loadu_si512((const void *)p);
}

static uint64_t avx512_scan_rows(const uint8_t *rows, size_t num_rows,
                                 const uint8_t *digest) {
  const __m256i wanted = _mm256_loadu_si256((const void *)digest);
  uint64_t found = CT_FALSE;
  for (size_t i = 0; i < num_rows; i++) LOOP(num_rows - i, i <= num_rows)
  {
    const __m256i row =
        _mm256_loadu_si256((const void *)(rows + PV_DIGEST_LEN * i));
    const uint64_t differ = _mm256_cmpneq_epi64_mask(row, wanted);
    found |= ct_is_zero(differ);
  }
  return found;
}

// difference | (pins ^ wanted): 0xf6 is its truth table.
PV_INLINE __m512i add_difference(__m512i difference, __m512i pins,
                                 __m512i wanted) {
  return _mm512_ternarylogic_epi64(difference, pins, wanted, 0xf6);
}

// `num_digests` is a constant, so that each digest stays in its own registers.
// A pin that matches leaves a zero in its lane of `least`.
PV_INLINE void avx512_scan_group(uint64_t *out_found, const uint8_t *blocks,
                                 size_t num_blocks, const uint8_t *digests,
                                 size_t num_digests) {
  __m512i wanted[SCAN_DIGESTS][4];
  __m512i least[SCAN_DIGESTS];
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++) CHANGES(d, wanted, least)
  LOOP(num_digests - d, d <= num_digests)
  {
    PV_UNROLL
    for (size_t plane = 0; plane < 4; plane++) CHANGES(plane, wanted)
    LOOP(4 - plane, plane <= 4)
    {
      const uint8_t *part = digests + PV_DIGEST_LEN * d + 8 * plane;
      wanted[d][plane] = _mm512_set1_epi64((long long)load_le64(part));
    }
    least[d] = _mm512_set1_epi64(-1);
  }
  for (size_t i = 0; i < num_blocks; i++) CHANGES(i, least)
  LOOP(num_blocks - i, i <= num_blocks)
  {
    const uint8_t *block = blocks + 256 * i;
    PV_UNROLL
    for (size_t d = 0; d < num_digests; d++) CHANGES(d, least)
    LOOP(num_digests - d, d <= num_digests)
    {
      __m512i difference = _mm512_xor_si512(avx512_load(block), wanted[d][0]);
      difference =
          add_difference(difference, avx512_load(block + 64), wanted[d][1]);
      difference =
          add_difference(difference, avx512_load(block + 128), wanted[d][2]);
      difference =
          add_difference(difference, avx512_load(block + 192), wanted[d][3]);
      least[d] = _mm512_min_epu64(least[d], difference);
    }
  }
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++)
    CHANGES(d, BYTES(out_found, 8 * num_digests))
  LOOP(num_digests - d, d <= num_digests)
  {
    const uint64_t zeros =
        _mm512_cmpeq_epi64_mask(least[d], _mm512_setzero_si512());
    out_found[d] = ~ct_is_zero(zeros);
  }
}

static void avx512_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                               size_t num_blocks, const uint8_t *digests,
                               size_t num_digests) {
  switch (num_digests) {
    case 1:
      avx512_scan_group(out_found, blocks, num_blocks, digests, 1);
      break;
    case 2:
      avx512_scan_group(out_found, blocks, num_blocks, digests, 2);
      break;
    case 3:
      avx512_scan_group(out_found, blocks, num_blocks, digests, 3);
      break;
    default:
      avx512_scan_group(out_found, blocks, num_blocks, digests, SCAN_DIGESTS);
      break;
  }
}

PV_TARGET_END

const pv_kernel pv__scan_avx512 = {.name = "avx512",
                                   .needs = CPU_AVX512,
                                   .scan_rows = avx512_scan_rows,
                                   .scan_blocks = avx512_scan_blocks,
                                   .hash_ends = pv__hash_ends_avx512};

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
