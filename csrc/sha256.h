// sha256.h: SHA-256 inside the core: one message in two halves, with other work
// in between, and up to 256 messages at a time.
#ifndef PINVERIFY_SHA256_H
#define PINVERIFY_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

// pv__sha256_begin hashes all whole blocks of a message, pv__sha256_end the
// rest. A processor can do other work at the same time, because each round
// waits for the one before it. The message must stay in place in between.
typedef struct sha256_running {
  _Alignas(32) uint32_t state[8];
  const pv_kernel *kernel;
  const uint8_t *data;
  size_t len;
} sha256_running;

void pv__sha256_begin(sha256_running *out, const uint8_t *data, size_t len);
void pv__sha256_end(uint8_t out_digest[32], sha256_running *running);

enum { SHA256_CHUNK = 256 };

// pv__sha256_chunk hashes up to SHA256_CHUNK messages of any lengths, side by
// side if the kernel in use can; digest i goes to out_digests + 32 * i. If
// `data` of a message is NULL, its digest is zero. The memory is nearly idle
// meanwhile, so the bytes of `wanted_next` are prefetched, a piece at a time.
void pv__sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                      size_t num_messages, pv_span wanted_next);

#endif  // PINVERIFY_SHA256_H
