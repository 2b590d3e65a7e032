// policy_find.c: finds the rule of a host in an opened policy, and reads the
// parts of a policy.
//
// pv_policy_open has checked everything that is read here, so look-ups need no
// bounds checks of their own.
#include "policy_layout.h"

#include <string.h>

// ---- look-up ----------------------------------------------------------------

PV_INLINE uint32_t find_shape(const pv_policy *policy, uint64_t hash,
                              const uint8_t *name, size_t name_len,
                              uint8_t shape) {
  const uint32_t bucket = hash_bucket(policy->bucket_mask, hash, shape);
  const uint32_t start = bucket_start(policy, bucket);
  const uint32_t end = bucket_start(policy, bucket + 1);
  for (uint32_t i = start; i < end; i++)
    LOOP(end > i ? end - i : 0, i <= end || i == start)
  {
    if (rule_is(policy, i, hash_tag(hash), name, name_len, shape)) {
      return i;
    }
  }
  return PV_NO_RULE;
}

uint32_t pv__policy_find_exact(const pv_policy *policy, uint64_t hash,
                               const char *host, size_t host_len) {
  return policy->bytes == NULL ? PV_NO_RULE
                               : find_shape(policy, hash, (const uint8_t *)host,
                                            host_len, PV_EXACT);
}

// Finds the rule of one shape whose name is end `i` of a host.
PV_INLINE uint32_t find_end(const pv_policy *policy, const host_ends *ends,
                            size_t i, uint8_t shape, const uint8_t *host,
                            size_t host_len) {
  const size_t len = ends->lens[i];
  return find_shape(policy, ends->hashes[i], host + host_len - len, len, shape);
}

// The rule of the longest end decides.
static uint32_t find_host(const pv_policy *policy, const uint8_t *host,
                          size_t host_len) {
  host_ends ends;
  pv__find_ends(&ends, policy->key, host, host_len);
  const size_t num = ends.num;
  uint32_t rule = find_end(policy, &ends, num - 1, PV_EXACT, host, host_len);
  if (rule == PV_NO_RULE) {
    rule = find_end(policy, &ends, num - 1, PV_ANY_LABELS, host, host_len);
  }
  if (rule == PV_NO_RULE && num > 1) {
    rule = find_end(policy, &ends, num - 2, PV_ONE_LABEL, host, host_len);
  }
  for (size_t i = num - 1; rule == PV_NO_RULE && i > 0; i--)
    LOOP(i, i < num && (rule == PV_NO_RULE || rule < policy->num_rules))
  {
    rule = find_end(policy, &ends, i - 1, PV_ANY_LABELS, host, host_len);
  }
  return rule;
}

uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                        size_t host_len) {
  return policy->bytes == NULL || host_len == 0 || host_len > PV_HOST_MAX
             ? PV_NO_RULE
             : find_host(policy, (const uint8_t *)host, host_len);
}

// ---- reading a policy back --------------------------------------------------

uint32_t pv_policy_num_rules(const pv_policy *policy) {
  return policy->num_rules;
}

uint32_t pv_policy_num_pinsets(const pv_policy *policy) {
  return policy->num_pinsets;
}

uint32_t pv_policy_has_clients(const pv_policy *policy) {
  return (policy->flags & POLICY_CLIENTS) != 0;
}

uint32_t pv_policy_rejects_unpinned(const pv_policy *policy) {
  return (policy->flags & POLICY_REJECT_UNPINNED) != 0;
}

uint32_t pv_policy_num_blocked(const pv_policy *policy, uint32_t kind) {
  return policy->bytes == NULL || kind > PV_CERTIFICATE
             ? 0
             : policy_run(policy, PV_UNPINNED, PV_LIST_BLOCKED, kind).num_pins;
}

void pv_policy_digest(uint8_t out[32], const pv_policy *policy) {
  memset(out, 0, PV_DIGEST_LEN);
  if (policy->bytes != NULL) {
    memcpy(out, policy->bytes + DIGEST_AT, PV_DIGEST_LEN);
  }
}

pv_status pv_policy_rule(pv_rule *out, const pv_policy *policy, uint32_t rule) {
  *out = (pv_rule){0};
  if (rule >= policy->num_rules) {
    return PV_ERR_ARGUMENT;
  }
  const rule_fields fields = rule_of(policy, rule);
  out->name = (const char *)policy->names + fields.name_at;
  out->name_len = fields.name_len;
  out->shape = fields.shape;
  out->pinset = fields.pinset;
  return PV_OK;
}

pv_status pv_policy_pinset(pv_pinset *out, const pv_policy *policy,
                           uint32_t pinset) {
  *out = (pv_pinset){0};
  if (pinset >= policy->num_pinsets) {
    return PV_ERR_ARGUMENT;
  }
  *out = read_pinset(pinset_at(policy, pinset));
  for (uint32_t i = 0; i < NUM_RUNS; i++) CHANGES(i, BYTES(out->num_pins, 32))
  LOOP(NUM_RUNS - i, i <= NUM_RUNS)
  {
    out->num_pins[i] = policy_run(policy, pinset, i / 2, i % 2).num_pins;
  }
  return PV_OK;
}

pv_status pv_policy_pin(uint8_t out[32], const pv_policy *policy,
                        uint32_t pinset, uint32_t list, uint32_t kind,
                        uint32_t i) {
  memset(out, 0, PV_DIGEST_LEN);
  const bool policy_wide = pinset == PV_UNPINNED && list == PV_LIST_BLOCKED;
  if (policy->bytes == NULL ||
      (!policy_wide && pinset >= policy->num_pinsets) ||
      list > PV_LIST_BLOCKED || kind > PV_CERTIFICATE) {
    return PV_ERR_ARGUMENT;
  }
  const pin_rows run = policy_run(policy, pinset, list, kind);
  if (i >= run.num_pins) {
    return PV_ERR_ARGUMENT;
  }
  pv_pins_unpack(out, pins_at(policy, run), run.num_pins, i);
  return PV_OK;
}
