// der_mutator.h: damages certificates where their structure is.
//
// Bytes flipped at random mostly break an outer length, and every parser stops
// there. This mutator reads the tree of elements, changes one of them, and
// makes the lengths around it fit again, so that parsers get to the damage and
// may disagree about it. What it does depends on its arguments alone.
#ifndef PINVERIFY_DER_MUTATOR_H
#define PINVERIFY_DER_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

// random_below gives a number below `limit` (0 for 0) and moves `*state` on.
uint64_t random_below(uint64_t *state, uint64_t limit);

// der_mutate damages data[0 .. len) once, in place, within `room` bytes, and
// returns the new length. `donor` is another certificate, whose elements may be
// put in; it may be empty.
size_t der_mutate(uint8_t *data, size_t len, size_t room, const uint8_t *donor,
                  size_t donor_len, uint64_t *random_state);

#endif  // PINVERIFY_DER_MUTATOR_H
