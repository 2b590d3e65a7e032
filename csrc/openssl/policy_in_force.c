// policy_in_force.c: the policy in force for a context, and its replacement.
#include "policy_in_force.h"

#include <sched.h>

void pv__in_force_init(pv__in_force *in_force, const pv_policy *policy) {
  in_force->policies[0] = *policy;
  in_force->policies[1] = *policy;
  atomic_init(&in_force->number, 0);
  atomic_init(&in_force->phase, 0);
  atomic_init(&in_force->readers[0], 0);
  atomic_init(&in_force->readers[1], 0);
  atomic_flag_clear(&in_force->is_swapping);
}

// All operations are sequentially consistent: a reader either is counted before
// the number changes, or sees the new number.
pv__reading pv__read_begin(pv__in_force *in_force) {
  pv__reading reading;
  reading.phase = atomic_load(&in_force->phase) & 1;
  atomic_fetch_add(&in_force->readers[reading.phase], 1);
  reading.number = atomic_load(&in_force->number);
  reading.policy = &in_force->policies[reading.number & 1];
  return reading;
}

void pv__read_end(pv__in_force *in_force, const pv__reading *reading) {
  atomic_fetch_sub(&in_force->readers[reading->phase], 1);
}

// New readers count themselves in the other phase, so the readers of this one
// come to an end.
static void drain(pv__in_force *in_force) {
  const uint32_t old = atomic_fetch_add(&in_force->phase, 1) & 1;
  while (atomic_load(&in_force->readers[old]) != 0) {
    sched_yield();
  }
}

void pv__in_force_swap(pv__in_force *in_force, const pv_policy *policy) {
  while (atomic_flag_test_and_set(&in_force->is_swapping)) {
    sched_yield();
  }
  const uint64_t next = atomic_load(&in_force->number) + 1;
  in_force->policies[next & 1] = *policy;  // nobody reads this one
  atomic_store(&in_force->number, next);
  // A reader may have loaded a phase long ago, and count itself only now. So
  // both phases are drained.
  drain(in_force);
  drain(in_force);
  atomic_flag_clear(&in_force->is_swapping);
}
