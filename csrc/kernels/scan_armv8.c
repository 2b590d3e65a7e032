// scan_armv8.c: the constant-time scan with the 16-byte registers that every
// ARMv8 processor has (Advanced SIMD): a row is two registers; a plane of a
// block (8 bytes of each of its pins) is four.
#include "../bytes.h"
#include "../kernels.h"
#include "siphash.h"

#if PV_AARCH64
#include <arm_neon.h>

static inline uint64x2_t neon_load(const uint8_t *p) {
  return vreinterpretq_u64_u8(vld1q_u8(p));
}

// Returns a mask: true if any 64-bit lane of `equal` is all ones. The lanes are
// combined by arithmetic, without branches.
static inline uint64_t neon_any_lane(uint64x2_t equal) {
  return vgetq_lane_u64(equal, 0) | vgetq_lane_u64(equal, 1);
}

static uint64_t neon_scan_rows(const uint8_t *rows, size_t num_rows,
                               const uint8_t *digest) {
  const uint64x2_t first = neon_load(digest);
  const uint64x2_t last = neon_load(digest + 16);
  uint64x2_t found = vdupq_n_u64(0);
  for (size_t i = 0; i < num_rows; i++) LOOP(num_rows - i, i <= num_rows)
  {
    // A row is equal if both lanes of both registers are: AND the registers,
    // and the result with its own lanes exchanged.
    const uint8_t *row = rows + PV_DIGEST_LEN * i;
    const uint64x2_t lanes = vandq_u64(vceqq_u64(neon_load(row), first),
                                       vceqq_u64(neon_load(row + 16), last));
    const uint64x2_t all = vandq_u64(lanes, vextq_u64(lanes, lanes, 1));
    found = vorrq_u64(found, all);
  }
  return neon_any_lane(found);
}

// Sets the lanes of found[d] where one of two pins is equal to digest d. The
// planes of the pins are 64 bytes apart.
PV_INLINE void neon_scan_two_pins(uint64x2_t *found, const uint8_t *pins,
                                  uint64x2_t wanted[][4], size_t num_digests) {
  const uint64x2_t planes[4] = {neon_load(pins), neon_load(pins + 64),
                                neon_load(pins + 128), neon_load(pins + 192)};
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++)
    CHANGES(d, BYTES(found, 16 * SCAN_DIGESTS))
  LOOP(num_digests - d, d <= num_digests)
  {
    const uint64x2_t first = vandq_u64(vceqq_u64(planes[0], wanted[d][0]),
                                       vceqq_u64(planes[1], wanted[d][1]));
    const uint64x2_t last = vandq_u64(vceqq_u64(planes[2], wanted[d][2]),
                                      vceqq_u64(planes[3], wanted[d][3]));
    found[d] = vorrq_u64(found[d], vandq_u64(first, last));
  }
}

// `num_digests` is a constant, so that each digest stays in its own registers:
// four digests take 16 of the 32.
PV_INLINE void neon_scan_group(uint64_t *out_found, const uint8_t *blocks,
                               size_t num_blocks, const uint8_t *digests,
                               size_t num_digests) {
  uint64x2_t wanted[SCAN_DIGESTS][4];
  uint64x2_t found[SCAN_DIGESTS];
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++) CHANGES(d, wanted, found)
  LOOP(num_digests - d, d <= num_digests)
  {
    PV_UNROLL
    for (size_t plane = 0; plane < 4; plane++) CHANGES(plane, wanted)
    LOOP(4 - plane, plane <= 4)
    {
      const uint8_t *part = digests + PV_DIGEST_LEN * d + 8 * plane;
      wanted[d][plane] = vdupq_n_u64(load_le64(part));
    }
    found[d] = vdupq_n_u64(0);
  }
  for (size_t i = 0; i < num_blocks; i++) CHANGES(i, found)
  LOOP(num_blocks - i, i <= num_blocks)
  {
    for (size_t part = 0; part < 4; part++) CHANGES(part, found)
    LOOP(4 - part, part <= 4)
    {
      neon_scan_two_pins(found, blocks + 256 * i + 16 * part, wanted,
                         num_digests);
    }
  }
  PV_UNROLL
  for (size_t d = 0; d < num_digests; d++)
    CHANGES(d, BYTES(out_found, 8 * num_digests))
  LOOP(num_digests - d, d <= num_digests)
  {
    out_found[d] = neon_any_lane(found[d]);
  }
}

static void neon_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                             size_t num_blocks, const uint8_t *digests,
                             size_t num_digests) {
  switch (num_digests) {
    case 1:
      neon_scan_group(out_found, blocks, num_blocks, digests, 1);
      break;
    case 2:
      neon_scan_group(out_found, blocks, num_blocks, digests, 2);
      break;
    case 3:
      neon_scan_group(out_found, blocks, num_blocks, digests, 3);
      break;
    default:
      neon_scan_group(out_found, blocks, num_blocks, digests, SCAN_DIGESTS);
      break;
  }
}

const pv_kernel pv__scan_neon = {.name = "neon",
                                 .needs = CPU_ANY,
                                 .scan_rows = neon_scan_rows,
                                 .scan_blocks = neon_scan_blocks,
                                 .hash_ends = pv__hash_ends_portable};

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
