// Harnesses for what scan.c says of packed pins.
#include "harness.h"
#include "scan.c"

void prove_packed_num_rows(void) {
  uint64_t num_pins;
  const uint64_t num_rows = packed_num_rows(num_pins);
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
