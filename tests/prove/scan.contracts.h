// scan.contracts.h: the contracts of what scan.c keeps to itself.
//
// clang-format off

static size_t packed_at(size_t num_pins, size_t i, size_t plane)
    REQUIRES(num_pins <= PV_PROVED_LEN_MAX / 32 && plane < 4)
    REQUIRES(i < PACKED_ROWS(num_pins))
    ASSIGNS()
    ENSURES(RESULT <= 32 * PACKED_ROWS(num_pins) - 8);

static void scan_packed(uint64_t *out_found, const uint8_t *packed,
                        size_t num_pins, const uint8_t *digests,
                        size_t num_digests)
    REQUIRES(IS_PACKED(packed, num_pins))
    REQUIRES(num_digests >= 1 && num_digests <= SCAN_DIGESTS)
    REQUIRES(FRESH(out_found, 8 * num_digests))
    REQUIRES(FRESH(digests, 32 * num_digests))
    ASSIGNS(BYTES(out_found, 8 * num_digests));
