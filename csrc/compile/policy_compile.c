// policy_compile.c: writes a compiled policy (pinverify_compile.h, section 1).
// The caller has laid out its pins and PinSets (in Python,
// policy/_compiled.py); policy_open.c reads the result.
//
// Nothing is allocated: the rules are counted and placed where they are
// written. Until the names are written, the name_at of a rule is a position in
// the data of the patterns, not in the names section.
//
// The patterns are read several times. Each position that is computed from them
// is compared with the end of its section before it is used.
#include "../pinverify_compile.h"

#include <string.h>

#include "../columns.h"
#include "../host.h"
#include "../policy_layout.h"

enum { KEYS_TRIED = 1 << 16, NUM_RULES_MAX = INT32_MAX, AHEAD = 16 };

static void store_le32(uint8_t *p, uint32_t x) {
  p[0] = (uint8_t)(x & 0xff);
  p[1] = (uint8_t)(x >> 8 & 0xff);
  p[2] = (uint8_t)(x >> 16 & 0xff);
  p[3] = (uint8_t)(x >> 24);
}

static void store_le64(uint8_t *p, uint64_t x) {
  store_le32(p, (uint32_t)(x & UINT32_MAX));
  store_le32(p + 4, (uint32_t)(x >> 32));
}

// ---- patterns ---------------------------------------------------------------

typedef struct pattern {
  const uint8_t *name;
  size_t name_len;
  uint8_t shape;
} pattern;

static pattern split_pattern(pv_span text) {
  size_t at = 0;
  uint8_t shape = PV_EXACT;
  if (text.len >= 3 && memcmp(text.data, "**.", 3) == 0) {
    at = 3;
    shape = PV_ANY_LABELS;
  } else if (text.len >= 2 && memcmp(text.data, "*.", 2) == 0) {
    at = 2;
    shape = PV_ONE_LABEL;
  }
  return (pattern){text.data + at, text.len - at, shape};
}

static pattern pattern_at(const pv_column *patterns, size_t i) {
  return split_pattern(column_item(patterns, i));
}

static bool pattern_is_canonical(pv_span text) {
  const pattern p = split_pattern(text);
  return pv__name_is_canonical((const char *)p.name, p.name_len, p.shape);
}

// Returns true if `a` comes before `b`.
static bool ascends(pv_span a, pv_span b) {
  const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
  return order < 0 || (order == 0 && a.len < b.len);
}

static pv_status check_pattern(const pv_column *patterns, size_t i) {
  const pv_span text = column_item(patterns, i);
  if (!pattern_is_canonical(text)) {
    return PV_ERR_POLICY_PATTERN;
  }
  return i == 0 || ascends(column_item(patterns, i - 1), text)
             ? PV_OK
             : PV_ERR_POLICY_ORDER;
}

static pv_status check_patterns(size_t *out_row, const pv_column *patterns) {
  for (size_t i = 0; i < patterns->offsets.num; i++) CHANGES(i, *out_row)
  LOOP(patterns->offsets.num - i, i <= patterns->offsets.num)
  {
    const pv_status status = check_pattern(patterns, i);
    if (status != PV_OK) {
      *out_row = i;
      return status;
    }
  }
  return PV_OK;
}

// Writes the canonical spelling of a pattern to `out`, which has room for one
// byte more than the pattern. Returns its length, or 0.
static size_t write_canonical(uint8_t *out, pv_span text) {
  char name[PV_HOST_MAX + 1];
  size_t name_len = 0;
  const pattern p = split_pattern(text);
  const size_t wildcard_len = text.len - p.name_len;
  if (pv_host_canonical(name, &name_len, (const char *)p.name, p.name_len) !=
          PV_OK ||
      name_len > p.name_len + 1 ||
      !pv__name_takes_shape(name, name_len, p.shape)) {
    return 0;
  }
  memcpy(out, text.data, wildcard_len);
  memcpy(out + wildcard_len, name, name_len);
  return wildcard_len + name_len;
}

static pv_status write_patterns(uint8_t *out, size_t out_len,
                                uint64_t *out_offsets, size_t *out_row,
                                const pv_column *patterns) {
  size_t at = 0;
  for (size_t i = 0; i < patterns->offsets.num; i++)
    CHANGES(i, at, *out_row, WHOLE(out), WHOLE(out_offsets))
    LOOP(patterns->offsets.num - i, i <= patterns->offsets.num && at <= out_len)
  {
    const pv_span text = column_item(patterns, i);
    if (text.len >= out_len - at) {
      return PV_ERR_ARGUMENT;
    }
    const size_t len = write_canonical(out + at, text);
    if (len == 0) {
      *out_row = i;
      return PV_ERR_POLICY_PATTERN;
    }
    at += len;
    out_offsets[i + 1] = at;
  }
  return PV_OK;
}

pv_status pv_patterns_canonical(uint8_t *out, size_t out_len,
                                uint64_t *out_offsets, size_t *out_row,
                                const pv_column *patterns) {
  *out_row = 0;
  out_offsets[0] = 0;
  const pv_status status =
      column_fits(patterns)
          ? write_patterns(out, out_len, out_offsets, out_row, patterns)
          : PV_ERR_ARGUMENT;
  if (status != PV_OK) {
    memset(out_offsets, 0, sizeof *out_offsets * (patterns->offsets.num + 1));
  }
  return status;
}

// ---- sizes ------------------------------------------------------------------

static uint64_t count_names_len(const pv_column *patterns) {
  uint64_t names_len = 0;
  for (size_t i = 0; i < patterns->offsets.num; i++)
    LOOP(patterns->offsets.num - i,
         i <= patterns->offsets.num && names_len <= (uint64_t)i << 32)
  {
    names_len += pattern_at(patterns, i).name_len;
  }
  return names_len;
}

// Returns the lowest power of two that is at least the number of rules.
static uint32_t count_buckets(uint32_t num_rules) {
  uint32_t num_buckets = 1;
  while (num_buckets < num_rules) {
    num_buckets *= 2;
  }
  return num_buckets;
}

// Finds the sections of the policy. Returns false if it would be too large, or
// if offsets of the patterns are wrong.
static bool find_sections(policy_layout *out, uint32_t *out_num_buckets,
                          const pv_policy_source *source) {
  const pv_column *patterns = &source->patterns;
  if (!column_fits(patterns) || patterns->offsets.num > NUM_RULES_MAX ||
      patterns->data_len > UINT32_MAX ||
      source->num_rows > SIZE_MAX / (2 * PV_DIGEST_LEN)) {
    return false;
  }
  const uint64_t names_len = count_names_len(patterns);
  if (names_len > UINT32_MAX) {
    return false;
  }
  *out_num_buckets = count_buckets((uint32_t)patterns->offsets.num);
  *out = lay_out(source->num_rows, source->num_pinsets,
                 (uint32_t)patterns->offsets.num, *out_num_buckets, names_len);
  return out->size <= SIZE_MAX;
}

size_t pv_policy_compiled_len(const pv_policy_source *source) {
  policy_layout at;
  uint32_t num_buckets = 0;
  return find_sections(&at, &num_buckets, source) ? (size_t)at.size : 0;
}

// ---- the index --------------------------------------------------------------

// The sections that are written, and what the index is made from.
typedef struct rule_index {
  uint8_t *rules;
  uint8_t *buckets;
  uint8_t *names;
  size_t names_len;
  const pv_column *patterns;
  const uint32_t *pinset_of;
  uint32_t num_rules;
  uint32_t bucket_mask;
  uint64_t key[2];
} rule_index;

static uint64_t hash_pattern(const rule_index *in, pattern p) {
  return hash_name(in->key, p.name, p.name_len);
}

static uint8_t *bucket_of(const rule_index *in, pattern p, uint64_t hash) {
  return in->buckets + 4 * (size_t)hash_bucket(in->bucket_mask, hash, p.shape);
}

// Computes the seed of the keys.
static void digest_patterns(uint8_t out[32], const pv_column *patterns) {
  pv_span pieces[PIECES_MAX];
  memset(out, 0, PV_DIGEST_LEN);
  for (size_t done = 0; done < patterns->offsets.num;)
    CHANGES(done, WHOLE(pieces), BYTES(out, 32))
  LOOP(patterns->offsets.num - done, done <= patterns->offsets.num)
  {
    size_t num = 0;
    for (; num < PIECES_MAX && done + num < patterns->offsets.num; num++)
      CHANGES(num, WHOLE(pieces))
    LOOP(PIECES_MAX - num,
         num <= PIECES_MAX && done + num <= patterns->offsets.num)
    {
      pieces[num] = column_item(patterns, done + num);
    }
    pv__digest_pieces(out, pieces, num);
    done += num;
  }
}

static void use_key(rule_index *in, const uint8_t seed[32], uint64_t number) {
  uint8_t message[PV_DIGEST_LEN + 8];
  uint8_t digest[PV_DIGEST_LEN];
  memcpy(message, seed, PV_DIGEST_LEN);
  store_le64(message + PV_DIGEST_LEN, number);
  pv_sha256(digest, message, sizeof message);
  in->key[0] = load_le64(digest);
  in->key[1] = load_le64(digest + 8);
}

// Counts a rule, in the bytes of its bucket. Returns false if that is full.
static bool count_rule(const rule_index *in, uint32_t i) {
  const pattern p = pattern_at(in->patterns, i);
  uint8_t *bucket = bucket_of(in, p, hash_pattern(in, p));
  const uint32_t num = load_le32(bucket);
  if (num >= BUCKET_MAX) {
    return false;
  }
  store_le32(bucket, num + 1);
  return true;
}

static bool count_rules(const rule_index *in) {
  memset(in->buckets, 0, 4 * ((size_t)in->bucket_mask + 2));
  for (uint32_t i = 0; i < in->num_rules; i++) CHANGES(i, WHOLE(in->buckets))
  LOOP(in->num_rules - i, i <= in->num_rules)
  {
    if (!count_rule(in, i)) {
      return false;
    }
  }
  return true;
}

static bool choose_key(rule_index *in) {
  uint8_t seed[PV_DIGEST_LEN];
  digest_patterns(seed, in->patterns);
  for (uint64_t number = 0; number < KEYS_TRIED; number++)
    CHANGES(number, BYTES(in->key, 16), WHOLE(in->buckets))
  LOOP(KEYS_TRIED - number, number <= KEYS_TRIED)
  {
    use_key(in, seed, number);
    if (count_rules(in)) {
      return true;
    }
  }
  return false;
}

// Replaces the number of rules of each bucket by the index after its last rule.
static bool add_up_buckets(const rule_index *in) {
  uint32_t end = 0;
  for (size_t b = 0; b <= (size_t)in->bucket_mask + 1; b++)
    CHANGES(b, end, WHOLE(in->buckets))
  LOOP((size_t)in->bucket_mask + 2 - b,
       b <= (size_t)in->bucket_mask + 2 && end <= in->num_rules)
  {
    const uint32_t num = load_le32(in->buckets + 4 * b);
    if (num > in->num_rules - end) {
      return false;
    }
    end += num;
    store_le32(in->buckets + 4 * b, end);
  }
  return true;
}

static void write_rule(uint8_t *out, rule_fields rule) {
  store_le32(out, rule.name_at);
  store_le32(out + TAG_AT, rule.tag);
  store_le32(out + PINSET_INDEX_AT, rule.pinset);
  out[NAME_LEN_AT] = rule.name_len;
  out[SHAPE_AT] = rule.shape;
  out[SHAPE_AT + 1] = 0;
  out[SHAPE_AT + 2] = 0;
}

// Puts a rule into the last free place of its bucket.
static bool place_rule(const rule_index *in, uint32_t i) {
  const pattern p = pattern_at(in->patterns, i);
  const uint64_t hash = hash_pattern(in, p);
  uint8_t *bucket = bucket_of(in, p, hash);
  const uint32_t end = load_le32(bucket);
  if (end == 0 || end > in->num_rules || p.name_len > PV_HOST_MAX) {
    return false;
  }
  store_le32(bucket, end - 1);
  write_rule(in->rules + RULE_LEN * (size_t)(end - 1),
             (rule_fields){.name_at = (uint32_t)(p.name - in->patterns->data),
                           .tag = hash_tag(hash),
                           .pinset = in->pinset_of[i],
                           .name_len = (uint8_t)p.name_len,
                           .shape = p.shape});
  return true;
}

// Places the last rule first. So the rules of a bucket ascend as the patterns
// do, and each bucket ends up with the index of its first rule.
static bool place_rules(const rule_index *in) {
  for (uint32_t i = in->num_rules; i > 0; i--)
    CHANGES(i, WHOLE(in->rules), WHOLE(in->buckets))
  LOOP(i, i <= in->num_rules)
  {
    if (!place_rule(in, i - 1)) {
      return false;
    }
  }
  return true;
}

// Copies the name of rule `i`, and moves `*name_at` behind it.
static bool copy_name(const rule_index *in, uint32_t i, uint32_t *name_at) {
  uint8_t *rule = in->rules + RULE_LEN * (size_t)i;
  const size_t from = load_le32(rule);
  const size_t name_len = rule[NAME_LEN_AT];
  if (name_len > in->names_len - *name_at || from > in->patterns->data_len ||
      name_len > in->patterns->data_len - from) {
    return false;
  }
  memcpy(in->names + *name_at, in->patterns->data + from, name_len);
  store_le32(rule, *name_at);
  *name_at += (uint32_t)name_len;
  return true;
}

// Rules are in another order than patterns, so names are read from anywhere.
static void prefetch_name(const rule_index *in, uint32_t i) {
  if (i < in->num_rules) {
    const size_t from = load_le32(in->rules + RULE_LEN * (size_t)i);
    if (from < in->patterns->data_len) {
      PV_PREFETCH(in->patterns->data + from);
    }
  }
}

static bool copy_names(const rule_index *in) {
  uint32_t name_at = 0;
  for (uint32_t i = 0; i < in->num_rules; i++)
    CHANGES(i, name_at, WHOLE(in->rules), WHOLE(in->names))
  LOOP(in->num_rules - i, i <= in->num_rules && name_at <= in->names_len)
  {
    prefetch_name(in, i + AHEAD);
    if (!copy_name(in, i, &name_at)) {
      return false;
    }
  }
  return name_at == in->names_len;
}

// ---- all of it --------------------------------------------------------------

static void write_header(uint8_t *out, const pv_policy_source *source,
                         const rule_index *in, size_t size) {
  memset(out, 0, HEADER_LEN);
  memcpy(out, POLICY_MAGIC, MAGIC_LEN);
  store_le64(out + SIZE_AT, size);
  store_le32(out + FLAGS_AT, source->flags);
  store_le32(out + NUM_RULES_AT, in->num_rules);
  store_le32(out + NUM_BUCKETS_AT, in->bucket_mask + 1);
  store_le32(out + NUM_PINSETS_AT, source->num_pinsets);
  store_le64(out + NUM_ROWS_AT, source->num_rows);
  store_le64(out + NAMES_LEN_AT, in->names_len);
  for (size_t i = 0; i < 4; i++) {
    store_le32(out + BLOCKED_AT + 4 * i, source->blocked[i]);
  }
  store_le64(out + KEY_AT, in->key[0]);
  store_le64(out + KEY_AT + 8, in->key[1]);
}

static pv_status compile(uint8_t *out, size_t out_len, size_t *out_row,
                         const pv_policy_source *source) {
  policy_layout at;
  uint32_t num_buckets = 0;
  if (!find_sections(&at, &num_buckets, source) || at.size != out_len) {
    return PV_ERR_ARGUMENT;
  }
  const pv_status status = check_patterns(out_row, &source->patterns);
  if (status != PV_OK) {
    return status;
  }
  rule_index in = {.rules = out + at.rules_at,
                   .buckets = out + at.buckets_at,
                   .names = out + at.names_at,
                   .names_len = (size_t)(at.end - at.names_at),
                   .patterns = &source->patterns,
                   .pinset_of = source->pinset_of,
                   .num_rules = (uint32_t)source->patterns.offsets.num,
                   .bucket_mask = num_buckets - 1};
  if (!choose_key(&in)) {
    return PV_ERR_POLICY_BUCKETS;
  }
  if (!add_up_buckets(&in) || !place_rules(&in) || !copy_names(&in)) {
    return PV_ERR_ARGUMENT;  // another thread changes the patterns
  }
  write_header(out, source, &in, out_len);
  memcpy(out + HEADER_LEN, or_empty(source->pins),
         PV_DIGEST_LEN * (size_t)source->num_rows);
  memcpy(out + at.pinsets_at, or_empty(source->pinsets),
         (size_t)PINSET_LEN * source->num_pinsets);
  memset(out + at.end, 0, (size_t)(at.size - at.end));
  pv__digest_policy(out + DIGEST_AT, out, out_len);
  return PV_OK;
}

pv_status pv_policy_compile(uint8_t *out, size_t out_len, size_t *out_row,
                            const pv_policy_source *source) {
  *out_row = 0;
  const pv_status status = compile(out, out_len, out_row, source);
  if (status != PV_OK) {
    clear(out, out_len);
  }
  return status;
}
