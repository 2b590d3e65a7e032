// Harnesses for der.h.
#include "harness.h"

void prove_der_at_end(void) {
  const der_cursor *in;
  const bool at_end = der_at_end(in);
  REACHED(at_end);
  REACHED(!at_end);
}

void prove_der_next_is(void) {
  const der_cursor *in;
  uint8_t tag;
  const bool is = der_next_is(in, tag);
  REACHED(is);
  REACHED(!is);
}

void prove_long_length(void) {
  const der_cursor *in;
  size_t first;
  size_t *pos;
  const size_t len = long_length(in, first, pos);
  REACHED(len == DER_NO_LENGTH);
  REACHED(len == 0x80);
  REACHED(len == 0x100);
  REACHED(len == 0xffffff);
}

void prove_read_element(void) {
  der_cursor *in;
  der_cursor *content;
  const bool ok = read_element(in, content);
  REACHED(ok);
  REACHED(!ok);
}

void prove_der_enter(void) {
  der_cursor *in;
  der_cursor *content;
  uint8_t tag;
  const bool ok = der_enter(in, content, tag);
  REACHED(ok);
  REACHED(!ok);
}

void prove_der_skip(void) {
  der_cursor *in;
  uint8_t tag;
  const bool ok = der_skip(in, tag);
  REACHED(ok);
  REACHED(!ok);
}

void prove_der_take(void) {
  der_cursor *in;
  pv_span *element;
  uint8_t tag;
  const bool ok = der_take(in, element, tag);
  REACHED(ok);
  REACHED(!ok);
}

void prove_der_enter_any(void) {
  der_cursor *in;
  der_cursor *content;
  uint8_t *tag;
  const bool ok = der_enter_any(in, content, tag);
  REACHED(ok);
  REACHED(!ok);
}
