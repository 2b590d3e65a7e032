// policy.contracts.h: the contracts of the functions of policy.h, and of what
// policy.c keeps to itself.
//
// clang-format off

MAY_WRAP_BEGIN
static inline uint64_t hash_step(uint64_t hash, uint8_t c)
    ASSIGNS()
    ENSURES(RESULT == (hash ^ c) * UINT64_C(0x100000001b3));
MAY_WRAP_END

static inline uint32_t hash_tag(uint64_t hash)
    ASSIGNS()
    ENSURES(RESULT == hash >> 32);

static inline uint32_t hash_bucket(const pv_policy *policy, uint64_t hash)
    REQUIRES(IS_VIEW(policy))
    ASSIGNS()
    ENSURES(RESULT <= policy->bucket_mask);

static inline pin_rows read_run(const uint8_t *run)
    REQUIRES(FRESH(run, 8))
    ASSIGNS()
    ENSURES(RESULT.first_row == LE32(run) && RESULT.num_pins == LE32(run + 4));

static inline rule_fields read_rule(const uint8_t *rule)
    REQUIRES(FRESH(rule, 16))
    ASSIGNS()
    ENSURES(RESULT.name_at == LE32(rule) && RESULT.tag == LE32(rule + 4))
    ENSURES(RESULT.pinset == LE32(rule + 8))
    ENSURES(RESULT.name_len == rule[12] && RESULT.shape == rule[13])
    ENSURES(RESULT.zero[0] == rule[14] && RESULT.zero[1] == rule[15]);

static inline const uint8_t *rule_at(const pv_policy *policy, uint32_t rule)
    REQUIRES(IS_VIEW(policy) && rule < policy->num_rules)
    REQUIRES(IS_SECTION(policy->rules, RULES_LEN(policy)))
    ASSIGNS()
    ENSURES(SAME(RESULT, RULE_OF(policy, rule)));

static inline const uint8_t *pinset_at(const pv_policy *policy, uint32_t pinset)
    REQUIRES(IS_VIEW(policy) && pinset < policy->num_pinsets)
    REQUIRES(IS_SECTION(policy->pinsets, PINSETS_LEN(policy)))
    ASSIGNS()
    ENSURES(SAME(RESULT, PINSET_OF(policy, pinset)));

static inline uint32_t bucket_start(const pv_policy *policy, uint32_t bucket)
    REQUIRES(IS_VIEW(policy) && bucket <= policy->bucket_mask + 1)
    REQUIRES(IS_SECTION(policy->buckets, BUCKETS_LEN(policy)))
    REQUIRES(BUCKETS_FIT(policy))
    ASSIGNS()
    ENSURES(RESULT <= policy->num_rules);

// ---- policy.c ---------------------------------------------------------------

static pin_rows pinset_run(const pv_policy *policy, uint32_t pinset,
                           uint32_t list, uint32_t kind)
    REQUIRES(IS_VIEW(policy) && pinset < policy->num_pinsets)
    REQUIRES(list <= PV_LIST_BLOCKED && kind <= PV_CERTIFICATE)
    REQUIRES(IS_SECTION(policy->pinsets, PINSETS_LEN(policy)))
    REQUIRES(PINSETS_FIT(policy))
    ASSIGNS()
    ENSURES(ROWS_FIT(policy, RESULT.first_row, RESULT.num_pins));

static pin_rows blocked_run(const pv_policy *policy, uint32_t kind)
    REQUIRES(IS_VIEW(policy) && kind <= PV_CERTIFICATE)
    REQUIRES(FRESH(policy->bytes, 128) && BLOCKED_FIT(policy))
    ASSIGNS()
    ENSURES(ROWS_FIT(policy, RESULT.first_row, RESULT.num_pins));

static pin_run pins_of(const pv_policy *policy, pin_rows run)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->pins, PINS_LEN(policy)))
    REQUIRES(ROWS_FIT(policy, run.first_row, run.num_pins))
    ASSIGNS()
    ENSURES(IS_RUN(RESULT, policy));

static bool rule_is(const pv_policy *policy, uint32_t i, uint32_t tag,
                    const uint8_t *name, size_t name_len, uint8_t shape)
    REQUIRES(IS_VIEW(policy) && i < policy->num_rules)
    REQUIRES(IS_SECTION(policy->rules, RULES_LEN(policy)) &&
             RULES_FIT(policy))
    REQUIRES(IS_SECTION(policy->names, policy->names_len))
    REQUIRES(IS_HOST(name, name_len))
    ASSIGNS();

static uint32_t find_shape(const pv_policy *policy, uint64_t hash,
                           const uint8_t *name, size_t name_len,
                           uint8_t shape)
    REQUIRES(IS_INDEX(policy) && IS_HOST(name, name_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

static uint32_t find_suffix(const pv_policy *policy, uint64_t hash,
                            const uint8_t *suffix, size_t suffix_len,
                            uint8_t first)
    REQUIRES(IS_INDEX(policy) && IS_HOST(suffix, suffix_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

static uint32_t find_host(const pv_policy *policy, const uint8_t *host,
                          size_t host_len)
    REQUIRES(IS_INDEX(policy) && IS_HOST(host, host_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);
