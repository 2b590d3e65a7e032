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

// Prefetches the first and the last byte of a piece.
static void prefetch_piece(const uint8_t *piece, size_t len) {
  PV_PREFETCH(piece);
  PV_PREFETCH(piece + len - 1);
}

// Prefetches the name and the PinSet of the rule that a name probably has.
static void prefetch_rule(const pv_policy *policy, uint64_t hash) {
  const uint8_t *bucket = exact_bucket(policy, hash);
  const uint32_t end = load_le32(bucket + 4);
  for (uint32_t i = load_le32(bucket); i < end; i++) {
    const rule_fields rule = rule_of(policy, i);
    if (rule.tag == hash_tag(hash) && rule.pinset != PV_UNPINNED) {
      prefetch_piece(policy->names + rule.name_at, rule.name_len);
      prefetch_piece(pinset_at(policy, rule.pinset), PINSET_LEN);
    }
  }
}

// Prefetches the first two pins of a rule.
static void prefetch_pins(const pv_policy *policy, uint32_t rule) {
  const uint32_t pinset = rule_of(policy, rule).pinset;
  if (pinset != PV_UNPINNED) {
    const pin_run run = pv__policy_run(policy, pinset, PV_LIST_PINS, PV_SPKI);
    prefetch_piece(run.packed, 2 * PV_DIGEST_LEN);
  }
}

// Reads up to PEERS_AHEAD hosts, from number `first` on, and finds the rules
// that are spelt so. With many rules, a decision waits for memory four times:
// for a bucket, a rule, its name and PinSet, and pins. So each is prefetched
// for all of these hosts before it is read for one.
static void find_rules(given_host out[PEERS_AHEAD], const pv_policy *policy,
                       const pv_column *hosts, size_t first) {
  const size_t left = hosts->offsets.num - first;
  const size_t num = left < PEERS_AHEAD ? left : PEERS_AHEAD;
  uint64_t hashes[PEERS_AHEAD];
  for (size_t i = 0; i < num; i++) {
    const pv_span name = column_item(hosts, first + i);
    out[i].name = (const char *)name.data;
    out[i].len = name.len;
    hashes[i] = hash_name(policy->key, name.data, name.len);
    PV_PREFETCH(exact_bucket(policy, hashes[i]));
  }
  for (size_t i = 0; i < num; i++) {
    PV_PREFETCH(rule_at(policy, load_le32(exact_bucket(policy, hashes[i]))));
  }
  for (size_t i = 0; i < num; i++) {
    prefetch_rule(policy, hashes[i]);
  }
  for (size_t i = 0; i < num; i++) {
    out[i].rule =
        pv__policy_find_exact(policy, hashes[i], out[i].name, out[i].len);
    if (out[i].rule != PV_NO_RULE) {
      prefetch_pins(policy, out[i].rule);
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
