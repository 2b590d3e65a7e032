// Harnesses for internal.h.
#include "harness.h"

void prove_load_le64(void) {
  const uint8_t *p;
  REACHED(load_le64(p) == 9);
}
