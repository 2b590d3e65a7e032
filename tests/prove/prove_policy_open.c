// Harnesses for policy_open.c. Those that read one rule, PinSet or bucket take
// number `some`: README.md explains why that is every one of them.
#include "harness.h"
#include "libc.h"
#include "policy_open.c"

#include "policy.contracts.h"
#include "policy_open.contracts.h"

void prove_all_zero(void) {
  const uint8_t *bytes;
  size_t len;
  const bool zero = all_zero(bytes, len);
  REACHED(zero && some == 9 && len > 9);
  REACHED(!zero);
}

void prove_check_frame(void) {
  const uint8_t *bytes;
  size_t bytes_len;
  const pv_status status = check_frame(bytes, bytes_len);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_DIGEST);
}

void prove_read_header(void) {
  pv_policy *out;
  const uint8_t *bytes;
  size_t bytes_len;
  const pv_status status = read_header(out, bytes, bytes_len);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_HEADER);
}

void prove_flags_are_known(void) {
  const pv_policy *policy;
  const bool known = flags_are_known(policy);
  REACHED(known);
  REACHED(!known);
}

void prove_is_filled(void) {
  const uint8_t *packed;
  uint32_t num_pins;
  const bool filled = is_filled(packed, num_pins);
  REACHED(filled && num_pins == 9);
  REACHED(!filled);
}

void prove_check_run(void) {
  const pv_policy *policy;
  pin_rows run;
  const bool ok = check_run(policy, run);
  REACHED(ok && run.num_pins == 9);
  REACHED(!ok);
}

void prove_check_expiry(void) {
  const uint8_t *pinset;
  const bool ok = check_expiry(pinset);
  REACHED(ok);
  REACHED(!ok);
}

void prove_check_pinset(void) {
  const pv_policy *policy;
  const uint8_t *pinset;
  const bool ok = check_pinset(policy, pinset);
  REACHED(ok);
  REACHED(!ok);
}

void prove_copy_pinset(void) {
  uint8_t *out;
  const uint8_t *pinset;
  copy_pinset(out, pinset);
  REACHED(some == 7);
}

void prove_check_pinset_at(void) {
  const pv_policy *policy;
  uint32_t i;
  const bool ok = check_pinset_at(policy, i);
  REACHED(ok && some == 8 * (size_t)i + 7);
  REACHED(!ok);
}

void prove_check_pinsets(void) {
  const pv_policy *policy;
  const bool ok = check_pinsets(policy);
  REACHED(ok && some == 99);
  REACHED(!ok);
}

void prove_check_buckets(void) {
  const pv_policy *policy;
  const bool ok = check_buckets(policy);
  REACHED(ok && some == 9);
  REACHED(!ok);
}

void prove_check_name(void) {
  const pv_policy *policy;
  rule_fields rule;
  uint64_t name_at;
  const bool ok = check_name(policy, rule, name_at);
  REACHED(ok);
  REACHED(!ok);
}

void prove_compare_rules(void) {
  const pv_policy *policy;
  rule_fields a;
  rule_fields b;
  const int order = compare_rules(policy, a, b);
  REACHED(order < 0);
  REACHED(order == 0);
  REACHED(order > 0);
}

void prove_check_rule(void) {
  const pv_policy *policy;
  uint32_t i;
  rule_fields rule, previous;
  const bool ok = check_rule(policy, i, rule, previous);
  REACHED(ok);
  REACHED(!ok);
}

void prove_check_next_rule(void) {
  rule_fields *previous;
  const pv_policy *policy;
  uint32_t i;
  const bool ok = check_next_rule(previous, policy, i);
  REACHED(ok && some == i);
  REACHED(!ok);
}

void prove_check_rules(void) {
  const pv_policy *policy;
  const bool ok = check_rules(policy);
  REACHED(ok && some == 9);
  REACHED(!ok);
}

void prove_check_contents(void) {
  const pv_policy *policy;
  const pv_status status = check_contents(policy);
  REACHED(status == PV_OK && some == 9);
  REACHED(status == PV_ERR_POLICY_PINSET);
}

void prove_open_view(void) {
  pv_policy *out;
  const uint8_t *bytes;
  size_t bytes_len;
  const pv_status status = open_view(out, bytes, bytes_len);
  REACHED(status == PV_OK && some == 9);
  REACHED(status == PV_ERR_POLICY_MAGIC);
  REACHED(status == PV_ERR_POLICY_RULE);
}

void prove_pv_policy_open(void) {
  pv_policy *out;
  const uint8_t *bytes;
  size_t bytes_len;
  const pv_status status = pv_policy_open(out, bytes, bytes_len);
  REACHED(status == PV_OK && some == 9);
  REACHED(status == PV_ERR_POLICY_MAGIC);
  REACHED(status == PV_ERR_POLICY_RULE);
}
