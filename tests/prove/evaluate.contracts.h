// evaluate.contracts.h: the contracts of what evaluate.c keeps to itself.
//
// clang-format off

// Steps 4 to 7 of pinverify.h, section 6, said a second time.
static inline pv_reason spec_judgement(size_t num_certs, bool shows_blocked,
                                       bool is_malformed, bool is_clear,
                                       bool is_hit) {
  const bool is_whole = !is_malformed || (is_clear && is_hit);
  return num_certs == 0  ? PV_NO_CERTIFICATE
         : shows_blocked ? PV_BLOCKED
         : !is_whole     ? PV_MALFORMED
         : is_hit        ? PV_MATCH
                         : PV_MISMATCH;
}

#define IS_REPORTED(out, found)                                              \
  ((out)->depth == (found)->depth && (out)->matched_kind == (found)->kind && \
   (out)->matched[some % 32] == (found)->digest[some % 32])

// A list that exists in the policy, and all that a decision asks.
#define LIST_FITS(policy, pins)                                        \
  (ROWS_FIT(policy, (pins)->rows.first_row, (pins)->rows.num_pins) &&  \
   (pins)->list <= PV_LIST_BLOCKED && (pins)->kind <= PV_CERTIFICATE)
#define FITS_AT(policy, asked, i) \
  IMPLIES((i) < (asked)->num, LIST_FITS(policy, &(asked)->of[i]))
#define LISTS_FIT(policy, asked)                                     \
  ((asked)->num <= 10 && FITS_AT(policy, asked, 0) &&                \
   FITS_AT(policy, asked, 1) && FITS_AT(policy, asked, 2) &&         \
   FITS_AT(policy, asked, 3) && FITS_AT(policy, asked, 4) &&         \
   FITS_AT(policy, asked, 5) && FITS_AT(policy, asked, 6) &&         \
   FITS_AT(policy, asked, 7) && FITS_AT(policy, asked, 8) &&         \
   FITS_AT(policy, asked, 9))

// The same of number `some`, and so of each.
#define SOME_LIST_FITS(policy, asked) \
  ((asked)->num <= 10 && FITS_AT(policy, asked, some % 10))

static void add_list(pin_lists *out, const pv_policy *policy, uint32_t pinset,
                     uint32_t list, uint32_t kind)
    REQUIRES(IS_OUT(out) && IS_PIN_STORE(policy))
    REQUIRES(IS_LIST(policy, pinset, list) && kind <= PV_CERTIFICATE)
    REQUIRES(SOME_LIST_FITS(policy, out) && out->num < 10)
    ASSIGNS(*out)
    ENSURES(SOME_LIST_FITS(policy, out))
    ENSURES(out->num == OLD(out->num) || out->num == OLD(out->num) + 1);

static void collect_lists(pin_lists *out, const pv_policy *policy,
                          uint32_t pinset)
    REQUIRES(IS_OUT(out) && IS_PIN_STORE(policy))
    REQUIRES(IS_LIST(policy, pinset, PV_LIST_BLOCKED))
    ASSIGNS(*out)
    ENSURES(SOME_LIST_FITS(policy, out))
    ENSURES(IMPLIES(pinset == PV_UNPINNED, out->num <= 2));

static void scan_list(evidence *out, const pv_policy *policy,
                      const pin_list *pins, uint32_t depth,
                      const cert_digests *digests)
    REQUIRES(IS_OUT(out) && IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->pins, PINS_LEN(policy)))
    REQUIRES(FRESH(pins, sizeof *pins) && FRESH(digests, sizeof *digests))
    REQUIRES(LIST_FITS(policy, pins))
    ASSIGNS(*out);

static void look_at(evidence *out, const pv_policy *policy,
                    const pin_lists *lists, uint32_t depth,
                    const cert_digests *digests)
    REQUIRES(IS_OUT(out) && IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->pins, PINS_LEN(policy)))
    REQUIRES(FRESH(lists, sizeof *lists) && FRESH(digests, sizeof *digests))
    REQUIRES(LISTS_FIT(policy, lists))
    ASSIGNS(*out);

static pv_reason judge_chain(const evidence *seen, size_t num_certs,
                             bool is_clear, bool is_hit)
    REQUIRES(FRESH(seen, sizeof *seen))
    ASSIGNS()
    ENSURES(RESULT == spec_judgement(num_certs,
                                     seen->blocked.depth != PV_NO_DEPTH,
                                     seen->malformed != PV_OK, is_clear,
                                     is_hit));

static void report_finding(pv_report *out, const finding *found)
    REQUIRES(IS_OUT(out) && FRESH(found, sizeof *found))
    ASSIGNS(*out)
    ENSURES(out->depth == found->depth && out->matched_kind == found->kind)
    ENSURES(out->matched[some % 32] == found->digest[some % 32])
    ENSURES(out->accepted == OLD(out->accepted))
    ENSURES(out->mode == OLD(out->mode) && out->reason == OLD(out->reason));

static void report_reason(pv_report *out, pv_reason reason,
                          const evidence *seen)
    REQUIRES(IS_OUT(out) && FRESH(seen, sizeof *seen))
    REQUIRES((uint32_t)reason <= PV_BAD_HOST)
    ASSIGNS(*out)
    ENSURES(out->reason == reason && out->mode == OLD(out->mode))
    ENSURES(out->accepted ==
            (reason == PV_MATCH || OLD(out->mode) == PV_REPORT))
    ENSURES(IMPLIES(reason == PV_MATCH || reason == PV_BLOCKED,
                    IS_REPORTED(out, reason == PV_MATCH ? &seen->pinned
                                                        : &seen->blocked)))
    ENSURES(IMPLIES(reason == PV_MALFORMED,
                    out->depth == seen->num_seen &&
                        out->detail == (uint32_t)seen->malformed));

static uint32_t find_pinset(pv_report *out, const pv_policy *policy,
                            const given_host *host)
    REQUIRES(IS_OUT(out) && IS_INDEX_OR_CLOSED(policy))
    REQUIRES(FRESH(host, sizeof *host) && IS_HOST(host->name, host->len))
    REQUIRES(host->rule == PV_NO_RULE || host->rule < policy->num_rules)
    REQUIRES(out->accepted == 0)
    ASSIGNS(*out)
    ENSURES(PINSET_EXISTS(policy, RESULT))
    ENSURES(IMPLIES(out->reason == PV_BAD_HOST, out->accepted == 0))
    ENSURES(IMPLIES((policy->flags & 1) != 0, out->accepted == 0));

static bool blocks_nothing(const pv_policy *policy, uint32_t pinset)
    REQUIRES(IS_PIN_STORE(policy))
    REQUIRES(IS_LIST(policy, pinset, PV_LIST_BLOCKED))
    ASSIGNS();
