// libc.h: memcmp and memchr as a proof sees them: they read all of what they
// may read, and answer anything. What holds for any answer holds for theirs.
#ifndef PINVERIFY_LIBC_H
#define PINVERIFY_LIBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int memcmp(const void *a, const void *b, size_t len) {
  int any;
  __CPROVER_precondition(len == 0 || __CPROVER_r_ok(a, len), "memcmp reads a");
  __CPROVER_precondition(len == 0 || __CPROVER_r_ok(b, len), "memcmp reads b");
  return any;
}

// Where it finds the byte, it is there.
void *memchr(const void *bytes, int byte, size_t len) {
  bool found;
  size_t at;
  __CPROVER_precondition(len == 0 || __CPROVER_r_ok(bytes, len),
                         "memchr reads");
  if (!found || at >= len) {
    return NULL;
  }
  __CPROVER_assume(((const uint8_t *)bytes)[at] == byte);
  return (uint8_t *)bytes + at;
}

#endif  // PINVERIFY_LIBC_H
