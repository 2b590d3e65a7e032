// Harnesses for spki.c.
#include "harness.h"
#include "spki.c"
#include "spki.contracts.h"

void prove_read_serial(void) {
  der_cursor *in;
  const bool ok = read_serial(in);
  REACHED(ok);
  REACHED(!ok);
}

void prove_arcs_are_minimal(void) {
  const uint8_t *oid;
  size_t oid_len;
  const bool minimal = arcs_are_minimal(oid, oid_len);
  REACHED(minimal && oid_len > 9 && some == 9);
  REACHED(!minimal);
}

void prove_find_0x80(void) {
  uint64_t octets;
  const uint64_t found = find_0x80(octets);
  REACHED(found == 0);
  REACHED(found != 0);
}

void prove_is_oid(void) {
  const der_cursor *oid;
  const bool is = is_oid(oid);
  REACHED(is && some == 1);
  REACHED(!is);
}

void prove_is_null(void) {
  const der_cursor *in;
  const bool is = is_null(in);
  REACHED(is);
  REACHED(!is);
}

void prove_is_parameters(void) {
  der_cursor in;
  const bool is = is_parameters(in);
  REACHED(is);
  REACHED(!is);
}

void prove_is_algorithm(void) {
  der_cursor in;
  const bool is = is_algorithm(in);
  REACHED(is);
  REACHED(!is);
}

void prove_is_same(void) {
  const der_cursor *a;
  const der_cursor *b;
  const bool is = is_same(a, b);
  REACHED(is);
  REACHED(!is);
}

void prove_is_bit_string(void) {
  const der_cursor *bits;
  const bool is = is_bit_string(bits);
  REACHED(is);
  REACHED(!is);
}

void prove_read_version(void) {
  der_cursor *tbs;
  const bool ok = read_version(tbs);
  REACHED(ok);
  REACHED(!ok);
}

void prove_read_unique_id(void) {
  der_cursor *tbs;
  uint8_t tag;
  const bool ok = read_unique_id(tbs, tag);
  REACHED(ok && tag == DER_CONTEXT_1_PRIMITIVE);
  REACHED(!ok);
}

void prove_read_extensions(void) {
  der_cursor *tbs;
  const bool ok = read_extensions(tbs);
  REACHED(ok);
  REACHED(!ok);
}

void prove_read_tbs_head(void) {
  der_cursor *tbs;
  tbs_fields *out;
  const pv_status status = read_tbs_head(tbs, out);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_SUBJECT);
}

void prove_read_tbs_tail(void) {
  der_cursor *tbs;
  const pv_status status = read_tbs_tail(tbs);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_UNIQUE_ID);
  REACHED(status == PV_ERR_DER_EXTENSIONS);
  REACHED(status == PV_ERR_DER_TBS_END);
}

void prove_read_tbs_key(void) {
  der_cursor *tbs;
  tbs_fields *out;
  const pv_status status = read_tbs_key(tbs, out);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_SPKI);
}

void prove_check_spki(void) {
  der_cursor spki;
  const pv_status status = check_spki(spki);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_SPKI_KEY);
  REACHED(status == PV_ERR_DER_SPKI);
}

void prove_read_certificate_tail(void) {
  der_cursor *certificate;
  const der_cursor *inner;
  const pv_status status = read_certificate_tail(certificate, inner);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_CERTIFICATE_END);
}

void prove_find_key(void) {
  spki_walk *out;
  der_cursor in;
  const pv_status status = find_key(out, in);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_TBS);
}

void prove_check_rest(void) {
  const spki_walk *walk;
  const pv_status status = check_rest(walk);
  REACHED(status == PV_OK);
  REACHED(status == PV_ERR_DER_CERTIFICATE_END);
}

void prove_pv__spki_find(void) {
  spki_walk *out;
  const uint8_t *cert;
  size_t cert_len;
  const pv_status status = pv__spki_find(out, cert, cert_len);
  REACHED(status == PV_OK);
  REACHED(status != PV_OK);
}

void prove_pv__spki_check(void) {
  const spki_walk *walk;
  const pv_status status = pv__spki_check(walk);
  REACHED(status == PV_OK);
  REACHED(status != PV_OK);
}

void prove_pv_spki_from_cert(void) {
  pv_span *out_spki;
  const uint8_t *cert;
  size_t cert_len;
  const pv_status status = pv_spki_from_cert(out_spki, cert, cert_len);
  REACHED(status == PV_OK);
  REACHED(status != PV_OK);
}
