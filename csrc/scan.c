// scan.c: the search for a digest among pins. Its time depends on the number of
// pins, but neither on their bytes nor on whether or where one matches. The
// loops that compare are in kernels/scan_*.c.
#include "scan.h"

#include <string.h>

#include "constant_time.h"
#include "kernels.h"

// Up to ROWS_MAX pins are stored as rows, because a block of eight is longer.
enum {
  ROWS_MAX = 4,
  BLOCK_PINS = 8,
  PIN_BLOCK_LEN = BLOCK_PINS * PV_DIGEST_LEN
};

static const pv_kernel *const scan_rows[] = {
#if PV_X86_64
    &pv__scan_avx512, &pv__scan_avx2,
#elif PV_AARCH64
    &pv__scan_neon,
#endif
    &pv__scan_portable};

static _Atomic(const pv_kernel *) scan_chosen;

static const kernel_table scan_kernels = {
    scan_rows, sizeof scan_rows / sizeof scan_rows[0], &scan_chosen};

size_t pv_scan_kernel(void) {
  return pv__kernel_number(&scan_kernels);
}

const char *pv_scan_kernel_name(size_t i) {
  return pv__kernel_name(&scan_kernels, i);
}

pv_status pv_scan_use_kernel(size_t i) {
  return pv__kernel_use(&scan_kernels, i);
}

void pv__hash_ends(uint64_t *out_hashes, const struct sip_state *states,
                   const uint64_t *last_words, size_t num) {
  kernel_in_use(&scan_kernels)->hash_ends(out_hashes, states, last_words, num);
}

uint32_t pv_pins_contain(const uint8_t *pins, size_t num_pins,
                         const uint8_t digest[32]) {
  return ct_declassify(
      kernel_in_use(&scan_kernels)->scan_rows(pins, num_pins, digest));
}

uint64_t pv__packed_num_rows(uint64_t num_pins) {
  if (num_pins <= ROWS_MAX) {
    return num_pins;
  }
  return (num_pins + BLOCK_PINS - 1) / BLOCK_PINS * BLOCK_PINS;
}

size_t pv_pins_packed_len(size_t num_pins) {
  const size_t most = (SIZE_MAX - PIN_BLOCK_LEN) / PV_DIGEST_LEN;
  return num_pins > most
             ? 0
             : (size_t)pv__packed_num_rows(num_pins) * PV_DIGEST_LEN;
}

// Returns where bytes 8 * plane to 8 * plane + 7 of pin i are in packed pins.
static size_t packed_at(size_t num_pins, size_t i, size_t plane) {
  if (num_pins <= ROWS_MAX) {
    return PV_DIGEST_LEN * i + 8 * plane;
  }
  return PIN_BLOCK_LEN * (i / BLOCK_PINS) + 64 * plane + 8 * (i % BLOCK_PINS);
}

void pv_pins_pack(uint8_t *out, const uint8_t *pins, size_t num_pins) {
  const size_t num_rows = (size_t)pv__packed_num_rows(num_pins);
  for (size_t i = 0; i < num_rows; i++) CHANGES(i, BYTES(out, 32 * num_rows))
  LOOP(num_rows - i, i <= num_rows)
  {
    const size_t pin = i < num_pins ? i : num_pins - 1;
    for (size_t plane = 0; plane < 4; plane++)
      CHANGES(plane, BYTES(out, 32 * num_rows))
    LOOP(4 - plane, plane <= 4)
    {
      memcpy(out + packed_at(num_pins, i, plane),
             pins + PV_DIGEST_LEN * pin + 8 * plane, 8);
    }
  }
}

void pv_pins_unpack(uint8_t out[32], const uint8_t *packed, size_t num_pins,
                    size_t i) {
  for (size_t plane = 0; plane < 4; plane++) {
    memcpy(out + 8 * plane, packed + packed_at(num_pins, i, plane), 8);
  }
}

// Looks for up to SCAN_DIGESTS digests in packed pins; the answers are masks.
static void scan_packed(uint64_t *out_found, const uint8_t *packed,
                        size_t num_pins, const uint8_t *digests,
                        size_t num_digests) {
  const pv_kernel *kernel = kernel_in_use(&scan_kernels);
  if (num_pins > ROWS_MAX) {
    const size_t num_blocks = (num_pins - 1) / BLOCK_PINS + 1;
    kernel->scan_blocks(out_found, packed, num_blocks, digests, num_digests);
    return;
  }
  for (size_t i = 0; i < num_digests; i++)
    CHANGES(i, BYTES(out_found, 8 * num_digests))
  LOOP(num_digests - i, i <= num_digests)
  {
    out_found[i] =
        kernel->scan_rows(packed, num_pins, digests + PV_DIGEST_LEN * i);
  }
}

uint32_t pv_packed_contain(const uint8_t *packed, size_t num_pins,
                           const uint8_t digest[32]) {
  if (num_pins <= ROWS_MAX) {
    return pv_pins_contain(packed, num_pins, digest);
  }
  uint64_t found = CT_FALSE;
  scan_packed(&found, packed, num_pins, digest, 1);
  return ct_declassify(found);
}

void pv_packed_contain_many(uint8_t *out_found, const uint8_t *packed,
                            size_t num_pins, const uint8_t *digests,
                            size_t num_digests) {
  for (size_t done = 0; done < num_digests; done += SCAN_DIGESTS)
    CHANGES(done, BYTES(out_found, num_digests))
  LOOP(num_digests + SCAN_DIGESTS - done,
       done <= num_digests + SCAN_DIGESTS - 1)
  {
    const size_t left = num_digests - done;
    const size_t num = left < SCAN_DIGESTS ? left : SCAN_DIGESTS;
    uint64_t found[SCAN_DIGESTS] = {CT_FALSE};
    scan_packed(found, packed, num_pins, digests + PV_DIGEST_LEN * done, num);
    for (size_t i = 0; i < num; i++) CHANGES(i, BYTES(out_found, num_digests))
    LOOP(num - i, i <= num)
    {
      out_found[done + i] = (uint8_t)ct_declassify(found[i]);
    }
  }
}
