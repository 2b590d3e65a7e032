// Harnesses for compile/policy_compile.c.
#include "harness.h"
#include "libc.h"
#include "compile/policy_compile.c"

#include "policy.contracts.h"
#include "policy_compile.contracts.h"

// The contract of sha256.c.
void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len)  //
    REQUIRES(FRESH(out, 32) && len <= PV_PROVED_LEN_MAX)          //
    REQUIRES(FRESH(data, len))                                    //
    ASSIGNS(BYTES(out, 32));

void prove_split_pattern(void) {
  pv_span text;
  const pattern p = split_pattern(text);
  REACHED(p.shape == PV_EXACT && p.name_len == 0);
  REACHED(p.shape == PV_ONE_LABEL && p.name_len == 9);
  REACHED(p.shape == PV_ANY_LABELS && p.name_len == 0);
}

void prove_pattern_at(void) {
  const pv_column *patterns;
  size_t i;
  const pattern p = pattern_at(patterns, i);
  REACHED(i == 9 && p.name_len == 9);
}

void prove_pattern_is_canonical(void) {
  pv_span text;
  const bool is = pattern_is_canonical(text);
  REACHED(is);
  REACHED(!is);
}

void prove_check_pattern(void) {
  const pv_column *patterns;
  size_t i;
  const pv_status status = check_pattern(patterns, i);
  REACHED(status == PV_OK && i == 0);
  REACHED(status == PV_ERR_POLICY_ORDER && i == 9);
  REACHED(status == PV_ERR_POLICY_PATTERN);
}

void prove_check_patterns(void) {
  size_t *out_row;
  const pv_column *patterns;
  const pv_status status = check_patterns(out_row, patterns);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_ORDER);
}

void prove_write_canonical(void) {
  uint8_t *out;
  pv_span text;
  const size_t len = write_canonical(out, text);
  REACHED(len == 0);
  REACHED(len == 9);
}

void prove_write_patterns(void) {
  uint8_t *out;
  size_t out_len;
  uint64_t *out_offsets;
  size_t *out_row;
  const pv_column *patterns;
  const pv_status status =
      write_patterns(out, out_len, out_offsets, out_row, patterns);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_ARGUMENT);
  REACHED(status == PV_ERR_POLICY_PATTERN);
}

void prove_count_names_len(void) {
  const pv_column *patterns;
  REACHED(count_names_len(patterns) == 9);
}

void prove_count_buckets(void) {
  uint32_t num_rules;
  const uint32_t num = count_buckets(num_rules);
  REACHED(num == 1);
  REACHED(num == (uint32_t)1 << 31);
}

void prove_find_sections(void) {
  policy_layout *out;
  uint32_t *out_num_buckets;
  const pv_policy_source *source;
  const bool found = find_sections(out, out_num_buckets, source);
  REACHED(found);
  REACHED(!found);
}

void prove_hash_pattern(void) {
  const rule_index *in;
  pattern p;
  REACHED(hash_pattern(in, p) == 9);
}

void prove_bucket_of(void) {
  const rule_index *in;
  pattern p;
  uint64_t hash;
  bucket_of(in, p, hash);
  REACHED(hash == 9);
}

void prove_digest_patterns(void) {
  uint8_t *out;
  const pv_column *patterns;
  digest_patterns(out, patterns);
  REACHED(true);
}

void prove_use_key(void) {
  rule_index *in;
  const uint8_t *seed;
  uint64_t number;
  use_key(in, seed, number);
  REACHED(number == 9);
}

void prove_count_rule(void) {
  const rule_index *in;
  uint32_t i;
  const bool ok = count_rule(in, i);
  REACHED(ok);
  REACHED(!ok);
}

void prove_count_rules(void) {
  const rule_index *in;
  const bool ok = count_rules(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_choose_key(void) {
  rule_index *in;
  const bool ok = choose_key(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_add_up_buckets(void) {
  const rule_index *in;
  const bool ok = add_up_buckets(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_write_rule(void) {
  uint8_t *out;
  rule_fields rule;
  write_rule(out, rule);
  REACHED(rule.name_len == 9);
}

void prove_place_rule(void) {
  const rule_index *in;
  uint32_t i;
  const bool ok = place_rule(in, i);
  REACHED(ok);
  REACHED(!ok);
}

void prove_place_rules(void) {
  const rule_index *in;
  const bool ok = place_rules(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_copy_name(void) {
  const rule_index *in;
  uint32_t i;
  uint32_t *name_at;
  const bool ok = copy_name(in, i, name_at);
  REACHED(ok);
  REACHED(!ok);
}

void prove_prefetch_name(void) {
  const rule_index *in;
  uint32_t i;
  prefetch_name(in, i);
  REACHED(i == 9);
}

void prove_copy_names(void) {
  const rule_index *in;
  const bool ok = copy_names(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_write_header(void) {
  uint8_t *out;
  const pv_policy_source *source;
  const rule_index *in;
  size_t size;
  write_header(out, source, in, size);
  REACHED(size == 999);
}

void prove_compile(void) {
  uint8_t *out;
  size_t out_len;
  size_t *out_row;
  const pv_policy_source *source;
  const pv_status status = compile(out, out_len, out_row, source);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_PATTERN);
  REACHED(status == PV_ERR_POLICY_BUCKETS);
  REACHED(status == PV_ERR_ARGUMENT);
}

void prove_pv_policy_compiled_len(void) {
  const pv_policy_source *source;
  const size_t len = pv_policy_compiled_len(source);
  REACHED(len == 0);
  REACHED(len == 999 * 8);
}

void prove_pv_policy_compile(void) {
  uint8_t *out;
  size_t out_len;
  size_t *out_row;
  const pv_policy_source *source;
  const pv_status status = pv_policy_compile(out, out_len, out_row, source);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_ORDER && some == 9 && out_len > 9);
}

void prove_pv_patterns_canonical(void) {
  uint8_t *out;
  size_t out_len;
  uint64_t *out_offsets;
  size_t *out_row;
  const pv_column *patterns;
  const pv_status status =
      pv_patterns_canonical(out, out_len, out_offsets, out_row, patterns);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_POLICY_PATTERN && some == 9);
}
