// evaluate.c: host and verified chain --> report. It finds the rule, hashes
// each key of the chain, and looks for it among the pins.
#include "evaluate.h"

#include <string.h>

#include "sha256.h"
#include "spki.h"

// ---- the chain, however the caller stores it --------------------------------

static pv_span chain_cert(const chain_view *chain, size_t i) {
  return chain->spans != NULL ? chain->spans[i]
                              : column_item(chain->column, chain->first + i);
}

// Does what pv_spki_sha256 does, for certificate `i` of a chain. If the chain
// was hashed before, `*out` receives the digest of the whole certificate, too.
static pv_status chain_spki(cert_digests *out, const chain_view *chain,
                            size_t i) {
  hashed *keys = chain->keys;
  if (chain->hashed != NULL) {
    *out = chain->hashed[i].digests;
    return (pv_status)chain->hashed[i].status;
  }
  if (keys == NULL) {
    const pv_span cert = chain_cert(chain, i);
    return pv_spki_sha256(out->of[PV_SPKI], cert.data, cert.len);
  }
  const size_t at = chain->first + i;
  if (at >= keys->end) {
    keys->first = at;
    keys->end = at + pv__spki_chunk(keys->digests[0], keys->statuses,
                                    chain->column, at);
  }
  memcpy(out->of[PV_SPKI], keys->digests[at - keys->first], PV_DIGEST_LEN);
  return (pv_status)keys->statuses[at - keys->first];
}

// ---- lists of pins ----------------------------------------------------------

// The pins of one kind in one list: of a PinSet, or blocked for every host.
typedef struct pin_list {
  pin_rows rows;
  uint8_t list;
  uint8_t kind;
} pin_list;

// The lists that a decision searches. None is empty.
typedef struct pin_lists {
  pin_list of[NUM_RUNS + 2];
  uint32_t num;
  uint32_t in_use;  // bit `list` for each of them
  uint32_t kinds;   // bit `kind` for each kind of pins in them
} pin_lists;

enum { BLOCKED = 1 << PV_LIST_BLOCKED };

static void add_list(pin_lists *out, const pv_policy *policy, uint32_t pinset,
                     uint32_t list, uint32_t kind) {
  const pin_rows rows = policy_run(policy, pinset, list, kind);
  if (rows.num_pins != 0) {
    out->of[out->num] = (pin_list){rows, (uint8_t)list, (uint8_t)kind};
    out->num += 1;
    out->in_use |= UINT32_C(1) << list;
    out->kinds |= UINT32_C(1) << kind;
  }
}

// Collects the lists of a PinSet, and those that are blocked for every host;
// for PV_UNPINNED, only the latter.
static void collect_lists(pin_lists *out, const pv_policy *policy,
                          uint32_t pinset) {
  out->num = out->in_use = out->kinds = 0;
  for (uint32_t kind = PV_SPKI; kind <= PV_CERTIFICATE; kind++) {
    add_list(out, policy, PV_UNPINNED, PV_LIST_BLOCKED, kind);
    for (uint32_t list = PV_LIST_PINS;
         pinset != PV_UNPINNED && list <= PV_LIST_BLOCKED; list++) {
      add_list(out, policy, pinset, list, kind);
    }
  }
}

// Returns true if no key is blocked, neither by this PinSet nor for every host.
static bool blocks_nothing(const pv_policy *policy, uint32_t pinset) {
  pin_lists lists;
  collect_lists(&lists, policy, pinset);
  return (lists.in_use & BLOCKED) == 0;
}

// ---- the evidence in the chain ----------------------------------------------

// The first certificate, from the leaf up, with some property.
typedef struct finding {
  uint32_t depth;  // or PV_NO_DEPTH
  uint8_t kind;
  uint8_t digest[PV_DIGEST_LEN];
} finding;

typedef struct evidence {
  uint32_t lists_hit;   // bit `list` for each list with a match
  finding pinned;       // matches pins, leaf or ca
  finding blocked;      // matches a blocked list
  uint32_t num_seen;    // certificates before the first malformed one
  pv_status malformed;  // PV_OK, or the fault of this one
} evidence;

// Looks for a digest of the certificate at `depth` in one list.
static void scan_list(evidence *out, const pv_policy *policy,
                      const pin_list *pins, uint32_t depth,
                      const cert_digests *digests) {
  const uint8_t *digest = digests->of[pins->kind];
  if (pv_packed_contain(pins_at(policy, pins->rows), pins->rows.num_pins,
                        digest) == 0) {
    return;
  }
  finding *found = pins->list == PV_LIST_BLOCKED ? &out->blocked : &out->pinned;
  out->lists_hit |= UINT32_C(1) << pins->list;
  if (found->depth == PV_NO_DEPTH) {
    found->depth = depth;
    found->kind = pins->kind;
    memcpy(found->digest, digest, PV_DIGEST_LEN);
  }
}

// Searches each list that applies for one well-formed certificate. Above a
// malformed certificate, pins do not match, but blocked keys do: fail closed.
static void look_at(evidence *out, const pv_policy *policy,
                    const pin_lists *lists, uint32_t depth,
                    const cert_digests *digests) {
  const bool ok = out->malformed == PV_OK;
  const bool applies[] = {ok, ok && depth == 0, ok && depth > 0, true};
  for (uint32_t i = 0; i < lists->num; i++) {
    if (applies[lists->of[i].list]) {
      scan_list(out, policy, &lists->of[i], depth, digests);
    }
  }
}

// Reads the whole chain, whatever it finds. Whole certificates are hashed only
// if a list has pins of whole certificates.
static void gather(evidence *out, uint8_t *out_spkis, const pv_policy *policy,
                   const pin_lists *lists, const chain_view *chain) {
  const bool whole = (lists->kinds >> PV_CERTIFICATE & 1) != 0;
  cert_digests digests = {{{0}}};
  for (size_t i = 0; i < chain->num_certs; i++) {
    const pv_status status = chain_spki(&digests, chain, i);
    if (out->malformed == PV_OK) {
      out->num_seen = (uint32_t)i + (status == PV_OK);
      out->malformed = status;
    }
    if (status != PV_OK) {
      continue;
    }
    if (out_spkis != NULL) {
      memcpy(out_spkis + PV_DIGEST_LEN * i, digests.of[PV_SPKI], PV_DIGEST_LEN);
    }
    if (whole && chain->hashed == NULL) {
      const pv_span cert = chain_cert(chain, i);
      pv_sha256(digests.of[PV_CERTIFICATE], cert.data, cert.len);
    }
    look_at(out, policy, lists, (uint32_t)i, &digests);
  }
}

// ---- the decision -----------------------------------------------------------

// Steps 4 to 7 of pv_evaluate. If the pins match, a malformed certificate does
// no harm, unless the policy blocks keys: it could hide one of these.
static pv_reason judge_chain(const evidence *seen, size_t num_certs,
                             bool is_clear, bool is_hit) {
  if (num_certs == 0) {
    return PV_NO_CERTIFICATE;
  }
  if (seen->blocked.depth != PV_NO_DEPTH) {
    return PV_BLOCKED;
  }
  if (seen->malformed != PV_OK && !(is_clear && is_hit)) {
    return PV_MALFORMED;
  }
  return is_hit ? PV_MATCH : PV_MISMATCH;
}

static void report_finding(pv_report *out, const finding *found) {
  out->depth = found->depth;
  out->matched_kind = found->kind;
  memcpy(out->matched, found->digest, PV_DIGEST_LEN);
}

// Reports the judgement of a chain. Step 8: report mode rejects no chain.
static void report_reason(pv_report *out, pv_reason reason,
                          const evidence *seen) {
  out->reason = (uint8_t)reason;
  out->accepted = reason == PV_MATCH || out->mode == PV_REPORT;
  if (reason == PV_MATCH) {
    report_finding(out, &seen->pinned);
  } else if (reason == PV_BLOCKED) {
    report_finding(out, &seen->blocked);
  } else if (reason == PV_MALFORMED) {
    out->depth = seen->num_seen;
    out->detail = (uint32_t)seen->malformed;
  }
}

// If no pins decide, `out` already has an acceptance. It stands unless the
// chain is empty or malformed, or has a blocked key.
static void decide_by_chain(pv_report *out, uint8_t *out_spkis,
                            const pv_policy *policy, const pin_lists *lists,
                            bool pins_decide, const chain_view *chain) {
  evidence seen;  // its digests stay undefined without a depth
  seen.lists_hit = seen.num_seen = 0;
  seen.malformed = PV_OK;
  seen.pinned.depth = seen.blocked.depth = PV_NO_DEPTH;
  gather(&seen, out_spkis, policy, lists, chain);
  const uint32_t missed = lists->in_use & ~(seen.lists_hit | BLOCKED);
  const pv_reason reason = judge_chain(
      &seen, chain->num_certs, (lists->in_use & BLOCKED) == 0, missed == 0);
  out->num_seen = seen.num_seen;
  if (pins_decide || reason != PV_MATCH) {
    report_reason(out, reason, &seen);
  }
}

// Long hosts are left to pv_policy_find, so that none is hashed twice.
static given_host host_given(const pv_policy *policy, const char *host,
                             size_t host_len) {
  given_host out = {host, host_len, PV_NO_RULE};
  if (host_len <= PV_HOST_MAX / 2) {
    const uint64_t hash =
        hash_name(policy->key, (const uint8_t *)host, host_len);
    out.rule = pv__policy_find_exact(policy, hash, host, host_len);
  }
  return out;
}

// Steps 1 and 2. Returns the PinSet of the host's rule, or PV_UNPINNED if `out`
// has the reason why there is none.
static uint32_t find_pinset(pv_report *out, const pv_policy *policy,
                            const given_host *host) {
  char canonical[PV_HOST_MAX + 1];
  size_t canonical_len = 0;
  uint32_t pinset = PV_UNPINNED;
  // Names of rules are canonical, so a host that is spelt like one is, too. No
  // rule is more specific than an exact one.
  out->rule = host->rule;
  if (out->rule == PV_NO_RULE) {
    const pv_status status =
        pv_host_canonical(canonical, &canonical_len, host->name, host->len);
    if (status != PV_OK) {
      out->reason = PV_BAD_HOST;
      out->detail = (uint32_t)status;
      return PV_UNPINNED;
    }
    out->rule = pv_policy_find(policy, canonical, canonical_len);
  }
  if (out->rule != PV_NO_RULE) {
    const rule_fields rule = rule_of(policy, out->rule);
    out->shape = rule.shape;
    out->name_len = rule.name_len;
    pinset = rule.pinset;
  }
  if (pinset == PV_UNPINNED) {
    out->reason = PV_NOT_PINNED;
    out->accepted = (policy->flags & POLICY_REJECT_UNPINNED) == 0;
  }
  return pinset;
}

// The pins for clients are for peers without a name; without rules, for all.
static bool clients_decide(const pv_policy *policy, size_t host_len) {
  return (policy->flags & POLICY_CLIENTS) != 0 &&
         (host_len == 0 || policy->num_rules == 0);
}

// Steps 1 to 3, which need no chain. Returns the PinSet whose pins decide, or
// PV_UNPINNED if only a blocked key can change `out`.
static uint32_t decide_by_rule(pv_report *out, const pv_policy *policy,
                               const given_host *host, int64_t now) {
  uint32_t index = 0;
  *out = (pv_report){.rule = PV_NO_RULE, .depth = PV_NO_DEPTH};
  if (clients_decide(policy, host->len)) {
    out->shape = PV_CLIENTS;
  } else {
    index = find_pinset(out, policy, host);
  }
  if (index == PV_UNPINNED) {
    return PV_UNPINNED;
  }
  const pv_pinset own = read_pinset(pinset_at(policy, index));
  out->mode = (uint8_t)own.mode;
  if (own.expires_set != 0 && now >= own.expires) {
    out->reason = PV_EXPIRED;
    out->accepted = own.expired_rejects == 0 || out->mode == PV_REPORT;
    return PV_UNPINNED;
  }
  return index;
}

uint32_t pv__evaluate_peer(pv_report *out, uint8_t *out_spkis,
                           const pv_policy *policy, const given_host *host,
                           const chain_view *chain, int64_t now) {
  pin_lists lists;
  const uint32_t index = decide_by_rule(out, policy, host, now);
  collect_lists(&lists, policy, index);
  const bool pins_decide = index != PV_UNPINNED;
  if (pins_decide || (out->accepted != 0 && lists.num != 0)) {
    decide_by_chain(out, out_spkis, policy, &lists, pins_decide, chain);
  }
  if (out_spkis != NULL) {
    clear(out_spkis + PV_DIGEST_LEN * out->num_seen,
          PV_DIGEST_LEN * (chain->num_certs - out->num_seen));
  }
  return index;
}

// ---- one peer ---------------------------------------------------------------

pv_status pv_evaluate(pv_report *out, uint8_t *out_spkis,
                      const pv_policy *policy, const char *host,
                      size_t host_len, const pv_span *verified_chain,
                      size_t num_certs, int64_t now) {
  *out = (pv_report){0};
  clear(out_spkis, PV_DIGEST_LEN * num_certs);
  if (policy->bytes == NULL || (host == NULL && host_len > 0) ||
      (verified_chain == NULL && num_certs > 0)) {
    return PV_ERR_ARGUMENT;
  }
  const chain_view chain = {.spans = verified_chain, .num_certs = num_certs};
  const given_host given = host_given(policy, host, host_len);
  (void)pv__evaluate_peer(out, out_spkis, policy, &given, &chain, now);
  return PV_OK;
}

uint32_t pv_decide(uint32_t *out_reason, const pv_policy *policy,
                   const char *host, size_t host_len, const uint8_t *certs,
                   size_t certs_len, const uint8_t *cert_offsets,
                   size_t num_certs, int64_t now) {
  const pv_column column = {certs, certs_len, {cert_offsets, 4, num_certs}};
  pv_report report = {0};
  if (policy->bytes != NULL && (host != NULL || host_len == 0) &&
      (certs != NULL || certs_len == 0) && cert_offsets != NULL &&
      column_fits(&column) &&
      offset_at(&column.offsets, num_certs) == certs_len) {
    const chain_view chain = {.column = &column, .num_certs = num_certs};
    const given_host given = host_given(policy, host, host_len);
    (void)pv__evaluate_peer(&report, NULL, policy, &given, &chain, now);
  }
  if (out_reason != NULL) {
    *out_reason = report.reason;
  }
  return report.accepted;
}

// ---- incomplete chains ------------------------------------------------------

uint32_t pv_host_is_clear(const pv_policy *policy, const char *host,
                          size_t host_len) {
  pv_report report = {.rule = PV_NO_RULE};
  uint32_t pinset = PV_UNPINNED;
  if (policy->bytes == NULL || (host == NULL && host_len > 0)) {
    return 0;
  }
  if (clients_decide(policy, host_len)) {
    pinset = 0;
  } else if (host_len > 0) {
    const given_host given = host_given(policy, host, host_len);
    pinset = find_pinset(&report, policy, &given);
  }
  return report.reason != PV_BAD_HOST && blocks_nothing(policy, pinset);
}

uint32_t pv_leaf_suffices(const pv_policy *policy, const char *host,
                          size_t host_len, const uint8_t *leaf, size_t leaf_len,
                          int64_t now) {
  const pv_span span = {leaf, leaf_len};
  const chain_view chain = {.spans = &span, .num_certs = 1};
  pv_report report;
  if (policy->bytes == NULL || (host == NULL && host_len > 0)) {
    return 0;
  }
  const given_host given = host_given(policy, host, host_len);
  const uint32_t pinset =
      pv__evaluate_peer(&report, NULL, policy, &given, &chain, now);
  return report.accepted != 0 &&
         (report.reason == PV_MATCH || report.reason == PV_NOT_PINNED) &&
         blocks_nothing(policy, pinset);
}
