// host.c: one canonical spelling for each host, which policy_find.c looks up.
// Hosts that are ambiguous, or that libraries read differently, are refused.
// Names are in ASCII: in Python, core/_hosts.py turns others into A-labels.
#include "host.h"

#include <string.h>

#include "bytes.h"

// The value of a hexadecimal digit plus 16; 0 for other bytes. A table has no
// jumps, which an adversary's digits would make unpredictable.
static const uint8_t hex_values[256] = {
    ['0'] = 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    ['A'] = 26, 27, 28, 29, 30, 31, ['a'] = 26, 27, 28, 29, 30, 31};

// Returns the value of a hexadecimal digit, or 16.
static uint32_t hex_value(char c) {
  return hex_values[c & 0xff] ^ 16U;
}

// ---- IPv4: dotted decimal, no leading zeros (reasons: RFC 6943, 3.1.1) ------

// Reads a number from 0 to 255 at host[*pos], and moves after it.
static bool read_octet(const char *host, size_t host_len, size_t *pos,
                       uint32_t *out_octet) {
  const size_t start = *pos;
  uint32_t value = 0;
  while (*pos < host_len && *pos - start < 3 && hex_value(host[*pos]) < 10) {
    value = 10 * value + hex_value(host[*pos]);
    *pos += 1;
  }
  *out_octet = value;
  const size_t num_digits = *pos - start;
  return num_digits > 0 && value <= 255 &&
         !(num_digits > 1 && host[start] == '0');
}

static bool read_ipv4(const char *host, size_t host_len, uint32_t *out) {
  size_t pos = 0;
  uint32_t address = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t octet = 0;
    if (i > 0) {
      if (pos >= host_len || host[pos] != '.') {
        return false;
      }
      pos += 1;
    }
    if (!read_octet(host, host_len, &pos, &octet)) {
      return false;
    }
    address = address << 8 | octet;
  }
  *out = address;
  return pos == host_len;
}

static bool begins_label(const char *host, size_t pos) {
  return pos == 0 || host[pos - 1] == '.';
}

// Returns true if the last label is decimal, or 0x and hexadecimal. The URL
// standard and inet_aton read an IPv4 address there ("127.1", "1.2.3.0x4").
static bool ends_in_number(const char *host, size_t host_len) {
  size_t pos = host_len;
  bool decimal = true;
  while (pos > 0 && hex_value(host[pos - 1]) < 16)
    CHANGES(pos, decimal)
    LOOP(pos, pos <= host_len)
  {
    decimal = decimal && hex_value(host[pos - 1]) < 10;
    pos -= 1;
  }
  if (begins_label(host, pos)) {
    return pos < host_len && decimal;
  }
  return pos >= 2 && host[pos - 2] == '0' && (host[pos - 1] | 0x20) == 'x' &&
         begins_label(host, pos - 2);
}

// ---- IPv6: RFC 4291, 2.2 in; RFC 5952, 4 out --------------------------------

typedef struct ipv6 {
  uint32_t groups[8];
  size_t num_groups;  // read so far
  size_t gap;         // position of "::" among them, or NO_GAP
} ipv6;

enum { NO_GAP = 9, ADDRESS_MAX = 39 };  // eight groups and seven colons

// Reads one group at host[*pos], or the dotted quad that may end the address.
static bool read_group(const char *host, size_t host_len, size_t *pos,
                       ipv6 *out) {
  const size_t start = *pos;
  uint32_t value = 0;
  while (*pos < host_len && *pos - start < 4 && hex_value(host[*pos]) < 16) {
    value = value << 4 | hex_value(host[*pos]);
    *pos += 1;
  }
  if (*pos == start || out->num_groups >= 8) {
    return false;
  }
  if (*pos < host_len && host[*pos] == '.') {
    uint32_t quad = 0;
    if (out->num_groups > 6 ||
        !read_ipv4(host + start, host_len - start, &quad)) {
      return false;
    }
    out->groups[out->num_groups] = quad >> 16;
    out->groups[out->num_groups + 1] = quad & 0xffff;
    out->num_groups += 2;
    *pos = host_len;
    return true;
  }
  out->groups[out->num_groups] = value;
  out->num_groups += 1;
  return true;
}

// Reads ":" between two groups, or "::" between two or after the last.
static bool read_colons(const char *host, size_t host_len, size_t *pos,
                        ipv6 *out) {
  if (host[*pos] != ':') {
    return false;
  }
  *pos += 1;
  if (*pos == host_len) {
    return false;
  }
  if (host[*pos] != ':') {
    return true;
  }
  if (out->gap != NO_GAP) {
    return false;
  }
  out->gap = out->num_groups;
  *pos += 1;
  return true;
}

// Moves the groups after the gap to the end, and fills the gap with zeros.
static void spread_gap(ipv6 *out) {
  const size_t num_moved = out->num_groups - out->gap;
  for (size_t i = 0; i < num_moved; i++) {
    out->groups[7 - i] = out->groups[out->num_groups - 1 - i];
  }
  for (size_t i = out->gap; i < 8 - num_moved; i++) {
    out->groups[i] = 0;
  }
}

static bool read_ipv6(const char *host, size_t host_len, ipv6 *out) {
  size_t pos = 0;
  *out = (ipv6){.gap = NO_GAP};
  if (host_len >= 2 && host[0] == ':' && host[1] == ':') {
    out->gap = 0;
    pos = 2;
  }
  while (pos < host_len)  //
    CHANGES(pos, out->num_groups, out->gap, BYTES(out->groups, 32))
  LOOP(host_len - pos, pos <= host_len && IS_IPV6(out))
  {
    if (!read_group(host, host_len, &pos, out)) {
      return false;
    }
    if (pos < host_len && !read_colons(host, host_len, &pos, out)) {
      return false;
    }
  }
  if (out->gap == NO_GAP) {
    return out->num_groups == 8;
  }
  if (out->num_groups == 8) {
    return false;  // "::" stands for at least one group
  }
  spread_gap(out);
  return true;
}

// Finds the first of the longest runs of two or more zero groups, which RFC
// 5952, 4.2 shortens. Returns its length, or 0.
static size_t longest_zeros(const ipv6 *address, size_t *out_start) {
  size_t best = 1;
  size_t run = 0;
  *out_start = 8;
  for (size_t i = 0; i < 8; i++) {
    run = address->groups[i] == 0 ? run + 1 : 0;
    if (run > best) {
      best = run;
      *out_start = i + 1 - run;
    }
  }
  return best > 1 ? best : 0;
}

static size_t write_group(char *out, uint32_t group) {
  size_t len = 0;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const uint32_t digit = group >> shift & 15;
    if (digit != 0 || len > 0 || shift == 0) {
      out[len] = "0123456789abcdef"[digit];
      len += 1;
    }
  }
  return len;
}

static size_t write_ipv6(char *out, const ipv6 *address) {
  size_t zeros_at = 8;
  const size_t num_zeros = longest_zeros(address, &zeros_at);
  size_t len = 0;
  for (size_t i = 0; i < 8; i++) {
    if (i == zeros_at) {
      out[len] = ':';
      out[len + 1] = ':';
      len += 2;
      i += num_zeros - 1;
      continue;
    }
    if (i > 0 && i != zeros_at + num_zeros) {
      out[len] = ':';
      len += 1;
    }
    len += write_group(out + len, address->groups[i]);
  }
  return len;
}

// ---- names (RFC 1035, 2.3; RFC 1123, 2.1; and '_', which is in use) ---------

// The canonical spelling of each byte of a name; 0 for bytes of no name.
static const char spelling[256] = {
    ['-'] = '-', '.', ['0'] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
    ['A'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
    'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
    ['_'] = '_', ['a'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k',
    'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z'};

// Writes a name of at most PV_HOST_MAX bytes in lower case.
static pv_status write_name(char *out, const char *host, size_t host_len) {
  size_t label_len = 0;
  for (size_t i = 0; i < host_len; i++)
    LOOP(host_len - i, i <= host_len && label_len <= i && label_len <= 63 &&
                           IMPLIES(some < i, IS_CANONICAL(out[some])))
  {
    const char c = spelling[((const uint8_t *)host)[i]];
    out[i] = c;
    if (c == '.') {
      if (label_len == 0) {
        return PV_ERR_HOST_LABEL_EMPTY;
      }
      label_len = 0;
      continue;
    }
    if (c == 0) {
      return PV_ERR_HOST_CHARACTER;
    }
    label_len += 1;
    if (label_len > 63) {
      return PV_ERR_HOST_LABEL_TOO_LONG;
    }
  }
  return label_len > 0 ? PV_OK : PV_ERR_HOST_LABEL_EMPTY;
}

// ---- IPv4, IPv6 and names ---------------------------------------------------

static pv_status canonical(char *out, size_t *out_len, const char *host,
                           size_t host_len) {
  if (host_len == 0) {
    return PV_ERR_HOST_EMPTY;
  }
  const size_t len = host_len - (host[host_len - 1] == '.');
  const pv_status status = len > PV_HOST_MAX ? PV_ERR_HOST_TOO_LONG
                                             : write_name(out, host, len);
  if (status == PV_OK) {
    uint32_t ignored = 0;
    if (ends_in_number(host, len) && !read_ipv4(host, len, &ignored)) {
      return PV_ERR_HOST_IPV4;
    }
    *out_len = len;
  } else if (memchr(host, ':', host_len) != NULL) {  // no name has a colon
    ipv6 address;
    if (!read_ipv6(host, host_len, &address)) {
      return PV_ERR_HOST_IPV6;
    }
    *out_len = write_ipv6(out, &address);
    return PV_OK;
  }
  return status;
}

pv_status pv_host_canonical(char *out, size_t *out_len, const char *host,
                            size_t host_len) {
  *out_len = 0;
  const pv_status status = canonical(out, out_len, host, host_len);
  memset(out + *out_len, 0, PV_HOST_MAX + 1 - *out_len);
  return status;
}

static bool is_address(const char *host, size_t host_len) {
  return host_len > 0 && host_len <= ADDRESS_MAX &&
         (memchr(host, ':', host_len) != NULL ||
          ends_in_number(host, host_len));
}

// The number is a byte, so that compilers can count in many lanes at a time.
static uint8_t count_labels(const char *name, size_t name_len) {
  uint8_t num = 1;
  for (size_t i = 0; i < name_len; i++)
    LOOP(name_len - i, i <= name_len && num <= i + 1)
  {
    num = (uint8_t)(num + (name[i] == '.'));
  }
  return num;
}

bool pv__name_takes_shape(const char *name, size_t name_len, uint32_t shape) {
  return shape == PV_EXACT ||
         (!is_address(name, name_len) &&
          (shape == PV_ONE_LABEL ||
           count_labels(name, name_len) <= PV_ANY_LABELS_MAX));
}

bool pv__name_is_canonical(const char *name, size_t name_len, uint32_t shape) {
  char written[PV_HOST_MAX + 1];
  size_t written_len = 0;
  return canonical(written, &written_len, name, name_len) == PV_OK &&
         written_len == name_len && memcmp(written, name, name_len) == 0 &&
         pv__name_takes_shape(name, name_len, shape);
}
