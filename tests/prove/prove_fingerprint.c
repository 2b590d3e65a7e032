// Harnesses for fingerprint.c.
#include "fingerprint.c"
#include "harness.h"

void prove_next_chunk(void) {
  const pv_column *certs;
  size_t done;
  const chunk next = next_chunk(certs, done);
  REACHED(next.num == SHA256_CHUNK);
  REACHED(next.num == 9);
}

void prove_prefetch_cert(void) {
  const pv_column *certs;
  size_t i;
  prefetch_cert(certs, i);
  REACHED(i == 9);
}
