// evaluate.c: host and verified chain --> report. It finds the rule, hashes
// each key of the chain, and looks for it among the pins.
#include <string.h>

#include "columns.h"
#include "policy.h"

// ---- the chain, however the caller stores it --------------------------------

typedef struct chain_view {
  const pv_span *spans;     // one per certificate; or NULL: then they are in
  const pv_column *column;  // this column, from number `first` on; or, if it is
  size_t first;             // NULL too, they are
  const uint8_t *data;      // back to back in `data`, with
  const uint8_t *lens;      // 4 bytes for the length of each
  size_t num_certs;
} chain_view;

static pv_span chain_cert(const chain_view *chain, size_t i) {
  if (chain->spans != NULL) {
    return chain->spans[i];
  }
  if (chain->column != NULL) {
    return column_item(chain->column, chain->first + i);
  }
  size_t at = 0;
  for (size_t before = 0; before < i; before++) {
    at += load_le32(chain->lens + 4 * before);
  }
  return (pv_span){chain->data + at, load_le32(chain->lens + 4 * i)};
}

// Returns true if `num` lengths add up to `total`.
static bool lens_add_up(const uint8_t *lens, size_t num, size_t total) {
  size_t left = total;
  for (size_t i = 0; i < num; i++) LOOP(num - i, i <= num && left <= total)
  {
    const uint32_t len = load_le32(lens + 4 * i);
    if (len > left) {
      return false;
    }
    left -= len;
  }
  return left == 0;
}

// ---- the evidence in the chain ----------------------------------------------

// The first certificate, from the leaf up, with some property.
typedef struct finding {
  uint32_t depth;  // or PV_NO_DEPTH
  uint8_t kind;
  uint8_t digest[PV_DIGEST_LEN];
} finding;

typedef struct evidence {
  uint32_t lists_hit;   // bit `list` for pins, leaf, ca
  finding pinned;       // matches one of these
  finding blocked;      // matches a blocked list
  uint32_t num_seen;    // certificates before the first malformed one
  pv_status malformed;  // PV_OK, or the fault of that one
} evidence;

// Both digests of one certificate; index is a pv_kind.
typedef struct cert_digests {
  uint8_t of[2][PV_DIGEST_LEN];
} cert_digests;

static uint32_t run_contains(const pv_policy *policy, uint32_t pinset,
                             uint32_t list, uint32_t kind,
                             const cert_digests *digests) {
  const pin_run run = pv__policy_run(policy, pinset, list, kind);
  return pv_packed_contain(run.packed, run.num_pins, digests->of[kind]);
}

static void note_first(finding *out, uint32_t depth, uint8_t kind,
                       const cert_digests *digests) {
  if (out->depth == PV_NO_DEPTH) {
    out->depth = depth;
    out->kind = kind;
    memcpy(out->digest, digests->of[kind], PV_DIGEST_LEN);
  }
}

// Looks for one certificate in the lists of `pinset` that apply to its position
// in the chain.
static void scan_pinset(evidence *out, const pv_policy *policy, uint32_t pinset,
                        uint32_t depth, const cert_digests *digests) {
  const uint32_t by_place = depth == 0 ? PV_LIST_LEAF : PV_LIST_CA;
  for (uint8_t kind = PV_SPKI; kind <= PV_CERTIFICATE; kind++) {
    const uint32_t anywhere =
        run_contains(policy, pinset, PV_LIST_PINS, kind, digests);
    const uint32_t here = run_contains(policy, pinset, by_place, kind, digests);
    out->lists_hit |= anywhere << PV_LIST_PINS | here << by_place;
    if ((anywhere | here) != 0) {
      note_first(&out->pinned, depth, kind, digests);
    }
  }
}

static void scan_blocked(evidence *out, const pv_policy *policy,
                         uint32_t pinset, uint32_t depth,
                         const cert_digests *digests) {
  for (uint8_t kind = PV_SPKI; kind <= PV_CERTIFICATE; kind++) {
    if (run_contains(policy, pinset, PV_LIST_BLOCKED, kind, digests) != 0) {
      note_first(&out->blocked, depth, kind, digests);
    }
  }
}

// Whole certificates are hashed only if one is pinned or blocked.
static bool wants_certificate_digest(const pv_policy *policy, uint32_t pinset) {
  uint32_t num_pins =
      pv__policy_run(policy, PV_UNPINNED, PV_LIST_BLOCKED, PV_CERTIFICATE)
          .num_pins;
  for (uint32_t list = PV_LIST_PINS;
       pinset != PV_UNPINNED && list <= PV_LIST_BLOCKED; list++) {
    num_pins |= pv__policy_run(policy, pinset, list, PV_CERTIFICATE).num_pins;
  }
  return num_pins != 0;
}

// Looks at one certificate that could be read.
static void look_at(evidence *out, const pv_policy *policy, uint32_t pinset,
                    uint32_t depth, const cert_digests *digests) {
  scan_blocked(out, policy, PV_UNPINNED, depth, digests);
  if (pinset == PV_UNPINNED) {
    return;
  }
  scan_blocked(out, policy, pinset, depth, digests);
  // Behind a malformed certificate nothing matches: fail closed.
  if (out->malformed == PV_OK) {
    scan_pinset(out, policy, pinset, depth, digests);
  }
}

// Reads the whole chain, whatever it finds. With PV_UNPINNED only the pins that
// are blocked for every host count.
static void gather(evidence *out, uint8_t *out_spkis, const pv_policy *policy,
                   uint32_t pinset, const chain_view *chain) {
  const bool whole = wants_certificate_digest(policy, pinset);
  cert_digests digests = {{{0}}};
  for (size_t i = 0; i < chain->num_certs; i++) {
    const pv_span cert = chain_cert(chain, i);
    const pv_status status =
        pv_spki_sha256(digests.of[PV_SPKI], cert.data, cert.len);
    if (out->malformed == PV_OK) {
      out->num_seen = (uint32_t)i + (status == PV_OK);
      out->malformed = status;
    }
    if (status != PV_OK) {
      continue;
    }
    if (out->malformed == PV_OK && out_spkis != NULL) {
      memcpy(out_spkis + PV_DIGEST_LEN * i, digests.of[PV_SPKI], PV_DIGEST_LEN);
    }
    if (whole) {
      pv_sha256(digests.of[PV_CERTIFICATE], cert.data, cert.len);
    }
    look_at(out, policy, pinset, (uint32_t)i, &digests);
  }
}

// ---- the decision -----------------------------------------------------------

// Returns true if every list that is not empty matches.
static bool lists_are_hit(const pv_policy *policy, uint32_t pinset,
                          uint32_t lists_hit) {
  for (uint32_t list = PV_LIST_PINS; list <= PV_LIST_CA; list++) {
    const uint32_t num_pins =
        pv__policy_run(policy, pinset, list, PV_SPKI).num_pins |
        pv__policy_run(policy, pinset, list, PV_CERTIFICATE).num_pins;
    if (num_pins != 0 && (lists_hit >> list & 1) == 0) {
      return false;
    }
  }
  return true;
}

// Returns true if no key is blocked, neither by this PinSet nor for every host.
static bool blocks_nothing(const pv_policy *policy, uint32_t pinset) {
  uint32_t num_pins = 0;
  for (uint32_t kind = PV_SPKI; kind <= PV_CERTIFICATE; kind++) {
    num_pins |= pv__policy_run(policy, pinset, PV_LIST_BLOCKED, kind).num_pins;
  }
  return num_pins == 0 && !pv__policy_blocks(policy);
}

// Steps 4 to 7. Nothing above the certificates that match is needed, unless a
// key is blocked: then a certificate that is malformed could hide that key.
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

// Reports the judgement of a chain. Step 8: in report mode it never rejects.
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

// With PV_UNPINNED, `out` already has an acceptance, which stands if the chain
// shows nothing against it.
static void decide_by_chain(pv_report *out, uint8_t *out_spkis,
                            const pv_policy *policy, uint32_t pinset,
                            const chain_view *chain) {
  evidence seen = {.pinned.depth = PV_NO_DEPTH, .blocked.depth = PV_NO_DEPTH};
  gather(&seen, out_spkis, policy, pinset, chain);
  const bool no_pins = pinset == PV_UNPINNED;
  const pv_reason reason = judge_chain(
      &seen, chain->num_certs, blocks_nothing(policy, pinset),
      no_pins || lists_are_hit(policy, pinset, seen.lists_hit));
  out->num_seen = seen.num_seen;
  if (!no_pins || reason != PV_MATCH) {
    report_reason(out, reason, &seen);
  }
}

// Steps 1 and 2. Returns the PinSet of the host's rule, or PV_UNPINNED if `out`
// has the reason why there is none.
static uint32_t find_pinset(pv_report *out, const pv_policy *policy,
                            const char *host, size_t host_len) {
  char canonical[PV_HOST_MAX + 1];
  size_t canonical_len = 0;
  pv_rule rule;
  const pv_status status =
      pv_host_canonical(canonical, &canonical_len, host, host_len);
  if (status != PV_OK) {
    out->reason = PV_BAD_HOST;
    out->detail = (uint32_t)status;
    return PV_UNPINNED;
  }
  out->rule = pv_policy_find(policy, canonical, canonical_len);
  const pv_status found = pv_policy_rule(&rule, policy, out->rule);
  out->shape = (uint8_t)rule.shape;
  out->name_len = (uint8_t)rule.name_len;
  if (found != PV_OK || rule.pinset == PV_UNPINNED) {
    out->reason = PV_NOT_PINNED;
    out->accepted = (policy->flags & POLICY_REJECT_UNPINNED) == 0;
    return PV_UNPINNED;
  }
  return rule.pinset;
}

// A peer without a name counts as a client, and without rules every peer does.
static bool clients_decide(const pv_policy *policy, size_t host_len) {
  return (policy->flags & POLICY_CLIENTS) != 0 &&
         (host_len == 0 || policy->num_rules == 0);
}

// Steps 1 to 3, which need no chain. Returns the PinSet whose pins decide, or
// PV_UNPINNED if `out` is already decided unless a key is blocked.
static uint32_t decide_by_rule(pv_report *out, const pv_policy *policy,
                               const char *host, size_t host_len, int64_t now) {
  uint32_t index = 0;
  pv_pinset pinset;
  if (clients_decide(policy, host_len)) {
    out->shape = PV_CLIENTS;
  } else {
    index = find_pinset(out, policy, host, host_len);
  }
  if (pv_policy_pinset(&pinset, policy, index) != PV_OK) {
    return PV_UNPINNED;
  }
  out->mode = (uint8_t)pinset.mode;
  if (pinset.expires_set != 0 && now >= pinset.expires) {
    out->reason = PV_EXPIRED;
    out->accepted = pinset.expired_rejects == 0 || out->mode == PV_REPORT;
    return PV_UNPINNED;
  }
  return index;
}

static void evaluate_peer(pv_report *out, uint8_t *out_spkis,
                          const pv_policy *policy, const char *host,
                          size_t host_len, const chain_view *chain,
                          int64_t now) {
  *out = (pv_report){.rule = PV_NO_RULE, .depth = PV_NO_DEPTH};
  const uint32_t pinset = decide_by_rule(out, policy, host, host_len, now);
  if (pinset != PV_UNPINNED ||
      (out->accepted != 0 && pv__policy_blocks(policy))) {
    decide_by_chain(out, out_spkis, policy, pinset, chain);
  }
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
  evaluate_peer(out, out_spkis, policy, host, host_len, &chain, now);
  return PV_OK;
}

uint32_t pv_decide(uint32_t *out_reason, const pv_policy *policy,
                   const char *host, size_t host_len, const uint8_t *certs,
                   size_t certs_len, const uint8_t *cert_lens, size_t num_certs,
                   int64_t now) {
  pv_report report = {0};
  if (policy->bytes != NULL && (host != NULL || host_len == 0) &&
      (certs != NULL || certs_len == 0) &&
      (cert_lens != NULL || num_certs == 0) &&
      lens_add_up(cert_lens, num_certs, certs_len)) {
    const chain_view chain = {
        .data = or_empty(certs), .lens = cert_lens, .num_certs = num_certs};
    evaluate_peer(&report, NULL, policy, host, host_len, &chain, now);
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
    pinset = find_pinset(&report, policy, host, host_len);
  }
  return report.reason != PV_BAD_HOST && blocks_nothing(policy, pinset);
}

// Returns the PinSet that decided, or PV_UNPINNED.
static uint32_t deciding_pinset(const pv_policy *policy,
                                const pv_report *report) {
  pv_rule rule;
  if (report->shape == PV_CLIENTS) {
    return 0;
  }
  const pv_status status = pv_policy_rule(&rule, policy, report->rule);
  return status == PV_OK ? rule.pinset : PV_UNPINNED;
}

uint32_t pv_leaf_suffices(const pv_policy *policy, const char *host,
                          size_t host_len, const uint8_t *leaf, size_t leaf_len,
                          int64_t now) {
  const pv_span span = {leaf, leaf_len};
  pv_report report;
  if (pv_evaluate(&report, NULL, policy, host, host_len, &span, 1, now) !=
      PV_OK) {
    return 0;
  }
  return report.accepted != 0 &&
         (report.reason == PV_MATCH || report.reason == PV_NOT_PINNED) &&
         blocks_nothing(policy, deciding_pinset(policy, &report));
}

// ---- many peers -------------------------------------------------------------

pv_status pv_evaluate_many(pv_report *out_reports, uint8_t *out_spkis,
                           const pv_policy *policy, const pv_column *hosts,
                           const pv_column *certs, const pv_offsets *chains,
                           int64_t now) {
  const size_t num_peers = hosts->offsets.num;
  clear(out_spkis, PV_DIGEST_LEN * certs->offsets.num);
  if (num_peers > 0) {
    memset(out_reports, 0, num_peers * sizeof *out_reports);
  }
  if (policy->bytes == NULL || chains->num != num_peers ||
      !column_fits(hosts) || !column_fits(certs) ||
      !offsets_fit(chains, certs->offsets.num)) {
    return PV_ERR_ARGUMENT;
  }
  for (size_t i = 0; i < num_peers; i++) {
    const pv_span host = column_item(hosts, i);
    const size_t first = (size_t)offset_at(chains, i);
    const chain_view chain = {
        .column = certs,
        .first = first,
        .num_certs = (size_t)offset_at(chains, i + 1) - first};
    uint8_t *spkis =
        out_spkis == NULL ? NULL : out_spkis + PV_DIGEST_LEN * first;
    evaluate_peer(&out_reports[i], spkis, policy, (const char *)host.data,
                  host.len, &chain, now);
  }
  return PV_OK;
}
