// der.h: a strict reader of DER (X.690), one element at a time. It accepts tags
// of one byte, and lengths that are definite, minimal and below 2^24.
//
// It is a header so that a walk keeps its cursors in registers; with cursors in
// memory it takes three times as long. Bounds are compared as sums, `pos + 2 <=
// end`, which takes one instruction less than a difference; inputs are too
// short for a sum to overflow.
#ifndef PINVERIFY_DER_H
#define PINVERIFY_DER_H

#include <stdbool.h>
#include <stdint.h>

#include "pinverify.h"
#include "toolchain.h"

enum {
  DER_INTEGER = 0x02,
  DER_BIT_STRING = 0x03,
  DER_OCTET_STRING = 0x04,
  DER_NULL = 0x05,
  DER_OID = 0x06,
  DER_SEQUENCE = 0x30,
  DER_SET = 0x31,
  DER_CLASS_BITS = 0xc0,           // zero for universal tags
  DER_CONTEXT_0 = 0xa0,            // [0], constructed
  DER_CONTEXT_1_PRIMITIVE = 0x81,  // [1] IMPLICIT, primitive
  DER_CONTEXT_2_PRIMITIVE = 0x82,  // [2] IMPLICIT, primitive
  DER_CONTEXT_3 = 0xa3             // [3], constructed
};

// The longest element: its length has at most three octets.
#define DER_ELEMENT_MAX (((size_t)1 << 24) + 4)

// A der_cursor reads base[pos] to base[end - 1]; always pos <= end <=
// DER_ELEMENT_MAX. It uses indices, so that bounds can be stated and proved
// without pointers.
typedef struct der_cursor {
  const uint8_t *base;
  size_t pos;
  size_t end;
} der_cursor;

// Each reader returns false, and leaves its cursor in place, unless the next
// bytes are one whole element of the given tag with a definite, minimal length.

PV_FLATTENED bool der_at_end(const der_cursor *in) {
  return in->pos == in->end;
}

PV_FLATTENED bool der_next_is(const der_cursor *in, uint8_t tag) {
  return in->pos < in->end && in->base[in->pos] == tag;
}

// Marks an invalid length; larger than any input.
#define DER_NO_LENGTH ((size_t)1 << 30)

// Reads the long form of a length (X.690, 10.1): two octets or more, and as few
// as possible; 0x80 is the indefinite form, which DER forbids. `*pos` is after
// the first octet, `first`, and moves after the last.
PV_FLATTENED size_t long_length(const der_cursor *in, size_t first,
                                size_t *pos) {
  size_t len = 0;
  if (first == 0x82) {
    *pos += 2;
    if (PV_UNLIKELY(*pos > in->end)) {
      return DER_NO_LENGTH;
    }
    len = (size_t)in->base[*pos - 2] << 8 | in->base[*pos - 1];
    return PV_UNLIKELY(len < 0x100) ? DER_NO_LENGTH : len;
  }
  if (first == 0x81) {
    *pos += 1;
    if (PV_UNLIKELY(*pos > in->end)) {
      return DER_NO_LENGTH;
    }
    len = in->base[*pos - 1];
    return PV_UNLIKELY(len < 0x80) ? DER_NO_LENGTH : len;
  }
  *pos += 3;
  if (PV_UNLIKELY(first != 0x83 || *pos > in->end)) {
    return DER_NO_LENGTH;
  }
  len = (size_t)in->base[*pos - 3] << 16 | (size_t)in->base[*pos - 2] << 8 |
        in->base[*pos - 1];
  return PV_UNLIKELY(len < 0x10000) ? DER_NO_LENGTH : len;
}

// Reads one whole element, without looking at its tag.
PV_FLATTENED bool read_element(der_cursor *in, der_cursor *out_content) {
  size_t start = in->pos + 2;
  if (PV_UNLIKELY(start > in->end)) {
    return false;
  }
  size_t len = in->base[in->pos + 1];
  if (len >= 0x80) {
    len = long_length(in, len, &start);
  }
  const size_t end = start + len;
  if (PV_UNLIKELY(end > in->end)) {
    return false;
  }
  *out_content = (der_cursor){in->base, start, end};
  in->pos = end;
  return true;
}

PV_FLATTENED bool der_enter(der_cursor *in, der_cursor *out_content,
                            uint8_t tag) {
  return !PV_UNLIKELY(in->pos + 2 > in->end || in->base[in->pos] != tag) &&
         read_element(in, out_content);
}

PV_FLATTENED bool der_skip(der_cursor *in, uint8_t tag) {
  der_cursor content;
  return der_enter(in, &content, tag);
}

PV_FLATTENED bool der_take(der_cursor *in, pv_span *out_element, uint8_t tag) {
  const size_t start = in->pos;
  der_cursor content;
  if (!der_enter(in, &content, tag)) {
    return false;
  }
  *out_element = (pv_span){in->base + start, in->pos - start};
  return true;
}

// der_enter_any enters one element with any low tag (X.690, 8.1.2.2), and
// returns the tag.
PV_FLATTENED bool der_enter_any(der_cursor *in, der_cursor *out_content,
                                uint8_t *out_tag) {
  if (in->pos + 2 > in->end) {
    return false;
  }
  const uint8_t tag = in->base[in->pos];
  const uint8_t number = tag & 0x1f;
  // 31 announces a tag of several bytes. Universal 0 is reserved for the end
  // marker of the indefinite form.
  if (number == 0x1f || (tag & 0xdf) == 0) {
    return false;
  }
  *out_tag = tag;
  return read_element(in, out_content);
}

#endif  // PINVERIFY_DER_H
