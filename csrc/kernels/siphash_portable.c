// siphash_portable.c: the hashes of the ends of a name, one after the other.
#include "../kernels.h"
#include "siphash.h"

void pv__hash_ends_portable(uint64_t *out_hashes, const sip_state *states,
                            const uint64_t *last_words, size_t num) {
  for (size_t i = 0; i < num; i++) CHANGES(i, BYTES(out_hashes, 8 * num))
  LOOP(num - i, i <= num)
  {
    sip_state state = states[last_words[i] >> 59];
    out_hashes[i] = sip_finish(state.v, last_words[i]);
  }
}
