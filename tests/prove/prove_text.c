// Harnesses for text.c. What its loops say is defined beside the contracts.
#include "harness.h"
#include "text.contracts.h"

#include "text.c"

void prove_pv_version(void) {
  REACHED(pv_version()[0] == '0');
}

void prove_pv_reason_text(void) {
  pv_reason reason;
  const char *text = pv_reason_text(reason);
  REACHED(reason == PV_MISMATCH && text[0] == 't');
  REACHED(text[0] == 'u');
}

void prove_base64_digit(void) {
  const uint8_t *digest;
  size_t i;
  const char digit = base64_digit(digest, i);
  REACHED(i == 0 && digit == '+');
  REACHED(i == 42 && digit == 'A');
}

void prove_hex_digit(void) {
  const uint8_t *digest;
  size_t i;
  const char digit = hex_digit(digest, i);
  REACHED(i == 0 && digit == 'f');
  REACHED(i == 63 && digit == '0');
}

void prove_write_base64(void) {
  char *out;
  const uint8_t *digest;
  write_base64(out, digest);
  REACHED(some == 42);
}

void prove_write_hex(void) {
  char *out;
  const uint8_t *digest;
  write_hex(out, digest);
  REACHED(some == 63);
}

void prove_pv_pin_text(void) {
  char *out;
  uint32_t kind;
  const uint8_t *digest;
  const char *text = pv_pin_text(out, kind, digest);
  REACHED(text[0] == 's');
  REACHED(text[0] == 'c');
  REACHED(text[0] == 'u');
}
