// Harnesses for kernels/siphash.h.
#include "harness.h"
#include "siphash.contracts.h"

void prove_sip_absorb(void) {
  sip_word *v;
  sip_word bytes;
  sip_absorb(v, bytes);
  REACHED(bytes == 9);
}

void prove_sip_finish(void) {
  sip_word *v;
  sip_word bytes;
  REACHED(sip_finish(v, bytes) == 1);
}

void prove_sip_start(void) {
  const uint64_t *key;
  REACHED(sip_start(key).v[0] == 1);
}

void prove_find_dots(void) {
  uint64_t bytes;
  const uint64_t dots = find_dots(bytes);
  REACHED(dots == 0);
  REACHED(dots == UINT64_C(0x8000800000800080));
}

void prove_lowest_dot(void) {
  uint64_t dots;
  REACHED(lowest_dot(dots) == 7);
}

void prove_sip_last_word(void) {
  uint64_t bytes;
  size_t message_len;
  const uint64_t word = sip_last_word(bytes, message_len);
  REACHED(word >> 56 == 253 && bytes == 9);
}
