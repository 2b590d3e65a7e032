// fuzz_policy.c: any bytes as a compiled policy; look-ups in what opens,
// against a plain search through all rules; and the decision.
#include "check.h"
#include "pinverify.h"

enum { DIGEST_AT = 8, CONTENTS_AT = 40, HEADER_LEN = 128 };

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

static void check_policy(const uint8_t *bytes, size_t len) {
  pv_policy policy;
  if (pv_policy_open(&policy, bytes, len) != PV_OK) {
    check(all_zero(&policy, sizeof policy), "a refused policy is zero");
    return;
  }
  check_rules(&policy);
  check_pinsets(&policy);
  check_host(&policy, "example.org", 11);
  check_host(&policy, "..", 2);
}

// A fuzzer never finds a digest, so it is made to fit: magic, size and digest.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  uint8_t *bytes = exact_copy(data, len);
  check_policy(bytes, len);
  if (len >= HEADER_LEN) {
    memcpy(bytes, "pinvpol1", 8);
    for (size_t i = 0; i < 8; i++) {
      bytes[CONTENTS_AT + i] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    pv_sha256(bytes + DIGEST_AT, bytes + CONTENTS_AT, len - CONTENTS_AT);
    check_policy(bytes, len);
  }
  free(bytes);
  return 0;
}
