// text.contracts.h: the contracts of text.c, and what base64 and hexadecimal are, said
// a second time.
//
// clang-format off

MAY_READ_BEGIN
// RFC 4648, 4: three bytes are four digits; where bytes are missing there are zeros.
static inline char spec_base64(const uint8_t *digest, size_t i) {
  const size_t at = i / 4 * 3;
  const uint32_t group = (uint32_t)digest[at] << 16 |
                         (uint32_t)(at + 1 < 32 ? digest[at + 1] : 0) << 8 |
                         (uint32_t)(at + 2 < 32 ? digest[at + 2] : 0);
  const uint32_t value = group >> (18 - 6 * (i % 4)) & 0x3f;
  return (char)(value < 26   ? 'A' + value
                : value < 52 ? 'a' + (value - 26)
                : value < 62 ? '0' + (value - 52)
                : value < 63 ? '+'
                             : '/');
}

static inline char spec_hex(const uint8_t *digest, size_t i) {
  const uint32_t value = i % 2 == 0 ? digest[i / 2] / 16 : digest[i / 2] % 16;
  return (char)(value < 10 ? '0' + value : 'a' + (value - 10));
}
MAY_READ_END

// For those that write digits, the digits of the one digest there is are any:
// each is in its place, whatever it is.
#if defined(ANY_DIGITS)
extern const char base64_of_digest[43];
extern const char hex_of_digest[64];
#define IS_BASE64(c, digest, i) ((c) == base64_of_digest[i])
#define IS_HEX(c, digest, i) ((c) == hex_of_digest[i])
#else
#define IS_BASE64(c, digest, i) ((c) == spec_base64(digest, i))
#define IS_HEX(c, digest, i) ((c) == spec_hex(digest, i))
#endif

const char *pv_version(void)
    ASSIGNS()
    ENSURES(__CPROVER_r_ok(RESULT, 6));

const char *pv_reason_text(pv_reason reason)
    ASSIGNS()
    ENSURES(__CPROVER_r_ok(RESULT, 15));

static char base64_digit(const uint8_t digest[32], size_t i)
    REQUIRES(FRESH(digest, 32) && i < 43)
    ASSIGNS()
    ENSURES(IS_BASE64(RESULT, digest, i));

static char hex_digit(const uint8_t digest[32], size_t i)
    REQUIRES(FRESH(digest, 32) && i < 64)
    ASSIGNS()
    ENSURES(IS_HEX(RESULT, digest, i));

static void write_base64(char *out, const uint8_t digest[32])
    REQUIRES(FRESH(out, 43) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 43))
    ENSURES(IMPLIES(some < 43, IS_BASE64(out[some], digest, some)));

static void write_hex(char *out, const uint8_t digest[32])
    REQUIRES(FRESH(out, 64) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 64))
    ENSURES(IMPLIES(some < 64, IS_HEX(out[some], digest, some)));

const char *pv_pin_text(char out[77], uint32_t kind, const uint8_t digest[32])
    REQUIRES(FRESH(out, 77) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 77))
    ENSURES(SAME(RESULT, out))
    ENSURES(IMPLIES(kind == PV_SPKI, out[50] == '=' && out[51] == 0))
    ENSURES(IMPLIES(kind == PV_SPKI && some < 43,
                    IS_BASE64(out[7 + some], digest, some)))
    ENSURES(IMPLIES(kind == PV_CERTIFICATE, out[11] == ':' && out[76] == 0))
    ENSURES(IMPLIES(kind == PV_CERTIFICATE && some < 64,
                    IS_HEX(out[12 + some], digest, some)))
    ENSURES(IMPLIES(kind > PV_CERTIFICATE, out[0] == 'u' && out[12] == 0));
