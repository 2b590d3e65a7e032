// spelling.h: checks and writes names of sixteen bytes and more, sixteen at a
// time, with vectors that gcc and clang translate for each CPU. host.c does the
// same byte by byte: for short names, and to say what is wrong with a name.
#ifndef PINVERIFY_SPELLING_H
#define PINVERIFY_SPELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../toolchain.h"

#if PV_X86_64 || PV_AARCH64
#if PV_X86_64
#include <immintrin.h>
#endif

enum { SPELL_BYTES = 16, SPELL_ALL = 0xffff };

// Signed: a byte that is not ASCII is below all others.
typedef int8_t spell_vector __attribute__((vector_size(SPELL_BYTES)));

PV_INLINE spell_vector spell_each(int8_t c) {
  return (spell_vector){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

MAY_WRAP_BEGIN
// Returns answers, 0 or -1 each, as bits, the first one lowest.
PV_INLINE uint64_t spell_bits(spell_vector answers) {
#if PV_X86_64
  return (uint64_t)_mm_movemask_epi8((__m128i)answers);
#else
  // Of each eight, number i keeps its bit i; a product adds them in one byte.
  const uint64_t kept = UINT64_C(0x8040201008040201);
  const uint64_t sum = UINT64_C(0x0101010101010101);
  uint64_t eight[2];
  memcpy(eight, &answers, sizeof eight);
  return (eight[0] & kept) * sum >> 56 | (eight[1] & kept) * sum >> 56 << 8;
#endif
}
MAY_WRAP_END

// Writes sixteen bytes of a name in lower case. Returns the bits of the dots
// among them; `*good` loses those of bytes that no name has.
PV_INLINE uint64_t spell_16(char *out, const char *name, uint64_t *good) {
  spell_vector c;
  memcpy(&c, name, SPELL_BYTES);
  const spell_vector lower = c | spell_each(0x20);
  const spell_vector letters =
      (lower >= spell_each('a')) & (lower <= spell_each('z'));
  const spell_vector others =  // ASCII has -./0123456789 in this order
      ((c >= spell_each('-')) & (c <= spell_each('9')) &
       (c != spell_each('/'))) |
      (c == spell_each('_'));
  const spell_vector written = c | (letters & spell_each(0x20));
  memcpy(out, &written, SPELL_BYTES);
  *good &= spell_bits(letters | others);
  return spell_bits(c == spell_each('.'));
}

// Takes the next `num` bytes of a name, 1 to 16, of which `dots` has the bits
// of the dots. `*seen` has those of the 64 bytes before, the last one highest,
// and is not 0. Returns false if a label is empty or has more than 63 bytes.
// Only the first can be too long: the others begin among these sixteen bytes.
PV_INLINE bool spell_labels(uint64_t *seen, uint64_t dots, size_t num) {
  const bool empty = (dots & (dots << 1 | *seen >> 63)) != 0;
  const int first_len =
      __builtin_clzll(*seen) + __builtin_ctzll(dots | UINT64_C(1) << num);
  *seen = *seen >> num | dots << (64 - num);
  return !empty && first_len <= 63;
}

// spell_name writes a name in lower case. On false it is too short for this, or
// no name, and some of `out` may have been written. The last sixteen bytes may
// overlap with those before.
static inline bool spell_name(char *out, const char *name, size_t name_len) {
  uint64_t good = SPELL_ALL;
  uint64_t seen = UINT64_C(1) << 63;  // a label begins, as behind a dot
  size_t at = 0;
  if (name_len < SPELL_BYTES) {
    return false;
  }
  for (; name_len - at >= SPELL_BYTES; at += SPELL_BYTES)
    CHANGES(at, good, seen, BYTES(out, name_len))
  LOOP(name_len - at,
       at <= name_len && at % SPELL_BYTES == 0 && seen != 0 &&
           good <= SPELL_ALL &&
           IMPLIES(some < at && good == SPELL_ALL, IS_CANONICAL(out[some])))
  {
    const uint64_t dots = spell_16(out + at, name + at, &good);
    if (!spell_labels(&seen, dots, SPELL_BYTES)) {
      return false;
    }
  }
  if (at < name_len) {
    const size_t from = name_len - SPELL_BYTES;
    const uint64_t dots = spell_16(out + from, name + from, &good);
    if (!spell_labels(&seen, dots >> (at - from), name_len - at)) {
      return false;
    }
  }
  return good == SPELL_ALL && seen >> 63 == 0;
}

// spell_hex returns the number of hexadecimal digits that a text ends in, of at
// most sixteen, or 0 if it is too short for this. `*decimal` becomes false if
// one of them is a letter.
static inline size_t spell_hex(const char *text, size_t text_len,
                               bool *decimal) {
  spell_vector c;
  if (text_len < SPELL_BYTES) {
    return 0;
  }
  memcpy(&c, text + text_len - SPELL_BYTES, SPELL_BYTES);
  const spell_vector lower = c | spell_each(0x20);
  const uint64_t letters =
      spell_bits((lower >= spell_each('a')) & (lower <= spell_each('f')));
  const uint64_t digits =
      spell_bits((c >= spell_each('0')) & (c <= spell_each('9')));
  const uint64_t others = ~(letters | digits) << 48 | UINT64_C(1) << 47;
  const int num = __builtin_clzll(others);
  *decimal = *decimal && letters >> (SPELL_BYTES - num) == 0;
  return (size_t)num;
}

#else

static inline bool spell_name(char *out, const char *name, size_t name_len) {
  (void)out;
  (void)name;
  (void)name_len;
  return false;
}

static inline size_t spell_hex(const char *text, size_t text_len,
                               bool *decimal) {
  (void)text;
  (void)text_len;
  (void)decimal;
  return 0;
}

#endif

#endif  // PINVERIFY_SPELLING_H
