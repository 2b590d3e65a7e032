// sha256.h: SHA-256 for the files of the core: a message whose hash goes on
// while something else is done, and up to 256 messages at a time.
#ifndef PINVERIFY_SHA256_H
#define PINVERIFY_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

// pv__sha256_begin takes all whole blocks of a message, and pv__sha256_end the
// rest. The processor has time for something else in between, since each round
// waits for the one before. The message must stay where it is.
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
// side where the kernel in use can; digest i stands at out_digests + 32 * i. A
// message whose `data` is NULL is none: its digest is zero. The memory has
// little to do meanwhile: the bytes of `wanted_next` are asked for, a piece at
// a time.
void pv__sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                      size_t num_messages, pv_span wanted_next);

#endif  // PINVERIFY_SHA256_H
