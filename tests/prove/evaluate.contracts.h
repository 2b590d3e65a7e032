// evaluate.contracts.h: the contracts of what evaluate.c keeps to itself.
//
// clang-format off

static bool lens_add_up(const uint8_t *lens, size_t num, size_t total)
    REQUIRES(num <= PV_PROVED_LEN_MAX && FRESH(lens, 4 * num))
    ASSIGNS();

static uint32_t run_contains(const pv_policy *policy, uint32_t pinset,
                             uint32_t list, uint32_t kind,
                             const cert_digests *digests)
    REQUIRES(IS_PIN_STORE(policy) && IS_LIST(policy, pinset, list))
    REQUIRES(kind <= PV_CERTIFICATE && FRESH(digests, sizeof *digests))
    ASSIGNS()
    ENSURES(RESULT <= 1);

static void note_first(finding *out, uint32_t depth, uint8_t kind,
                       const cert_digests *digests)
    REQUIRES(IS_OUT(out) && kind <= PV_CERTIFICATE)
    REQUIRES(FRESH(digests, sizeof *digests))
    ASSIGNS(*out);

static void scan_pinset(evidence *out, const pv_policy *policy, uint32_t pinset,
                        uint32_t depth, const cert_digests *digests)
    REQUIRES(IS_OUT(out) && IS_PIN_STORE(policy))
    REQUIRES(pinset < policy->num_pinsets)
    REQUIRES(FRESH(digests, sizeof *digests))
    ASSIGNS(*out);

static void scan_blocked(evidence *out, const pv_policy *policy,
                         uint32_t pinset, uint32_t depth,
                         const cert_digests *digests)
    REQUIRES(IS_OUT(out) && IS_PIN_STORE(policy))
    REQUIRES(IS_LIST(policy, pinset, PV_LIST_BLOCKED))
    REQUIRES(FRESH(digests, sizeof *digests))
    ASSIGNS(*out);

static bool wants_certificate_digest(const pv_policy *policy,
                                     uint32_t pinset)
    REQUIRES(IS_PIN_STORE(policy))
    REQUIRES(IS_LIST(policy, pinset, PV_LIST_BLOCKED))
    ASSIGNS();

static void report_finding(pv_report *out, pv_reason reason,
                           const finding *found)
    REQUIRES(IS_OUT(out) && FRESH(found, sizeof *found))
    REQUIRES(reason <= PV_BAD_HOST)
    ASSIGNS(*out)
    ENSURES(out->accepted == OLD(out->accepted))
    ENSURES(out->mode == OLD(out->mode));

static bool decide_bad_chain(pv_report *out, const evidence *seen,
                             const chain_view *chain)
    REQUIRES(IS_OUT(out) && FRESH(seen, sizeof *seen))
    REQUIRES(FRESH(chain, sizeof *chain))
    ASSIGNS(*out)
    ENSURES(out->mode == OLD(out->mode))
    ENSURES(IMPLIES(chain->num_certs == 0 || seen->malformed != PV_OK,
                    RESULT && out->accepted == 0))
    ENSURES(IMPLIES(RESULT && out->mode != PV_REPORT, out->accepted == 0))
    ENSURES(IMPLIES(seen->blocked.depth != PV_NO_DEPTH, RESULT))
    ENSURES(IMPLIES(!RESULT, out->accepted == OLD(out->accepted)));

static bool lists_are_hit(const pv_policy *policy, uint32_t pinset,
                          uint32_t lists_hit)
    REQUIRES(IS_PIN_STORE(policy) && pinset < policy->num_pinsets)
    ASSIGNS();

static uint32_t find_pinset(pv_report *out, const pv_policy *policy,
                            const char *host, size_t host_len)
    REQUIRES(IS_OUT(out) && IS_INDEX_OR_CLOSED(policy))
    REQUIRES(IS_HOST(host, host_len) && out->accepted == 0)
    ASSIGNS(*out)
    ENSURES(PINSET_EXISTS(policy, RESULT))
    ENSURES(IMPLIES(out->reason == PV_BAD_HOST, out->accepted == 0))
    ENSURES(IMPLIES((policy->flags & 1) != 0, out->accepted == 0));
