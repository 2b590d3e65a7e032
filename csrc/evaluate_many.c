// evaluate_many.c: columns of hosts and chains --> columns of answers. Nothing
// here decides: evaluate.c does, for one peer after the other.
#include <string.h>

#include "evaluate.h"

// ---- rules, ahead -----------------------------------------------------------

enum { PEERS_AHEAD = 128 };

// Returns the first rule of a bucket with the tag of a name, or PV_NO_RULE.
// Prefetches its name and its PinSet.
static uint32_t likely_rule(const pv_policy *policy, uint32_t bucket,
                            uint64_t hash) {
  const uint32_t end = bucket_start(policy, bucket + 1);
  for (uint32_t i = bucket_start(policy, bucket); i < end; i++) {
    const rule_fields rule = rule_of(policy, i);
    if (rule.tag == hash_tag(hash)) {
      prefetch_ends(policy->names + rule.name_at, rule.name_len);
      if (rule.pinset != PV_UNPINNED) {
        prefetch_ends(pinset_at(policy, rule.pinset), PINSET_LEN);
      }
      return i;
    }
  }
  return PV_NO_RULE;
}

// Prefetches the first two pins of a rule.
static void prefetch_pins(const pv_policy *policy, uint32_t rule) {
  const uint32_t pinset = rule_of(policy, rule).pinset;
  if (pinset != PV_UNPINNED) {
    const pin_rows run = policy_run(policy, pinset, PV_LIST_PINS, PV_SPKI);
    prefetch_ends(pins_at(policy, run), 2 * PV_DIGEST_LEN);
  }
}

// Reads up to PEERS_AHEAD hosts, from number `first` on, and finds the rules
// with exactly these names. With many rules, a decision waits for memory four
// times: for a bucket, a rule, its name and PinSet, and pins. So each of them
// is prefetched for all of these hosts before it is read for the first.
static void find_rules(given_host out[PEERS_AHEAD], const pv_policy *policy,
                       const pv_column *hosts, size_t first) {
  const size_t left = hosts->offsets.num - first;
  const size_t num = left < PEERS_AHEAD ? left : PEERS_AHEAD;
  uint64_t hashes[PEERS_AHEAD];
  uint32_t buckets[PEERS_AHEAD];
  for (size_t i = 0; i < num; i++) {
    const pv_span name = column_item(hosts, first + i);
    out[i] = (given_host){(const char *)name.data, name.len, PV_NO_RULE};
    hashes[i] = hash_name(policy->key, name.data, name.len);
    buckets[i] = hash_bucket(policy->bucket_mask, hashes[i], PV_EXACT);
    PV_PREFETCH(policy->buckets + 4 * (size_t)buckets[i]);
  }
  for (size_t i = 0; i < num; i++) {
    PV_PREFETCH(rule_at(policy, bucket_start(policy, buckets[i])));
  }
  for (size_t i = 0; i < num; i++) {
    out[i].rule = likely_rule(policy, buckets[i], hashes[i]);
  }
  for (size_t i = 0; i < num; i++) {
    const uint8_t *name = (const uint8_t *)out[i].name;
    if (out[i].rule != PV_NO_RULE &&
        rule_is(policy, out[i].rule, hash_tag(hashes[i]), name, out[i].len,
                PV_EXACT)) {
      prefetch_pins(policy, out[i].rule);
    } else {
      out[i].rule = PV_NO_RULE;  // pv_policy_find looks again
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
  pv_report report = {0};
  if (!fit) {
    clear(out->spkis, PV_DIGEST_LEN * certs->offsets.num);
    for (size_t i = 0; i < num_peers; i++) {
      write_answer(out, i, &report);
    }
    return PV_ERR_ARGUMENT;
  }
  given_host ahead[PEERS_AHEAD];
  hashed keys;
  keys.first = keys.end = 0;
  chain_view chain = {.column = certs, .keys = &keys};
  for (size_t i = 0; i < num_peers; i++) {
    if (i % PEERS_AHEAD == 0) {
      find_rules(ahead, policy, hosts, i);
    }
    chain.first = chain_start(chains, i);
    chain.num_certs = chain_start(chains, i + 1) - chain.first;
    uint8_t *spkis =
        out->spkis == NULL ? NULL : out->spkis + PV_DIGEST_LEN * chain.first;
    (void)pv__evaluate_peer(&report, spkis, policy, &ahead[i % PEERS_AHEAD],
                            &chain, now);
    write_answer(out, i, &report);
  }
  return PV_OK;
}
