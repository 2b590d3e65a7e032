// prove_scan_kernels.h: harnesses for the kernels of the scan. They compare a
// kernel with a specification without masks: is any pin equal to the digest,
// byte for byte? Include the kernel's source first, and define KERNEL(name),
// the name that the kernel gives to `name`.
//
// Pins and digests are separate objects with unknown contents and no byte to
// spare.
#ifndef PINVERIFY_PROVE_SCAN_KERNELS_H
#define PINVERIFY_PROVE_SCAN_KERNELS_H

#include <stdlib.h>

#include "harness.h"

// The kernel's own names, and a harness for one of them.
#define load KERNEL(load)
#define scan_group KERNEL(scan_group)
#define scan_rows KERNEL(scan_rows)
#define scan_blocks KERNEL(scan_blocks)
#define PROVE_(name) prove_##name
#define PROVE(name) PROVE_(name)

#if defined(ANY_NUMBER)

// Calls what scans any number of blocks for any digests.
#define ANY_BLOCKS(scan)                                       \
  do {                                                         \
    uint64_t *out_found;                                       \
    const uint8_t *blocks;                                     \
    size_t num_blocks;                                         \
    const uint8_t *digests;                                    \
    size_t num_digests;                                        \
    scan(out_found, blocks, num_blocks, digests, num_digests); \
    REACHED(num_blocks == 99 && num_digests == 1);             \
    REACHED(num_blocks == 99 && num_digests == 4);             \
  } while (0)

#if defined(HAS_GROUPS)
void PROVE(load)(void) {
  const uint8_t *p;
  load(p);
  REACHED(true);
}

void PROVE(scan_group)(void) {
  ANY_BLOCKS(scan_group);
}
#else
void prove_row_difference(void) {
  const uint8_t *row;
  const uint8_t *digest;
  REACHED(row_difference(row, digest) == 0);
}

void prove_scan_block(void) {
  const uint8_t *block;
  const uint8_t *digest;
  REACHED(scan_block(block, digest) == 0);
}
#endif

void PROVE(scan_rows)(void) {
  const uint8_t *rows;
  size_t num_rows;
  const uint8_t *digest;
  const uint64_t found = scan_rows(rows, num_rows, digest);
  REACHED(num_rows == 99 && found != 0);
  REACHED(num_rows == 99 && found == 0);
}

void PROVE(scan_blocks)(void) {
  ANY_BLOCKS(scan_blocks);
}

#else

enum { ROWS = 8, BLOCKS = 1 };  // that is eight pins

// Byte i of a pin stands in a row of its own.
static bool is_row(const uint8_t *row, const uint8_t *digest) {
  bool same = true;
  for (size_t i = 0; i < 32; i++) {
    same = same && row[i] == digest[i];
  }
  return same;
}

// In a block, byte i of pin number `pin` stands in plane i / 8.
static bool is_in_block(const uint8_t *block, size_t pin,
                        const uint8_t *digest) {
  bool same = true;
  for (size_t i = 0; i < 32; i++) {
    same = same && block[64 * (i / 8) + 8 * pin + i % 8] == digest[i];
  }
  return same;
}

static void mask_as_specified(uint64_t found, bool exists) {
  __CPROVER_assert(found == (exists ? UINT64_MAX : 0), "whether one is there");
}

void PROVE(scan_rows)(void) {
  for (size_t num_rows = 0; num_rows <= ROWS; num_rows++) {
    const uint8_t *rows = malloc(32 * num_rows);
    const uint8_t *digest = malloc(32);
    bool exists = false;
    for (size_t i = 0; i < num_rows; i++) {
      exists = exists || is_row(rows + 32 * i, digest);
    }
    const uint64_t found = scan_rows(rows, num_rows, digest);
    mask_as_specified(found, exists);
    REACHED(num_rows == ROWS && found != 0);
    REACHED(num_rows == ROWS && found == 0);
  }
}

static void follow_scan_blocks(size_t num_blocks, size_t num_digests) {
  const uint8_t *blocks = malloc(256 * num_blocks);
  const uint8_t *digests = malloc(32 * num_digests);
  uint64_t *found = malloc(sizeof(uint64_t) * num_digests);
  scan_blocks(found, blocks, num_blocks, digests, num_digests);
  for (size_t d = 0; d < num_digests; d++) {
    bool exists = false;
    for (size_t pin = 0; pin < 8 * num_blocks; pin++) {
      exists = exists ||
               is_in_block(blocks + 256 * (pin / 8), pin % 8, digests + 32 * d);
    }
    mask_as_specified(found[d], exists);
  }
  REACHED(num_digests == SCAN_DIGESTS && found[0] != 0 && found[3] == 0);
  REACHED(num_blocks == 0 && found[0] == 0);
}

void PROVE(scan_blocks)(void) {
  follow_scan_blocks(0, 1);
  for (size_t num_digests = 1; num_digests <= SCAN_DIGESTS; num_digests++) {
    follow_scan_blocks(BLOCKS, num_digests);
  }
}

#endif  // ANY_NUMBER

#endif  // PINVERIFY_PROVE_SCAN_KERNELS_H
