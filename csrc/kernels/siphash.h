// siphash.h: SipHash-1-3 of one message (Aumasson and Bernstein, SipHash: a
// fast short-input PRF, 2012, 2.1 to 2.4), in words of eight bytes.
#ifndef PINVERIFY_SIPHASH_H
#define PINVERIFY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "../toolchain.h"

typedef uint64_t sip_word;

#define SIPHASH_NAME(name) sip_##name
#include "siphash_rounds.h"

typedef struct sip_state {
  uint64_t v[4];
} sip_state;

static inline sip_state sip_start(const uint64_t key[2]) {
  return (sip_state){.v = {key[0] ^ UINT64_C(0x736f6d6570736575),
                           key[1] ^ UINT64_C(0x646f72616e646f6d),
                           key[0] ^ UINT64_C(0x6c7967656e657261),
                           key[1] ^ UINT64_C(0x7465646279746573)}};
}

// sip_last_word returns the last word of a message: the bytes after its whole
// words (at most seven, the first one lowest), and its length.
static inline uint64_t sip_last_word(uint64_t bytes, size_t message_len) {
  return bytes | (uint64_t)message_len % 256 << 56;
}

// An end of a name begins after a dot. find_dots returns 0x80 for each of eight
// bytes that is a dot, else 0. It has no jumps: a jump for each byte would
// often be predicted wrongly.
static inline uint64_t find_dots(uint64_t bytes) {
  const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
  const uint64_t others = bytes ^ UINT64_C(0x2e2e2e2e2e2e2e2e);
  return ~(((others & low) + low) | others | low);
}

MAY_WRAP_BEGIN
// lowest_dot returns the number of the lowest dot, which the product puts into
// its highest byte.
static inline size_t lowest_dot(uint64_t dots) {
  const uint64_t lowest = (dots & (~dots + 1)) >> 7;
  return (size_t)(lowest * UINT64_C(0x0001020304050607) >> 56);
}
MAY_WRAP_END

// Kernels complete the hashes of the ends of a name (kernels.h): an end of n
// bytes has a last word of its own, and before that the state states[n / 8]. Up
// to ENDS_ALIGN - 1 ends after `num` may be read and written; their last words
// are 0.
enum { ENDS_ALIGN = 4 };

void pv__hash_ends_portable(uint64_t *out_hashes, const sip_state *states,
                            const uint64_t *last_words, size_t num);
void pv__hash_ends_avx2(uint64_t *out_hashes, const sip_state *states,
                        const uint64_t *last_words, size_t num);
void pv__hash_ends_avx512(uint64_t *out_hashes, const sip_state *states,
                          const uint64_t *last_words, size_t num);

#endif  // PINVERIFY_SIPHASH_H
