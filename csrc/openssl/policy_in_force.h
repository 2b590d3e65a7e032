// policy_in_force.h: the policy in force for a context, and its replacement.
#ifndef PINVERIFY_OPENSSL_POLICY_IN_FORCE_H
#define PINVERIFY_OPENSSL_POLICY_IN_FORCE_H

#include <stdatomic.h>
#include <stdint.h>

#include "../pinverify.h"

// Two policies, one of which is in force: the lowest bit of `number`, which
// counts the policies so far, says which. A reader counts itself in
// readers[phase] before it loads `number`, so whoever replaces a policy can
// wait until nobody reads the old one. Readers never wait: there is no lock
// that a fork could leave locked.
typedef struct pv__in_force {
  pv_policy policies[2];
  _Atomic uint64_t number;
  _Atomic uint32_t phase;
  _Atomic uint64_t readers[2];
  atomic_flag is_swapping;
} pv__in_force;

// One use of the policy in force, from pv__read_begin to pv__read_end.
typedef struct pv__reading {
  const pv_policy *policy;
  uint64_t number;
  uint32_t phase;
} pv__reading;

void pv__in_force_init(pv__in_force *in_force, const pv_policy *policy);

pv__reading pv__read_begin(pv__in_force *in_force);
void pv__read_end(pv__in_force *in_force, const pv__reading *reading);

// pv__in_force_swap returns when nobody reads the old policy any more.
void pv__in_force_swap(pv__in_force *in_force, const pv_policy *policy);

#endif  // PINVERIFY_OPENSSL_POLICY_IN_FORCE_H
