// policy_hash.contracts.h: the contracts of what policy_hash.c keeps to itself.
//
// clang-format off

// An end of a host begins in word `i`, in front of a byte that is there.
#define BEGINS_IN(len, i, bytes) \
  ((len) >= 8 * (i) && (len) < 8 * (i) + 8 && (bytes) >> 8 * ((len) - 8 * (i)) != 0)

static void add_ends(host_ends *out, size_t i, uint64_t bytes)
    REQUIRES(IS_OUT(out) && i < HOST_WORDS && out->num <= PV_ANY_LABELS_MAX)
    ASSIGNS(out->num, BYTES(out->lens + out->num, PV_ANY_LABELS_MAX - out->num))
    ENSURES(out->num >= OLD(out->num) && out->num <= PV_ANY_LABELS_MAX)
    ENSURES(IMPLIES(some >= OLD(out->num) && some < out->num,
                    BEGINS_IN(out->lens[some], i, bytes)));

static size_t find_blocks(pv_span out_blocks[PIECES_MAX], const uint8_t *bytes,
                          size_t bytes_len, size_t *at)
    REQUIRES(FRESH(out_blocks, 16 * 256) && IS_OUT(at))
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    REQUIRES(*at <= bytes_len)
    ASSIGNS(*at, WHOLE(out_blocks))
    ENSURES(*at >= OLD(*at) && *at <= bytes_len)
    ENSURES(RESULT <= 256 && (OLD(*at) == bytes_len) == (RESULT == 0))
    ENSURES((OLD(*at) == *at) == (RESULT == 0))
    ENSURES(IMPLIES(some < RESULT, IS_BLOCK(out_blocks[some], bytes, bytes_len)));
