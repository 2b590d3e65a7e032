// scan_x86_avx512.contracts.h: the contracts of what scan_x86_avx512.c keeps to itself.
//
// clang-format off

PV_INLINE __m512i avx512_load(const uint8_t *p)
    REQUIRES(FRESH(p, 64))
    ASSIGNS();

static uint64_t avx512_scan_rows(const uint8_t *rows, size_t num_rows,
                          const uint8_t *digest)
    REQUIRES(IS_ROWS(rows, num_rows) && FRESH(digest, 32))
    ASSIGNS();

PV_INLINE void avx512_scan_group(uint64_t *out_found, const uint8_t *blocks,
                          size_t num_blocks, const uint8_t *digests,
                          size_t num_digests)
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));

static void avx512_scan_blocks(uint64_t *out_found, const uint8_t *blocks,
                        size_t num_blocks, const uint8_t *digests,
                        size_t num_digests)
    REQUIRES(IS_SCAN(out_found, blocks, num_blocks, digests, num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));
