// Harnesses for the meaning of a look-up in policy_find.c: for names of up to
// four bytes, hosts with up to four ends and buckets of up to three rules, the
// rule that is found is the one that pinverify.h, section 5, describes.
#include "harness.h"

static uint8_t host[6];
static size_t host_len;

#include "policy_find.c"

// ---- one rule ---------------------------------------------------------------

enum { NAME_MAX = 4, RULES = 2, NAMES = 6 };

void prove_rule_is(void) {
  uint8_t rules[16 * RULES], names[NAMES], name[NAME_MAX];
  uint32_t i, tag;
  size_t name_len;
  uint8_t shape;
  const pv_policy policy = {.rules = rules, .names = names, .num_rules = RULES};
  __CPROVER_assume(i < RULES && name_len >= 1 && name_len <= NAME_MAX);
  const uint8_t *rule = rules + 16 * (size_t)i;
  const size_t at = LE32(rule);
  __CPROVER_assume(at <= NAMES && rule[12] <= NAMES - at);
  const bool is = rule_is(&policy, i, tag, name, name_len, shape);

  bool same_name = rule[12] == name_len;
  for (size_t b = 0; b < NAME_MAX; b++) {
    same_name = same_name && (b >= name_len || names[at + b] == name[b]);
  }
  __CPROVER_assert(is == (LE32(rule + 4) == tag && rule[13] == shape &&
                          same_name),
                   "its tag, its name and its shape");
  REACHED(is && name_len == NAME_MAX && i == 1);
  REACHED(!is && LE32(rule + 4) == tag && rule[13] == shape);
}

// ---- one bucket -------------------------------------------------------------

enum { BUCKETS = 4, IN_BUCKET = 3 };

static uint32_t starts[BUCKETS + 1];
static bool is_it[16];
static uint64_t wanted_hash;
static const uint8_t *wanted_name;
static size_t wanted_len;
static uint8_t wanted_shape;

uint32_t any_start(const pv_policy *policy, uint32_t bucket) {
  __CPROVER_assert(bucket <= BUCKETS, "a bucket that exists, or the end");
  return starts[bucket];
}

bool any_rule(const pv_policy *policy, uint32_t i, uint32_t tag,
              const uint8_t *name, size_t name_len, uint8_t shape) {
  __CPROVER_assert(tag == wanted_hash >> 32, "the upper half of the hash");
  __CPROVER_assert(name == wanted_name && name_len == wanted_len, "the name");
  __CPROVER_assert(shape == wanted_shape, "the shape");
  return is_it[i];
}

void prove_find_shape(void) {
  uint32_t any_starts[BUCKETS + 1];
  bool any_is_it[16];
  uint64_t any_hash;
  uint8_t any_shape;
  memcpy(starts, any_starts, sizeof starts);
  memcpy(is_it, any_is_it, sizeof is_it);
  wanted_hash = any_hash;
  wanted_shape = any_shape;
  wanted_name = host;
  wanted_len = 5;
  const pv_policy policy = {.num_rules = 16, .bucket_mask = BUCKETS - 1};
  const uint32_t bucket = (uint32_t)((wanted_hash ^ wanted_shape) % BUCKETS);
  const uint32_t start = starts[bucket], end = starts[bucket + 1];
  __CPROVER_assume(end <= 16 && (start >= end || end - start <= IN_BUCKET));
  const uint32_t found =
      find_shape(&policy, wanted_hash, host, wanted_len, wanted_shape);

  uint32_t spec = PV_NO_RULE;
  for (uint32_t before = 0; before < IN_BUCKET; before++) {
    if (start < end && before < end - start && is_it[end - 1 - before]) {
      spec = end - 1 - before;
    }
  }
  __CPROVER_assert(found == spec, "the first rule in its bucket that is it");
  REACHED(found == 15);
  REACHED(found == PV_NO_RULE && start < end && end - start == IN_BUCKET);
}

// ---- one end ----------------------------------------------------------------

uint32_t any_rule_of(const pv_policy *policy, uint64_t hash,
                     const uint8_t *name, size_t name_len, uint8_t shape) {
  __CPROVER_assert(hash == wanted_hash && name == wanted_name &&
                       name_len == wanted_len && shape == wanted_shape,
                   "the end, with its own hash");
  return 9;
}

void prove_find_end(void) {
  host_ends ends;
  pv_policy policy;
  size_t i;
  uint8_t shape;
  __CPROVER_assume(ends.num <= 4 && i < ends.num && ends.lens[i] <= sizeof host);
  wanted_hash = ends.hashes[i];
  wanted_len = ends.lens[i];
  wanted_name = host + sizeof host - wanted_len;
  wanted_shape = shape;
  __CPROVER_assert(find_end(&policy, &ends, i, shape, host, sizeof host) == 9,
                   "the rule of that end and shape");
  REACHED(i == 3 && shape == PV_ANY_LABELS);
}

// ---- a host -----------------------------------------------------------------

enum { ENDS = 4 };

static uint32_t of_end[ENDS][3];
static size_t num_ends;

void some_ends(host_ends *out, const uint64_t key[2], const uint8_t *name,
               size_t name_len) {
  __CPROVER_assert(name == host && name_len == host_len, "the host");
  out->num = num_ends;
}

uint32_t any_of_end(const pv_policy *policy, const host_ends *ends, size_t i,
                    uint8_t shape, const uint8_t *name, size_t name_len) {
  __CPROVER_assert(name == host && name_len == host_len, "the host");
  __CPROVER_assert(i < num_ends && shape <= PV_ANY_LABELS, "one of its ends");
  return of_end[i][shape];
}

// The rule of end `i`, of the most specific shape that stands for the host.
static uint32_t spec_end(size_t i) {
  const size_t labels_before = num_ends - 1 - i;
  if (labels_before == 0 && of_end[i][PV_EXACT] != PV_NO_RULE) {
    return of_end[i][PV_EXACT];
  }
  if (labels_before == 1 && of_end[i][PV_ONE_LABEL] != PV_NO_RULE) {
    return of_end[i][PV_ONE_LABEL];
  }
  return of_end[i][PV_ANY_LABELS];
}

void prove_find_host(void) {
  uint32_t any_of[ENDS][3];
  size_t any_len, any_num;
  pv_policy policy;
  memcpy(of_end, any_of, sizeof of_end);
  __CPROVER_assume(1 <= any_num && any_num <= ENDS);
  host_len = any_len;
  num_ends = any_num;
  const uint32_t found = find_host(&policy, host, host_len);

  uint32_t spec = PV_NO_RULE;
  for (size_t i = 0; i < num_ends; i++) {
    const uint32_t own = spec_end(i);
    spec = own != PV_NO_RULE ? own : spec;
  }
  __CPROVER_assert(found == spec, "the rule of the longest end that has one");
  REACHED(found == 1 && num_ends == ENDS && of_end[0][PV_ANY_LABELS] == 1);
  REACHED(found == 1 && num_ends == ENDS && of_end[2][PV_ONE_LABEL] == 1 &&
          of_end[0][PV_ANY_LABELS] == 2);
  REACHED(found == 1 && num_ends == 1 && of_end[0][PV_EXACT] == 1);
  REACHED(found == PV_NO_RULE && num_ends == ENDS);
}
