// sha256.contracts.h: the contracts of what sha256.c keeps to itself.
//
// clang-format off

static size_t num_padded_blocks(size_t len)
    ASSIGNS()
    ENSURES(RESULT == len / 64 + (len % 64 < 56 ? 1 : 2));

PV_INLINE void write_tail(tail *t, pv_span message, size_t num_blocks)
    REQUIRES(IS_OUT(t) && IS_MESSAGE(message))
    REQUIRES(num_blocks == (message.len % 64 < 56 ? 1 : 2))
    ASSIGNS(*t);

PV_INLINE padded pad(tail *t, pv_span message)
    REQUIRES(IS_OUT(t) && IS_MESSAGE(message))
    ASSIGNS(*t)
    ENSURES(SAME(RESULT.whole, message.data) &&
            SAME(RESULT.tail, t->blocks))
    ENSURES(RESULT.num_whole == message.len / 64)
    ENSURES(RESULT.num_blocks - RESULT.num_whole ==
            (message.len % 64 < 56 ? 1 : 2));

static void write_digest(uint8_t *out, const uint32_t state[8])
    REQUIRES(FRESH(out, 32) && FRESH(state, 32))
    ASSIGNS(BYTES(out, 32));
