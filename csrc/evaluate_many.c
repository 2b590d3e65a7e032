// evaluate_many.c: columns of hosts and chains --> columns of answers. Nothing
// here decides: evaluate.c does, for one peer after the other.
#include <string.h>

#include "evaluate.h"

// ---- rules, ahead -----------------------------------------------------------

enum { PEERS_AHEAD = 128 };

// Returns where the bucket of a name begins, if the name is no wildcard.
static const uint8_t *exact_bucket(const pv_policy *policy, uint64_t hash) {
  const uint32_t bucket = hash_bucket(policy->bucket_mask, hash, PV_EXACT);
  return policy->buckets + 4 * (size_t)bucket;
}

// Prefetches the name and the PinSet of the rule that a name probably has.
static void prefetch_rule(const pv_policy *policy, uint64_t hash) {
  const uint8_t *bucket = exact_bucket(policy, hash);
  const uint32_t end = load_le32(bucket + 4);
  for (uint32_t i = load_le32(bucket); i < end; i++) {
    const rule_fields rule = read_rule(rule_at(policy, i));
    if (rule.tag == hash_tag(hash) && rule.pinset < policy->num_pinsets) {
      const uint8_t *pinset = pinset_at(policy, rule.pinset);
      PV_PREFETCH(policy->names + rule.name_at);
      PV_PREFETCH(pinset);
      PV_PREFETCH(pinset + PINSET_LEN - 1);
    }
  }
}

// Prefetches the first pins of a rule.
static void prefetch_pins(const pv_policy *policy, uint32_t rule) {
  const uint32_t pinset = read_rule(rule_at(policy, rule)).pinset;
  if (pinset < policy->num_pinsets) {
    const pin_rows run = read_run(pinset_at(policy, pinset) + RUNS_AT);
    const uint8_t *pins = policy->pins + PV_DIGEST_LEN * (size_t)run.first_row;
    PV_PREFETCH(pins);
    PV_PREFETCH(pins + CACHE_LINE);
  }
}

// Finds the rules that are spelt as `num` hosts are, from number `first` on.
// With many rules, a decision waits for memory four times: for a bucket, a
// rule, its name and PinSet, and pins. So each is prefetched for all of these
// hosts before it is read for one.
static void find_rules(uint32_t rules[PEERS_AHEAD], const pv_policy *policy,
                       const pv_column *hosts, size_t first, size_t num) {
  uint64_t hashes[PEERS_AHEAD];
  for (size_t i = 0; i < num; i++) {
    const pv_span host = column_item(hosts, first + i);
    hashes[i] = hash_name(policy->key, host.data, host.len);
    PV_PREFETCH(exact_bucket(policy, hashes[i]));
  }
  for (size_t i = 0; i < num; i++) {
    PV_PREFETCH(rule_at(policy, load_le32(exact_bucket(policy, hashes[i]))));
  }
  for (size_t i = 0; i < num; i++) {
    prefetch_rule(policy, hashes[i]);
  }
  for (size_t i = 0; i < num; i++) {
    const pv_span host = column_item(hosts, first + i);
    rules[i] = pv__policy_find_exact(policy, hashes[i], (const char *)host.data,
                                     host.len);
    if (rules[i] != PV_NO_RULE) {
      prefetch_pins(policy, rules[i]);
    }
  }
}

// ---- answers ----------------------------------------------------------------

static void write_answer(const pv_answers *out, size_t i,
                         const pv_report *report) {
  if (out->reports != NULL) {
    out->reports[i] = *report;
  }
  if (out->accepted != NULL) {
    const uint8_t before = i % 8 == 0 ? 0 : out->accepted[i / 8];
    out->accepted[i / 8] = (uint8_t)(before | report->accepted << i % 8);
    out->reasons[i] = report->reason;
    out->rules[i] = report->rule;
    out->depths[i] = report->depth;
    out->details[i] =
        (uint16_t)(report->detail << 8 | (uint32_t)report->shape << 2 |
                   (uint32_t)report->matched_kind << 1 | report->mode);
    memcpy(out->matched + PV_DIGEST_LEN * i, report->matched, PV_DIGEST_LEN);
  }
}

// Returns the number of the first certificate of peer `i`.
static size_t chain_start(const pv_offsets *chains, size_t i) {
  return chains == NULL ? i : (size_t)offset_at(chains, i);
}

pv_status pv_evaluate_many(const pv_answers *out, const pv_policy *policy,
                           const pv_column *hosts, const pv_column *certs,
                           const pv_offsets *chains, int64_t now) {
  const size_t num_peers = hosts->offsets.num;
  const bool fit =
      policy->bytes != NULL && column_fits(hosts) && column_fits(certs) &&
      (chains == NULL ? certs->offsets.num == num_peers
                      : chains->num == num_peers &&
                            offsets_fit(chains, certs->offsets.num));
  uint32_t rules[PEERS_AHEAD];
  pv_report report = {0};
  hashed keys;
  keys.first = keys.end = 0;
  clear(out->spkis, fit ? 0 : PV_DIGEST_LEN * certs->offsets.num);
  for (size_t i = 0; i < num_peers; i++) {
    if (fit) {
      const size_t first = chain_start(chains, i);
      uint8_t *spkis =
          out->spkis == NULL ? NULL : out->spkis + PV_DIGEST_LEN * first;
      if (i % PEERS_AHEAD == 0) {
        const size_t left = num_peers - i;
        const size_t num = left < PEERS_AHEAD ? left : PEERS_AHEAD;
        find_rules(rules, policy, hosts, i, num);
        clear(spkis, PV_DIGEST_LEN * (chain_start(chains, i + num) - first));
      }
      const pv_span name = column_item(hosts, i);
      const given_host host = {(const char *)name.data, name.len,
                               rules[i % PEERS_AHEAD]};
      const size_t num_certs = chain_start(chains, i + 1) - first;
      const chain_view chain = {NULL, certs, first, num_certs, &keys, NULL};
      (void)pv__evaluate_peer(&report, spkis, policy, &host, &chain, now);
    }
    write_answer(out, i, &report);
  }
  return fit ? PV_OK : PV_ERR_ARGUMENT;
}
