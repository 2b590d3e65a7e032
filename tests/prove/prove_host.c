// Harnesses for host.c.
#include "harness.h"
#include "host.c"
#include "libc.h"
#include "host.contracts.h"

void prove_hex_value(void) {
  char c;
  const uint32_t value = hex_value(c);
  REACHED(value == 15);
  REACHED(value == 16);
}

void prove_read_octet(void) {
  const char *host;
  size_t host_len;
  size_t *pos;
  uint32_t *out_octet;
  const bool ok = read_octet(host, host_len, pos, out_octet);
  REACHED(ok);
  REACHED(!ok);
}

void prove_read_ipv4(void) {
  const char *host;
  size_t host_len;
  uint32_t *out;
  const bool ok = read_ipv4(host, host_len, out);
  REACHED(ok);
  REACHED(!ok);
}

void prove_begins_label(void) {
  const char *host;
  size_t pos;
  const bool begins = begins_label(host, pos);
  REACHED(begins && pos == 9);
  REACHED(!begins);
}

void prove_ends_in_number(void) {
  const char *host;
  size_t host_len;
  const bool ends = ends_in_number(host, host_len);
  REACHED(ends && host_len > 9);
  REACHED(!ends);
}

void prove_read_group(void) {
  const char *host;
  size_t host_len;
  size_t *pos;
  ipv6 *out;
  const bool ok = read_group(host, host_len, pos, out);
  REACHED(ok);
  REACHED(!ok);
}

void prove_read_colons(void) {
  const char *host;
  size_t host_len;
  size_t *pos;
  ipv6 *out;
  const bool ok = read_colons(host, host_len, pos, out);
  REACHED(ok);
  REACHED(!ok);
}

void prove_spread_gap(void) {
  ipv6 *out;
  spread_gap(out);
  REACHED(some == 6);
}

void prove_read_ipv6(void) {
  const char *host;
  size_t host_len;
  ipv6 *out;
  const bool ok = read_ipv6(host, host_len, out);
  REACHED(ok);
  REACHED(!ok);
}

void prove_longest_zeros(void) {
  const ipv6 *address;
  size_t *out_start;
  const size_t zeros = longest_zeros(address, out_start);
  REACHED(zeros == 0);
  REACHED(zeros == 6);
}

void prove_write_group(void) {
  char *out;
  uint32_t group;
  const size_t len = write_group(out, group);
  REACHED(len == 1);
  REACHED(len == 4);
}

void prove_write_ipv6(void) {
  char *out;
  const ipv6 *address;
  const size_t len = write_ipv6(out, address);
  REACHED(len == 2);
  REACHED(len == 39);
}

void prove_write_name(void) {
  char *out;
  const char *host;
  size_t host_len;
  const pv_status status = write_name(out, host, host_len);
  REACHED(status == PV_OK && host_len == 253 && some == 99);
  REACHED(status == PV_ERR_HOST_LABEL_EMPTY);
  REACHED(status == PV_ERR_HOST_LABEL_TOO_LONG);
  REACHED(status == PV_ERR_HOST_CHARACTER);
}

void prove_canonical(void) {
  char *out;
  size_t *out_len;
  const char *host;
  size_t host_len;
  const pv_status status = canonical(out, out_len, host, host_len);
  REACHED(status == PV_OK && host_len == 254);
  REACHED(status == PV_ERR_HOST_EMPTY);
  REACHED(status == PV_ERR_HOST_TOO_LONG);
  REACHED(status == PV_ERR_HOST_IPV4);
  REACHED(status == PV_ERR_HOST_IPV6);
}

void prove_pv_host_canonical(void) {
  char *out;
  size_t *out_len;
  const char *host;
  size_t host_len;
  const pv_status status = pv_host_canonical(out, out_len, host, host_len);
  REACHED(status == PV_OK);
  REACHED(status != PV_OK);
}

void prove_is_address(void) {
  const char *host;
  size_t host_len;
  const bool is = is_address(host, host_len);
  REACHED(is);
  REACHED(!is);
}

void prove_count_labels(void) {
  const char *name;
  size_t name_len;
  const uint8_t num = count_labels(name, name_len);
  REACHED(num == 1);
  REACHED(num == 254);
}

void prove_pv__name_takes_shape(void) {
  const char *name;
  size_t name_len;
  uint32_t shape;
  const bool takes = pv__name_takes_shape(name, name_len, shape);
  REACHED(takes && shape == PV_ANY_LABELS);
  REACHED(!takes);
}

void prove_pv__name_is_canonical(void) {
  const char *name;
  size_t name_len;
  uint32_t shape;
  const bool is = pv__name_is_canonical(name, name_len, shape);
  REACHED(is);
  REACHED(!is);
}
