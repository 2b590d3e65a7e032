// scan_steps.c: scans of pins, for an emulator that writes down each step.
//
//   scan_steps KERNEL SCAN NUM_PINS [PLACE NUM_DIFFERENT]...
//
// KERNEL is a number, SCAN a name. For each pair, the digest is that of the pin at
// PLACE, with as many of its last bytes changed as NUM_DIFFERENT says; a PLACE that
// is none makes it one that no pin begins like. early_exit is a scan that leaks.
//
// Exits with 0 if the scan answers what it should, else with 1; with 2 if it was
// called wrongly.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pinverify.h"

enum { PINS_MAX = 64, DIGEST_LEN = 32, DIGESTS = 5 };

static uint8_t pins[PINS_MAX * DIGEST_LEN];
static uint8_t packed[PINS_MAX * DIGEST_LEN];
static uint8_t digests[DIGESTS * DIGEST_LEN];
static uint8_t answers[DIGESTS];

static void rows(size_t num_pins) {
  answers[0] = (uint8_t)pv_pins_contain(pins, num_pins, digests);
}

static void packed_one(size_t num_pins) {
  answers[0] = (uint8_t)pv_packed_contain(packed, num_pins, digests);
}

static void packed_many(size_t num_pins) {
  pv_packed_contain_many(answers, packed, num_pins, digests, DIGESTS);
}

static void early_exit(size_t num_pins) {
  size_t i = 0;
  while (i < num_pins && memcmp(pins + DIGEST_LEN * i, digests, 32) != 0) {
    i += 1;
  }
  answers[0] = i < num_pins;
}

typedef struct named_scan {
  const char *name;
  void (*run)(size_t num_pins);
} named_scan;

static const named_scan scans[] = {{"pv_pins_contain", rows},
                                   {"pv_packed_contain", packed_one},
                                   {"pv_packed_contain_many", packed_many},
                                   {"early_exit", early_exit}};

static const named_scan *scan_called(const char *name) {
  for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++) {
    if (strcmp(scans[i].name, name) == 0) {
      return &scans[i];
    }
  }
  return NULL;
}

// These two are found by their names in the table of symbols.
__attribute__((noinline)) void scan_begins(void);
__attribute__((noinline)) void scan_ends(void);
void scan_begins(void) { __asm__ volatile(""); }
void scan_ends(void) { __asm__ volatile(""); }

// A function of its own: nothing else may be done between the two.
__attribute__((noinline)) static void follow(const named_scan *scan,
                                             size_t num_pins) {
  scan_begins();
  scan->run(num_pins);
  scan_ends();
}

static void make_digests(size_t num_pins, size_t place, size_t num_different) {
  memset(digests, 0xff, sizeof digests);
  if (place < num_pins) {
    memcpy(digests, pins + DIGEST_LEN * place, DIGEST_LEN);
  }
  for (size_t i = 0; i < num_different; i++) {
    digests[DIGEST_LEN - 1 - i] ^= 0xff;
  }
}

int main(int argc, char **argv) {
  if (argc < 4 || pv_scan_use_kernel(strtoul(argv[1], NULL, 10)) != PV_OK) {
    return 2;
  }
  const named_scan *scan = scan_called(argv[2]);
  const size_t num_pins = strtoul(argv[3], NULL, 10);
  if (scan == NULL || num_pins > PINS_MAX) {
    return 2;
  }
  for (size_t i = 0; i < sizeof pins; i++) {
    pins[i] = (uint8_t)(i * 37 + i / DIGEST_LEN);
  }
  pv_pins_pack(packed, pins, num_pins);
  for (int i = 4; i + 1 < argc; i += 2) {
    const size_t place = strtoul(argv[i], NULL, 10);
    const size_t num_different = strtoul(argv[i + 1], NULL, 10);
    if (num_different > DIGEST_LEN) {
      return 2;
    }
    make_digests(num_pins, place, num_different);
    follow(scan, num_pins);
    if (answers[0] != (place < num_pins && num_different == 0)) {
      return 1;
    }
  }
  return 0;
}
