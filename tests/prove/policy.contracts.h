// policy.contracts.h: the contracts of the functions of policy_layout.h and
// policy_hash.h, and of what policy_find.c keeps to itself.
//
// clang-format off

// ---- policy_hash.h ----------------------------------------------------------

static inline uint64_t load_last(const uint8_t *name, size_t name_len,
                                 size_t len)
    REQUIRES(IS_HOST(name, name_len) && len <= name_len)
    ASSIGNS()
    ENSURES(IMPLIES(len < 8, RESULT >> 8 * len == 0))
    ENSURES(IMPLIES(some < len && some < 8,
                    (RESULT >> 8 * some & 0xff) == name[len - 1 - some]));

static inline uint64_t hash_name(const uint64_t key[2], const uint8_t *name,
                                 size_t name_len)
    REQUIRES(FRESH(key, 16) && IS_HOST(name, name_len))
    ASSIGNS();

void pv__find_ends(host_ends *out, const uint64_t key[2], const uint8_t *host,
                   size_t host_len)
    REQUIRES(IS_OUT(out) && FRESH(key, 16))
    REQUIRES(host_len <= PV_HOST_MAX && IS_HOST(host, host_len))
    ASSIGNS(*out)
    ENSURES(out->num > 0 && ENDS_FIT(out, host_len));

static inline uint32_t hash_tag(uint64_t hash)
    ASSIGNS()
    ENSURES(RESULT == hash >> 32);

static inline uint32_t hash_bucket(uint32_t bucket_mask, uint64_t hash,
                                   uint32_t shape)
    ASSIGNS()
    ENSURES(RESULT <= bucket_mask);

// ---- policy_layout.h --------------------------------------------------------

static inline policy_layout lay_out(uint64_t num_rows, uint32_t num_pinsets,
                                    uint32_t num_rules, uint32_t num_buckets,
                                    uint64_t names_len)
    REQUIRES(num_rows <= PV_PROVED_LEN_MAX / 32)
    REQUIRES(names_len <= PV_PROVED_LEN_MAX)
    ASSIGNS()
    ENSURES(RESULT.pinsets_at == 128 + 32 * num_rows)
    ENSURES(RESULT.rules_at ==
            RESULT.pinsets_at + 80 * (uint64_t)num_pinsets)
    ENSURES(RESULT.buckets_at == RESULT.rules_at + 16 * (uint64_t)num_rules)
    ENSURES(RESULT.names_at ==
            RESULT.buckets_at + 4 * ((uint64_t)num_buckets + 1))
    ENSURES(RESULT.end == RESULT.names_at + names_len)
    ENSURES(RESULT.size % 8 == 0 && RESULT.size >= RESULT.end &&
            RESULT.size - RESULT.end < 8);

static inline pin_rows read_run(const uint8_t *run)
    REQUIRES(FRESH(run, 8))
    ASSIGNS()
    ENSURES(RESULT.first_row == LE32(run) && RESULT.num_pins == LE32(run + 4));

static inline pv_pinset read_pinset(const uint8_t *pinset)
    REQUIRES(FRESH(pinset, 80))
    ASSIGNS()
    ENSURES(RESULT.mode == pinset[0])
    ENSURES(RESULT.expires_set == (pinset[1] != 0))
    ENSURES(RESULT.expired_rejects == (pinset[1] == 2))
    ENSURES((RESULT.expires < 0) == (pinset[15] >= 0x80))
    ENSURES((RESULT.expires & INT64_MAX) ==
            (int64_t)(LE64(pinset + 8) & INT64_MAX));

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

// ---- policy_find.c ----------------------------------------------------------

static inline bool rule_is(const pv_policy *policy, uint32_t i, uint32_t tag,
                           const uint8_t *name, size_t name_len,
                           uint8_t shape)
    REQUIRES(IS_VIEW(policy) && i < policy->num_rules)
    REQUIRES(IS_SECTION(policy->rules, RULES_LEN(policy)) &&
             RULES_FIT(policy))
    REQUIRES(IS_SECTION(policy->names, policy->names_len))
    REQUIRES(IS_HOST(name, name_len))
    ASSIGNS();

PV_INLINE uint32_t find_shape(const pv_policy *policy, uint64_t hash,
                              const uint8_t *name, size_t name_len,
                              uint8_t shape)
    REQUIRES(IS_INDEX(policy) && IS_HOST(name, name_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

PV_INLINE uint32_t find_end(const pv_policy *policy, const host_ends *ends,
                            size_t i, uint8_t shape, const uint8_t *host,
                            size_t host_len)
    REQUIRES(IS_INDEX(policy) && IS_HOST(host, host_len))
    REQUIRES(IS_OUT(ends) && ENDS_FIT(ends, host_len) && i < ends->num)
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

static uint32_t find_host(const pv_policy *policy, const uint8_t *host,
                          size_t host_len)
    REQUIRES(IS_INDEX(policy) && IS_HOST(host, host_len))
    REQUIRES(host_len <= PV_HOST_MAX)
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);
