// contracts.h: what a function needs and what it promises, in words that a
// prover reads and a compiler does not see. They stand between a function's
// head and its body, and between a loop's head and its body.
//
// `make prove` shows, with the model checker CBMC, that each function keeps its
// contract for every input that the contract allows: tests/prove/README.md.
#ifndef PINVERIFY_CONTRACTS_H
#define PINVERIFY_CONTRACTS_H

#if !defined(PV_PROVE)

#define REQUIRES(...)
#define ENSURES(...)
#define ASSIGNS(...)
#define INVARIANT(...)
#define DECREASES(...)

#else

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What must hold before a call; what then holds after it, on every path; and
// all that the call may change.
#define REQUIRES(...) __CPROVER_requires(__VA_ARGS__)
#define ENSURES(...) __CPROVER_ensures(__VA_ARGS__)
#define ASSIGNS(...) __CPROVER_assigns(__VA_ARGS__)

// What holds each time a loop's condition is looked at; and a number that gets
// smaller from time to time and is never negative, so that the loop ends.
#define INVARIANT(...) __CPROVER_loop_invariant(__VA_ARGS__)
#define DECREASES(...) __CPROVER_decreases(__VA_ARGS__)

// `p` points to an object of `n` bytes of its own: one byte further is outside.
#define FRESH(p, n) __CPROVER_is_fresh(p, n)

#define RESULT __CPROVER_return_value
#define OLD(x) __CPROVER_old(x)
#define IMPLIES(a, b) (!(a) || (b))

// ---- DER, said a second time ------------------------------------------------
//
// The header of an element as X.690, 8.1 and 10.1 describe it, case by case:
// what der.c reads with a loop is compared with this. `p` is behind the tag.

static inline size_t spec_length_len(const uint8_t *p) {
  return p[0] < 0x80 ? 1 : (size_t)p[0] - 0x7f;
}

static inline size_t spec_length(const uint8_t *p) {
  switch (p[0]) {
    case 0x81:
      return p[1];
    case 0x82:
      return (size_t)p[1] << 8 | p[2];
    case 0x83:
      return (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    default:
      return p[0];
  }
}

static inline bool spec_is_length(const uint8_t *p, size_t room) {
  if (room == 0) {
    return false;
  }
  switch (p[0]) {
    case 0x81:
      return room >= 2 && p[1] >= 0x80;
    case 0x82:
      return room >= 3 && p[1] != 0;
    case 0x83:
      return room >= 4 && p[1] != 0;
    default:
      return p[0] < 0x80;
  }
}

static inline bool spec_is_element(const uint8_t *p, size_t room) {
  return room >= 2 && spec_is_length(p + 1, room - 1) &&
         spec_length(p + 1) <= room - 1 - spec_length_len(p + 1);
}

// The bytes of an element, its header included.
static inline size_t spec_element_len(const uint8_t *p) {
  return 1 + spec_length_len(p + 1) + spec_length(p + 1);
}

#define LENGTH(in, at) spec_length((in)->base + (at))
#define LENGTH_LEN(in, at) spec_length_len((in)->base + (at))
#define IS_LENGTH(in, at) spec_is_length((in)->base + (at), (in)->end - (at))
#define NEXT_IS(in, at, tag) ((at) < (in)->end && (in)->base[at] == (tag))
#define IS_ELEMENT(in, at) spec_is_element((in)->base + (at), (in)->end - (at))
#define IS_ELEMENT_OF(in, at, tag) (NEXT_IS(in, at, tag) && IS_ELEMENT(in, at))
#define ELEMENT_END(in, at) ((at) + spec_element_len((in)->base + (at)))

// A place to write a result to.
#define IS_OUT(p) FRESH(p, sizeof *(p))

// A cursor over an input of any length up to the limit.
#define IS_CURSOR(in)                                   \
  (FRESH(in, sizeof *(in)) && (in)->pos <= (in)->end && \
   (in)->end <= PV_PROVED_INPUT_MAX && FRESH((in)->base, (in)->end))

// `content` is the inside of the element that began at `at`, and `in` has moved
// behind it.
#define ENTERED(in, at, content)                            \
  ((content)->base == (in)->base &&                         \
   (content)->pos == (at) + 1 + LENGTH_LEN(in, (at) + 1) && \
   (content)->end == ELEMENT_END(in, at) && (in)->pos == (content)->end)

// 16 MiB, as long as a length of DER is read, and a header.
#define PV_PROVED_INPUT_MAX 16777220

#endif  // PV_PROVE

#endif  // PINVERIFY_CONTRACTS_H
