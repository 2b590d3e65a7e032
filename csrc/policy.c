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
  for (size_t i = 0; i < len; i++)
    LOOP(len - i, i <= len && IMPLIES(some < i && seen == 0, bytes[some] == 0))
  {
    seen |= bytes[i];
  }
  return seen == 0;
}

// ---- the hash of names: FNV-1a, from the last byte to the first -------------

static const uint64_t hash_basis = UINT64_C(0xcbf29ce484222325);

MAY_WRAP_BEGIN
static uint64_t hash_step(uint64_t hash, uint8_t c) {
  return (hash ^ c) * UINT64_C(0x100000001b3);
}
MAY_WRAP_END

static uint64_t hash_name(const uint8_t *name, size_t name_len) {
  uint64_t hash = hash_basis;
  for (size_t i = name_len; i > 0; i--)
    LOOP(i, i <= name_len && (i < name_len || hash == hash_basis))
  {
    hash = hash_step(hash, name[i - 1]);
  }
  return hash;
}

static uint32_t hash_tag(uint64_t hash) {
  return (uint32_t)(hash >> 32);
}

static uint32_t hash_bucket(const pv_policy *policy, uint64_t hash) {
  return (uint32_t)((hash ^ hash >> 32) & policy->bucket_mask);
}

// ---- parts of a policy ------------------------------------------------------
//
// A run and a rule are read from their bytes first and handed on as values, so
// that most functions look at one section and no more.

typedef struct pin_rows {
  uint32_t first_row;
  uint32_t num_pins;
} pin_rows;

static pin_rows read_run(const uint8_t *run) {
  return (pin_rows){load_le32(run), load_le32(run + 4)};
}

typedef struct rule_fields {
  uint32_t name_at;
  uint32_t tag;
  uint32_t pinset;
  uint8_t name_len;
  uint8_t shape;
  uint8_t zero[2];
} rule_fields;

static rule_fields read_rule(const uint8_t *rule) {
  return (rule_fields){.name_at = load_le32(rule),
                       .tag = load_le32(rule + TAG_AT),
                       .pinset = load_le32(rule + PINSET_INDEX_AT),
                       .name_len = rule[NAME_LEN_AT],
                       .shape = rule[SHAPE_AT],
                       .zero = {rule[SHAPE_AT + 1], rule[SHAPE_AT + 2]}};
}

static const uint8_t *rule_at(const pv_policy *policy, uint32_t rule) {
  return policy->rules + (size_t)RULE_LEN * rule;
}

static const uint8_t *pinset_at(const pv_policy *policy, uint32_t pinset) {
  return policy->pinsets + (size_t)PINSET_LEN * pinset;
}

static uint32_t bucket_start(const pv_policy *policy, uint32_t bucket) {
  return load_le32(policy->buckets + 4 * (size_t)bucket);
}

// The run of a PinSet; the numbers are in range.
static pin_rows pinset_run(const pv_policy *policy, uint32_t pinset,
                           uint32_t list, uint32_t kind) {
  return read_run(pinset_at(policy, pinset) + RUNS_AT +
                  RUN_LEN * (2 * list + kind));
}

// The run of the pins that are blocked for every host.
static pin_rows blocked_run(const pv_policy *policy, uint32_t kind) {
  return read_run(policy->bytes + BLOCKED_AT + RUN_LEN * kind);
}

static pin_run pins_of(const pv_policy *policy, pin_rows run) {
  return (pin_run){policy->pins + PV_DIGEST_LEN * (size_t)run.first_row,
                   run.num_pins};
}

pin_run policy_run(const pv_policy *policy, uint32_t pinset, uint32_t list,
                   uint32_t kind) {
  return pins_of(policy, pinset == PV_UNPINNED
                             ? blocked_run(policy, kind)
                             : pinset_run(policy, pinset, list, kind));
}

bool policy_blocks(const pv_policy *policy) {
  return blocked_run(policy, PV_SPKI).num_pins > 0 ||
         blocked_run(policy, PV_CERTIFICATE).num_pins > 0;
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
  out->num_rows = num_rows;
  out->names_len = names_len;
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

// Whether what fills the last block of packed pins repeats the last pin:
// otherwise a pin could hide there.
static bool is_filled(const uint8_t *packed, uint32_t num_pins) {
  uint8_t last[PV_DIGEST_LEN];
  uint8_t filler[PV_DIGEST_LEN];
  const uint64_t num_rows = packed_num_rows(num_pins);
  pv_pins_unpack(last, packed, num_pins, num_pins - 1);
  for (size_t i = num_pins; i < num_rows; i++) CHANGES(i, BYTES(filler, 32))
  LOOP(num_rows - i, num_pins <= i && i <= num_rows)
  {
    pv_pins_unpack(filler, packed, num_pins, i);
    if (memcmp(filler, last, PV_DIGEST_LEN) != 0) {
      return false;
    }
  }
  return true;
}

// A run lies inside the pins.
static bool check_run(const pv_policy *policy, pin_rows run) {
  if (run.num_pins == 0) {
    return run.first_row == 0;
  }
  return run.first_row <= policy->num_rows &&
         packed_num_rows(run.num_pins) <= policy->num_rows - run.first_row &&
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

// Number `i` is looked at in a copy, so that its check sees one section, the
// pins.
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

static bool check_buckets(const pv_policy *policy) {
  uint32_t previous = 0;
  if (load_le32(policy->buckets) != 0) {
    return false;
  }
  for (size_t b = 0; b <= (size_t)policy->bucket_mask + 1; b++)
    LOOP((size_t)policy->bucket_mask + 2 - b,
         b <= (size_t)policy->bucket_mask + 2 && (b > 0 || previous == 0) &&
             IMPLIES(b > 0, LE32(BUCKET_OF(policy, b - 1)) == previous) &&
             IMPLIES(some < b, LE32(BUCKET_OF(policy, some)) <= previous))
  {
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
static bool check_name(const pv_policy *policy, rule_fields rule,
                       uint64_t name_at) {
  if (rule.name_at != name_at || rule.name_len > policy->names_len - name_at ||
      rule.shape > PV_ANY_LABELS) {
    return false;
  }
  const char *name = (const char *)policy->names + rule.name_at;
  return is_canonical(name, rule.name_len) &&
         (rule.shape == PV_EXACT || !host_is_address(name, rule.name_len));
}

// Negative, zero or positive, as rules of one bucket are ordered.
static int compare_rules(const pv_policy *policy, rule_fields a,
                         rule_fields b) {
  if (a.tag != b.tag) {
    return a.tag < b.tag ? -1 : 1;
  }
  const int order = memcmp(policy->names + a.name_at, policy->names + b.name_at,
                           a.name_len < b.name_len ? a.name_len : b.name_len);
  if (order != 0) {
    return order;
  }
  return a.name_len != b.name_len ? a.name_len - b.name_len : a.shape - b.shape;
}

static bool check_rule(const pv_policy *policy, uint32_t bucket,
                       rule_fields rule) {
  const uint64_t hash = hash_name(policy->names + rule.name_at, rule.name_len);
  return (rule.pinset < policy->num_pinsets || rule.pinset == PV_UNPINNED) &&
         rule.zero[0] == 0 && rule.zero[1] == 0 && rule.tag == hash_tag(hash) &&
         hash_bucket(policy, hash) == bucket;
}

// The bucket of rule number `rule`, from that of the rule before it. There is
// one, since the buckets end where the rules end.
static uint32_t next_bucket(const pv_policy *policy, uint32_t bucket,
                            uint32_t rule) {
  while (load_le32(policy->buckets + 4 * ((size_t)bucket + 1)) <= rule)
    LOOP(policy->bucket_mask - bucket, bucket <= policy->bucket_mask)
  {
    bucket += 1;
  }
  return bucket;
}

// How far the check of the rules has come: what the next rule is compared with.
typedef struct rules_seen {
  rule_fields previous;
  uint64_t name_at;  // where its name must begin
  uint32_t bucket;   // of the previous rule
} rules_seen;

// Rule number `i`, whose name must follow that of the rule before it.
static bool check_next_rule(rules_seen *seen, const pv_policy *policy,
                            uint32_t i) {
  const rule_fields rule = read_rule(rule_at(policy, i));
  seen->bucket = next_bucket(policy, seen->bucket, i);
  if (!check_name(policy, rule, seen->name_at) ||
      !check_rule(policy, seen->bucket, rule)) {
    return false;
  }
  if (i > bucket_start(policy, seen->bucket) &&
      compare_rules(policy, seen->previous, rule) >= 0) {
    return false;
  }
  seen->name_at += rule.name_len;
  seen->previous = rule;
  return true;
}

static bool check_rules(const pv_policy *policy) {
  GHOST(const uint8_t *rules = policy->rules)
  rules_seen seen = {0};
  for (uint32_t i = 0; i < policy->num_rules; i++) CHANGES(i, seen)
  LOOP(policy->num_rules - i,
       i <= policy->num_rules && SEEN_FITS(&seen, policy) &&
           IMPLIES(some < i, LE_RULE_FITS(rules + 16 * some, policy->names_len,
                                          policy->num_pinsets)))
  {
    if (!check_next_rule(&seen, policy, i)) {
      return false;
    }
  }
  return seen.name_at == policy->names_len;
}

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

// Where this fails, the view may be anything: pv_policy_open closes it.
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

// ---- look-up ----------------------------------------------------------------

// Whether rule number `i` has this tag, name and shape.
static bool rule_is(const pv_policy *policy, uint32_t i, uint32_t tag,
                    const uint8_t *name, size_t name_len, uint8_t shape) {
  const uint8_t *rule = rule_at(policy, i);
  return load_le32(rule + TAG_AT) == tag && rule[NAME_LEN_AT] == name_len &&
         rule[SHAPE_AT] == shape &&
         memcmp(policy->names + load_le32(rule), name, name_len) == 0;
}

static uint32_t find_shape(const pv_policy *policy, uint64_t hash,
                           const uint8_t *name, size_t name_len,
                           uint8_t shape) {
  const uint32_t bucket = hash_bucket(policy, hash);
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

// The rule whose name is this suffix of a host: `first` before "**.".
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

static uint32_t find_host(const pv_policy *policy, const uint8_t *host,
                          size_t host_len) {
  const uint8_t *dot = memchr(host, '.', host_len);
  const size_t second_label = dot == NULL ? host_len : (size_t)(dot - host) + 1;
  uint64_t hash = hash_basis;
  uint32_t best = PV_NO_RULE;
  // From the shortest suffix to the whole host: what is found later is more
  // specific.
  for (size_t i = host_len; i > 0; i--)
    LOOP(i, i <= host_len && (best == PV_NO_RULE || best < policy->num_rules))
  {
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

uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                        size_t host_len) {
  return policy->bytes == NULL || host_len == 0
             ? PV_NO_RULE
             : find_host(policy, (const uint8_t *)host, host_len);
}

// ---- reading a policy back --------------------------------------------------

pv_status pv_policy_rule(pv_rule *out, const pv_policy *policy, uint32_t rule) {
  *out = (pv_rule){0};
  if (rule >= policy->num_rules) {
    return PV_ERR_ARGUMENT;
  }
  const rule_fields fields = read_rule(rule_at(policy, rule));
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
  const uint8_t *p = pinset_at(policy, pinset);
  const uint64_t expires = load_le64(p + EXPIRES_AT);
  out->mode = p[0];
  out->expires_set = p[1] != NEVER_EXPIRES;
  out->expired_rejects = p[1] == AFTER_EXPIRY_REJECT;
  memcpy(&out->expires, &expires, sizeof expires);
  for (uint32_t i = 0; i < NUM_RUNS; i++) CHANGES(i, BYTES(out->num_pins, 32))
  LOOP(NUM_RUNS - i, i <= NUM_RUNS)
  {
    out->num_pins[i] = pinset_run(policy, pinset, i / 2, i % 2).num_pins;
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
