// fingerprint.c: certificate --> SHA-256 of its SPKI, of one and of many; and
// whether it is pinned, in one call.
#include <string.h>

#include "internal.h"

pv_status pv_spki_sha256(uint8_t out[32], const uint8_t *cert,
                         size_t cert_len) {
  pv_span spki;
  const pv_status status = pv_spki_from_cert(&spki, cert, cert_len);
  if (status == PV_OK) {
    pv_sha256(out, spki.data, spki.len);
  } else {
    memset(out, 0, PV_DIGEST_LEN);
  }
  return status;
}

pv_status pv_spki_sha256_many(uint8_t *out_digests, uint8_t *out_statuses,
                              size_t *out_num_malformed, const uint8_t *data,
                              size_t data_len, const uint64_t *offsets,
                              size_t num_certs) {
  *out_num_malformed = 0;
  if (num_certs == 0) {
    return PV_OK;
  }
  if (!offsets_ascend(offsets, num_certs, data_len)) {
    memset(out_digests, 0, PV_DIGEST_LEN * num_certs);
    memset(out_statuses, 0, num_certs);
    return PV_ERR_ARGUMENT;
  }
  for (size_t i = 0; i < num_certs; i++) {
    const pv_status status = pv_spki_sha256(
        out_digests + PV_DIGEST_LEN * i, or_empty(data) + offsets[i],
        (size_t)(offsets[i + 1] - offsets[i]));
    out_statuses[i] = (uint8_t)status;
    *out_num_malformed += status != PV_OK;
  }
  return PV_OK;
}

int pv_cert_is_pinned(const uint8_t *packed, size_t num_pins,
                      const uint8_t *cert, size_t cert_len) {
  uint8_t digest[PV_DIGEST_LEN];
  const pv_status status = pv_spki_sha256(digest, cert, cert_len);
  if (status != PV_OK) {
    return -(int)status;
  }
  return (int)pv_packed_contain(packed, num_pins, digest);
}
