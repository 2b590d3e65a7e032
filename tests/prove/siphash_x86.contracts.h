// siphash_x86.contracts.h: the contracts of what siphash_x86.c keeps to itself.
//
// clang-format off

PV_INLINE void avx2_sip_load(avx2_sip_word v[4], const sip_state *states,
                             const uint64_t *last_words)
    REQUIRES(FRESH(v, 128) && FRESH(states, 32 * 32) && FRESH(last_words, 32))
    ASSIGNS(BYTES(v, 128));

PV_INLINE void avx2_sip_ends(uint64_t *out_hashes, const sip_state *states,
                             const uint64_t *last_words, size_t num)
    REQUIRES(IS_ENDS(out_hashes, states, last_words, num))
    ASSIGNS(BYTES(out_hashes, 32 * ENDS_ROWS(num)));

PV_INLINE avx2_sip_word avx2_sip_finish(avx2_sip_word v[4], avx2_sip_word bytes)
    REQUIRES(FRESH(v, 128))
    ASSIGNS(BYTES(v, 128));

void model_mm256_storeu_si256(void *p, m256 a)
    REQUIRES(FRESH(p, 32))
    ASSIGNS(BYTES(p, 32));
