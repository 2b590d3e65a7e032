// Harnesses for the meaning of evaluate.c: for chains of up to three
// certificates, and whatever the walk, the digests, the pins and the rules say
// about them, the report is the one that pinverify.h, section 6, describes.
#include "harness.h"
#include "sha256.h"
#define SHA256_CHUNK 4  // enough for these chains, and quickly searched
#include "evaluate.c"
#include "evaluate.contracts.h"

enum { CERTS = 3, WIDE = 0, OWN = 1 };

// What a decision depends on. `hits[whose][list][kind][i]` says whether
// certificate `i` has a pin in a list of the policy (WIDE) or the PinSet (OWN).
typedef struct world {
  pv_status status[CERTS];
  uint32_t num_pins[2][4][2];
  bool hits[2][4][2][CERTS];
  pv_status host;
  uint32_t rule_found;
  bool spelt;  // as this rule is, byte for byte
  rule_fields rule;
  pv_pinset pinset;
  uint32_t own;  // the number of the PinSet
} world;
static world w;

// ---- stand-ins --------------------------------------------------------------
//
// Certificate `i` has `i` bytes; its digests begin with its number and their
// kind, and nothing else of them is known. A run of pins is a mark.

static const uint8_t marks[2][4][2];
static const uint8_t no_bytes[CERTS];

pv_status pv_spki_sha256(uint8_t out[32], const uint8_t *cert,
                         size_t cert_len) {
  __CPROVER_assert(cert == no_bytes && cert_len < CERTS, "a certificate");
  memset(out, 0, 32);
  if (w.status[cert_len] == PV_OK) {
    out[0] = (uint8_t)(cert_len + 1);
    out[1] = PV_SPKI + 1;
  }
  return w.status[cert_len];
}

void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
  __CPROVER_assert(data == no_bytes && len < CERTS, "a whole certificate");
  out[0] = (uint8_t)(len + 1);
  out[1] = PV_CERTIFICATE + 1;
}

// Certificates of a column: those of the chain come after FIRST others. Some are
// hashed, and at least the first that is asked for.
enum { FIRST = 1, COLUMN = FIRST + CERTS };

size_t pv__spki_chunk(uint8_t *out_digests, uint8_t *out_statuses,
                      const pv_column *certs, size_t first) {
  size_t num;
  __CPROVER_assert(first < COLUMN, "a certificate of the column");
  __CPROVER_assume(1 <= num && num <= COLUMN - first);
  for (size_t i = 0; i < num; i++) {
    const size_t at = first + i;
    out_statuses[i] = PV_OK;
    if (at >= FIRST) {
      const pv_status status =
          pv_spki_sha256(out_digests + 32 * i, no_bytes, at - FIRST);
      __CPROVER_assume((uint32_t)status <= UINT8_MAX);  // in pinverify.h all are
      out_statuses[i] = (uint8_t)status;
    }
  }
  return num;
}

pin_rows any_rows(const pv_policy *policy, uint32_t pinset, uint32_t list,
                  uint32_t kind) {
  const uint32_t whose = pinset == PV_UNPINNED ? WIDE : OWN;
  __CPROVER_assert(whose == WIDE || pinset == w.own, "one of the two");
  __CPROVER_assert(whose == OWN || list == PV_LIST_BLOCKED, "it has that list");
  __CPROVER_assert(list < 4 && kind < 2, "a list of pins");
  return (pin_rows){8 * whose + 2 * list + kind, w.num_pins[whose][list][kind]};
}

const uint8_t *any_pins(const pv_policy *policy, pin_rows rows) {
  return &marks[0][0][0] + rows.first_row;
}

uint32_t pv_packed_contain(const uint8_t *packed, size_t num_pins,
                           const uint8_t digest[32]) {
  const size_t mark = (size_t)(packed - &marks[0][0][0]);
  const size_t whose = mark / 8, list = mark / 2 % 4, kind = mark % 2;
  if (num_pins == 0) {
    return 0;
  }
  __CPROVER_assert(num_pins == w.num_pins[whose][list][kind], "all its pins");
  __CPROVER_assert(digest[1] == kind + 1, "a digest of the kind of the pins");
  __CPROVER_assert(digest[0] >= 1 && digest[0] <= CERTS, "of a certificate");
  return w.hits[whose][list][kind][digest[0] - 1] ? 1 : 0;
}

// ---- the chain, described a second time -------------------------------------

static bool spec_hits(size_t whose, size_t list, size_t kind, size_t i) {
  return i < CERTS && w.num_pins[whose][list][kind] != 0 &&
         w.hits[whose][list][kind][i];
}

static bool spec_is_blocked(size_t i, size_t kind, bool has_pins) {
  return spec_hits(WIDE, PV_LIST_BLOCKED, kind, i) ||
         (has_pins && spec_hits(OWN, PV_LIST_BLOCKED, kind, i));
}

static bool spec_is_pinned(size_t i, size_t kind) {
  return spec_hits(OWN, PV_LIST_PINS, kind, i) ||
         spec_hits(OWN, i == 0 ? PV_LIST_LEAF : PV_LIST_CA, kind, i);
}

static bool spec_is_empty(size_t whose, size_t list) {
  return w.num_pins[whose][list][PV_SPKI] == 0 &&
         w.num_pins[whose][list][PV_CERTIFICATE] == 0;
}

// The list matches: `pins` at any place, `leaf` at the first, `ca` above it.
static bool spec_is_hit(size_t list, size_t num_read) {
  bool is_hit = false;
  for (size_t i = 0; i < CERTS; i++) {
    const bool here = list == PV_LIST_PINS || (list == PV_LIST_LEAF) == (i == 0);
    is_hit = is_hit || (i < num_read && here &&
                        (spec_hits(OWN, list, PV_SPKI, i) ||
                         spec_hits(OWN, list, PV_CERTIFICATE, i)));
  }
  return is_hit;
}

typedef struct spec_chain {
  size_t num_read;    // certificates before the first malformed one
  size_t blocked_at;  // the first that is blocked; or CERTS
  size_t pinned_at;   // the first that is pinned, of those; or CERTS
  pv_reason reason;
} spec_chain;

static spec_chain spec_of_chain(size_t num_certs, bool has_pins) {
  spec_chain spec = {num_certs, CERTS, CERTS, PV_MISMATCH};
  for (size_t above = CERTS; above > 0; above--) {
    const size_t i = above - 1;
    if (i < num_certs && w.status[i] != PV_OK) {
      spec.num_read = i;
    } else if (i < num_certs && (spec_is_blocked(i, PV_SPKI, has_pins) ||
                                 spec_is_blocked(i, PV_CERTIFICATE, has_pins))) {
      spec.blocked_at = i;
    }
  }
  for (size_t above = spec.num_read; above > 0; above--) {
    const size_t i = above - 1;
    if (spec_is_pinned(i, PV_SPKI) || spec_is_pinned(i, PV_CERTIFICATE)) {
      spec.pinned_at = i;
    }
  }
  bool is_hit = true;
  for (size_t list = PV_LIST_PINS; has_pins && list <= PV_LIST_CA; list++) {
    is_hit = is_hit && (spec_is_empty(OWN, list) ||
                        spec_is_hit(list, spec.num_read));
  }
  const bool is_clear = spec_is_empty(WIDE, PV_LIST_BLOCKED) &&
                        (!has_pins || spec_is_empty(OWN, PV_LIST_BLOCKED));
  spec.reason = spec_judgement(num_certs, spec.blocked_at != CERTS,
                               spec.num_read != num_certs, is_clear, is_hit);
  return spec;
}

// ---- lists of pins ----------------------------------------------------------

enum { PLACES = 5 };  // of lists: what is blocked for every host, and a PinSet's

static pin_list spec_list(size_t kind, size_t place, bool has_pins) {
  const size_t whose = place == 0 ? WIDE : OWN;
  const size_t list = place == 0 ? PV_LIST_BLOCKED : place - 1;
  const bool counts = whose == WIDE || has_pins;
  return (pin_list){{(uint32_t)(8 * whose + 2 * list + kind),
                     counts ? w.num_pins[whose][list][kind] : 0},
                    (uint8_t)list,
                    (uint8_t)kind};
}

void prove_collect_lists(void) {
  world any;
  pv_policy policy;
  pin_lists lists;
  bool has_pins;
  w = any;
  __CPROVER_assume(w.own != PV_UNPINNED);
  collect_lists(&lists, &policy, has_pins ? w.own : PV_UNPINNED);
  uint32_t num = 0, in_use = 0, kinds = 0;
  for (size_t kind = 0; kind < 2; kind++) {
    for (size_t place = 0; place < PLACES; place++) {
      const pin_list spec = spec_list(kind, place, has_pins);
      if (spec.rows.num_pins != 0) {
        const pin_list *pins = &lists.of[num];
        __CPROVER_assert(pins->rows.first_row == spec.rows.first_row &&
                             pins->rows.num_pins == spec.rows.num_pins,
                         "the pins of the next list");
        __CPROVER_assert(pins->list == spec.list && pins->kind == spec.kind,
                         "its name and its kind");
        num += 1;
        in_use |= (uint32_t)1 << spec.list;
        kinds |= (uint32_t)1 << kind;
      }
    }
  }
  __CPROVER_assert(lists.num == num, "all lists that are not empty");
  __CPROVER_assert(lists.in_use == in_use, "their names");
  __CPROVER_assert(lists.kinds == kinds, "their kinds");
  REACHED(num == 10);
  REACHED(num == 0 && has_pins);
  REACHED(num == 2 && !has_pins);
}

// All ten lists, each in its place. Those that are empty would not be there; but
// who looks into an empty list finds nothing.
static pin_lists spec_lists(bool has_pins) {
  pin_lists lists = {.num = 2 * PLACES};
  for (size_t kind = 0; kind < 2; kind++) {
    for (size_t place = 0; place < PLACES; place++) {
      const pin_list pins = spec_list(kind, place, has_pins);
      const uint32_t is_used = pins.rows.num_pins != 0;
      lists.of[PLACES * kind + place] = pins;
      lists.in_use |= is_used << pins.list;
      lists.kinds |= is_used << kind;
    }
  }
  return lists;
}

// ---- one key of a chain -----------------------------------------------------

// Returns true if key number `at` of what is hashed is that of its certificate.
static bool is_true(const hashed *keys, size_t at) {
  const uint8_t *digest = keys->digests[at - keys->first];
  const size_t i = at - FIRST;
  return keys->statuses[at - keys->first] == (uint32_t)w.status[i] &&
         digest[0] == (w.status[i] == PV_OK ? i + 1 : 0) &&
         digest[1] == (w.status[i] == PV_OK);
}

// Shown for one certificate, whatever was asked before: what is kept is true
// before and after.
void prove_chain_spki(void) {
  world any;
  w = any;
  const pv_span spans[CERTS] = {{no_bytes, 0}, {no_bytes, 1}, {no_bytes, 2}};
  bool together, hashed_before, is_empty;
  size_t i, first;
  static hashed keys;
  __CPROVER_assume(i < CERTS && first <= FIRST + i);
  keys.first = keys.end = is_empty ? 0 : first;
  if (!is_empty) {
    keys.end += pv__spki_chunk(keys.digests[0], keys.statuses, NULL, first);
  }
  const size_t end = keys.end;
  hashed_cert certs[CERTS] = {0};
  for (size_t k = 0; k < CERTS; k++) {
    const pv_status status =
        pv_spki_sha256(certs[k].digests.of[PV_SPKI], no_bytes, k);
    __CPROVER_assume((uint32_t)status <= UINT8_MAX);  // in pinverify.h all are
    certs[k].status = (uint8_t)status;
    pv_sha256(certs[k].digests.of[PV_CERTIFICATE], no_bytes, k);
  }
  const chain_view chain = {.spans = spans,
                            .first = FIRST,
                            .num_certs = CERTS,
                            .keys = together ? &keys : NULL,
                            .hashed = hashed_before ? certs : NULL};
  cert_digests out;
  const cert_digests before = out;
  const pv_status status = chain_spki(&out, &chain, i);

  const bool ok = w.status[i] == PV_OK;
  const size_t byte = some % PV_DIGEST_LEN;
  __CPROVER_assert(status == w.status[i], "its status");
  __CPROVER_assert(out.of[PV_SPKI][0] == (ok ? i + 1 : 0) &&
                       out.of[PV_SPKI][1] == (ok ? PV_SPKI + 1 : 0),
                   "the digest of its key");
  if (hashed_before) {
    __CPROVER_assert(out.of[PV_CERTIFICATE][0] == i + 1 &&
                         out.of[PV_CERTIFICATE][1] == PV_CERTIFICATE + 1,
                     "and its own, if it is known");
  } else {
    __CPROVER_assert(out.of[PV_CERTIFICATE][byte] ==
                         before.of[PV_CERTIFICATE][byte],
                     "and nothing else");
  }
  for (size_t at = FIRST; at < COLUMN; at++) {
    __CPROVER_assert(
        IMPLIES(keys.first <= at && at < keys.end, is_true(&keys, at)),
        "what is kept is true");
  }
  REACHED(ok && hashed_before && i == 2);
  REACHED(ok && together && !hashed_before && end == 0 && keys.end == COLUMN);
  REACHED(!ok && together && !hashed_before && keys.end == end && first == 0);
  REACHED(ok && together && !hashed_before && keys.first == FIRST + 1);
}

// ---- step 4 to 8 ------------------------------------------------------------

// Whatever the walk makes of certificate `i`; see above.
pv_status any_key(cert_digests *out, const chain_view *chain, size_t i) {
  if (chain->hashed != NULL) {
    pv_sha256(out->of[PV_CERTIFICATE], no_bytes, i);
  }
  return pv_spki_sha256(out->of[PV_SPKI], no_bytes, i);
}

void prove_decide_by_chain(void) {
  world any;
  pv_report out;
  pv_policy policy;
  size_t num_certs;
  bool has_pins;
  w = any;
  uint8_t spkis[32 * CERTS] = {0};
  const pv_span spans[CERTS] = {{no_bytes, 0}, {no_bytes, 1}, {no_bytes, 2}};
  bool hashed_before;
  static const hashed_cert certs[CERTS];
  const chain_view chain = {.spans = spans,
                            .num_certs = num_certs,
                            .hashed = hashed_before ? certs : NULL};
  __CPROVER_assume(num_certs <= CERTS);
  __CPROVER_assume(has_pins || out.accepted == 1);
  // pv_policy_open has seen to it that a PinSet has a pin to match.
  __CPROVER_assume(!spec_is_empty(OWN, PV_LIST_PINS) ||
                   !spec_is_empty(OWN, PV_LIST_LEAF) ||
                   !spec_is_empty(OWN, PV_LIST_CA));
  const pv_report before = out;
  const pin_lists lists = spec_lists(has_pins);
  decide_by_chain(&out, spkis, &policy, &lists, has_pins, &chain);
  const spec_chain spec = spec_of_chain(num_certs, has_pins);
  const bool stands = !has_pins && spec.reason == PV_MATCH;

  __CPROVER_assert(out.num_seen == spec.num_read, "as many as could be read");
  __CPROVER_assert(out.reason == (stands ? before.reason : spec.reason),
                   "the reason");
  __CPROVER_assert(out.accepted == (stands || spec.reason == PV_MATCH ||
                                    before.mode == PV_REPORT),
                   "accepted or rejected");
  __CPROVER_assert(out.mode == before.mode && out.rule == before.rule &&
                       out.shape == before.shape &&
                       out.name_len == before.name_len,
                   "the rule stays");
  if (spec.reason == PV_BLOCKED) {
    __CPROVER_assert(out.depth == spec.blocked_at, "the first that is blocked");
    __CPROVER_assert(out.matched_kind < 2 &&
                         spec_is_blocked(out.depth, out.matched_kind, has_pins),
                     "by a pin that it has");
  }
  if (spec.reason == PV_MATCH && has_pins) {
    __CPROVER_assert(out.depth == spec.pinned_at, "the first that is pinned");
    __CPROVER_assert(out.matched_kind < 2 &&
                         spec_is_pinned(out.depth, out.matched_kind),
                     "by a pin that it has");
  }
  if (spec.reason == PV_BLOCKED || (spec.reason == PV_MATCH && has_pins)) {
    __CPROVER_assert(out.matched[0] == out.depth + 1 &&
                         out.matched[1] == out.matched_kind + 1,
                     "its digest, of that kind");
  }
  if (spec.reason == PV_MALFORMED) {
    __CPROVER_assert(out.depth == spec.num_read &&
                         out.detail == (uint32_t)w.status[spec.num_read],
                     "the first that is malformed, and its fault");
  }
  for (size_t i = 0; i < CERTS; i++) {
    __CPROVER_assert(IMPLIES(i < spec.num_read,
                             spkis[32 * i] == i + 1 && spkis[32 * i + 1] == 1),
                     "the keys before it");
  }
  REACHED(spec.reason == PV_NO_CERTIFICATE && out.accepted == 1);
  REACHED(spec.reason == PV_BLOCKED && out.depth == 2 && spec.num_read == 1);
  REACHED(spec.reason == PV_MALFORMED && spec.pinned_at == 0);
  REACHED(spec.reason == PV_MATCH && has_pins && spec.num_read < num_certs);
  REACHED(spec.reason == PV_MATCH && out.matched_kind == PV_CERTIFICATE);
  REACHED(spec.reason == PV_MISMATCH && spec.pinned_at == 1);
  REACHED(stands && num_certs == 3);
  REACHED(spec.reason == PV_BLOCKED && hashed_before &&
          out.matched_kind == PV_CERTIFICATE);
}

// ---- steps 1 to 3 -----------------------------------------------------------

static const char canonical_host[1] = "c";

pv_status pv_host_canonical(char *out, size_t *out_len, const char *host,
                            size_t host_len) {
  *out_len = w.host == PV_OK;
  out[0] = canonical_host[0];
  return w.host;
}

uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                        size_t host_len) {
  __CPROVER_assert(w.host == PV_OK && host_len == 1 &&
                       host[0] == canonical_host[0],
                   "a canonical host is looked up");
  return w.rule_found;
}

rule_fields any_rule(const pv_policy *policy, uint32_t rule) {
  __CPROVER_assert(rule == w.rule_found, "the rule that was found");
  return w.rule;
}

const uint8_t *any_pinset_at(const pv_policy *policy, uint32_t pinset) {
  __CPROVER_assert(pinset == w.own, "the PinSet of the rule");
  return no_bytes;
}

pv_pinset any_pinset(const uint8_t *pinset) {
  __CPROVER_assert(pinset == no_bytes, "the PinSet of the rule");
  return w.pinset;
}

static bool chain_was_asked;
static bool pins_were_asked;
static pv_report report_so_far;
static uint32_t num_seen;

// Which lists are asked, and what they decide, is shown above.
void chain_decides(pv_report *out, uint8_t *out_spkis, const pv_policy *policy,
                   const pin_lists *lists, bool pins_decide,
                   const chain_view *chain) {
  chain_was_asked = true;
  uint32_t num = 0;
  for (uint32_t i = 0; i < 8; i++) {
    num += w.num_pins[OWN][i / 2][i % 2] != 0 && pins_decide;
  }
  num += w.num_pins[WIDE][PV_LIST_BLOCKED][PV_SPKI] != 0;
  num += w.num_pins[WIDE][PV_LIST_BLOCKED][PV_CERTIFICATE] != 0;
  __CPROVER_assert(lists->num == num, "the lists of that PinSet, or none");
  pins_were_asked = pins_decide;
  report_so_far = *out;
  out->num_seen = num_seen;
}

void prove_pv__evaluate_peer(void) {
  world any;
  pv_report out;
  pv_policy policy;
  chain_view chain;
  given_host host;
  int64_t now;
  uint32_t any_num_seen;
  uint8_t spkis[32 * CERTS];
  bool wants_spkis;
  w = any;
  num_seen = any_num_seen;
  __CPROVER_assume(chain.num_certs <= CERTS && num_seen <= chain.num_certs);
  // The name of a rule is canonical, and no rule is more specific than the one
  // whose name a host is: pv_policy_open has checked the former.
  host.rule = w.spelt ? w.rule_found : PV_NO_RULE;
  __CPROVER_assume(!w.spelt || w.host == PV_OK);
  __CPROVER_assume(w.rule.shape <= PV_ANY_LABELS && w.rule.name_len <= 253);
  __CPROVER_assume(w.pinset.mode <= PV_REPORT);
  const bool by_clients =
      (policy.flags & 2) != 0 && (host.len == 0 || policy.num_rules == 0);
  __CPROVER_assume(w.own == (by_clients ? 0 : w.rule.pinset));
  chain_was_asked = false;
  const size_t at = some % (32 * CERTS);
  const uint8_t before = spkis[at];
  pv__evaluate_peer(&out, wants_spkis ? spkis : NULL, &policy, &host, &chain,
                    now);

  const bool bad = !by_clients && w.host != PV_OK;
  const bool has_rule = !by_clients && !bad && w.rule_found != PV_NO_RULE;
  const bool has_pins =
      by_clients || (has_rule && w.rule.pinset != PV_UNPINNED);
  const bool expired = has_pins && w.pinset.expires_set != 0 &&
                       now >= w.pinset.expires;
  const bool is_watched = has_pins && w.pinset.mode == PV_REPORT;
  const bool accepts_early =
      !bad && (expired ? w.pinset.expired_rejects == 0 || is_watched
                       : !has_pins && (policy.flags & 1) == 0);
  const bool asks = (has_pins && !expired) ||
                    (accepts_early && (w.num_pins[WIDE][PV_LIST_BLOCKED][PV_SPKI] != 0 ||
                                       w.num_pins[WIDE][PV_LIST_BLOCKED][PV_CERTIFICATE] != 0));

  __CPROVER_assert(chain_was_asked == asks, "the chain decides, or does not");
  if (asks) {
    __CPROVER_assert(pins_were_asked == (has_pins && !expired),
                     "by the PinSet of the rule, or by what is blocked alone");
    __CPROVER_assert(out.accepted == report_so_far.accepted, "nothing later");
  }
  __CPROVER_assert(out.accepted == accepts_early, "accepted or rejected so far");
  __CPROVER_assert(
      IMPLIES(!(has_pins && !expired),
              out.reason == (bad       ? PV_BAD_HOST
                             : expired ? PV_EXPIRED
                                       : PV_NOT_PINNED)),
      "the reason so far");
  __CPROVER_assert(IMPLIES(bad, out.detail == (uint32_t)w.host), "the fault");
  __CPROVER_assert(out.mode == (has_pins ? w.pinset.mode : PV_ENFORCE),
                   "the mode is that of the rule");
  __CPROVER_assert(out.rule == (!by_clients && !bad ? w.rule_found : PV_NO_RULE),
                   "the rule");
  __CPROVER_assert(out.shape == (by_clients ? PV_CLIENTS
                                 : has_rule ? w.rule.shape
                                            : 0),
                   "its shape");
  __CPROVER_assert(out.depth == PV_NO_DEPTH, "no certificate");
  __CPROVER_assert(out.num_seen == (asks ? num_seen : 0), "no chain");
  const bool is_unseen =
      wants_spkis && at / 32 >= out.num_seen && at / 32 < chain.num_certs;
  __CPROVER_assert(spkis[at] == (is_unseen ? 0 : before),
                   "zeros behind the keys that were seen");
  REACHED(bad);
  REACHED(by_clients && expired && is_watched);
  REACHED(asks && !pins_were_asked && expired);
  REACHED(asks && !pins_were_asked && !has_pins);
  REACHED(!asks && out.accepted == 1);
  REACHED(asks && is_watched);
  REACHED(asks && has_rule && w.spelt);
  REACHED(asks && is_unseen && num_seen == 2 && before == 9);
}

// ---- incomplete chains ------------------------------------------------------

// The host as it was given; whether it is spelt as its rule is, depends on w.
given_host any_given(const pv_policy *policy, const char *host,
                     size_t host_len) {
  return (given_host){host, host_len, w.spelt ? w.rule_found : PV_NO_RULE};
}

// What decide_by_chain is shown to do above, as far as it is asked for here.
void described_chain(pv_report *out, uint8_t *out_spkis,
                     const pv_policy *policy, const pin_lists *lists,
                     bool pins_decide, const chain_view *chain) {
  const spec_chain spec = spec_of_chain(chain->num_certs, pins_decide);
  out->num_seen = (uint32_t)spec.num_read;
  if (pins_decide || spec.reason != PV_MATCH) {
    out->reason = (uint8_t)spec.reason;
    out->accepted = spec.reason == PV_MATCH || out->mode == PV_REPORT;
  }
}

// Chooses a world and a policy that pv_policy_open accepts.
static void any_world(pv_policy *policy, size_t host_len) {
  world any;
  w = any;
  const bool by_clients =
      (policy->flags & 2) != 0 && (host_len == 0 || policy->num_rules == 0);
  __CPROVER_assume(!w.spelt || (w.host == PV_OK && host_len > 0));
  __CPROVER_assume(w.host != PV_OK || host_len > 0);
  __CPROVER_assume(w.rule.shape <= PV_ANY_LABELS && w.rule.name_len <= 253);
  __CPROVER_assume(w.pinset.mode <= PV_REPORT);
  __CPROVER_assume(w.own == (by_clients ? 0 : w.rule.pinset));
  __CPROVER_assume(!spec_is_empty(OWN, PV_LIST_PINS) ||
                   !spec_is_empty(OWN, PV_LIST_LEAF) ||
                   !spec_is_empty(OWN, PV_LIST_CA));
}

// 1 says that the leaf alone is accepted because of its pins, or because it needs
// none, and that no key is blocked. So it is accepted with any chain behind it.
void prove_pv_leaf_suffices(void) {
  pv_policy policy;
  const char host[1];
  size_t host_len, num_certs;
  int64_t now;
  pv_report alone, whole;
  uint8_t spkis[32 * CERTS];
  const pv_span spans[CERTS] = {{no_bytes, 0}, {no_bytes, 1}, {no_bytes, 2}};
  __CPROVER_assume(host_len <= 1 && 1 <= num_certs && num_certs <= CERTS);
  any_world(&policy, host_len);
  const uint32_t suffices =
      pv_leaf_suffices(&policy, host, host_len, no_bytes, 0, now);
  const pv_status status =
      pv_evaluate(&alone, spkis, &policy, host, host_len, spans, 1, now);
  (void)pv_evaluate(&whole, spkis, &policy, host, host_len, spans, num_certs,
                    now);
  const bool is_clear =
      spec_is_empty(WIDE, PV_LIST_BLOCKED) &&
      (alone.reason != PV_MATCH || spec_is_empty(OWN, PV_LIST_BLOCKED));
  __CPROVER_assert(
      suffices == (status == PV_OK && alone.accepted == 1 && is_clear &&
                   (alone.reason == PV_MATCH || alone.reason == PV_NOT_PINNED)),
      "accepted by its pins, or without pins, and nothing is blocked");
  __CPROVER_assert(IMPLIES(suffices == 1, whole.accepted == 1 &&
                                              whole.reason == alone.reason),
                   "whatever is above it, it is accepted");
  __CPROVER_assert(
      pv_leaf_suffices(&policy, NULL, 1, no_bytes, 0, now) == 0,
      "not without a host");
  REACHED(suffices == 1 && alone.reason == PV_MATCH && num_certs == 3 &&
          whole.num_seen == 1);
  REACHED(suffices == 1 && alone.reason == PV_NOT_PINNED);
  REACHED(suffices == 0 && alone.reason == PV_MATCH && whole.accepted == 1);
  REACHED(suffices == 0 && alone.accepted == 1 && whole.accepted == 0);
}

// No key is blocked: not for every host, and not by the PinSet that would decide.
void prove_pv_host_is_clear(void) {
  pv_policy policy;
  const char host[1];
  size_t host_len;
  __CPROVER_assume(host_len <= 1);
  any_world(&policy, host_len);
  const uint32_t clear_of_blocked = pv_host_is_clear(&policy, host, host_len);
  const bool by_clients =
      (policy.flags & 2) != 0 && (host_len == 0 || policy.num_rules == 0);
  const bool is_named = !by_clients && host_len > 0;
  const bool has_pins = by_clients || (is_named && w.host == PV_OK &&
                                       w.rule_found != PV_NO_RULE &&
                                       w.rule.pinset != PV_UNPINNED);
  __CPROVER_assert(
      clear_of_blocked ==
          (policy.bytes != NULL && !(is_named && w.host != PV_OK) &&
           spec_is_empty(WIDE, PV_LIST_BLOCKED) &&
           (!has_pins || spec_is_empty(OWN, PV_LIST_BLOCKED))),
      "nothing is blocked, and the host is one");
  __CPROVER_assert(pv_host_is_clear(&policy, NULL, 1) == 0,
                   "not without a host");
  REACHED(clear_of_blocked == 1 && by_clients && host_len == 0);
  REACHED(clear_of_blocked == 1 && has_pins && is_named);
  REACHED(clear_of_blocked == 1 && !has_pins && host_len == 0);
  REACHED(clear_of_blocked == 0 && spec_is_empty(WIDE, PV_LIST_BLOCKED) &&
          has_pins);
}
