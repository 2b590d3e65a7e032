// policy_layout.h: the layout of a compiled policy (pinverify_compile.h,
// section 1), for the files that share it: compile/ writes one, policy_open.c
// checks all of it, once, and policy_find.c relies on that check.
#ifndef PINVERIFY_POLICY_LAYOUT_H
#define PINVERIFY_POLICY_LAYOUT_H

#include <stdbool.h>

#include "bytes.h"
#include "pinverify.h"
#include "policy_hash.h"
#include "prove.h"

enum {
  MAGIC_LEN = 8,
  DIGEST_AT = 8,
  SIZE_AT = 40,
  FLAGS_AT = 48,
  NUM_RULES_AT = 52,
  NUM_BUCKETS_AT = 56,
  NUM_PINSETS_AT = 60,
  NUM_ROWS_AT = 64,
  NAMES_LEN_AT = 72,
  BLOCKED_AT = 80,
  KEY_AT = 96,
  RESERVED_AT = 112,
  HEADER_LEN = 128,

  PINSET_LEN = 80,
  EXPIRES_AT = 8,
  RUNS_AT = 16,
  RUN_LEN = 8,
  NUM_RUNS = 8,

  RULE_LEN = 16,
  TAG_AT = 4,
  PINSET_INDEX_AT = 8,
  NAME_LEN_AT = 12,
  SHAPE_AT = 13,

  BUCKET_MAX = 16  // rules in one bucket
};

#define POLICY_MAGIC "pinvpol2"

enum { NEVER_EXPIRES = 0, AFTER_EXPIRY_ALLOW = 1, AFTER_EXPIRY_REJECT = 2 };

enum { POLICY_REJECT_UNPINNED = 1, POLICY_CLIENTS = 2 };

typedef struct policy_layout {
  uint64_t pinsets_at;
  uint64_t rules_at;
  uint64_t buckets_at;
  uint64_t names_at;
  uint64_t end;   // of the names
  uint64_t size;  // of the policy, with the zeros behind the names
} policy_layout;

// lay_out does not wrap around if the pins and the names fit into memory.
static inline policy_layout lay_out(uint64_t num_rows, uint32_t num_pinsets,
                                    uint32_t num_rules, uint32_t num_buckets,
                                    uint64_t names_len) {
  policy_layout at;
  at.pinsets_at = HEADER_LEN + PV_DIGEST_LEN * num_rows;
  at.rules_at = at.pinsets_at + (uint64_t)PINSET_LEN * num_pinsets;
  at.buckets_at = at.rules_at + (uint64_t)RULE_LEN * num_rules;
  at.names_at = at.buckets_at + 4 * ((uint64_t)num_buckets + 1);
  at.end = at.names_at + names_len;
  at.size = (at.end + 7) / 8 * 8;
  return at;
}

// ---- parts of a policy ------------------------------------------------------
//
// Runs and rules are read from their bytes first and passed on as values, so
// that most functions use only one section.

typedef struct pin_rows {
  uint32_t first_row;
  uint32_t num_pins;
} pin_rows;

static inline pin_rows read_run(const uint8_t *run) {
  return (pin_rows){load_le32(run), load_le32(run + 4)};
}

// read_pinset reads a PinSet except its pins: num_pins is zero.
static inline pv_pinset read_pinset(const uint8_t *pinset) {
  const uint64_t expires = load_le64(pinset + EXPIRES_AT);
  pv_pinset out = {.mode = pinset[0],
                   .expires_set = pinset[1] != NEVER_EXPIRES,
                   .expired_rejects = pinset[1] == AFTER_EXPIRY_REJECT};
  memcpy(&out.expires, &expires, sizeof expires);
  return out;
}

typedef struct rule_fields {
  uint32_t name_at;
  uint32_t tag;
  uint32_t pinset;
  uint8_t name_len;
  uint8_t shape;
  uint8_t zero[2];
} rule_fields;

static inline rule_fields read_rule(const uint8_t *rule) {
  return (rule_fields){.name_at = load_le32(rule),
                       .tag = load_le32(rule + TAG_AT),
                       .pinset = load_le32(rule + PINSET_INDEX_AT),
                       .name_len = rule[NAME_LEN_AT],
                       .shape = rule[SHAPE_AT],
                       .zero = {rule[SHAPE_AT + 1], rule[SHAPE_AT + 2]}};
}

static inline const uint8_t *rule_at(const pv_policy *policy, uint32_t rule) {
  return policy->rules + (size_t)RULE_LEN * rule;
}

static inline rule_fields rule_of(const pv_policy *policy, uint32_t rule) {
  return read_rule(rule_at(policy, rule));
}

// rule_is returns true if rule `i` has this tag, name and shape.
static inline bool rule_is(const pv_policy *policy, uint32_t i, uint32_t tag,
                           const uint8_t *name, size_t name_len,
                           uint8_t shape) {
  const uint8_t *rule = rule_at(policy, i);
  return load_le32(rule + TAG_AT) == tag && rule[NAME_LEN_AT] == name_len &&
         rule[SHAPE_AT] == shape &&
         memcmp(policy->names + load_le32(rule), name, name_len) == 0;
}

static inline const uint8_t *pinset_at(const pv_policy *policy,
                                       uint32_t pinset) {
  return policy->pinsets + (size_t)PINSET_LEN * pinset;
}

static inline uint32_t bucket_start(const pv_policy *policy, uint32_t bucket) {
  return load_le32(policy->buckets + 4 * (size_t)bucket);
}

// policy_run returns the pins of one kind in one list of a PinSet, or, if
// `pinset` is PV_UNPINNED, those blocked for every host. The numbers must be in
// range.
static inline pin_rows policy_run(const pv_policy *policy, uint32_t pinset,
                                  uint32_t list, uint32_t kind) {
  return read_run(pinset == PV_UNPINNED
                      ? policy->bytes + BLOCKED_AT + RUN_LEN * kind
                      : pinset_at(policy, pinset) + RUNS_AT +
                            RUN_LEN * (2 * list + kind));
}

// pins_at returns the packed pins of a run.
static inline const uint8_t *pins_at(const pv_policy *policy, pin_rows run) {
  return policy->pins + PV_DIGEST_LEN * (size_t)run.first_row;
}

// ---- policy_find.c ----------------------------------------------------------

// pv__policy_find_exact returns the rule, not a wildcard, whose name is the
// host, byte for byte; or PV_NO_RULE. `hash` is the host's hash_name.
uint32_t pv__policy_find_exact(const pv_policy *policy, uint64_t hash,
                               const char *host, size_t host_len);

#endif  // PINVERIFY_POLICY_LAYOUT_H
