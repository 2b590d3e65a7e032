// scan_portable.c: the constant-time scan in plain C.
#include "../bytes.h"
#include "../constant_time.h"
#include "../kernels.h"
#include "siphash.h"

// Returns a number that is zero only if `row` and `digest` are equal.
static uint64_t row_difference(const uint8_t *row, const uint8_t *digest) {
  uint64_t difference = 0;
  for (int i = 0; i < PV_DIGEST_LEN; i += 8) {
    difference |= load_le64(row + i) ^ load_le64(digest + i);
  }
  return difference;
}

static uint64_t portable_scan_rows(const uint8_t *rows, size_t num_rows,
                                   const uint8_t *digest) {
  uint64_t found = CT_FALSE;
  for (size_t i = 0; i < num_rows; i++) LOOP(num_rows - i, i <= num_rows)
  {
    found |= ct_is_zero(row_difference(rows + PV_DIGEST_LEN * i, digest));
  }
  return found;
}

// One block: four planes of 64 bytes, plane p with bytes 8p to 8p + 7 of each
// of eight pins.
static uint64_t scan_block(const uint8_t *block, const uint8_t *digest) {
  uint64_t found = CT_FALSE;
  for (int pin = 0; pin < 8; pin++) {
    uint64_t difference = 0;
    for (int plane = 0; plane < 4; plane++) {
      difference |= load_le64(block + 64 * plane + 8 * pin) ^
                    load_le64(digest + 8 * plane);
    }
    found |= ct_is_zero(difference);
  }
  return found;
}

static void portable_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                                 size_t num_blocks, const uint8_t *digests,
                                 size_t num_digests) {
  for (size_t d = 0; d < num_digests; d++)
    CHANGES(d, BYTES(out_found, 8 * num_digests))
  LOOP(num_digests - d, d <= num_digests)
  {
    out_found[d] = CT_FALSE;
  }
  for (size_t i = 0; i < num_blocks; i++)
    CHANGES(i, BYTES(out_found, 8 * num_digests))
  LOOP(num_blocks - i, i <= num_blocks)
  {
    for (size_t d = 0; d < num_digests; d++)
      CHANGES(d, BYTES(out_found, 8 * num_digests))
    LOOP(num_digests - d, d <= num_digests)
    {
      out_found[d] |= scan_block(blocks + 256 * i, digests + PV_DIGEST_LEN * d);
    }
  }
}

const pv_kernel pv__scan_portable = {.name = "portable",
                                     .needs = CPU_ANY,
                                     .scan_rows = portable_scan_rows,
                                     .scan_blocks = portable_scan_blocks,
                                     .hash_ends = pv__hash_ends_portable};
