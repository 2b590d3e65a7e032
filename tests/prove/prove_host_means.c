// Harnesses for the meaning of what reads names in host.c: it accepts what a second,
// plain description of a name accepts, and writes it alike.
#include "harness.h"
#include "host.c"

// A label may have 63 bytes: the longest names that are tried have more.
enum { LONGEST = 72 };

static bool spec_is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool spec_is_in_names(char c) {
  return spec_is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

static char spec_spelling(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

// All bytes are a name's. No dot is first, last or next to another one; and of
// 64 bytes, one after the other, at least one is a dot.
static bool spec_is_name(const char *name, size_t len) {
  bool is_name = len > 0;
  size_t since_dot = 0;
  for (size_t i = 0; i < LONGEST; i++) {
    if (i < len) {
      const bool is_dot = name[i] == '.';
      is_name = is_name && spec_is_in_names(name[i]) &&
                !(is_dot && (i == 0 || i == len - 1 || name[i - 1] == '.'));
      since_dot = is_dot ? 0 : since_dot + 1;
      is_name = is_name && since_dot < 64;
    }
  }
  return is_name;
}

// What was written and returned for a name of any length up to LONGEST.
static char name[LONGEST];
static size_t name_len;

static void any_name(void) {
  char any_bytes[LONGEST];
  size_t any_len;
  memcpy(name, any_bytes, sizeof name);
  __CPROVER_assume(any_len <= LONGEST);
  name_len = any_len;
}

static void is_spelt(const char *out) {
  size_t i;
  __CPROVER_assume(i < name_len);
  __CPROVER_assert(out[i] == spec_spelling(name[i]), "in lower case");
}

void prove_write_name(void) {
  char out[LONGEST];
  any_name();
  const pv_status status = write_name(out, name, name_len);
  __CPROVER_assert((status == PV_OK) == spec_is_name(name, name_len),
                   "names, and nothing else");
  REACHED(status == PV_OK && name_len == LONGEST);
  REACHED(status == PV_ERR_HOST_LABEL_TOO_LONG);
  REACHED(status == PV_ERR_HOST_LABEL_EMPTY);
  if (status == PV_OK) {
    is_spelt(out);
  }
}

// ---- the last label ---------------------------------------------------------

static bool spec_is_decimal(char c) {
  return c >= '0' && c <= '9';
}

static bool spec_is_hex(char c) {
  return spec_is_decimal(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

enum { LONGEST_NUMBER = 19 };

void prove_ends_in_number(void) {
  any_name();
  __CPROVER_assume(name_len <= LONGEST_NUMBER);
  size_t start = name_len;
  while (start > 0 && name[start - 1] != '.') {
    start -= 1;
  }
  const size_t len = name_len - start;
  const bool hex =
      len >= 2 && name[start] == '0' && (name[start + 1] | 0x20) == 'x';
  bool is_number = len > 0;
  for (size_t i = hex ? 2 : 0; i < len; i++) {
    is_number = is_number && (hex ? spec_is_hex(name[start + i])
                                  : spec_is_decimal(name[start + i]));
  }
  __CPROVER_assert(ends_in_number(name, name_len) == is_number,
                   "decimal, or 0x and hexadecimal");
  REACHED(is_number && hex && len > 16 && start > 0);
  REACHED(is_number && !hex && len == LONGEST_NUMBER);
  REACHED(!is_number && len > 16);
}

// ---- wildcards --------------------------------------------------------------

static bool is_an_address;

bool any_address(const char *host, size_t host_len) {
  __CPROVER_assert(host == name && host_len == name_len, "the name");
  return is_an_address;
}

void prove_pv__name_takes_shape(void) {
  uint32_t shape;
  bool any;
  any_name();
  is_an_address = any;
  size_t num_labels = 1;
  for (size_t i = 0; i < name_len; i++) {
    num_labels += name[i] == '.';
  }
  const bool takes =
      shape == PV_EXACT ||
      (!is_an_address && (shape == PV_ONE_LABEL || num_labels <= 16));
  __CPROVER_assert(pv__name_takes_shape(name, name_len, shape) == takes,
                   "no address, and 16 labels behind two stars");
  REACHED(takes && shape == PV_ANY_LABELS && num_labels == 16);
  REACHED(!takes && shape == PV_ANY_LABELS && !is_an_address);
}
