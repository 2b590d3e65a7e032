// spki_sha256.contracts.h: contracts of functions of spki_sha256.c.
//
// clang-format off

static inline pv_status hash_spki(uint8_t out[32], const uint8_t *cert,
                                  size_t cert_len)
    REQUIRES(FRESH(out, 32))
    REQUIRES(cert_len <= PV_PROVED_LEN_MAX && FRESH(cert, cert_len))
    ASSIGNS(BYTES(out, 32))
    ENSURES(IMPLIES(RESULT == PV_OK, IS_ACCEPTED(cert, cert_len)))
    ENSURES(IMPLIES(RESULT == PV_OK, IS_ANSWER(out[some % 32], sha256,
                                               spec_key(cert), spec_key_len(cert),
                                               some % 32)))
    ENSURES(IMPLIES(RESULT != PV_OK, out[some % 32] == 0));

static chunk next_chunk(const pv_column *certs, size_t done)
    REQUIRES(FRESH(certs, sizeof *certs) && done <= certs->offsets.num)
    ASSIGNS()
    ENSURES(SAME(RESULT.certs, certs) && RESULT.first == done)
    ENSURES(RESULT.num <= SHA256_CHUNK)
    ENSURES(RESULT.num <= certs->offsets.num - done)
    ENSURES(RESULT.num > 0 || done == certs->offsets.num);

static void prefetch_cert(const pv_column *certs, size_t i)
    REQUIRES(IS_COLUMN(certs))
    ASSIGNS();
