// misuse.c: misuse of the core that a sanitizer must see. If one of these
// programs ends well, the sanitizer was not at work in the core.
//
//   misuse overread     a certificate said to be longer than its memory
//   misuse unwritten    a certificate of bytes that were never written
//   misuse race         two threads that write one report
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pinverify.h"

// The beginning of a certificate, up to the tag of its third field: the walk
// then asks for a length.
static const uint8_t start[] = {0x30, 0x08, 0x30, 0x06, 0x02,
                                0x02, 0x01, 0x01, 0x30};

static int overread(void) {
  uint8_t *block = malloc(sizeof start);
  pv_span spki;
  if (block == NULL) {
    return 2;
  }
  memcpy(block, start, sizeof start);
  const pv_status status = pv_spki_from_cert(&spki, block, sizeof start + 1);
  free(block);
  return status == PV_OK ? 2 : 0;
}

static int unwritten(void) {
  uint8_t *block = malloc(64);
  pv_span spki;
  if (block == NULL) {
    return 2;
  }
  const pv_status status = pv_spki_from_cert(&spki, block, 64);
  free(block);
  return status == PV_OK ? 2 : 0;
}

static void *decide(void *report) {
  static const pv_policy no_policy;  // which is a rejection
  for (int i = 0; i < 10000; i++) {
    if (pv_evaluate(report, NULL, &no_policy, "", 0, NULL, 0, 0) == PV_OK) {
      return report;
    }
  }
  return NULL;
}

static int race(void) {
  static pv_report report;
  pthread_t other;
  if (pthread_create(&other, NULL, decide, &report) != 0) {
    return 2;
  }
  (void)decide(&report);
  pthread_join(other, NULL);
  return 0;
}

int main(int argc, char **argv) {
  const char *fault = argc == 2 ? argv[1] : "";
  if (strcmp(fault, "overread") == 0) {
    return overread();
  }
  if (strcmp(fault, "unwritten") == 0) {
    return unwritten();
  }
  if (strcmp(fault, "race") == 0) {
    return race();
  }
  fprintf(stderr, "usage: misuse overread|unwritten|race\n");
  return 0;
}
