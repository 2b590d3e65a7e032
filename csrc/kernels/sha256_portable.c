// sha256_portable.c: SHA-256 in plain C, one message at a time.
#include "../bytes.h"
#include "../kernels.h"

typedef uint32_t portable_word;

#define SHA256_NAME(name) portable_##name
#include "sha256_rounds.h"

PV_INLINE void portable_hash_block(uint32_t state[8], const uint8_t *block) {
  uint32_t w[16];
  for (int t = 0; t < 16; t++) {
    w[t] = load_be32(block + 4 * t);
  }
  portable_hash_words(state, w);
}

void pv__sha256_portable(uint32_t (*states)[8], const uint8_t *const *in,
                         size_t num_blocks) {
  for (size_t i = 0; i < num_blocks; i++) {
    portable_hash_block(states[0], in[0] + 64 * i);
  }
}
