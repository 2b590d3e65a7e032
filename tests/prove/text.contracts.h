// text.contracts.h: the contracts of text.c, and what base64 and hexadecimal are, said
// a second time.
//
// clang-format off

// RFC 4648, 4: three bytes are four digits; where bytes are missing there are zeros.
#define GROUP_BYTE(digest, at) ((uint32_t)(digest)[(at) % 32] * ((at) < 32))
#define GROUP_OF(digest, at)                                          \
  (GROUP_BYTE(digest, at) << 16 | GROUP_BYTE(digest, (at) + 1) << 8 | \
   GROUP_BYTE(digest, (at) + 2))
#define SEXTET(digest, i) \
  (GROUP_OF(digest, (i) / 4 * 3) >> (18 - 6 * ((i) % 4)) & 0x3f)
#define IS_SEXTET(c, value)                                          \
  (((c) >= 'A' && (c) <= 'Z' && (value) == (uint32_t)(c) - 'A') ||      \
   ((c) >= 'a' && (c) <= 'z' && (value) == (uint32_t)(c) - 'a' + 26) || \
   ((c) >= '0' && (c) <= '9' && (value) == (uint32_t)(c) - '0' + 52) || \
   ((c) == '+' && (value) == 62) || ((c) == '/' && (value) == 63))
#define IS_BASE64(text, digest, i) IS_SEXTET((text)[i], SEXTET(digest, i))

#define HALF(digest, i) \
  ((uint32_t)(digest)[(i) / 2] / (16 - 15 * ((i) % 2)) % 16)
#define IS_HALF(c, value)                                          \
  (((c) >= '0' && (c) <= '9' && (value) == (uint32_t)(c) - '0') || \
   ((c) >= 'a' && (c) <= 'f' && (value) == (uint32_t)(c) - 'a' + 10))
#define IS_HEX(text, digest, i) IS_HALF((text)[i], HALF(digest, i))

const char *pv_version(void)
    ASSIGNS()
    ENSURES(__CPROVER_r_ok(RESULT, 6));

const char *pv_reason_text(pv_reason reason)
    ASSIGNS()
    ENSURES(__CPROVER_r_ok(RESULT, 15));

static char base64_digit(const uint8_t digest[32], size_t i)
    REQUIRES(FRESH(digest, 32) && i < 43)
    ASSIGNS()
    ENSURES(IS_SEXTET(RESULT, SEXTET(digest, i)));

static char hex_digit(const uint8_t digest[32], size_t i)
    REQUIRES(FRESH(digest, 32) && i < 64)
    ASSIGNS()
    ENSURES(IS_HALF(RESULT, HALF(digest, i)));

static void write_base64(char *out, const uint8_t digest[32])
    REQUIRES(FRESH(out, 43) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 43))
    ENSURES(IMPLIES(some < 43, IS_BASE64(out, digest, some)));

static void write_hex(char *out, const uint8_t digest[32])
    REQUIRES(FRESH(out, 64) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 64))
    ENSURES(IMPLIES(some < 64, IS_HEX(out, digest, some)));

const char *pv_pin_text(char out[77], uint32_t kind, const uint8_t digest[32])
    REQUIRES(FRESH(out, 77) && FRESH(digest, 32))
    ASSIGNS(BYTES(out, 77))
    ENSURES(SAME(RESULT, out))
    ENSURES(IMPLIES(kind == PV_SPKI, out[50] == '=' && out[51] == 0))
    ENSURES(IMPLIES(kind == PV_SPKI && some < 43,
                    IS_BASE64(out + 7, digest, some)))
    ENSURES(IMPLIES(kind == PV_CERTIFICATE, out[11] == ':' && out[76] == 0))
    ENSURES(IMPLIES(kind == PV_CERTIFICATE && some < 64,
                    IS_HEX(out + 12, digest, some)))
    ENSURES(IMPLIES(kind > PV_CERTIFICATE, out[0] == 'u' && out[12] == 0));
