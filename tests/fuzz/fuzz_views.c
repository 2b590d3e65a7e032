// fuzz_views.c: columns of Arrow's views, with any numbers in them.
#include "check.h"
#include "python/arrow_views.h"

enum { NUM_BUFFERS = 3, MAX_ROWS = 64 };

// A string that a view leads to, found in another way: one byte at a time.
static bool string_of(uint8_t *out, size_t *out_len, const arrow_views *views,
                      const size_t *sizes, size_t row) {
  const uint8_t *view = views->at + 16 * row;
  int32_t len, buffer, start;
  memcpy(&len, view, 4);
  memcpy(&buffer, view + 8, 4);
  memcpy(&start, view + 12, 4);
  *out_len = 0;
  if (views->valid != NULL && !(views->valid[row / 8] & 1U << row % 8)) {
    return true;
  }
  for (int64_t i = 0; i < len; i++) {
    if (len <= 12) {
      out[i] = view[4 + i];
    } else if (buffer < 0 || buffer >= (int64_t)views->num_buffers ||
               start < 0 || start + i >= (int64_t)sizes[buffer]) {
      return false;
    } else {
      out[i] = ((const uint8_t *)views->buffers[buffer])[start + i];
    }
  }
  *out_len = len < 0 ? 0 : (size_t)len;
  return len >= 0;
}

// Writes all strings, and where each ends. Returns their length, or -1 if a view
// is wrong.
static int64_t expected(uint8_t *out, uint64_t *out_ends,
                        const arrow_views *views, const size_t *sizes) {
  size_t at = 0;
  for (size_t i = 0; i < views->num; i++) {
    size_t len = 0;
    if (!string_of(out + at, &len, views, sizes, views->first + i)) {
      return -1;
    }
    at += len;
    out_ends[i] = at;
  }
  return (int64_t)at;
}

static void check_copy(const arrow_views *views, const uint8_t *wanted,
                       const uint64_t *ends, int64_t total) {
  check(arrow_views_len(views) == total, "the length is that of all strings");
  const size_t room = total < 0 ? 100 : (size_t)total;
  uint8_t *out = malloc(room > 0 ? room : 1);
  uint64_t *offsets = malloc(sizeof *offsets * (views->num + 1));
  check(out != NULL && offsets != NULL, "there is memory");
  const int copied = arrow_views_copy(out, room, offsets, views);
  check(total >= 0 || !copied, "a wrong view is no string");
  if (total >= 0) {
    check(copied && memcmp(out, wanted, room) == 0, "the strings are copied");
    check(offsets[0] == 0 && memcmp(offsets + 1, ends,
                                    sizeof *ends * views->num) == 0,
          "the offsets are theirs");
    check(room == 0 || !arrow_views_copy(out, room - 1, offsets, views),
          "nothing is written behind the room");
  }
  free(out);
  free(offsets);
}

// The input: numbers of rows and of the first one, with or without a bitmap;
// sizes of the buffers; the views; the bitmap; and the buffers.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len < 8) {
    return 0;
  }
  const size_t rows = data[0] % MAX_ROWS, first = data[1] % (rows + 1);
  const size_t bitmap_len = (rows + 7) / 8;
  const bool with_nulls = data[2] & 1;
  size_t sizes[NUM_BUFFERS] = {data[3], data[4], data[5]};
  const size_t num_buffers = data[6] % (NUM_BUFFERS + 1);
  const size_t needed = 8 + 16 * rows + bitmap_len + sizes[0] + sizes[1] +
                        sizes[2];
  if (len < needed) {
    return 0;
  }
  const uint8_t *at = data + 8;
  uint8_t *views = exact_copy(at, 16 * rows);
  uint8_t *valid = exact_copy(at + 16 * rows, bitmap_len);
  at += 16 * rows + bitmap_len;
  void *buffers[NUM_BUFFERS];
  int64_t lengths[NUM_BUFFERS];
  for (size_t i = 0; i < NUM_BUFFERS; i++) {
    buffers[i] = exact_copy(at, sizes[i]);
    lengths[i] = (int64_t)sizes[i];
    at += sizes[i];
  }
  const void **pointers = malloc(sizeof *pointers * (num_buffers + 1));
  check(pointers != NULL, "there is memory");
  for (size_t i = 0; i < num_buffers; i++) {
    pointers[i] = buffers[i];
  }
  const arrow_views given = {
      views, with_nulls ? valid : NULL,   pointers,     (const uint8_t *)lengths,
      num_buffers, first, rows - first};
  static uint8_t wanted[MAX_ROWS * 256];
  uint64_t ends[MAX_ROWS];
  const int64_t total = expected(wanted, ends, &given, sizes);
  check_copy(&given, wanted, ends, total);
  free(pointers);
  for (size_t i = 0; i < NUM_BUFFERS; i++) {
    free(buffers[i]);
  }
  free(views);
  free(valid);
  return 0;
}
