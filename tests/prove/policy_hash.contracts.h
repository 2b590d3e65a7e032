// policy_hash.contracts.h: the contracts of what policy_hash.c keeps to itself.
//
// clang-format off

static void add_ends(host_ends *out, uint64_t *out_last_words, size_t i,
                     uint64_t bytes, size_t left)
    REQUIRES(IS_OUT(out) && FRESH(out_last_words, 8 * ENDS_MAX))
    REQUIRES(i < HOST_WORDS && left <= PV_HOST_MAX - 8 * i)
    REQUIRES(out->num <= 8 * i && ENDS_FIT(out, 8 * i + left))
    REQUIRES(IMPLIES(left < 8, bytes >> 8 * left == 0))
    ASSIGNS(WHOLE(out), WHOLE(out_last_words))
    ENSURES(out->num >= OLD(out->num) && out->num <= OLD(out->num) + 8)
    ENSURES(IMPLIES(left < 8, out->num > 0))
    ENSURES(ENDS_FIT(out, 8 * i + left));

static size_t find_blocks(pv_span out_blocks[PIECES_MAX], const uint8_t *bytes,
                          size_t bytes_len, size_t at)
    REQUIRES(FRESH(out_blocks, 16 * 256))
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    REQUIRES(at <= bytes_len)
    ASSIGNS(WHOLE(out_blocks))
    ENSURES(RESULT <= 256 && (at == bytes_len) == (RESULT == 0))
    ENSURES(IMPLIES(some < RESULT, IS_BLOCK(out_blocks[some], bytes, bytes_len)));
