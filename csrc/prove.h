// prove.h: what a proof knows of a loop. LOOP says what gets smaller each time
// round, and what holds whenever the loop's condition is evaluated; CHANGES,
// what the loop changes; GHOST declares a variable of the proof alone. A
// compiler sees nothing of this. Contracts of functions are not in this folder.
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
