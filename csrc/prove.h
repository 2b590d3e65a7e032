// prove.h: annotations of loops for the proofs; a compiler ignores them.
// LOOP(d, i): `d` decreases in every iteration, and the invariant `i` holds
// whenever the loop's condition is evaluated. CHANGES lists what the loop
// changes. GHOST declares a variable for the proof only. The contracts of
// functions are not in this folder.
#ifndef PINVERIFY_PROVE_H
#define PINVERIFY_PROVE_H

#if defined(PV_PROVE)
#include "contracts.h"
#else
#define LOOP(decreases, ...)
#define CHANGES(...)
#define GHOST(...)
#define MAY_WRAP_BEGIN  // between these two, unsigned arithmetic may wrap
#define MAY_WRAP_END
#endif

#endif  // PINVERIFY_PROVE_H
