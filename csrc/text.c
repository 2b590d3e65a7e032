// text.c: writes texts for logs and messages; no decision depends on them. Pins
// in the form of text are read in Python only, by policy/_certs_and_pins.py.
#include <string.h>

#include "pinverify.h"
#include "prove.h"

// The number of digits of a digest, without the padding of base64.
enum { BASE64_LEN = 43, HEX_LEN = 64 };

const char *pv_version(void) {
  return PV_VERSION;
}

const char *pv_reason_text(pv_reason reason) {
  switch (reason) {
    case PV_MISMATCH:
      return "the chain does not match the pins";
    case PV_MATCH:
      return "the chain matches the pins";
    case PV_NOT_PINNED:
      return "the host is not pinned";
    case PV_EXPIRED:
      return "the pins have expired";
    case PV_NO_CERTIFICATE:
      return "the peer showed no certificate";
    case PV_MALFORMED:
      return "a certificate is not strict DER";
    case PV_BLOCKED:
      return "a key or certificate of the chain is blocked";
    case PV_BAD_HOST:
      return "the host has no canonical form";
    case PV_NOT_CHECKED:
      return "the chain was not checked: no evidence, or a failure";
  }
  return "unknown reason";
}

// Digit `i` of a digest in base64 (RFC 4648, 4): six bits of two of its bytes.
static char base64_digit(const uint8_t digest[32], size_t i) {
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t at = 6 * i / 8;
  const uint32_t next = at + 1 < PV_DIGEST_LEN ? digest[at + 1] : 0;
  const uint32_t bits = (uint32_t)digest[at] << 8 | next;
  return digits[bits >> (10 - 6 * i % 8) & 63];
}

// Digit `i` of a digest in hexadecimal.
static char hex_digit(const uint8_t digest[32], size_t i) {
  static const char digits[] = "0123456789abcdef";
  return digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
}

static void write_base64(char *out, const uint8_t digest[32]) {
  for (size_t i = 0; i < BASE64_LEN; i++)
    LOOP(BASE64_LEN - i,
         i <= BASE64_LEN &&
             IMPLIES(some < i, IS_BASE64(out[some], digest, some)))
  {
    out[i] = base64_digit(digest, i);
  }
}

static void write_hex(char *out, const uint8_t digest[32]) {
  for (size_t i = 0; i < HEX_LEN; i++)
    LOOP(HEX_LEN - i,
         i <= HEX_LEN && IMPLIES(some < i, IS_HEX(out[some], digest, some)))
  {
    out[i] = hex_digit(digest, i);
  }
}

const char *pv_pin_text(char out[77], uint32_t kind, const uint8_t digest[32]) {
  if (kind == PV_SPKI) {
    memcpy(out, "sha256/", 7);
    write_base64(out + 7, digest);
    memcpy(out + 7 + BASE64_LEN, "=", 2);
  } else if (kind == PV_CERTIFICATE) {
    memcpy(out, "cert-sha256:", 12);
    write_hex(out + 12, digest);
    out[PV_PIN_TEXT_MAX] = '\0';
  } else {
    memcpy(out, "unknown kind", sizeof "unknown kind");
  }
  return out;
}
