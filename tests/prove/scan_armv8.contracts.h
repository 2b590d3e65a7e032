// scan_armv8.contracts.h: the contracts of what scan_armv8.c keeps to itself.
//
// clang-format off

static inline uint64x2_t neon_load(const uint8_t *p)
    REQUIRES(FRESH(p, 16))
    ASSIGNS();

static uint64_t neon_scan_rows(const uint8_t *rows, size_t num_rows,
                          const uint8_t *digest)
    REQUIRES(IS_ROWS(rows, num_rows) && FRESH(digest, 32))
    ASSIGNS();

PV_INLINE void neon_scan_two_pins(uint64x2_t *found, const uint8_t *pins,
                          uint64x2_t wanted[][4], size_t num_digests)
    REQUIRES(num_digests >= 1 && num_digests <= SCAN_DIGESTS)
    REQUIRES(FRESH(found, 16 * SCAN_DIGESTS) && FRESH(pins, 192 + 16))
    REQUIRES(FRESH(wanted, 64 * SCAN_DIGESTS))
    ASSIGNS(BYTES(found, 16 * SCAN_DIGESTS));

PV_INLINE void neon_scan_group(uint64_t *out_found, const uint8_t *blocks,
                          size_t num_blocks, const uint8_t *digests,
                          size_t num_digests)
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));

static void neon_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                        size_t num_blocks, const uint8_t *digests,
                        size_t num_digests)
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));
