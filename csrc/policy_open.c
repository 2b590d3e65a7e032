// policy_open.c: opens the bytes of a compiled policy (pinverify_compile.h,
// section 1); map/ opens a file with such bytes.
//
// A whole policy is checked here, once, from the outside in: the frame and its
// digest, the header, the PinSets, the buckets, the rules. So the look-ups of
// policy_find.c stay inside the bytes.
#include <string.h>

#include "host.h"
#include "policy_layout.h"
#include "scan.h"

enum { NUM_REQUIRED_RUNS = 6 };  // pins, leaf and ca, of two kinds each

static bool all_zero(const uint8_t *bytes, size_t len) {
  uint8_t seen = 0;
  for (size_t i = 0; i < len; i++)
    LOOP(len - i, i <= len && IMPLIES(some < i && seen == 0, bytes[some] == 0))
  {
    seen |= bytes[i];
  }
  return seen == 0;
}

// ---- the frame and the header -----------------------------------------------

static pv_status check_frame(const uint8_t *bytes, size_t bytes_len) {
  uint8_t digest[PV_DIGEST_LEN];
  if (bytes_len < MAGIC_LEN || memcmp(bytes, POLICY_MAGIC, MAGIC_LEN) != 0) {
    return PV_ERR_POLICY_MAGIC;
  }
  if (bytes_len < HEADER_LEN || load_le64(bytes + SIZE_AT) != bytes_len) {
    return PV_ERR_POLICY_SIZE;
  }
  pv__digest_policy(digest, bytes, bytes_len);
  return memcmp(digest, bytes + DIGEST_AT, PV_DIGEST_LEN) == 0
             ? PV_OK
             : PV_ERR_POLICY_DIGEST;
}

// Finds the sections from the counts in the header; they must fill the bytes.
static pv_status read_header(pv_policy *out, const uint8_t *bytes,
                             size_t bytes_len) {
  const uint64_t num_rows = load_le64(bytes + NUM_ROWS_AT);
  const uint64_t names_len = load_le64(bytes + NAMES_LEN_AT);
  const uint32_t num_buckets = load_le32(bytes + NUM_BUCKETS_AT);
  if (num_rows > bytes_len / PV_DIGEST_LEN || names_len > bytes_len ||
      num_buckets == 0 || (num_buckets & (num_buckets - 1)) != 0 ||
      !all_zero(bytes + RESERVED_AT, HEADER_LEN - RESERVED_AT)) {
    return PV_ERR_POLICY_HEADER;
  }
  out->bytes = bytes;
  out->num_rows = num_rows;
  out->names_len = names_len;
  out->flags = load_le32(bytes + FLAGS_AT);
  out->num_rules = load_le32(bytes + NUM_RULES_AT);
  out->num_pinsets = load_le32(bytes + NUM_PINSETS_AT);
  out->bucket_mask = num_buckets - 1;
  out->key[0] = load_le64(bytes + KEY_AT);
  out->key[1] = load_le64(bytes + KEY_AT + 8);
  const policy_layout at = lay_out(num_rows, out->num_pinsets, out->num_rules,
                                   num_buckets, names_len);
  if (at.size != bytes_len ||
      !all_zero(bytes + at.end, bytes_len - (size_t)at.end)) {
    return PV_ERR_POLICY_HEADER;
  }
  out->pins = bytes + HEADER_LEN;
  out->pinsets = bytes + at.pinsets_at;
  out->rules = bytes + at.rules_at;
  out->buckets = bytes + at.buckets_at;
  out->names = bytes + at.names_at;
  return PV_OK;
}

static bool flags_are_known(const pv_policy *policy) {
  const uint32_t known = POLICY_REJECT_UNPINNED | POLICY_CLIENTS;
  const bool has_clients = (policy->flags & POLICY_CLIENTS) != 0;
  return (policy->flags & ~known) == 0 &&
         (!has_clients || policy->num_pinsets > 0);
}

// ---- PinSets ----------------------------------------------------------------

// Returns true if the last block of packed pins is filled up with the last pin;
// otherwise a pin could hide there.
static bool is_filled(const uint8_t *packed, uint32_t num_pins) {
  uint8_t last[PV_DIGEST_LEN];
  uint8_t filler[PV_DIGEST_LEN];
  const uint64_t num_rows = pv__packed_num_rows(num_pins);
  for (size_t i = num_pins; i < num_rows; i++)
    CHANGES(i, BYTES(last, 32), BYTES(filler, 32))
  LOOP(num_rows - i, num_pins <= i && i <= num_rows)
  {
    pv_pins_unpack(last, packed, num_pins, num_pins - 1);
    pv_pins_unpack(filler, packed, num_pins, i);
    if (memcmp(filler, last, PV_DIGEST_LEN) != 0) {
      return false;
    }
  }
  return true;
}

// Returns true if a run is inside the pins, and filled up correctly.
static bool check_run(const pv_policy *policy, pin_rows run) {
  if (run.num_pins == 0) {
    return run.first_row == 0;
  }
  return run.first_row <= policy->num_rows &&
         pv__packed_num_rows(run.num_pins) <=
             policy->num_rows - run.first_row &&
         is_filled(policy->pins + PV_DIGEST_LEN * (size_t)run.first_row,
                   run.num_pins);
}

static bool check_expiry(const uint8_t *pinset) {
  const uint8_t after_expiry = pinset[1];
  if (after_expiry == NEVER_EXPIRES) {
    return load_le64(pinset + EXPIRES_AT) == 0;
  }
  return after_expiry == AFTER_EXPIRY_ALLOW ||
         after_expiry == AFTER_EXPIRY_REJECT;
}

static bool check_pinset(const pv_policy *policy, const uint8_t *pinset) {
  uint64_t num_required = 0;
  if (pinset[0] > PV_REPORT || !check_expiry(pinset) ||
      !all_zero(pinset + 2, EXPIRES_AT - 2)) {
    return false;
  }
  for (size_t i = 0; i < NUM_RUNS; i++)
    LOOP(NUM_RUNS - i,
         i <= NUM_RUNS && num_required <= (uint64_t)i << 32 &&
             IMPLIES(some % 8 < i, LE_RUN_FITS(pinset + 16 + 8 * (some % 8),
                                               policy->num_rows)))
  {
    const pin_rows run = read_run(pinset + RUNS_AT + RUN_LEN * i);
    if (!check_run(policy, run)) {
      return false;
    }
    if (i < NUM_REQUIRED_RUNS) {
      num_required += run.num_pins;
    }
  }
  return num_required > 0;
}

static void copy_pinset(uint8_t out[PINSET_LEN], const uint8_t *pinset) {
  memcpy(out, pinset, PINSET_LEN);
}

// Checks a copy of PinSet `i`, so that the check reads one section only: pins.
static bool check_pinset_at(const pv_policy *policy, uint32_t i) {
  uint8_t pinset[PINSET_LEN];
  copy_pinset(pinset, pinset_at(policy, i));
  return check_pinset(policy, pinset);
}

static bool check_pinsets(const pv_policy *policy) {
  GHOST(const uint8_t *pinsets = policy->pinsets)
  for (uint32_t i = 0; i < policy->num_pinsets; i++)
    LOOP(policy->num_pinsets - i,
         i <= policy->num_pinsets &&
             IMPLIES(some / 8 < i,
                     LE_RUN_FITS(pinsets + SOME_RUN_AT, policy->num_rows)))
  {
    if (!check_pinset_at(policy, i)) {
      return false;
    }
  }
  return true;
}

// ---- rules ------------------------------------------------------------------

// A bucket has at most BUCKET_MAX rules, so that no look-up takes long.
static bool check_buckets(const pv_policy *policy) {
  uint32_t previous = 0;
  if (load_le32(policy->buckets) != 0) {
    return false;
  }
  for (size_t b = 0; b <= (size_t)policy->bucket_mask + 1; b++)
    LOOP((size_t)policy->bucket_mask + 2 - b,
         b <= (size_t)policy->bucket_mask + 2 && (b > 0 || previous == 0) &&
             IMPLIES(b > 0, LE32(BUCKET_OF(policy, b - 1)) == previous) &&
             IMPLIES(some < b, LE32(BUCKET_OF(policy, some)) <= previous) &&
             IMPLIES(b > 0 && some < b - 1, BUCKET_IS_SHORT(policy, some)))
  {
    const uint32_t start = load_le32(policy->buckets + 4 * b);
    if (start < previous || start - previous > BUCKET_MAX) {
      return false;
    }
    previous = start;
  }
  return previous == policy->num_rules;
}

// The name of a rule is canonical, and begins where the previous name ended.
static bool check_name(const pv_policy *policy, rule_fields rule,
                       uint64_t name_at) {
  if (rule.name_at != name_at || rule.name_len > policy->names_len - name_at ||
      rule.shape > PV_ANY_LABELS) {
    return false;
  }
  const char *name = (const char *)policy->names + rule.name_at;
  return pv__name_is_canonical(name, rule.name_len, rule.shape);
}

// Compares the patterns of two rules as text: negative, zero or positive. "**."
// comes before "*.", and both before any name.
static int compare_rules(const pv_policy *policy, rule_fields a,
                         rule_fields b) {
  if (a.shape != b.shape) {
    return b.shape - a.shape;
  }
  const int order = memcmp(policy->names + a.name_at, policy->names + b.name_at,
                           a.name_len < b.name_len ? a.name_len : b.name_len);
  return order != 0 ? order : a.name_len - b.name_len;
}

// Checks the numbers of rule `i`, its bucket, and its order in the bucket.
static bool check_rule(const pv_policy *policy, uint32_t i, rule_fields rule,
                       rule_fields previous) {
  const uint64_t hash = hash_name(policy->key, policy->names + rule.name_at,
                                  rule.name_len);
  const uint32_t bucket = hash_bucket(policy->bucket_mask, hash, rule.shape);
  const uint32_t start = bucket_start(policy, bucket);
  return (rule.pinset < policy->num_pinsets || rule.pinset == PV_UNPINNED) &&
         rule.zero[0] == 0 && rule.zero[1] == 0 && rule.tag == hash_tag(hash) &&
         start <= i && i < bucket_start(policy, bucket + 1) &&
         (i == start || compare_rules(policy, previous, rule) < 0);
}

// Checks rule `i`, and makes it the previous one.
static bool check_next_rule(rule_fields *previous, const pv_policy *policy,
                            uint32_t i) {
  const rule_fields rule = read_rule(rule_at(policy, i));
  const uint64_t name_at = (uint64_t)previous->name_at + previous->name_len;
  const bool ok = check_name(policy, rule, name_at) &&
                  check_rule(policy, i, rule, *previous);
  *previous = rule;
  return ok;
}

static bool check_rules(const pv_policy *policy) {
  GHOST(const uint8_t *rules = policy->rules)
  rule_fields previous = {0};
  for (uint32_t i = 0; i < policy->num_rules; i++) CHANGES(i, previous)
  LOOP(policy->num_rules - i,
       i <= policy->num_rules &&
           NAME_FITS(policy, previous.name_at, previous.name_len) &&
           IMPLIES(some < i, LE_RULE_FITS(rules + 16 * some, policy->names_len,
                                          policy->num_pinsets)))
  {
    if (!check_next_rule(&previous, policy, i)) {
      return false;
    }
  }
  return (uint64_t)previous.name_at + previous.name_len == policy->names_len;
}

// ---- all of it --------------------------------------------------------------

static pv_status check_contents(const pv_policy *policy) {
  if (!flags_are_known(policy) ||
      !check_run(policy, read_run(policy->bytes + BLOCKED_AT)) ||
      !check_run(policy, read_run(policy->bytes + BLOCKED_AT + RUN_LEN))) {
    return PV_ERR_POLICY_HEADER;
  }
  if (!check_pinsets(policy)) {
    return PV_ERR_POLICY_PINSET;
  }
  if (!check_buckets(policy)) {
    return PV_ERR_POLICY_BUCKETS;
  }
  return check_rules(policy) ? PV_OK : PV_ERR_POLICY_RULE;
}

// On failure the view may have any value: pv_policy_open zeroes it.
static pv_status open_view(pv_policy *out, const uint8_t *bytes,
                           size_t bytes_len) {
  pv_status status = check_frame(bytes, bytes_len);
  if (status == PV_OK) {
    status = read_header(out, bytes, bytes_len);
  }
  return status == PV_OK ? check_contents(out) : status;
}

pv_status pv_policy_open(pv_policy *out, const uint8_t *bytes,
                         size_t bytes_len) {
  const pv_status status = open_view(out, bytes, bytes_len);
  if (status != PV_OK) {
    *out = (pv_policy){0};
  }
  return status;
}
