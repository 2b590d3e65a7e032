// Harnesses for policy_layout.h and policy_find.c. Those that read one rule,
// PinSet or bucket take number `some`: README.md explains why that is every one
// of them.
#include "harness.h"
#include "libc.h"
#include "policy_find.c"

#include "policy.contracts.h"

void prove_lay_out(void) {
  uint64_t num_rows;
  uint32_t num_pinsets;
  uint32_t num_rules;
  uint32_t num_buckets;
  uint64_t names_len;
  const policy_layout at =
      lay_out(num_rows, num_pinsets, num_rules, num_buckets, names_len);
  REACHED(at.size == at.end);
  REACHED(at.size == at.end + 7);
}

void prove_rule_at(void) {
  const pv_policy *policy;
  uint32_t rule;
  rule_at(policy, rule);
  REACHED(rule == 9);
}

void prove_pinset_at(void) {
  const pv_policy *policy;
  uint32_t pinset;
  pinset_at(policy, pinset);
  REACHED(pinset == 9);
}

void prove_bucket_start(void) {
  const pv_policy *policy;
  uint32_t bucket;
  __CPROVER_assume(bucket == some);
  REACHED(bucket_start(policy, bucket) == 7);
}

void prove_read_run(void) {
  const uint8_t *run;
  REACHED(read_run(run).num_pins == 9);
}

void prove_read_pinset(void) {
  const uint8_t *pinset;
  const pv_pinset own = read_pinset(pinset);
  REACHED(own.expires == -9);
}

void prove_rule_of(void) {
  const pv_policy *policy;
  uint32_t rule;
  __CPROVER_assume(rule == some);
  REACHED(rule_of(policy, rule).pinset == PV_UNPINNED);
}

void prove_read_rule(void) {
  const uint8_t *rule;
  REACHED(read_rule(rule).name_len == 9);
}

void prove_pins_at(void) {
  const pv_policy *policy;
  pin_rows run;
  pins_at(policy, run);
  REACHED(run.num_pins == 9);
}

void prove_policy_run(void) {
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t list;
  uint32_t kind;
  __CPROVER_assume(pinset == PV_UNPINNED ||
                   some == 8 * (size_t)pinset + 2 * (size_t)list + kind);
  const pin_rows run = policy_run(policy, pinset, list, kind);
  REACHED(pinset == PV_UNPINNED && run.num_pins == 9);
  REACHED(pinset == 9 && run.num_pins == 9);
}

void prove_rule_is(void) {
  const pv_policy *policy;
  uint32_t i;
  uint32_t tag;
  const uint8_t *name;
  size_t name_len;
  uint8_t shape;
  __CPROVER_assume(i == some);
  const bool is = rule_is(policy, i, tag, name, name_len, shape);
  REACHED(is);
  REACHED(!is);
}

void prove_find_shape(void) {
  const pv_policy *policy;
  uint64_t hash;
  const uint8_t *name;
  size_t name_len;
  uint8_t shape;
  const uint32_t rule = find_shape(policy, hash, name, name_len, shape);
  REACHED(rule == PV_NO_RULE);
  REACHED(rule == 9);
}

void prove_pv__policy_find_exact(void) {
  const pv_policy *policy;
  uint64_t hash;
  const char *host;
  size_t host_len;
  const uint32_t rule = pv__policy_find_exact(policy, hash, host, host_len);
  REACHED(rule == PV_NO_RULE);
  REACHED(rule == 9);
}

void prove_find_end(void) {
  const pv_policy *policy;
  const host_ends *ends;
  size_t i;
  const uint8_t *host;
  size_t host_len;
  __CPROVER_assume(i == some);
  uint8_t shape;
  const uint32_t rule = find_end(policy, ends, i, shape, host, host_len);
  REACHED(rule == PV_NO_RULE);
  REACHED(rule == 9 && i == 17);
}

void prove_find_host(void) {
  const pv_policy *policy;
  const uint8_t *host;
  size_t host_len;
  const uint32_t rule = find_host(policy, host, host_len);
  REACHED(rule == PV_NO_RULE);
  REACHED(rule == 9);
}

void prove_pv_policy_find(void) {
  const pv_policy *policy;
  const char *host;
  size_t host_len;
  const uint32_t rule = pv_policy_find(policy, host, host_len);
  REACHED(rule == PV_NO_RULE);
  REACHED(rule == 9);
}

void prove_pv_policy_rule(void) {
  pv_rule *out;
  const pv_policy *policy;
  uint32_t rule;
  __CPROVER_assume(rule == some);
  const pv_status status = pv_policy_rule(out, policy, rule);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_ARGUMENT);
}

void prove_pv_policy_pinset(void) {
  pv_pinset *out;
  const pv_policy *policy;
  uint32_t pinset;
  const pv_status status = pv_policy_pinset(out, policy, pinset);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_ARGUMENT);
}

void prove_pv_policy_pin(void) {
  uint8_t *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t list;
  uint32_t kind;
  uint32_t i;
  const pv_status status = pv_policy_pin(out, policy, pinset, list, kind, i);
  REACHED(status == PV_OK && pinset == 9 && i == 9);
  REACHED(status == PV_OK && pinset == PV_UNPINNED);
  REACHED(status == PV_ERR_ARGUMENT);
}

void prove_pv_policy_num_rules(void) {
  const pv_policy *policy;
  REACHED(pv_policy_num_rules(policy) == 9);
}

void prove_pv_policy_num_pinsets(void) {
  const pv_policy *policy;
  REACHED(pv_policy_num_pinsets(policy) == 9);
}

void prove_pv_policy_has_clients(void) {
  const pv_policy *policy;
  const uint32_t has_clients = pv_policy_has_clients(policy);
  REACHED(has_clients == 1);
  REACHED(has_clients == 0);
}

void prove_pv_policy_rejects_unpinned(void) {
  const pv_policy *policy;
  const uint32_t rejects = pv_policy_rejects_unpinned(policy);
  REACHED(rejects == 1);
  REACHED(rejects == 0);
}

void prove_pv_policy_num_blocked(void) {
  const pv_policy *policy;
  uint32_t kind;
  const uint32_t num_pins = pv_policy_num_blocked(policy, kind);
  REACHED(kind == 1 && num_pins == 9);
  REACHED(kind == 2);
}

void prove_pv_policy_digest(void) {
  uint8_t *out;
  const pv_policy *policy;
  pv_policy_digest(out, policy);
  REACHED(some == 9);
}
