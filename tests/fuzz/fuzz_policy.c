// fuzz_policy.c: any bytes as a compiled policy; look-ups in what opens,
// against a plain search through all rules; and the decision. What opens is
// compiled again, and patterns are compiled that are any bytes.
#include "check.h"
#include "pinverify_compile.h"
#include "policy_hash.h"

enum { DIGEST_AT = 8, SIZE_AT = 40, HEADER_LEN = 128 };

// ---- the plain search -------------------------------------------------------

static bool ends_with(const char *host, size_t len, const pv_rule *rule) {
  return len >= rule->name_len &&
         memcmp(host + len - rule->name_len, rule->name, rule->name_len) == 0;
}

static bool rule_matches(const pv_rule *rule, const char *host, size_t len) {
  if (!ends_with(host, len, rule)) {
    return false;
  }
  const size_t more = len - rule->name_len;
  if (more == 0) {
    return rule->shape != PV_ONE_LABEL;
  }
  if (rule->shape == PV_EXACT || host[more - 1] != '.') {
    return false;
  }
  return rule->shape == PV_ANY_LABELS || memchr(host, '.', more - 1) == NULL;
}

static uint32_t search(const pv_policy *policy, const char *host, size_t len) {
  uint32_t best = PV_NO_RULE;
  size_t best_rank = 0;
  for (uint32_t i = 0; i < policy->num_rules; i++) {
    pv_rule rule;
    check(pv_policy_rule(&rule, policy, i) == PV_OK, "each rule can be read");
    // The longest name wins; among equals exact, then one label, then any.
    const size_t rank = 4 * rule.name_len + 3 - rule.shape;
    if (rule_matches(&rule, host, len) && rank > best_rank) {
      best = i;
      best_rank = rank;
    }
  }
  return best;
}

// ---- look-ups and decisions -------------------------------------------------

static void check_host(const pv_policy *policy, const char *host, size_t len) {
  static const uint8_t no_certificate[] = {0x30, 0x00};
  const pv_span chain = {no_certificate, sizeof no_certificate};
  char canonical[PV_HOST_MAX + 1];
  size_t canonical_len = 0;
  if (pv_host_canonical(canonical, &canonical_len, host, len) == PV_OK) {
    check(pv_policy_find(policy, canonical, canonical_len) ==
              search(policy, canonical, canonical_len),
          "the look-up finds what a plain search finds");
  }
  for (size_t num_certs = 0; num_certs <= 1; num_certs++) {
    pv_report report;
    check(pv_evaluate(&report, NULL, policy, host, len, &chain, num_certs, 0) ==
              PV_OK,
          "the question can be answered");
    check(report.reason != PV_MATCH, "nothing matches without a key");
    check(report.accepted == 0 || report.reason == PV_NOT_PINNED ||
              report.reason == PV_EXPIRED || report.mode == PV_REPORT,
          "without a key, only hosts without pins or watched ones are accepted");
  }
}

static void check_rules(const pv_policy *policy) {
  char host[PV_HOST_MAX + 5];
  for (uint32_t i = 0; i < policy->num_rules && i < 64; i++) {
    pv_rule rule;
    check(pv_policy_rule(&rule, policy, i) == PV_OK, "each rule can be read");
    memcpy(host, "a.b.", 4);
    memcpy(host + 4, rule.name, rule.name_len);
    check_host(policy, rule.name, rule.name_len);
    check_host(policy, host + 2, rule.name_len + 2);
    check_host(policy, host, rule.name_len + 4);
  }
}

static void check_pinsets(const pv_policy *policy) {
  for (uint32_t i = 0; i < policy->num_pinsets && i < 64; i++) {
    pv_pinset set;
    uint8_t pin[32];
    check(pv_policy_pinset(&set, policy, i) == PV_OK, "each PinSet is there");
    for (uint32_t run = 0; run < 8; run++) {
      const uint32_t num = set.num_pins[run];
      check(num == 0 || pv_policy_pin(pin, policy, i, run / 2, run % 2,
                                      num - 1) == PV_OK,
            "the last pin is there");
      check(pv_policy_pin(pin, policy, i, run / 2, run % 2, num) ==
                PV_ERR_ARGUMENT,
            "there is none behind it");
    }
  }
}

// ---- a policy that opens is compiled again ----------------------------------

enum { MAX_RULES = 64 };

static int compare_patterns(const void *a, const void *b) {
  return strcmp(((const char *const *)a)[0], ((const char *const *)b)[0]);
}

// Compiles the same rules with the same pins, and compares what they are.
static void check_compiled(const pv_policy *policy) {
  static const char *const wildcards[] = {"", "*.", "**."};
  static char texts[MAX_RULES][PV_HOST_MAX + 4];
  char *sorted[MAX_RULES];
  char data[MAX_RULES * (PV_HOST_MAX + 4)];
  uint32_t ends[MAX_RULES + 1] = {0};
  uint32_t pinset_of[MAX_RULES];
  const uint32_t num = policy->num_rules;
  if (num > MAX_RULES) {
    return;
  }
  for (uint32_t i = 0; i < num; i++) {
    pv_rule rule;
    check(pv_policy_rule(&rule, policy, i) == PV_OK, "each rule can be read");
    snprintf(texts[i], sizeof texts[i], "%s%.*s", wildcards[rule.shape],
             (int)rule.name_len, rule.name);
    sorted[i] = texts[i];
  }
  qsort(sorted, num, sizeof *sorted, compare_patterns);
  for (uint32_t i = 0; i < num; i++) {
    pv_rule rule;
    const size_t len = strlen(sorted[i]);
    const uint32_t of = (uint32_t)((sorted[i] - texts[0]) / (int)sizeof *texts);
    check(pv_policy_rule(&rule, policy, of) == PV_OK, "each rule can be read");
    memcpy(data + ends[i], sorted[i], len);
    ends[i + 1] = ends[i] + (uint32_t)len;
    pinset_of[i] = rule.pinset;
  }
  pv_policy_source source = {
      .patterns = {(const uint8_t *)data, sizeof data, {ends, 4, num}},
      .pinset_of = pinset_of,
      .pins = policy->pins,
      .num_rows = policy->num_rows,
      .pinsets = policy->pinsets,
      .num_pinsets = policy->num_pinsets,
      .flags = policy->flags};
  memcpy(source.blocked, policy->bytes + 80, sizeof source.blocked);
  const size_t len = pv_policy_compiled_len(&source);
  uint8_t *out = malloc(len);
  size_t row = 0;
  pv_policy again;
  check(out != NULL && pv_policy_compile(out, len, &row, &source) == PV_OK,
        "what opens can be compiled");
  check(pv_policy_open(&again, out, len) == PV_OK, "and opens again");
  check(again.num_rules == num, "with as many rules");
  for (uint32_t i = 0; i < num; i++) {
    pv_rule rule, other;
    check(pv_policy_rule(&rule, policy, i) == PV_OK, "each rule can be read");
    uint32_t same = 0;
    for (uint32_t j = 0; j < num; j++) {
      check(pv_policy_rule(&other, &again, j) == PV_OK, "and those of the other");
      same += other.shape == rule.shape && other.pinset == rule.pinset &&
              other.name_len == rule.name_len &&
              memcmp(other.name, rule.name, rule.name_len) == 0;
    }
    check(same == 1, "each rule is in the other, once");
  }
  free(out);
}

static void check_policy(const uint8_t *bytes, size_t len) {
  pv_policy policy;
  if (pv_policy_open(&policy, bytes, len) != PV_OK) {
    check(all_zero(&policy, sizeof policy), "a refused policy is zero");
    return;
  }
  check_rules(&policy);
  check_pinsets(&policy);
  check_compiled(&policy);
  check_host(&policy, "example.org", 11);
  check_host(&policy, "..", 2);
}

// Any bytes as patterns, cut at each newline: the compiler refuses them, or
// writes what opens.
static void check_patterns(const uint8_t *data, size_t len) {
  uint32_t ends[MAX_RULES + 1] = {0};
  uint32_t pinset_of[MAX_RULES];
  size_t num = 0;
  memset(pinset_of, 0xff, sizeof pinset_of);  // all are unpinned
  for (size_t i = 0; i < len && num < MAX_RULES; i++) {
    if (data[i] == '\n' || i + 1 == len) {
      num += 1;
      ends[num] = (uint32_t)(i + 1);
    }
  }
  const size_t canonical_len = len + num + 1;
  uint8_t *canonical = malloc(canonical_len);
  uint64_t offsets[MAX_RULES + 1];
  size_t row = 0;
  const pv_column given = {data, len, {ends, 4, num}};
  pv_policy_source source = {.patterns = given, .pinset_of = pinset_of};
  check(canonical != NULL, "there is memory");
  if (pv_patterns_canonical(canonical, canonical_len, offsets, &row, &given) ==
      PV_OK) {
    source.patterns = (pv_column){canonical, canonical_len, {offsets, 8, num}};
  }
  const size_t size = pv_policy_compiled_len(&source);
  uint8_t *out = malloc(size);
  pv_policy policy;
  check(size >= HEADER_LEN && out != NULL, "the columns are good");
  const pv_status status = pv_policy_compile(out, size, &row, &source);
  if (status == PV_OK) {
    check(pv_policy_open(&policy, out, size) == PV_OK, "what is compiled opens");
    check(policy.num_rules == num, "with a rule for each pattern");
  } else {
    check(status == PV_ERR_POLICY_PATTERN || status == PV_ERR_POLICY_ORDER,
          "only patterns can be wrong");
    check(row < num && all_zero(out, size), "the row is told, and nothing else");
  }
  free(out);
  free(canonical);
}

// A fuzzer never finds a digest, so it is made to fit: magic, size and digest.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  uint8_t *bytes = exact_copy(data, len);
  check_patterns(bytes, len);
  check_policy(bytes, len);
  if (len >= HEADER_LEN) {
    memcpy(bytes, "pinvpol2", 8);
    for (size_t i = 0; i < 8; i++) {
      bytes[SIZE_AT + i] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    pv__digest_policy(bytes + DIGEST_AT, bytes, len);
    check_policy(bytes, len);
  }
  free(bytes);
  return 0;
}
