// harness.h: the shared part of the harnesses. A harness calls one function with
// arguments of which nothing is known but what its contract requires.
#ifndef PINVERIFY_HARNESS_H
#define PINVERIFY_HARNESS_H

#include "columns.contracts.h"
#include "shared.contracts.h"
#include "der.contracts.h"

// REACHED(x) marks an outcome that some input must lead to. It is an assertion
// of the contrary, which has to fail: a proof that holds because its contract
// allows no input would be worth nothing. run.py tells it by its words.
#if defined(PLANTED)
#define REACHED(x) ((void)(x))
#else
#define REACHED(x) __CPROVER_assert(!(x), "reached: " #x)
#endif

#endif  // PINVERIFY_HARNESS_H
