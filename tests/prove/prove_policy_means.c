// Harnesses for the meaning of a look-up in policy.c: for names of up to four
// bytes, hosts of up to six and buckets of up to three rules, the rule that is
// found is the one that pinverify.h, section 5, describes.
#include "harness.h"

static uint8_t host[6];
static size_t host_len;
static size_t first_dot;  // or host_len

void *memchr(const void *bytes, int byte, size_t len) {
  __CPROVER_assert(bytes == host && byte == '.' && len == host_len,
                   "the first dot of the host");
  return first_dot == len ? NULL : (uint8_t *)bytes + first_dot;
}

#include "policy.c"

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

// ---- one suffix -------------------------------------------------------------

static uint32_t of_shape[3];

uint32_t any_of_shape(const pv_policy *policy, uint64_t hash,
                      const uint8_t *name, size_t name_len, uint8_t shape) {
  __CPROVER_assert(hash == wanted_hash && name == wanted_name &&
                       name_len == wanted_len,
                   "the suffix");
  __CPROVER_assert(shape <= PV_ANY_LABELS, "a shape");
  return of_shape[shape];
}

void prove_find_suffix(void) {
  uint32_t any_of[3];
  uint64_t any_hash;
  uint8_t first;
  pv_policy policy;
  memcpy(of_shape, any_of, sizeof of_shape);
  wanted_hash = any_hash;
  wanted_name = host;
  wanted_len = 5;
  __CPROVER_assume(first <= PV_ANY_LABELS);
  const uint32_t found = find_suffix(&policy, any_hash, host, 5, first);
  __CPROVER_assert(found == (of_shape[first] != PV_NO_RULE
                                 ? of_shape[first]
                                 : of_shape[PV_ANY_LABELS]),
                   "the shape that is asked for, or else any labels");
  REACHED(found == 1 && first == PV_EXACT);
  REACHED(found == 2 && of_shape[PV_ONE_LABEL] == 1);
}

// ---- a host -----------------------------------------------------------------

static uint32_t of_suffix[6];

// The hash is told by the bytes that went into it, one after the other.
name_hash no_hash(const uint64_t key[2]) {
  return (name_hash){.len = 0};
}

void next_hash(name_hash *hash, uint8_t c) {
  hash->len += 1;
}

uint64_t hash_so_far(name_hash hash) {
  return hash.len;
}

uint32_t any_of_suffix(const pv_policy *policy, uint64_t hash,
                       const uint8_t *suffix, size_t suffix_len,
                       uint8_t first) {
  const size_t at = (size_t)(suffix - host);
  __CPROVER_assert(at < host_len && suffix_len == host_len - at &&
                       (at == 0 || host[at - 1] == '.'),
                   "a suffix of whole labels");
  __CPROVER_assert(hash == suffix_len, "the hash of its bytes");
  __CPROVER_assert(first == (at == 0               ? PV_EXACT
                             : at == first_dot + 1 ? PV_ONE_LABEL
                                                   : PV_ANY_LABELS),
                   "the most specific shape that it can have");
  return of_suffix[at];
}

void prove_find_host(void) {
  uint32_t any_of[6];
  size_t any_len;
  uint8_t any_host[6];
  pv_policy policy;
  memcpy(of_suffix, any_of, sizeof of_suffix);
  memcpy(host, any_host, sizeof host);
  __CPROVER_assume(any_len >= 1 && any_len <= sizeof host);
  host_len = any_len;
  first_dot = host_len;
  for (size_t after = host_len; after > 0; after--) {
    first_dot = host[after - 1] == '.' ? after - 1 : first_dot;
  }
  const uint32_t found = find_host(&policy, host, host_len);

  uint32_t spec = PV_NO_RULE;
  for (size_t at = 0; at < host_len && spec == PV_NO_RULE; at++) {
    if (at == 0 || host[at - 1] == '.') {
      spec = of_suffix[at];
    }
  }
  __CPROVER_assert(found == spec, "the rule with the longest name");
  REACHED(found == 1 && of_suffix[0] != 1 && host_len == 6);
  REACHED(found == 1 && of_suffix[0] == 1 && of_suffix[2] == 2 && host[1] == '.');
  REACHED(found == PV_NO_RULE);
}
