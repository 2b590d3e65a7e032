// siphash.contracts.h: the contracts of kernels/siphash.h, and of what hashes the
// ends of a name.
//
// clang-format off
#ifndef PINVERIFY_SIPHASH_CONTRACTS_H
#define PINVERIFY_SIPHASH_CONTRACTS_H

#include "contracts.h"
#include "kernels.h"
#include "kernels/siphash.h"

PV_INLINE void sip_absorb(sip_word v[4], sip_word bytes)
    REQUIRES(FRESH(v, 32))
    ASSIGNS(BYTES(v, 32));

PV_INLINE sip_word sip_finish(sip_word v[4], sip_word bytes)
    REQUIRES(FRESH(v, 32))
    ASSIGNS(BYTES(v, 32));

static inline sip_state sip_start(const uint64_t key[2])
    REQUIRES(FRESH(key, 16))
    ASSIGNS();

static inline uint64_t sip_last_word(uint64_t bytes, size_t message_len)
    REQUIRES(bytes <= UINT64_MAX >> 8)
    ASSIGNS()
    ENSURES(RESULT >> 56 == message_len % 256)
    ENSURES((RESULT & UINT64_MAX >> 8) == bytes);

static inline uint64_t find_dots(uint64_t bytes)
    ASSIGNS()
    ENSURES((RESULT & ~UINT64_C(0x8080808080808080)) == 0)
    ENSURES(IMPLIES(some < 8, (RESULT >> 8 * some & 0xff) ==
                                  ((bytes >> 8 * some & 0xff) == 0x2e ? 0x80 : 0)));

static inline size_t lowest_dot(uint64_t dots)
    REQUIRES(dots != 0 && (dots & ~UINT64_C(0x8080808080808080)) == 0)
    ASSIGNS()
    ENSURES(RESULT < 8 && (dots >> 8 * RESULT & 0xff) == 0x80)
    ENSURES((dots & ((UINT64_C(1) << 8 * RESULT) - 1)) == 0);

// The ends of a name are hashed from and to whole vectors.
#define ENDS_ROWS(num) (((num) + 3) / 4)
#define IS_ENDS(out_hashes, states, last_words, num)         \
  ((num) <= 256 && FRESH(out_hashes, 32 * ENDS_ROWS(num)) && \
   FRESH(states, 32 * 32) && FRESH(last_words, 32 * ENDS_ROWS(num)))

void pv__hash_ends(uint64_t *out_hashes, const sip_state *states,
                   const uint64_t *last_words, size_t num)
    REQUIRES(IS_ENDS(out_hashes, states, last_words, num))
    ASSIGNS(BYTES(out_hashes, 32 * ENDS_ROWS(num)));

void pv__hash_ends_portable(uint64_t *out_hashes, const sip_state *states,
                            const uint64_t *last_words, size_t num)
    REQUIRES(IS_ENDS(out_hashes, states, last_words, num))
    ASSIGNS(BYTES(out_hashes, 32 * ENDS_ROWS(num)));

#endif  // PINVERIFY_SIPHASH_CONTRACTS_H
