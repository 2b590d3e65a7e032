// columns.h: checks the offsets of a column, and reads its strings.
#ifndef PINVERIFY_COLUMNS_H
#define PINVERIFY_COLUMNS_H

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "pinverify.h"
#include "prove.h"

// offset_at returns position `i`, i <= offsets->num.
static inline uint64_t offset_at(const pv_offsets *offsets, size_t i) {
  const uint8_t *at = offsets->at;
  if (offsets->width == sizeof(uint32_t)) {
    uint32_t narrow = 0;
    memcpy(&narrow, at + sizeof narrow * i, sizeof narrow);
    return narrow;
  }
  uint64_t wide = 0;
  memcpy(&wide, at + sizeof wide * i, sizeof wide);
  return wide;
}

// offsets_fit checks the width, that no position exceeds the next, and that the
// last is at most `end`. If there are no pieces, no position is read.
static inline bool offsets_fit(const pv_offsets *offsets, size_t end) {
  if (offsets->width != sizeof(uint32_t) &&
      offsets->width != sizeof(uint64_t)) {
    return false;
  }
  GHOST(const uint64_t at_some = POSITION_OF(offsets, some))
  GHOST(const uint64_t at_later = POSITION_OF(offsets, later))
  uint64_t previous = 0;
  for (size_t i = 0; offsets->num > 0 && i <= offsets->num; i++)
    LOOP(offsets->num + 1 - i,
         i <= offsets->num + 1 && IMPLIES(some < i, at_some <= previous) &&
             IMPLIES(later < i, at_later <= previous) &&
             IMPLIES(some <= later && later < i, at_some <= at_later))
  {
    const uint64_t position = offset_at(offsets, i);
    if (position < previous) {
      return false;
    }
    previous = position;
  }
  return previous <= end;
}

static inline bool column_fits(const pv_column *column) {
  return offsets_fit(&column->offsets, column->data_len);
}

// column_item returns string `i` of a column that fits.
static inline pv_span column_item(const pv_column *column, size_t i) {
  const uint64_t start = offset_at(&column->offsets, i);
  const uint64_t end = offset_at(&column->offsets, i + 1);
  return (pv_span){or_empty(column->data) + start, (size_t)(end - start)};
}

#endif  // PINVERIFY_COLUMNS_H
