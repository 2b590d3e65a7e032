// der.h: a strict reader of DER (X.690), one element at a time. It reads tags
// of one byte and lengths that are definite, minimal and below 2^24.
//
// It is a header so that a walk keeps its cursors in registers: a walk through
// memory takes three times as long.
#ifndef PINVERIFY_DER_H
#define PINVERIFY_DER_H

#include <stdbool.h>
#include <stdint.h>

#include "contracts.h"
#include "pinverify.h"

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

// A der_cursor reads base[pos] to base[end - 1], and pos <= end always. It
// works by index, so that every bound can be stated and proved without
// pointers.
typedef struct der_cursor {
  const uint8_t *base;
  size_t pos;
  size_t end;
} der_cursor;

// Each reader returns false, and leaves its cursor where it was, when what
// comes next is not one whole element of that tag with a definite, minimal
// length.

static inline bool der_at_end(const der_cursor *in)  //
    REQUIRES(IS_CURSOR(in))                          //
    ASSIGNS()                                        //
    ENSURES(RESULT == (in->pos == in->end)) {
  return in->pos == in->end;
}

static inline bool der_next_is(const der_cursor *in, uint8_t tag)  //
    REQUIRES(IS_CURSOR(in))                                        //
    ASSIGNS()                                                      //
    ENSURES(RESULT == NEXT_IS(in, in->pos, tag)) {
  return in->pos < in->end && in->base[in->pos] == tag;
}

// Length octets (X.690, 10.1): the short form below 128, else as few octets as
// possible; 0x80 is the indefinite form, which DER forbids. `*pos` is behind
// the tag, with an octet to read there, and moves behind the length.
static inline bool read_length(const der_cursor *in, size_t *pos,
                               size_t *out_len)                  //
    REQUIRES(IS_CURSOR(in))                                      //
    REQUIRES(IS_OUT(pos) && *pos < in->end && IS_OUT(out_len))   //
    ASSIGNS(*pos, *out_len)                                      //
    ENSURES(RESULT == IS_LENGTH(in, OLD(*pos)))                  //
    ENSURES(IMPLIES(RESULT, *out_len == LENGTH(in, OLD(*pos))))  //
    ENSURES(IMPLIES(RESULT, *pos == OLD(*pos) + LENGTH_LEN(in, OLD(*pos)))) {
  const uint8_t *octets = in->base + *pos;
  const size_t left = in->end - *pos;
  if (octets[0] < 0x80) {
    *pos += 1;
    *out_len = octets[0];
    return true;
  }
  if (octets[0] == 0x82 && left >= 3) {
    *pos += 3;
    *out_len = (size_t)octets[1] << 8 | octets[2];
    return *out_len >= 0x100;
  }
  if (octets[0] == 0x81 && left >= 2) {
    *pos += 2;
    *out_len = octets[1];
    return *out_len >= 0x80;
  }
  if (octets[0] == 0x83 && left >= 4) {
    *pos += 4;
    *out_len = (size_t)octets[1] << 16 | (size_t)octets[2] << 8 | octets[3];
    return *out_len >= 0x10000;
  }
  return false;
}

// Reads one whole element of whatever tag, without looking at the tag.
static inline bool read_element(der_cursor *in, der_cursor *out_content)  //
    REQUIRES(IS_CURSOR(in))                                               //
    REQUIRES(IS_OUT(out_content))                                         //
    ASSIGNS(in->pos, *out_content)                                        //
    ENSURES(RESULT == IS_ELEMENT(in, OLD(in->pos)))                       //
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))      //
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos))) {
  if (in->end - in->pos < 2) {
    return false;
  }
  size_t pos = in->pos + 1;
  size_t len = 0;
  if (!read_length(in, &pos, &len) || len > in->end - pos) {
    return false;
  }
  *out_content = (der_cursor){in->base, pos, pos + len};
  in->pos = pos + len;
  return true;
}

static inline bool der_enter(der_cursor *in, der_cursor *out_content,
                             uint8_t tag)                             //
    REQUIRES(IS_CURSOR(in))                                           //
    REQUIRES(IS_OUT(out_content))                                     //
    ASSIGNS(in->pos, *out_content)                                    //
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))           //
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))  //
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos))) {
  return in->end - in->pos >= 2 && in->base[in->pos] == tag &&
         read_element(in, out_content);
}

static inline bool der_skip(der_cursor *in, uint8_t tag)                //
    REQUIRES(IS_CURSOR(in))                                             //
    ASSIGNS(in->pos)                                                    //
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))             //
    ENSURES(IMPLIES(RESULT, in->pos == ELEMENT_END(in, OLD(in->pos))))  //
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos))) {
  der_cursor content;
  return der_enter(in, &content, tag);
}

static inline bool der_take(der_cursor *in, pv_span *out_element,
                            uint8_t tag)                                    //
    REQUIRES(IS_CURSOR(in))                                                 //
    REQUIRES(IS_OUT(out_element))                                           //
    ASSIGNS(in->pos, *out_element)                                          //
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))                 //
    ENSURES(IMPLIES(RESULT, in->pos == ELEMENT_END(in, OLD(in->pos))))      //
    ENSURES(IMPLIES(RESULT, out_element->data == in->base + OLD(in->pos)))  //
    ENSURES(IMPLIES(RESULT, out_element->len == in->pos - OLD(in->pos)))    //
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos))) {
  const size_t start = in->pos;
  der_cursor content;
  if (!der_enter(in, &content, tag)) {
    return false;
  }
  *out_element = (pv_span){in->base + start, in->pos - start};
  return true;
}

// der_enter_any enters one element of any low tag (X.690, 8.1.2.2) and tells
// which.
static inline bool der_enter_any(der_cursor *in, der_cursor *out_content,
                                 uint8_t *out_tag)                       //
    REQUIRES(IS_CURSOR(in))                                              //
    REQUIRES(IS_OUT(out_content) && IS_OUT(out_tag))                     //
    ASSIGNS(in->pos, *out_content, *out_tag)                             //
    ENSURES(IMPLIES(RESULT, IS_ELEMENT_OF(in, OLD(in->pos), *out_tag)))  //
    ENSURES(IMPLIES(RESULT, (*out_tag & 0x1f) != 0x1f))                  //
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))     //
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos))) {
  if (in->end - in->pos < 2) {
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

#endif  // PINVERIFY_DER_H
