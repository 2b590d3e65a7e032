// policy.c: finds the rule of a host in an opened policy, and reads its parts.
//
// pv_policy_open has checked everything that is read here, so look-ups need no
// bounds checks of their own.
#include "policy.h"

#include <string.h>

// ---- look-up ----------------------------------------------------------------

static uint32_t find_shape(const pv_policy *policy, uint64_t hash,
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
  return policy->bytes == NULL
             ? PV_NO_RULE
             : find_shape(policy, hash, (const uint8_t *)host, host_len,
                          PV_EXACT);
}

// Finds the rule with this suffix of a host: of shape `first`, else "**.".
static uint32_t find_suffix(const pv_policy *policy, uint64_t hash,
                            const uint8_t *suffix, size_t suffix_len,
                            uint8_t first) {
  uint32_t rule = PV_NO_RULE;
  if (first != PV_ANY_LABELS) {
    rule = find_shape(policy, hash, suffix, suffix_len, first);
  }
  if (rule == PV_NO_RULE) {
    rule = find_shape(policy, hash, suffix, suffix_len, PV_ANY_LABELS);
  }
  return rule;
}

static bool is_label_start(const uint8_t *host, size_t at) {
  return at == 0 || host[at - 1] == '.';
}

// A hash of a suffix continues that of a shorter one, but the rule of the
// longest suffix decides: so all are hashed before one is looked up.
static uint32_t find_host(const pv_policy *policy, const uint8_t *host,
                          size_t host_len) {
  const uint8_t *dot = memchr(host, '.', host_len);
  const size_t second_label = dot == NULL ? host_len : (size_t)(dot - host) + 1;
  uint64_t hashes[PV_HOST_MAX];
  name_hash hash = hash_start(policy->key);
  for (size_t i = host_len; i > 0; i--) CHANGES(i, hash, WHOLE(hashes))
  LOOP(i, i <= host_len && hash.len == host_len - i)
  {
    hash_byte(&hash, host[i - 1]);
    if (is_label_start(host, i - 1)) {
      hashes[i - 1] = hash_value(hash);
    }
  }
  uint32_t rule = PV_NO_RULE;
  for (size_t at = 0; rule == PV_NO_RULE && at < host_len; at++)
    LOOP(host_len - at, at <= host_len && (rule == PV_NO_RULE ||
                                           rule < policy->num_rules))
  {
    if (is_label_start(host, at)) {
      const uint8_t first = at == 0              ? PV_EXACT
                            : at == second_label ? PV_ONE_LABEL
                                                 : PV_ANY_LABELS;
      rule = find_suffix(policy, hashes[at], host + at, host_len - at, first);
    }
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
