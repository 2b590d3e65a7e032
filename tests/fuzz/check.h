// check.h: how a fuzz target says that something does not hold. The fuzzer
// takes the abort for a finding and keeps the input.
#ifndef PINVERIFY_FUZZ_CHECK_H
#define PINVERIFY_FUZZ_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void check(bool holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "fuzz: not so: %s\n", what);
    abort();
  }
}

static inline bool all_zero(const void *bytes, size_t len) {
  uint8_t seen = 0;
  for (size_t i = 0; i < len; i++) {
    seen |= ((const uint8_t *)bytes)[i];
  }
  return seen == 0;
}

// exact_copy gives the bytes in a block of just their size, so that the
// sanitizer sees the first byte that is read past them. The caller frees it.
static inline uint8_t *exact_copy(const void *bytes, size_t len) {
  uint8_t *copy = malloc(len > 0 ? len : 1);
  check(copy != NULL, "there is memory");
  if (len > 0) {
    memcpy(copy, bytes, len);
  }
  return copy;
}

// What libFuzzer calls; each target has one.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif  // PINVERIFY_FUZZ_CHECK_H
