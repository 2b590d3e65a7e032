// arrow_views.h: byte strings of an Arrow column of views (binary_view or
// utf8_view), copied to one buffer with offsets, which the core reads.
//
// A view is 16 bytes: the length; and then up to 12 bytes as they are, or 4
// bytes of the string again, the number of a buffer, and a position in it. The
// lengths of these buffers are known, so every view is checked.
//
// build_cffi.py includes it in cffi's output; it is no part of the core.
#include <stdint.h>
#include <string.h>

#include "pinverify.h"
#include "prove.h"

// cdef: begin

typedef struct arrow_views {
  const uint8_t *at;     // 16 bytes for each row of the whole array
  const uint8_t *valid;  // a bit for each row, 0 if it is null; or NULL
  const void *const *buffers;
  const uint8_t *lengths;  // of the buffers: 8 bytes each
  size_t num_buffers;
  size_t first;  // the row that is the first one wanted
  size_t num;    // the number of rows that are wanted
} arrow_views;

// arrow_views_len returns the number of bytes of all strings together, or -1 if
// a view is not inside of its buffer, or if there are more than 2^63 - 1 bytes:
// many views may lead to the same string. Strings of null rows are empty.
int64_t arrow_views_len(const arrow_views *views);

// arrow_views_copy copies the strings to `out`, back to back, and writes
// num + 1 offsets. Returns 1; or 0 if a view is not inside of its buffer, or if
// the strings changed meanwhile and exceed `out_len` bytes.
int arrow_views_copy(uint8_t *out, size_t out_len, uint64_t *out_offsets,
                     const arrow_views *views);

// cdef: end

enum { ARROW_VIEW_LEN = 16, ARROW_INLINE_MAX = 12 };

static int arrow_view(pv_span *out, const arrow_views *views, size_t i) {
  int32_t fields[ARROW_VIEW_LEN / sizeof(int32_t)];
  const uint8_t *at = views->at + ARROW_VIEW_LEN * i;
  *out = (pv_span){NULL, 0};
  if (views->valid != NULL && (views->valid[i / 8] >> i % 8 & 1) == 0) {
    return 1;
  }
  memcpy(fields, at, sizeof fields);
  const int32_t len = fields[0], buffer = fields[2], start = fields[3];
  int64_t held = 0;
  if (0 <= len && len <= ARROW_INLINE_MAX) {
    *out = (pv_span){at + sizeof len, (size_t)len};
    return 1;
  }
  if (len < 0 || buffer < 0 || (size_t)buffer >= views->num_buffers ||
      views->buffers[buffer] == NULL) {
    return 0;
  }
  memcpy(&held, views->lengths + sizeof held * (size_t)buffer, sizeof held);
  if (held < len || start < 0 || start > held - len) {
    return 0;
  }
  const uint8_t *data = views->buffers[buffer];
  *out = (pv_span){data + start, (size_t)len};
  return 1;
}

int64_t arrow_views_len(const arrow_views *views) {
  int64_t total = 0;
  for (size_t i = 0; i < views->num; i++)
    LOOP(views->num - i, i <= views->num && total >= 0)
  {
    pv_span string;
    if (!arrow_view(&string, views, views->first + i) ||
        (int64_t)string.len > INT64_MAX - total) {
      return -1;
    }
    total += (int64_t)string.len;
  }
  return total;
}

int arrow_views_copy(uint8_t *out, size_t out_len, uint64_t *out_offsets,
                     const arrow_views *views) {
  size_t at = 0;
  out_offsets[0] = 0;
  for (size_t i = 0; i < views->num; i++)
    CHANGES(i, at, BYTES(out, out_len), WHOLE(out_offsets))
  LOOP(views->num - i,
       i <= views->num && at <= out_len &&
           IMPLIES(some <= i, out_offsets[some] <= at) &&
           IMPLIES(later <= i, out_offsets[later] <= at) &&
           IMPLIES(some <= later && later <= i,
                   out_offsets[some] <= out_offsets[later]))
  {
    pv_span string;
    if (!arrow_view(&string, views, views->first + i) ||
        string.len > out_len - at) {
      return 0;
    }
    if (string.len > 0) {
      memcpy(out + at, string.data, string.len);
    }
    at += string.len;
    out_offsets[i + 1] = at;
  }
  return 1;
}
