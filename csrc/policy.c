// policy.c: opens a compiled policy, whose bytes pinverify.h describes, and
// finds the rule of a host in it.
//
// pv_policy_open checks all of it once. What comes after relies on that: each
// look-up stays inside the bytes because open refused everything else.
#include <string.h>

#include "internal.h"

enum {
  MAGIC_LEN = 8,
  DIGEST_AT = 8,
  CONTENTS_AT = 40,  // what the digest covers begins here
  SIZE_AT = 40,
  FLAGS_AT = 48,
  NUM_RULES_AT = 52,
  NUM_BUCKETS_AT = 56,
  NUM_PINSETS_AT = 60,
  NUM_ROWS_AT = 64,
  NAMES_LEN_AT = 72,
  BLOCKED_AT = 80,
  RESERVED_AT = 96,
  HEADER_LEN = 128,

  PINSET_LEN = 80,
  EXPIRES_AT = 8,
  RUNS_AT = 16,
  RUN_LEN = 8,
  NUM_RUNS = 8,
  NUM_REQUIRED_RUNS = 6,  // pins, leaf and ca, of two kinds each

  RULE_LEN = 16,
  TAG_AT = 4,
  PINSET_INDEX_AT = 8,
  NAME_LEN_AT = 12,
  SHAPE_AT = 13
};

enum { NEVER_EXPIRES = 0, AFTER_EXPIRY_ALLOW = 1, AFTER_EXPIRY_REJECT = 2 };

static bool all_zero(const uint8_t *bytes, size_t len) {
  uint8_t seen = 0;
  for (size_t i = 0; i < len; i++) {
    seen |= bytes[i];
  }
  return seen == 0;
}

// ---- the hash of names: FNV-1a, from the last byte to the first -------------

static const uint64_t hash_basis = UINT64_C(0xcbf29ce484222325);

static uint64_t hash_step(uint64_t hash, char c) {
  return (hash ^ (uint8_t)c) * UINT64_C(0x100000001b3);
}

static uint64_t hash_name(const char *name, size_t name_len) {
  uint64_t hash = hash_basis;
  for (size_t i = name_len; i > 0; i--) {
    hash = hash_step(hash, name[i - 1]);
  }
  return hash;
}

static uint32_t hash_tag(uint64_t hash) {
  return (uint32_t)(hash >> 32);
}

static uint32_t hash_bucket(const pv_policy *policy, uint64_t hash) {
  return (uint32_t)(hash ^ hash >> 32) & policy->bucket_mask;
}

// ---- parts of an opened policy ----------------------------------------------

static const uint8_t *rule_at(const pv_policy *policy, uint32_t rule) {
  return policy->rules + (size_t)RULE_LEN * rule;
}

static const uint8_t *pinset_at(const pv_policy *policy, uint32_t pinset) {
  return policy->pinsets + (size_t)PINSET_LEN * pinset;
}

static uint32_t bucket_start(const pv_policy *policy, uint32_t bucket) {
  return load_le32(policy->buckets + 4 * (size_t)bucket);
}

static const char *rule_name(const pv_policy *policy, const uint8_t *rule) {
  return (const char *)policy->names + load_le32(rule);
}

pin_run policy_run(const pv_policy *policy, uint32_t pinset, uint32_t list,
                   uint32_t kind) {
  const uint8_t *run =
      pinset == PV_UNPINNED
          ? policy->bytes + BLOCKED_AT + RUN_LEN * kind
          : pinset_at(policy, pinset) + RUNS_AT + RUN_LEN * (2 * list + kind);
  const size_t first_row = load_le32(run);
  return (pin_run){policy->pins + PV_DIGEST_LEN * first_row,
                   load_le32(run + 4)};
}

bool policy_blocks(const pv_policy *policy) {
  return policy_run(policy, PV_UNPINNED, PV_LIST_BLOCKED, PV_SPKI).num_pins >
             0 ||
         policy_run(policy, PV_UNPINNED, PV_LIST_BLOCKED, PV_CERTIFICATE)
                 .num_pins > 0;
}

// ---- open -------------------------------------------------------------------

static pv_status check_frame(const uint8_t *bytes, size_t bytes_len) {
  uint8_t digest[PV_DIGEST_LEN];
  if (bytes_len < MAGIC_LEN || memcmp(bytes, "pinvpol1", MAGIC_LEN) != 0) {
    return PV_ERR_POLICY_MAGIC;
  }
  if (bytes_len < HEADER_LEN || load_le64(bytes + SIZE_AT) != bytes_len) {
    return PV_ERR_POLICY_SIZE;
  }
  pv_sha256(digest, bytes + CONTENTS_AT, bytes_len - CONTENTS_AT);
  return memcmp(digest, bytes + DIGEST_AT, PV_DIGEST_LEN) == 0
             ? PV_OK
             : PV_ERR_POLICY_DIGEST;
}

// Lays the sections out by the counts of the header; they must fill the bytes.
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
  out->flags = load_le32(bytes + FLAGS_AT);
  out->num_rules = load_le32(bytes + NUM_RULES_AT);
  out->num_pinsets = load_le32(bytes + NUM_PINSETS_AT);
  out->bucket_mask = num_buckets - 1;
  const uint64_t pinsets_at = HEADER_LEN + PV_DIGEST_LEN * num_rows;
  const uint64_t rules_at =
      pinsets_at + (uint64_t)PINSET_LEN * out->num_pinsets;
  const uint64_t buckets_at = rules_at + (uint64_t)RULE_LEN * out->num_rules;
  const uint64_t names_at = buckets_at + 4 * ((uint64_t)num_buckets + 1);
  const uint64_t end = names_at + names_len;
  if ((end + 7) / 8 * 8 != bytes_len ||
      !all_zero(bytes + end, bytes_len - (size_t)end)) {
    return PV_ERR_POLICY_HEADER;
  }
  out->pins = bytes + HEADER_LEN;
  out->pinsets = bytes + pinsets_at;
  out->rules = bytes + rules_at;
  out->buckets = bytes + buckets_at;
  out->names = bytes + names_at;
  return PV_OK;
}

static bool flags_are_known(const pv_policy *policy) {
  if (policy->flags == POLICY_EVERY_PEER) {
    return policy->num_rules == 0 && policy->num_pinsets == 1;
  }
  return (policy->flags & ~(uint32_t)POLICY_REJECT_UNPINNED) == 0;
}

// A run lies inside the pins, and what fills its last block repeats its last
// pin: otherwise a pin could hide there.
static bool check_run(const pv_policy *policy, const uint8_t *run) {
  const uint64_t first_row = load_le32(run);
  const uint32_t num_pins = load_le32(run + 4);
  const uint64_t num_rows = load_le64(policy->bytes + NUM_ROWS_AT);
  const uint64_t run_rows = packed_num_rows(num_pins);
  if (num_pins == 0) {
    return first_row == 0;
  }
  if (first_row > num_rows || run_rows > num_rows - first_row) {
    return false;
  }
  const uint8_t *packed = policy->pins + PV_DIGEST_LEN * first_row;
  uint8_t last[PV_DIGEST_LEN];
  uint8_t filler[PV_DIGEST_LEN];
  pv_pins_unpack(last, packed, num_pins, num_pins - 1);
  for (size_t i = num_pins; i < run_rows; i++) {
    pv_pins_unpack(filler, packed, num_pins, i);
    if (memcmp(filler, last, PV_DIGEST_LEN) != 0) {
      return false;
    }
  }
  return true;
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
  for (size_t i = 0; i < NUM_RUNS; i++) {
    const uint8_t *run = pinset + RUNS_AT + RUN_LEN * i;
    if (!check_run(policy, run)) {
      return false;
    }
    if (i < NUM_REQUIRED_RUNS) {
      num_required += load_le32(run + 4);
    }
  }
  return num_required > 0;
}

static bool check_buckets(const pv_policy *policy) {
  uint32_t previous = 0;
  if (bucket_start(policy, 0) != 0) {
    return false;
  }
  for (size_t b = 0; b <= (size_t)policy->bucket_mask + 1; b++) {
    const uint32_t start = load_le32(policy->buckets + 4 * b);
    if (start < previous) {
      return false;
    }
    previous = start;
  }
  return previous == policy->num_rules;
}

static bool is_canonical(const char *name, size_t name_len) {
  char canonical[PV_HOST_MAX + 1];
  size_t canonical_len = 0;
  return pv_host_canonical(canonical, &canonical_len, name, name_len) ==
             PV_OK &&
         canonical_len == name_len && memcmp(canonical, name, name_len) == 0;
}

// Its name lies where the name before it ended, and stands for what it says.
static bool check_name(const pv_policy *policy, const uint8_t *rule,
                       uint64_t name_at, uint64_t names_len) {
  const size_t name_len = rule[NAME_LEN_AT];
  if (load_le32(rule) != name_at || name_len > names_len - name_at ||
      rule[SHAPE_AT] > PV_ANY_LABELS) {
    return false;
  }
  const char *name = rule_name(policy, rule);
  return is_canonical(name, name_len) &&
         (rule[SHAPE_AT] == PV_EXACT || !host_is_address(name, name_len));
}

// Negative, zero or positive, as rules of one bucket are ordered.
static int compare_rules(const pv_policy *policy, const uint8_t *a,
                         const uint8_t *b) {
  const uint32_t tag_a = load_le32(a + TAG_AT);
  const uint32_t tag_b = load_le32(b + TAG_AT);
  const uint8_t len_a = a[NAME_LEN_AT];
  const uint8_t len_b = b[NAME_LEN_AT];
  if (tag_a != tag_b) {
    return tag_a < tag_b ? -1 : 1;
  }
  const int order = memcmp(rule_name(policy, a), rule_name(policy, b),
                           len_a < len_b ? len_a : len_b);
  if (order != 0) {
    return order;
  }
  return len_a != len_b ? len_a - len_b : a[SHAPE_AT] - b[SHAPE_AT];
}

static bool check_rule(const pv_policy *policy, uint32_t bucket,
                       const uint8_t *rule) {
  const uint32_t pinset = load_le32(rule + PINSET_INDEX_AT);
  const uint64_t hash = hash_name(rule_name(policy, rule), rule[NAME_LEN_AT]);
  return (pinset < policy->num_pinsets || pinset == PV_UNPINNED) &&
         all_zero(rule + SHAPE_AT + 1, 2) &&
         load_le32(rule + TAG_AT) == hash_tag(hash) &&
         hash_bucket(policy, hash) == bucket;
}

static bool check_rules(const pv_policy *policy) {
  const uint64_t names_len = load_le64(policy->bytes + NAMES_LEN_AT);
  uint64_t name_at = 0;
  uint32_t bucket = 0;
  for (uint32_t i = 0; i < policy->num_rules; i++) {
    const uint8_t *rule = rule_at(policy, i);
    while (bucket_start(policy, bucket + 1) <= i) {
      bucket += 1;
    }
    if (!check_name(policy, rule, name_at, names_len) ||
        !check_rule(policy, bucket, rule)) {
      return false;
    }
    if (i > bucket_start(policy, bucket) &&
        compare_rules(policy, rule_at(policy, i - 1), rule) >= 0) {
      return false;
    }
    name_at += rule[NAME_LEN_AT];
  }
  return name_at == names_len;
}

static pv_status check_contents(const pv_policy *policy) {
  if (!flags_are_known(policy) ||
      !check_run(policy, policy->bytes + BLOCKED_AT) ||
      !check_run(policy, policy->bytes + BLOCKED_AT + RUN_LEN)) {
    return PV_ERR_POLICY_HEADER;
  }
  for (uint32_t i = 0; i < policy->num_pinsets; i++) {
    if (!check_pinset(policy, pinset_at(policy, i))) {
      return PV_ERR_POLICY_PINSET;
    }
  }
  if (!check_buckets(policy)) {
    return PV_ERR_POLICY_BUCKETS;
  }
  return check_rules(policy) ? PV_OK : PV_ERR_POLICY_RULE;
}

pv_status pv_policy_open(pv_policy *out, const uint8_t *bytes,
                         size_t bytes_len) {
  pv_status status = check_frame(bytes, bytes_len);
  *out = (pv_policy){0};
  if (status == PV_OK) {
    status = read_header(out, bytes, bytes_len);
  }
  if (status == PV_OK) {
    status = check_contents(out);
  }
  if (status != PV_OK) {
    *out = (pv_policy){0};
  }
  return status;
}

// ---- look-up ----------------------------------------------------------------

static uint32_t find_shape(const pv_policy *policy, uint64_t hash,
                           const char *name, size_t name_len, uint8_t shape) {
  const uint32_t bucket = hash_bucket(policy, hash);
  const uint32_t end = bucket_start(policy, bucket + 1);
  for (uint32_t i = bucket_start(policy, bucket); i < end; i++) {
    const uint8_t *rule = rule_at(policy, i);
    if (load_le32(rule + TAG_AT) == hash_tag(hash) &&
        rule[NAME_LEN_AT] == name_len && rule[SHAPE_AT] == shape &&
        memcmp(rule_name(policy, rule), name, name_len) == 0) {
      return i;
    }
  }
  return PV_NO_RULE;
}

// The rule whose name is this suffix of a host: `first` before "**.".
static uint32_t find_suffix(const pv_policy *policy, uint64_t hash,
                            const char *suffix, size_t suffix_len,
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

uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                        size_t host_len) {
  if (policy->bytes == NULL || host_len == 0) {
    return PV_NO_RULE;
  }
  const char *dot = memchr(host, '.', host_len);
  const size_t second_label = dot == NULL ? host_len : (size_t)(dot - host) + 1;
  uint64_t hash = hash_basis;
  uint32_t best = PV_NO_RULE;
  // From the shortest suffix to the whole host: what is found later is more
  // specific.
  for (size_t i = host_len; i > 0; i--) {
    const size_t at = i - 1;
    hash = hash_step(hash, host[at]);
    if (at > 0 && host[at - 1] != '.') {
      continue;
    }
    uint8_t first = PV_ANY_LABELS;
    if (at == 0) {
      first = PV_EXACT;
    } else if (at == second_label) {
      first = PV_ONE_LABEL;
    }
    const uint32_t rule =
        find_suffix(policy, hash, host + at, host_len - at, first);
    best = rule != PV_NO_RULE ? rule : best;
  }
  return best;
}

// ---- reading a policy back --------------------------------------------------

pv_status pv_policy_rule(pv_rule *out, const pv_policy *policy, uint32_t rule) {
  *out = (pv_rule){0};
  if (rule >= policy->num_rules) {
    return PV_ERR_ARGUMENT;
  }
  const uint8_t *r = rule_at(policy, rule);
  out->name = rule_name(policy, r);
  out->name_len = r[NAME_LEN_AT];
  out->shape = r[SHAPE_AT];
  out->pinset = load_le32(r + PINSET_INDEX_AT);
  return PV_OK;
}

pv_status pv_policy_pinset(pv_pinset *out, const pv_policy *policy,
                           uint32_t pinset) {
  *out = (pv_pinset){0};
  if (pinset >= policy->num_pinsets) {
    return PV_ERR_ARGUMENT;
  }
  const uint8_t *p = pinset_at(policy, pinset);
  const uint64_t expires = load_le64(p + EXPIRES_AT);
  out->mode = p[0];
  out->expires_set = p[1] != NEVER_EXPIRES;
  out->expired_rejects = p[1] == AFTER_EXPIRY_REJECT;
  memcpy(&out->expires, &expires, sizeof expires);
  for (uint32_t i = 0; i < NUM_RUNS; i++) {
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
  const pin_run run = policy_run(policy, pinset, list, kind);
  if (i >= run.num_pins) {
    return PV_ERR_ARGUMENT;
  }
  pv_pins_unpack(out, run.packed, run.num_pins, i);
  return PV_OK;
}
