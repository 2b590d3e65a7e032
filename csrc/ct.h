// ct.h: words for code whose time must not depend on secret bytes.
//
// A mask is all ones (true) or all zeros (false). Masks are combined with & and
// |, never with && or ||, and are not branched on before ct_declassify.
#ifndef PINVERIFY_CT_H
#define PINVERIFY_CT_H

#include <stdint.h>

#include "prove.h"

#define CT_FALSE UINT64_C(0)

// ct_barrier hides a value from the optimiser, which could otherwise see that
// it is a mask and turn the arithmetic back into a branch.
static inline uint64_t ct_barrier(uint64_t x) {
#if defined(__GNUC__)
  __asm__("" : "+r"(x));
#endif
  return x;
}

// ct_is_zero: x and -x both lack the top bit only if x is zero.
MAY_WRAP_BEGIN
static inline uint64_t ct_is_zero(uint64_t x) {
  x = ct_barrier(x);
  return ((x | (0 - x)) >> 63) - 1;
}
MAY_WRAP_END

// ct_declassify marks where a secret-dependent answer becomes public: whether
// a pin matched is told to the peer by what happens next. 1 or 0.
static inline uint32_t ct_declassify(uint64_t mask) {
  return (uint32_t)(ct_barrier(mask) & 1);
}

#endif  // PINVERIFY_CT_H
