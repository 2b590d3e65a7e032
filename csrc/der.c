// der.c: a strict reader of DER (X.690), one element at a time. It reads tags
// of one byte and lengths that are definite, minimal and below 2^24.
#include "internal.h"

bool der_at_end(const der_cursor *in) {
  return in->pos == in->end;
}

bool der_next_is(const der_cursor *in, uint8_t tag) {
  return in->pos < in->end && in->base[in->pos] == tag;
}

// Length octets (X.690, 10.1): the short form below 128, else as few octets as
// possible; 0x80 is the indefinite form, which DER forbids. `*pos` is behind
// the tag and moves behind the length.
static bool read_length(const der_cursor *in, size_t *pos, size_t *out_len) {
  if (*pos >= in->end) {
    return false;
  }
  const uint8_t first = in->base[*pos];
  *pos += 1;
  if (first < 0x80) {
    *out_len = first;
    return true;
  }
  const size_t num_octets = first & 0x7f;
  if (num_octets < 1 || num_octets > 3 || num_octets > in->end - *pos) {
    return false;
  }
  size_t len = 0;
  for (size_t i = 0; i < num_octets; i++) {
    len = len << 8 | in->base[*pos + i];
  }
  *pos += num_octets;
  *out_len = len;
  // The first octet may not be zero, nor may one octet do what the short form
  // can.
  return len >= 0x80 && len >> (8 * (num_octets - 1)) != 0;
}

// Reads one whole element of whatever tag, without looking at the tag.
static bool read_element(der_cursor *in, der_cursor *out_content) {
  size_t pos = in->pos;
  size_t len = 0;
  if (pos >= in->end) {
    return false;
  }
  pos += 1;
  if (!read_length(in, &pos, &len) || len > in->end - pos) {
    return false;
  }
  *out_content = (der_cursor){in->base, pos, pos + len};
  in->pos = pos + len;
  return true;
}

bool der_enter(der_cursor *in, der_cursor *out_content, uint8_t tag) {
  return der_next_is(in, tag) && read_element(in, out_content);
}

bool der_skip(der_cursor *in, uint8_t tag) {
  der_cursor content;
  return der_enter(in, &content, tag);
}

bool der_take(der_cursor *in, pv_span *out_element, uint8_t tag) {
  const size_t start = in->pos;
  der_cursor content;
  if (!der_enter(in, &content, tag)) {
    return false;
  }
  *out_element = (pv_span){in->base + start, in->pos - start};
  return true;
}

bool der_enter_any(der_cursor *in, der_cursor *out_content, uint8_t *out_tag) {
  if (in->pos >= in->end) {
    return false;
  }
  const uint8_t tag = in->base[in->pos];
  const uint8_t number = tag & 0x1f;
  // 31 announces a tag of several bytes. Universal 0 is reserved: it is the
  // end mark of the indefinite form.
  if (number == 0x1f || (tag & 0xdf) == 0) {
    return false;
  }
  *out_tag = tag;
  return read_element(in, out_content);
}
