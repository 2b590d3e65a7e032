// Harnesses for columns.h and bytes.h. That of column_item takes strings number `some`:
// SOUNDNESS.md says why that speaks of each.
#include "harness.h"

void prove_load_le64(void) {
  const uint8_t *p;
  REACHED(load_le64(p) == 9);
}

void prove_offset_at(void) {
  const pv_offsets *offsets;
  size_t i;
  REACHED(offset_at(offsets, i) == (uint64_t)1 << 32);
  REACHED(i == 9);
}

void prove_offsets_fit(void) {
  const pv_offsets *offsets;
  size_t end;
  const bool fit = offsets_fit(offsets, end);
  REACHED(fit && end == 9);
  REACHED(!fit && end == 9);
}

void prove_column_fits(void) {
  const pv_column *column;
  const bool fits = column_fits(column);
  REACHED(fits);
  REACHED(!fits);
}

void prove_column_item(void) {
  const pv_column *column;
  size_t i;
  __CPROVER_assume(i == some && later > 0 && later - 1 == i);
  const pv_span item = column_item(column, i);
  REACHED(i == 9 && item.len == 9);
}
