// policy_hash.contracts.h: the contract of what policy_hash.c keeps to itself.
//
// clang-format off

static size_t find_blocks(pv_span out_blocks[PIECES_MAX], const uint8_t *bytes,
                          size_t bytes_len, size_t at)
    REQUIRES(FRESH(out_blocks, 16 * 256))
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    REQUIRES(at <= bytes_len)
    ASSIGNS(WHOLE(out_blocks))
    ENSURES(RESULT <= 256 && (at == bytes_len) == (RESULT == 0))
    ENSURES(IMPLIES(some < RESULT, IS_BLOCK(out_blocks[some], bytes, bytes_len)));
