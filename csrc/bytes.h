// bytes.h: conversion of bytes to numbers and back, and optional outputs.
#ifndef PINVERIFY_BYTES_H
#define PINVERIFY_BYTES_H

#include <string.h>

#include "pinverify.h"
#include "toolchain.h"

// Bytes are loaded one by one, so that neither alignment nor the machine's byte
// order matters; compilers turn this into one instruction.
static inline uint32_t load_le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p) {
  return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline uint32_t load_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
         (uint32_t)p[3];
}

// gcc does not recognise the portable loop as one instruction and a store; its
// code for the loop takes twenty times as long.
static inline void store_be64(uint8_t *p, uint64_t x) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  x = __builtin_bswap64(x);
  memcpy(p, &x, sizeof x);
#else
  for (int i = 0; i < 8; i++) {
    p[i] = (uint8_t)(x >> (56 - 8 * i));
  }
#endif
}

// or_empty replaces a NULL pointer, which a caller without bytes may pass, by
// one that can be added to: NULL + 0 is undefined (C11, 6.5.6).
static inline const uint8_t *or_empty(const uint8_t *bytes) {
  static const uint8_t nothing[1] = {0};
  return bytes != NULL ? bytes : nothing;
}

// clear zeroes an output; `out` may be NULL.
static inline void clear(uint8_t *out, size_t len) {
  if (out != NULL && len > 0) {
    memset(out, 0, len);
  }
}

// prefetch_ends prefetches the first and the last byte of a piece.
static inline void prefetch_ends(const uint8_t *piece, size_t len) {
  PV_PREFETCH(piece);
  PV_PREFETCH(piece + len - 1);
}

// prefetch_next prefetches up to `len` bytes of `*wanted`, and moves `*wanted`
// past them.
static inline void prefetch_next(pv_span *wanted, size_t len) {
  const size_t num = len < wanted->len ? len : wanted->len;
  for (size_t at = 0; at < num; at += CACHE_LINE) {
    PV_PREFETCH(wanted->data + at);
  }
  if (num > 0) {  // or `data` may be NULL
    wanted->data += num;
    wanted->len -= num;
  }
}

#endif  // PINVERIFY_BYTES_H
