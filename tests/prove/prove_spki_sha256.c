// Harnesses for spki_sha256.c.
#include "spki_sha256.c"
#include "harness.h"
#include "spki_sha256.contracts.h"

// What sha256.c promises.
void pv__sha256_begin(sha256_running *out, const uint8_t *data, size_t len)  //
    REQUIRES(IS_OUT(out) && len <= PV_PROVED_LEN_MAX)                    //
    REQUIRES(FRESH(data, len))                                           //
    ASSIGNS(*out)                                                        //
    ENSURES(SAME(out->data, data) && out->len == len);
void pv__sha256_end(uint8_t out_digest[32], sha256_running *running)  //
    REQUIRES(FRESH(out_digest, 32))                               //
    REQUIRES(FRESH(running, sizeof *running))                     //
    REQUIRES(FRESH(running->data, running->len))                  //
    ASSIGNS(BYTES(out_digest, 32), *running)                      //
    ENSURES(IS_ANSWER(out_digest[some % 32], sha256, OLD(running->data),
                      OLD(running->len), some % 32));

void prove_hash_spki(void) {
  uint8_t *out;
  const uint8_t *cert;
  size_t cert_len;
  const pv_status status = hash_spki(out, cert, cert_len);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_SERIAL);
}

void prove_pv_spki_sha256(void) {
  uint8_t *out;
  const uint8_t *cert;
  size_t cert_len;
  const pv_status status = pv_spki_sha256(out, cert, cert_len);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_SERIAL);
}

void prove_pv_cert_is_pinned(void) {
  pv_status *out_status;
  const uint8_t *packed;
  size_t num_pins;
  const uint8_t *cert;
  size_t cert_len;
  const uint32_t pinned =
      pv_cert_is_pinned(out_status, packed, num_pins, cert, cert_len);
  REACHED(pinned == 1 && num_pins == 9 && out_status == NULL);
  REACHED(pinned == 0 && num_pins == 9 && out_status != NULL);
}

void prove_next_chunk(void) {
  const pv_column *certs;
  size_t done;
  const chunk next = next_chunk(certs, done);
  REACHED(next.num == SHA256_CHUNK);
  REACHED(next.num == 9);
}

void prove_prefetch_cert(void) {
  const pv_column *certs;
  size_t i;
  prefetch_cert(certs, i);
  REACHED(i == 9);
}
