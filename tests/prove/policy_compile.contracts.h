// policy_compile.contracts.h: the contracts of compile/policy_compile.c, about
// where it reads and writes. What it writes, pv_policy_open checks.
//
// clang-format off

// A part of the output: an object of its own, or a part of the policy's bytes.
#if defined(ONE_OBJECT)
#define IS_OUTPUT(p, n) __CPROVER_rw_ok(p, n)
#else
#define IS_OUTPUT(p, n) FRESH(p, n)
#endif

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

// Longer patterns are refused before a byte of them is copied.
static size_t write_canonical(uint8_t *out, pv_span text)
    REQUIRES(text.len <= 4096 && IS_TEXT(text) && FRESH(out, text.len + 1))
    ASSIGNS(BYTES(out, text.len + 1))
    ENSURES(RESULT <= text.len + 1);

static uint64_t count_names_len(const pv_column *patterns)
    REQUIRES(IS_COLUMN(patterns) && patterns->offsets.num <= INT32_MAX)
    REQUIRES(patterns->data_len <= UINT32_MAX)
    ASSIGNS()
    ENSURES(RESULT <= (uint64_t)patterns->offsets.num << 32);

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
