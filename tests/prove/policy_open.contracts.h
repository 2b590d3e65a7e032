// policy_open.contracts.h: the contracts of what policy_open.c keeps to itself.
//
// clang-format off

static bool all_zero(const uint8_t *bytes, size_t len)
    REQUIRES(len <= PV_PROVED_LEN_MAX && FRESH(bytes, len))
    ASSIGNS()
    ENSURES(IMPLIES(some < len && RESULT, bytes[some] == 0));

static pv_status check_frame(const uint8_t *bytes, size_t bytes_len)
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT == PV_OK, bytes_len >= 128));

static pv_status read_header(pv_policy *out, const uint8_t *bytes,
                             size_t bytes_len)
    REQUIRES(IS_OUT(out) && bytes_len == policy_len)
    REQUIRES(bytes_len >= 128 && bytes_len <= PV_PROVED_LEN_MAX)
    REQUIRES(FRESH(bytes, bytes_len))
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT == PV_OK, SAME(out->bytes, bytes) &&
                                         HAS_SIZES(out) && HAS_SECTIONS(out)));

static bool flags_are_known(const pv_policy *policy)
    REQUIRES(IS_VIEW(policy))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, FLAGS_FIT(policy)));

static bool is_filled(const uint8_t *packed, uint32_t num_pins)
    REQUIRES(num_pins > 0)
    REQUIRES(FRESH(packed, 32 * PACKED_ROWS(num_pins)))
    ASSIGNS();

static bool check_run(const pv_policy *policy, pin_rows run)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->pins, PINS_LEN(policy)))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, ROWS_FIT(policy, run.first_row, run.num_pins)));

static bool check_expiry(const uint8_t *pinset)
    REQUIRES(FRESH(pinset, 80))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, pinset[1] <= 2));

static bool check_pinset(const pv_policy *policy, const uint8_t *pinset)
    REQUIRES(IS_VIEW(policy) && IS_SECTION(policy->pins, PINS_LEN(policy)))
    REQUIRES(FRESH(pinset, 80))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, SOME_RUN_FITS(policy, pinset)));

static void copy_pinset(uint8_t out[PINSET_LEN], const uint8_t *pinset)
    REQUIRES(FRESH(out, 80) && FRESH(pinset, 80))
    ASSIGNS(BYTES(out, 80))
    ENSURES(SAME_RUN(out + 16 + 8 * (some % 8), pinset + 16 + 8 * (some % 8)));

static bool check_pinset_at(const pv_policy *policy, uint32_t i)
    REQUIRES(IS_VIEW(policy) && HAS_PINSETS(policy))
    REQUIRES(i < policy->num_pinsets)
    ASSIGNS()
    ENSURES(IMPLIES(i == some / 8 && RESULT,
                    SOME_RUN_FITS(policy, PINSET_OF(policy, i))));

static bool check_pinsets(const pv_policy *policy)
    REQUIRES(IS_VIEW(policy) && HAS_PINSETS(policy))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, PINSETS_FIT(policy)));

static bool check_buckets(const pv_policy *policy)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->buckets, BUCKETS_LEN(policy)))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, BUCKETS_FIT(policy) && BUCKETS_END(policy)))
    ENSURES(IMPLIES(RESULT && some <= policy->bucket_mask,
                    BUCKET_IS_SHORT(policy, some)));

static bool check_name(const pv_policy *policy, rule_fields rule,
                       uint64_t name_at)
    REQUIRES(IS_VIEW(policy) && name_at <= policy->names_len)
    REQUIRES(IS_SECTION(policy->names, policy->names_len))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, rule.name_at == name_at))
    ENSURES(IMPLIES(RESULT, NAME_FITS(policy, rule.name_at, rule.name_len)));

static int compare_rules(const pv_policy *policy, rule_fields a,
                         rule_fields b)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->names, policy->names_len))
    REQUIRES(NAME_FITS(policy, a.name_at, a.name_len))
    REQUIRES(NAME_FITS(policy, b.name_at, b.name_len))
    ASSIGNS();

static bool check_rule(const pv_policy *policy, uint32_t i, rule_fields rule,
                       rule_fields previous)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->names, policy->names_len))
    REQUIRES(IS_SECTION(policy->buckets, BUCKETS_LEN(policy)))
    REQUIRES(BUCKETS_FIT(policy))
    REQUIRES(NAME_FITS(policy, rule.name_at, rule.name_len))
    REQUIRES(NAME_FITS(policy, previous.name_at, previous.name_len))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, PINSET_EXISTS(policy, rule.pinset)));

static bool check_next_rule(rule_fields *previous, const pv_policy *policy,
                            uint32_t i)
    REQUIRES(IS_OUT(previous) && IS_VIEW(policy) && i < policy->num_rules)
    REQUIRES(NAME_FITS(policy, previous->name_at, previous->name_len))
    REQUIRES(HAS_INDEX(policy))
    REQUIRES(BUCKETS_FIT(policy) && BUCKETS_END(policy))
    ASSIGNS(*previous)
    ENSURES(IMPLIES(RESULT, NAME_FITS(policy, previous->name_at,
                                      previous->name_len)))
    ENSURES(IMPLIES(i == some && RESULT,
                    RULE_FITS(policy, RULE_OF(policy, i))));

static bool check_rules(const pv_policy *policy)
    REQUIRES(IS_VIEW(policy) && HAS_INDEX(policy))
    REQUIRES(BUCKETS_FIT(policy) && BUCKETS_END(policy))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, RULES_FIT(policy)));

static pv_status check_contents(const pv_policy *policy)
    REQUIRES(IS_POLICY(policy) && HAS_SECTIONS(policy))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT == PV_OK, FLAGS_FIT(policy) && FITS(policy)));

static pv_status open_view(pv_policy *out, const uint8_t *bytes,
                           size_t bytes_len)
    REQUIRES(IS_OUT(out) && bytes_len == policy_len)
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_OPEN(out, bytes)));
