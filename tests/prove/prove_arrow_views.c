// Harnesses for arrow_views.h.
#include "harness.h"
#include "python/arrow_views.h"

#include "arrow_views.contracts.h"

void prove_arrow_view(void) {
  pv_span *out;
  const arrow_views *views;
  size_t i;
  const int is_string = arrow_view(out, views, i);
  REACHED(!is_string);
  REACHED(is_string && i == 9 && some == 9);
}

void prove_arrow_views_len(void) {
  const arrow_views *views;
  const int64_t len = arrow_views_len(views);
  REACHED(len == -1);
  REACHED(len == 99);
}

void prove_arrow_views_copy(void) {
  uint8_t *out;
  size_t out_len;
  uint64_t *out_offsets;
  const arrow_views *views;
  const int copied = arrow_views_copy(out, out_len, out_offsets, views);
  REACHED(!copied);
  REACHED(copied && out_len == 9 && some == 9);
}
