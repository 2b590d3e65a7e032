// poison.c: calls one scan with pins and a digest that a checker takes for
// memory nobody has written to. Then every branch, and every address, that
// depends on them is a finding of the checker.
//
//   valgrind poison KERNEL SCAN     the checker is memcheck
//   poison KERNEL SCAN              ... or MSan, if built with
//   -fsanitize=memory poison                          lists the kernels and the
//   scans
//
// KERNEL is a number. A program that ends with 0 has seen no finding; 2 means
// that the program was called wrongly.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leaky_scans.h"
#include "pinverify.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define WITH_MSAN 1
#endif
#endif

#ifdef WITH_MSAN
#include <sanitizer/msan_interface.h>
#define POISON(bytes, len) __msan_poison(bytes, len)
#define UNPOISON(bytes, len) __msan_unpoison(bytes, len)
#else
#include <valgrind/memcheck.h>
#define POISON(bytes, len) (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, len)
#define UNPOISON(bytes, len) (void)VALGRIND_MAKE_MEM_DEFINED(bytes, len)
#endif

enum { MOST_PINS = 2000, MOST_DIGESTS = 8 };

// What a scan may write its answers to.
static uint8_t answers[4 * MOST_DIGESTS];
static uint8_t pins[32 * (MOST_PINS + 8)];
static uint8_t digests[32 * MOST_DIGESTS];

static void pins_contain(size_t num_pins) {
  const uint32_t answer = pv_pins_contain(pins, num_pins, digests);
  memcpy(answers, &answer, sizeof answer);
}

static void packed_contain(size_t num_pins) {
  const uint32_t answer = pv_packed_contain(pins, num_pins, digests);
  memcpy(answers, &answer, sizeof answer);
}

static void packed_contain_many(size_t num_pins) {
  for (size_t num = 0; num <= MOST_DIGESTS; num++) {
    pv_packed_contain_many(answers, pins, num_pins, digests, num);
  }
}

#define TWIN(name)                                         \
  static void call_##name(size_t num_pins) {               \
    const uint32_t answer = name(pins, num_pins, digests); \
    memcpy(answers, &answer, sizeof answer);               \
  }
TWIN(twin_branch_on_mask)
TWIN(twin_division)
TWIN(twin_early_exit)
TWIN(twin_gather)
TWIN(twin_mask_register)
TWIN(twin_memcmp)
TWIN(twin_table)
TWIN(twin_vector_branch)

static const struct {
  const char *name;
  void (*call)(size_t num_pins);
} scans[] = {{"pv_pins_contain", pins_contain},
             {"pv_packed_contain", packed_contain},
             {"pv_packed_contain_many", packed_contain_many},
             {"twin_branch_on_mask", call_twin_branch_on_mask},
             {"twin_division", call_twin_division},
             {"twin_early_exit", call_twin_early_exit},
             {"twin_gather", call_twin_gather},
             {"twin_mask_register", call_twin_mask_register},
             {"twin_memcmp", call_twin_memcmp},
             {"twin_table", call_twin_table},
             {"twin_vector_branch", call_twin_vector_branch}};

enum { NUM_SCANS = sizeof scans / sizeof scans[0] };

static int list(void) {
  for (size_t i = 0; pv_scan_kernel_name(i) != NULL; i++) {
    printf("kernel %s\n", pv_scan_kernel_name(i));
  }
  for (size_t i = 0; i < NUM_SCANS; i++) {
    printf("scan %s\n", scans[i].name);
  }
  return 0;
}

// The bytes are zero for the program and unknown to the checker. They are
// declared anew for each number of pins, since packed pins fill other bytes.
static int check(void (*call)(size_t num_pins)) {
  static const size_t numbers[] = {0, 1, 2, 3, 4, 5, 8, 9, 17, 64, MOST_PINS};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    POISON(pins, sizeof pins);
    POISON(digests, sizeof digests);
    call(numbers[i]);
    UNPOISON(answers, sizeof answers);
  }
  UNPOISON(pins, sizeof pins);
  UNPOISON(digests, sizeof digests);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 1) {
    return list();
  }
  if (argc != 3 || pv_scan_use_kernel(strtoul(argv[1], NULL, 10)) != PV_OK) {
    return 2;
  }
  for (size_t i = 0; i < NUM_SCANS; i++) {
    if (strcmp(argv[2], scans[i].name) == 0) {
      return check(scans[i].call);
    }
  }
  return 2;
}
