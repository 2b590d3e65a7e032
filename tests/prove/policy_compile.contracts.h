// policy_compile.contracts.h: the contracts of compile/policy_compile.c, about
// where it reads and writes. What it writes, pv_policy_open checks.
//
// clang-format off

#define IS_TEXT(text) \
  ((text).len <= PV_PROVED_LEN_MAX && FRESH((text).data, (text).len))
#define IS_PATTERN_OF(p, column)                        \
  ((p).name_len <= (column)->data_len &&                \
   (p).shape <= PV_ANY_LABELS &&                        \
   BETWEEN((column)->data, (p).name,                    \
           (column)->data + ((column)->data_len - (p).name_len)))

// What the index is made from, and the sections that it is written to.
#define IS_RULE_INDEX(in)                                               \
  (FRESH(in, sizeof *(in)) && (in)->num_rules <= INT32_MAX &&           \
   (in)->bucket_mask <= INT32_MAX && (in)->names_len <= UINT32_MAX &&   \
   IS_COLUMN((in)->patterns) &&                                         \
   (in)->patterns->offsets.num == (in)->num_rules &&                    \
   (in)->patterns->data_len <= UINT32_MAX)
#define HAS_RULES(in) IS_OUTPUT((in)->rules, 16 * (size_t)(in)->num_rules)
#define HAS_BUCKETS(in) \
  IS_OUTPUT((in)->buckets, 4 * ((size_t)(in)->bucket_mask + 2))
#define HAS_NAMES(in) IS_OUTPUT((in)->names, (in)->names_len)

static pattern split_pattern(pv_span text)
    REQUIRES(IS_TEXT(text))
    ASSIGNS()
    ENSURES(RESULT.name_len <= text.len && RESULT.shape <= PV_ANY_LABELS)
    ENSURES(SAME(RESULT.name, text.data + (text.len - RESULT.name_len)));

static pattern pattern_at(const pv_column *patterns, size_t i)
    REQUIRES(IS_COLUMN(patterns) && i < patterns->offsets.num)
    ASSIGNS()
    ENSURES(IS_PATTERN_OF(RESULT, patterns));

static bool pattern_is_canonical(pv_span text)
    REQUIRES(IS_TEXT(text))
    ASSIGNS();

static pv_status check_pattern(const pv_column *patterns, size_t i)
    REQUIRES(IS_COLUMN(patterns) && i < patterns->offsets.num)
    ASSIGNS();

static pv_status check_patterns(size_t *out_row, const pv_column *patterns)
    REQUIRES(IS_OUT(out_row) && IS_COLUMN(patterns))
    ASSIGNS(*out_row)
    ENSURES(IMPLIES(RESULT != PV_OK, *out_row < patterns->offsets.num));

static size_t write_canonical(uint8_t *out, pv_span text)
    REQUIRES(IS_TEXT(text) && IS_OUTPUT(out, text.len + 1))
    ASSIGNS(WHOLE(out))
    ENSURES(RESULT <= text.len + 1);

static pv_status write_patterns(uint8_t *out, size_t out_len,
                                uint64_t *out_offsets, size_t *out_row,
                                const pv_column *patterns)
    REQUIRES(IS_COLUMN(patterns) && IS_OUT(out_row))
    REQUIRES(out_len <= PV_PROVED_LEN_MAX && FRESH(out, out_len))
    REQUIRES(FRESH(out_offsets, 8 * (patterns->offsets.num + 1)))
    ASSIGNS(WHOLE(out), WHOLE(out_offsets), *out_row)
    ENSURES(IMPLIES(RESULT == PV_ERR_POLICY_PATTERN,
                    *out_row < patterns->offsets.num));

static uint64_t count_names_len(const pv_column *patterns)
    REQUIRES(IS_COLUMN(patterns) && patterns->offsets.num <= INT32_MAX)
    REQUIRES(patterns->data_len <= UINT32_MAX)
    ASSIGNS()
    ENSURES(RESULT <= (uint64_t)patterns->offsets.num << 32);

// At least one pattern, of which nothing has been checked yet.
#define IS_SOURCE(source)                                                   \
  (FRESH(source, sizeof *(source)) &&                                       \
   (source)->patterns.offsets.num > 0 &&                                    \
   IS_OFFSETS(&(source)->patterns.offsets) &&                               \
   (source)->patterns.data_len <= PV_PROVED_LEN_MAX &&                      \
   FRESH((source)->patterns.data, (source)->patterns.data_len) &&           \
   (source)->num_rows <= PV_PROVED_LEN_MAX / 32)

static bool find_sections(policy_layout *out, uint32_t *out_num_buckets,
                          const pv_policy_source *source)
    REQUIRES(IS_OUT(out) && IS_OUT(out_num_buckets) && IS_SOURCE(source))
    ASSIGNS(*out, *out_num_buckets)
    ENSURES(IMPLIES(RESULT, source->patterns.offsets.num <= INT32_MAX &&
            source->patterns.data_len <= UINT32_MAX))
    ENSURES(IMPLIES(RESULT, POSITIONS_FIT(&source->patterns.offsets,
                                          source->patterns.data_len)))
    ENSURES(IMPLIES(RESULT, *out_num_buckets >= source->patterns.offsets.num &&
            *out_num_buckets <= (uint32_t)1 << 31))
    ENSURES(IMPLIES(RESULT, out->pinsets_at == 128 + 32 * source->num_rows &&
            out->rules_at ==
                out->pinsets_at + 80 * (uint64_t)source->num_pinsets &&
            out->buckets_at ==
                out->rules_at + 16 * source->patterns.offsets.num &&
            out->names_at ==
                out->buckets_at + 4 * ((uint64_t)*out_num_buckets + 1)))
    ENSURES(IMPLIES(RESULT, out->names_at <= out->end &&
            out->end - out->names_at <= UINT32_MAX && out->end <= out->size &&
            out->size - out->end < 8));

static uint32_t count_buckets(uint32_t num_rules)
    REQUIRES(num_rules <= INT32_MAX)
    ASSIGNS()
    ENSURES(RESULT >= 1 && RESULT >= num_rules && RESULT <= (uint32_t)1 << 31);

static uint64_t hash_pattern(const rule_index *in, pattern p)
    REQUIRES(FRESH(in, sizeof *in) && IS_HOST(p.name, p.name_len))
    ASSIGNS();

static uint8_t *bucket_of(const rule_index *in, pattern p, uint64_t hash)
    REQUIRES(FRESH(in, sizeof *in) && in->bucket_mask <= INT32_MAX)
    REQUIRES(HAS_BUCKETS(in))
    ASSIGNS()
    ENSURES(BETWEEN(in->buckets, RESULT,
                    in->buckets + 4 * (size_t)in->bucket_mask));

static void digest_patterns(uint8_t out[32], const pv_column *patterns)
    REQUIRES(FRESH(out, 32) && IS_COLUMN(patterns))
    ASSIGNS(BYTES(out, 32));

static void use_key(rule_index *in, const uint8_t seed[32], uint64_t number)
    REQUIRES(IS_OUT(in) && FRESH(seed, 32))
    ASSIGNS(BYTES(in->key, 16));

static bool count_rule(const rule_index *in, uint32_t i)
    REQUIRES(IS_RULE_INDEX(in) && HAS_BUCKETS(in) && i < in->num_rules)
    ASSIGNS(WHOLE(in->buckets));

static bool count_rules(const rule_index *in)
    REQUIRES(IS_RULE_INDEX(in) && HAS_BUCKETS(in))
    ASSIGNS(WHOLE(in->buckets));

static bool choose_key(rule_index *in)
    REQUIRES(IS_RULE_INDEX(in) && HAS_BUCKETS(in))
    ASSIGNS(BYTES(in->key, 16), WHOLE(in->buckets));

static bool add_up_buckets(const rule_index *in)
    REQUIRES(FRESH(in, sizeof *in) && in->bucket_mask <= INT32_MAX)
    REQUIRES(HAS_BUCKETS(in))
    ASSIGNS(WHOLE(in->buckets));

static void write_rule(uint8_t *out, rule_fields rule)
    REQUIRES(FRESH(out, 16))
    ASSIGNS(BYTES(out, 16));

static bool place_rule(const rule_index *in, uint32_t i)
    REQUIRES(IS_RULE_INDEX(in) && HAS_RULES(in) && HAS_BUCKETS(in))
    REQUIRES(FRESH(in->pinset_of, 4 * (size_t)in->num_rules))
    REQUIRES(i < in->num_rules)
    ASSIGNS(WHOLE(in->rules), WHOLE(in->buckets));

static bool place_rules(const rule_index *in)
    REQUIRES(IS_RULE_INDEX(in) && HAS_RULES(in) && HAS_BUCKETS(in))
    REQUIRES(FRESH(in->pinset_of, 4 * (size_t)in->num_rules))
    ASSIGNS(WHOLE(in->rules), WHOLE(in->buckets));

static bool copy_name(const rule_index *in, uint32_t i, uint32_t *name_at)
    REQUIRES(IS_RULE_INDEX(in) && HAS_RULES(in) && HAS_NAMES(in))
    REQUIRES(i < in->num_rules)
    REQUIRES(IS_OUT(name_at) && *name_at <= in->names_len)
    ASSIGNS(*name_at, WHOLE(in->rules), WHOLE(in->names))
    ENSURES(*name_at <= in->names_len);

static void prefetch_name(const rule_index *in, uint32_t i)
    REQUIRES(IS_RULE_INDEX(in) && HAS_RULES(in))
    ASSIGNS();

static bool copy_names(const rule_index *in)
    REQUIRES(IS_RULE_INDEX(in) && HAS_RULES(in) && HAS_NAMES(in))
    ASSIGNS(WHOLE(in->rules), WHOLE(in->names));

static void write_header(uint8_t *out, const pv_policy_source *source,
                         const rule_index *in, size_t size)
    REQUIRES(IS_OUTPUT(out, 128) && FRESH(source, sizeof *source))
    REQUIRES(FRESH(in, sizeof *in) && in->bucket_mask <= INT32_MAX)
    ASSIGNS(BYTES(out, 128));

// The pins and PinSets that stand behind the patterns; NULL if there are none.
#define HAS_REST(source)                                                 \
  (FRESH((source)->pinset_of, 4 * (source)->patterns.offsets.num) &&     \
   FRESH((source)->pins, 32 * (source)->num_rows) &&                     \
   FRESH((source)->pinsets, 80 * (size_t)(source)->num_pinsets))

static pv_status compile(uint8_t *out, size_t out_len, size_t *out_row,
                         const pv_policy_source *source)
    REQUIRES(IS_SOURCE(source) && HAS_REST(source) && IS_OUT(out_row))
    REQUIRES(out_len <= PV_PROVED_LEN_MAX && FRESH(out, out_len))
    ASSIGNS(WHOLE(out), *out_row);

size_t pv_policy_compiled_len(const pv_policy_source *source)
    REQUIRES(IS_SOURCE(source))
    ASSIGNS();

pv_status pv_policy_compile(uint8_t *out, size_t out_len, size_t *out_row,
                            const pv_policy_source *source)
    REQUIRES(IS_SOURCE(source) && HAS_REST(source) && IS_OUT(out_row))
    REQUIRES(out_len <= PV_PROVED_LEN_MAX && FRESH(out, out_len))
    ASSIGNS(WHOLE(out), *out_row)
    ENSURES(IMPLIES(RESULT != PV_OK && some < out_len, out[some] == 0));

pv_status pv_patterns_canonical(uint8_t *out, size_t out_len,
                                uint64_t *out_offsets, size_t *out_row,
                                const pv_column *patterns)
    REQUIRES(FRESH(patterns, sizeof *patterns) && patterns->offsets.num > 0)
    REQUIRES(IS_OFFSETS(&patterns->offsets))
    REQUIRES(patterns->data_len <= PV_PROVED_LEN_MAX)
    REQUIRES(FRESH(patterns->data, patterns->data_len) && IS_OUT(out_row))
    REQUIRES(out_len <= PV_PROVED_LEN_MAX && FRESH(out, out_len))
    REQUIRES(FRESH(out_offsets, 8 * (patterns->offsets.num + 1)))
    ASSIGNS(WHOLE(out), WHOLE(out_offsets), *out_row)
    ENSURES(IMPLIES(RESULT == PV_ERR_POLICY_PATTERN,
                    *out_row < patterns->offsets.num))
    ENSURES(IMPLIES(RESULT != PV_OK && some <= patterns->offsets.num,
                    out_offsets[some] == 0));
