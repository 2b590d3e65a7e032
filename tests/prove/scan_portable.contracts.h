// scan_portable.contracts.h: the contracts of what scan_portable.c keeps to itself.
//
// clang-format off

static uint64_t row_difference(const uint8_t *row, const uint8_t *digest)
    REQUIRES(FRESH(row, 32) && FRESH(digest, 32))
    ASSIGNS();

static uint64_t portable_scan_rows(const uint8_t *rows, size_t num_rows,
                          const uint8_t *digest)
    REQUIRES(IS_ROWS(rows, num_rows) && FRESH(digest, 32))
    ASSIGNS();

static uint64_t scan_block(const uint8_t *block, const uint8_t *digest)
    REQUIRES(FRESH(block, 256) && FRESH(digest, 32))
    ASSIGNS();

static void portable_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                        size_t num_blocks, const uint8_t *digests,
                        size_t num_digests)
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));
