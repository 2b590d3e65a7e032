// Harnesses for the padding in sha256.c, which calls no kernel: the table has
// the portable one alone, and an empty place instead of it.
#undef __x86_64__
#include "harness.h"
#include "kernels.h"

#define pv__sha256_portable NULL
#include "sha256.c"
#include "sha256.contracts.h"

void prove_num_padded_blocks(void) {
  size_t len;
  const size_t num_blocks = num_padded_blocks(len);
  REACHED(num_blocks == 2 && len == 56);
  REACHED(num_blocks == 1 && len == 55);
}

void prove_write_tail(void) {
  tail *t;
  pv_span message;
  size_t num_blocks;
  write_tail(t, message, num_blocks);
  REACHED(message.len == 56);
  REACHED(message.len == 1000);
}

void prove_pad(void) {
  tail *t;
  pv_span message;
  const padded p = pad(t, message);
  REACHED(p.num_blocks == 2 && p.num_whole == 0);
  REACHED(p.num_blocks == 2 && p.num_whole == 1);
}

void prove_write_digest(void) {
  uint8_t *out;
  const uint32_t *state;
  write_digest(out, state);
  REACHED(true);
}
