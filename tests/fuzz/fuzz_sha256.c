// fuzz_sha256.c: every kernel of SHA-256 against OpenSSL, and every kernel of
// the scan against a plain loop. The first byte chooses the kernels.
#include <openssl/sha.h>

#include "check.h"
#include "pinverify.h"

enum { MAX_MESSAGES = 40, MAX_PINS = 20 };

// Looks for the kernels anew only when others are asked for: to ask a CPU what
// it can do is slow, on virtual machines above all.
static void use_kernels(uint8_t choice) {
  static size_t num_sha256 = 0, num_scan = 0;
  static int last = -1;
  if (num_sha256 == 0) {
    while (pv_sha256_kernel_name(num_sha256) != NULL) {
      num_sha256++;
    }
    while (pv_scan_kernel_name(num_scan) != NULL) {
      num_scan++;
    }
  }
  if (choice != last) {
    check(pv_sha256_use_kernel(choice % num_sha256) == PV_OK &&
              pv_scan_use_kernel(choice % num_scan) == PV_OK,
          "each kernel that is listed can be used");
    last = choice;
  }
}

static void check_one(const uint8_t *data, size_t len) {
  uint8_t expected[32], found[32];
  SHA256(data, len, expected);
  pv_sha256(found, data, len);
  check(memcmp(found, expected, 32) == 0, "a kernel agrees with OpenSSL");
}

// Messages of any lengths, cut where the bytes themselves say.
static void check_many(const uint8_t *data, size_t len) {
  uint64_t offsets[MAX_MESSAGES + 1] = {0};
  uint8_t expected[32 * MAX_MESSAGES], found[32 * MAX_MESSAGES];
  size_t num = 0;
  while (num < MAX_MESSAGES && offsets[num] < len) {
    const size_t at = (size_t)offsets[num];
    const size_t step = data[at] % 160;
    offsets[num + 1] = at + (step < len - at ? step : len - at);
    SHA256(data + at, (size_t)offsets[num + 1] - at, expected + 32 * num);
    num++;
  }
  const pv_column messages = {data, len, {offsets, 8, num}};
  check(pv_sha256_many(found, &messages) == PV_OK &&
            memcmp(found, expected, 32 * num) == 0,
        "a kernel hashes many messages as OpenSSL hashes each");
}

static bool contains(const uint8_t *pins, size_t num, const uint8_t *digest) {
  bool found = false;
  for (size_t i = 0; i < num; i++) {
    found = found || memcmp(pins + 32 * i, digest, 32) == 0;
  }
  return found;
}

// The first 32 bytes are looked for among what follows.
static void check_scan(const uint8_t *data, size_t len) {
  const size_t num = len / 32 - 1 < MAX_PINS ? len / 32 - 1 : MAX_PINS;
  const uint8_t *pins = data + 32;
  const bool expected = contains(pins, num, data);
  uint8_t found[MAX_PINS + 1];
  const size_t packed_len = pv_pins_packed_len(num);
  uint8_t *packed = malloc(packed_len > 0 ? packed_len : 1);
  check(packed != NULL, "there is memory");
  pv_pins_pack(packed, pins, num);
  check(pv_pins_contain(pins, num, data) == expected, "rows are scanned");
  check(pv_packed_contain(packed, num, data) == expected,
        "packed pins are scanned");
  pv_packed_contain_many(found, packed, num, data, num + 1);
  check(found[0] == expected, "many digests in one pass are scanned");
  check(num == 0 || memchr(found + 1, 0, num) == NULL, "each pin is found");
  for (size_t i = 0; i < num; i++) {
    uint8_t pin[32];
    pv_pins_unpack(pin, packed, num, i);
    check(memcmp(pin, pins + 32 * i, 32) == 0, "a pin is packed whole");
  }
  free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len == 0) {
    return 0;
  }
  use_kernels(data[0]);
  data++;
  len--;
  uint8_t *exact = exact_copy(data, len);
  check_one(exact, len);
  check_many(exact, len);
  if (len >= 32) {
    check_scan(exact, len);
  }
  free(exact);
  return 0;
}
