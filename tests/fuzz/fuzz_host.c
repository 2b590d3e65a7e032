// fuzz_host.c: the canonical form of hosts, against inet_pton of libc.
#include <arpa/inet.h>

#include "check.h"
#include "pinverify.h"

typedef struct canonical {
  char text[PV_HOST_MAX + 1];
  size_t len;
} canonical;

static bool canonicalise(canonical *out, const void *host, size_t len) {
  uint8_t *exact = exact_copy(host, len);
  const pv_status status =
      pv_host_canonical(out->text, &out->len, (const char *)exact, len);
  free(exact);
  check(status == PV_OK || all_zero(out->text, sizeof out->text),
        "a refused host is empty");
  return status == PV_OK;
}

// The address that libc reads; the bytes of `host` end with NUL.
static bool read_address(uint8_t out[16], const char *host) {
  memset(out, 0, 16);
  return inet_pton(AF_INET6, host, out) == 1 ||
         inet_pton(AF_INET, host, out) == 1;
}

// Whoever is an address to libc is the same address to us, and a colon is in
// IPv6 addresses alone.
static void check_address(const char *host, const canonical *ours, bool good) {
  uint8_t expected[16], found[16];
  const bool is_address = read_address(expected, host);
  check(!is_address || good, "an address of libc is a host");
  if (is_address) {
    check(read_address(found, ours->text) && memcmp(expected, found, 16) == 0,
          "the canonical form is the same address");
  }
  check(!good || is_address || strchr(ours->text, ':') == NULL,
        "a host with a colon is an address of libc");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.:";
  canonical ours, again;
  char *text = malloc(len + 1);
  check(text != NULL, "there is memory");
  if (len > 0) {
    memcpy(text, data, len);
  }
  text[len] = '\0';
  const bool good = canonicalise(&ours, data, len);
  if (strlen(text) == len) {
    check_address(text, &ours, good);
  }
  free(text);
  if (good) {
    check(ours.len > 0 && strlen(ours.text) == ours.len,
          "it is ended by NUL, and only there");
    check(strspn(ours.text, allowed) == ours.len, "it has allowed characters");
    check(canonicalise(&again, ours.text, ours.len) && again.len == ours.len &&
              memcmp(again.text, ours.text, ours.len) == 0,
          "it is its own canonical form");
  }
  return 0;
}
