// Harnesses for what scan.c says of packed pins.
#include "harness.h"
#include "scan.c"
#include "scan.contracts.h"
#include "siphash.contracts.h"

// What every kernel promises, and one that does it.
static uint64_t any_scan_rows(const uint8_t *rows_, size_t num_rows,
                              const uint8_t *digest)         //
    REQUIRES(IS_ROWS(rows_, num_rows) && FRESH(digest, 32))  //
    ENSURES(true)                                            //
    ASSIGNS() {
  return 0;
}

static void any_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                            size_t num_blocks, const uint8_t *digests,
                            size_t num_digests)                             //
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))  //
    ASSIGNS(BYTES(out_found, 8 * num_digests)) {
  out_found[0] = 0;
}

static void any_hash_ends(uint64_t *out_hashes, const sip_state *states,
                          const uint64_t *last_words, size_t num)  //
    REQUIRES(IS_ENDS(out_hashes, states, last_words, num))         //
    ASSIGNS(BYTES(out_hashes, 32 * ENDS_ROWS(num))) {
  out_hashes[0] = 0;
}

static const pv_kernel any_kernel = {.scan_rows = any_scan_rows,
                                     .scan_blocks = any_scan_blocks,
                                     .hash_ends = any_hash_ends};

static inline const pv_kernel *kernel_in_use(const kernel_table *table)  //
    ENSURES(SAME(RESULT, &any_kernel)) ASSIGNS();

void prove_pv__packed_num_rows(void) {
  uint64_t num_pins;
  const uint64_t num_rows = pv__packed_num_rows(num_pins);
  REACHED(num_rows == 3);
  REACHED(num_rows == 8);
}

void prove_pv_pins_unpack(void) {
  uint8_t *out;
  const uint8_t *packed;
  size_t num_pins;
  size_t i;
  pv_pins_unpack(out, packed, num_pins, i);
  REACHED(num_pins == 3 && i == 2);
  REACHED(num_pins == 99 && i == 99);
}

void prove_pv_pins_packed_len(void) {
  size_t num_pins;
  const size_t len = pv_pins_packed_len(num_pins);
  REACHED(len == 32 * 3);
  REACHED(len == 0 && num_pins > 0);
}

void prove_packed_at(void) {
  size_t num_pins;
  size_t i;
  size_t plane;
  const size_t at = packed_at(num_pins, i, plane);
  REACHED(num_pins == 3 && at == 64);
  REACHED(num_pins == 99 && at == 264);
}

void prove_pv_pins_pack(void) {
  uint8_t *out;
  const uint8_t *pins;
  size_t num_pins;
  pv_pins_pack(out, pins, num_pins);
  REACHED(num_pins == 3);
  REACHED(num_pins == 99);
}

void prove_pv_pins_contain(void) {
  const uint8_t *pins;
  size_t num_pins;
  const uint8_t *digest;
  const uint32_t found = pv_pins_contain(pins, num_pins, digest);
  REACHED(num_pins == 99 && found == 1);
  REACHED(num_pins == 99 && found == 0);
}

void prove_pv__hash_ends(void) {
  uint64_t *out_hashes;
  const sip_state *states;
  const uint64_t *last_words;
  size_t num;
  pv__hash_ends(out_hashes, states, last_words, num);
  REACHED(num == 254);
}

void prove_scan_packed(void) {
  uint64_t *out_found;
  const uint8_t *packed;
  size_t num_pins;
  const uint8_t *digests;
  size_t num_digests;
  scan_packed(out_found, packed, num_pins, digests, num_digests);
  REACHED(num_pins == 3 && num_digests == 4);
  REACHED(num_pins == 99 && num_digests == 4);
}

void prove_pv_packed_contain(void) {
  const uint8_t *packed;
  size_t num_pins;
  const uint8_t *digest;
  const uint32_t found = pv_packed_contain(packed, num_pins, digest);
  REACHED(num_pins == 99 && found == 1);
  REACHED(num_pins == 3 && found == 0);
}

void prove_pv_packed_contain_many(void) {
  uint8_t *out_found;
  const uint8_t *packed;
  size_t num_pins;
  const uint8_t *digests;
  size_t num_digests;
  pv_packed_contain_many(out_found, packed, num_pins, digests, num_digests);
  REACHED(num_pins == 99 && num_digests == 9);
  REACHED(num_pins == 3 && num_digests == 9);
}
