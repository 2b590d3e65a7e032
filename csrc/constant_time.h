// constant_time.h: functions whose time does not depend on secret bytes.
//
// A mask is all ones (true) or all zeros (false). Masks are combined with & and
// |, never with && or ||, and never branched on before ct_declassify. The
// search among pins that uses them is in scan.c and kernels/scan_*.c.
#ifndef PINVERIFY_CONSTANT_TIME_H
#define PINVERIFY_CONSTANT_TIME_H

#include <stdint.h>

#include "prove.h"

#define CT_FALSE UINT64_C(0)

// ct_barrier hides a value from the optimiser, which could otherwise notice
// that it is a mask and turn the arithmetic back into a branch.
static inline uint64_t ct_barrier(uint64_t x) {
#if defined(__GNUC__)
  __asm__("" : "+r"(x));
#endif
  return x;
}

// ct_is_zero returns a mask, true for zero: only then do x and -x both lack the
// top bit.
MAY_WRAP_BEGIN
static inline uint64_t ct_is_zero(uint64_t x) {
  x = ct_barrier(x);
  return ((x | (0 - x)) >> 63) - 1;
}
MAY_WRAP_END

// ct_declassify turns a mask into 1 or 0, and marks where an answer about
// secrets becomes public. Peers learn the answer anyway: the connection goes on
// or not.
static inline uint32_t ct_declassify(uint64_t mask) {
  return (uint32_t)(ct_barrier(mask) & 1);
}

#endif  // PINVERIFY_CONSTANT_TIME_H
