// poison.c: calls one function with pins and keys that a checker takes for
// memory nobody has written to. Then every branch, and every address, that
// depends on them is a finding of the checker.
//
//   valgrind poison KERNEL FUNCTION CERTIFICATE POLICY...   with memcheck
//   poison KERNEL FUNCTION CERTIFICATE POLICY...            with MSan
//   poison                              lists the kernels and the functions
//
// KERNEL is a number. CERTIFICATE is a file whose key ends with KEY_LEN bytes
// that mean nothing to the walk; they are what is unknown of the digest. POLICY
// is a compiled policy with a rule for HOST. A program that ends with 0 has seen
// no finding; 2 means that the program was called wrongly.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pinverify.h"

enum {
  MOST_PINS = 2000,
  MOST_DIGESTS = 8,
  MOST_CERTS = 3,
  CERT_MAX = 1024,
  POLICY_MAX = 1 << 16,
  KEY_LEN = 64
};

static const char host[] = "a.example";
enum { HOST_LEN = sizeof host - 1 };

// What a function may write its answers to.
static uint8_t answers[4 * MOST_DIGESTS];
static uint8_t pins[32 * (MOST_PINS + 8)];
static uint8_t digests[32 * MOST_DIGESTS];

// A chain of equal certificates, as a column and as spans.
static uint8_t certs[MOST_CERTS * CERT_MAX];
static pv_span chain[MOST_CERTS];
static uint32_t offsets[MOST_CERTS + 1];
static pv_column column = {certs, 0, {offsets, 4, MOST_CERTS}};

static pv_policy policy;

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(2);
}

static void need(bool ok) {
  if (!ok) {
    fail("the function did not answer");
  }
}

// ---- scans: so many pins ----------------------------------------------------

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

static void cert_is_pinned(size_t num_pins) {
  pv_status status = PV_ERR_ARGUMENT;
  const uint32_t answer = pv_cert_is_pinned(&status, pins, num_pins,
                                            chain[0].data, chain[0].len);
  need(status == PV_OK);
  memcpy(answers, &answer, sizeof answer);
}

static void certs_are_pinned(size_t num_pins) {
  uint8_t statuses[MOST_CERTS], spkis[32 * MOST_CERTS];
  size_t num_malformed = 1;
  need(pv_certs_are_pinned(answers, spkis, statuses, &num_malformed, pins,
                           num_pins, &column) == PV_OK &&
       num_malformed == 0);
}

// ---- decisions: the pins of the policy --------------------------------------

static void evaluate(size_t num_certs) {
  pv_report report;
  uint8_t spkis[32 * MOST_CERTS];
  need(pv_evaluate(&report, spkis, &policy, host, HOST_LEN, chain, num_certs,
                   0) == PV_OK);
}

static void decide(size_t num_certs) {
  uint32_t reason;
  const uint32_t answer =
      pv_decide(&reason, &policy, host, HOST_LEN, certs, offsets[num_certs],
                (const uint8_t *)offsets, num_certs, 0);
  memcpy(answers, &answer, sizeof answer);
}

static void leaf_suffices(size_t num_certs) {
  (void)num_certs;
  const uint32_t answer = pv_leaf_suffices(&policy, host, HOST_LEN,
                                           chain[0].data, chain[0].len, 0);
  memcpy(answers, &answer, sizeof answer);
}

static void evaluate_many(size_t num_certs) {
  const uint32_t ends[] = {0, (uint32_t)num_certs};
  const uint32_t host_ends[] = {0, HOST_LEN};
  const pv_column hosts = {(const uint8_t *)host, HOST_LEN, {host_ends, 4, 1}};
  const pv_offsets chains = {ends, 4, 1};
  pv_report report;
  uint8_t spkis[32 * MOST_CERTS], accepted, reasons, matched[32];
  uint32_t rules, depths;
  uint16_t details;
  const pv_answers out = {&report, spkis,   &accepted, &reasons,
                          &rules,  &depths, &details,  matched};
  need(pv_evaluate_many(&out, &policy, &hosts, &column, &chains, 0) == PV_OK);
}

// Each function that pinverify.h promises to be constant-time. A scan is called
// with numbers of pins, a decision with numbers of certificates.
static const struct {
  const char *name;
  void (*call)(size_t num);
  int decides;
} functions[] = {{"pv_pins_contain", pins_contain, 0},
                 {"pv_packed_contain", packed_contain, 0},
                 {"pv_packed_contain_many", packed_contain_many, 0},
                 {"pv_cert_is_pinned", cert_is_pinned, 0},
                 {"pv_certs_are_pinned", certs_are_pinned, 0},
                 {"pv_evaluate", evaluate, 1},
                 {"pv_decide", decide, 1},
                 {"pv_leaf_suffices", leaf_suffices, 1},
                 {"pv_evaluate_many", evaluate_many, 1}};

enum { NUM_FUNCTIONS = sizeof functions / sizeof functions[0] };

static int list(void) {
  for (size_t i = 0; pv_scan_kernel_name(i) != NULL; i++) {
    printf("kernel %s\n", pv_scan_kernel_name(i));
  }
  for (size_t i = 0; i < NUM_FUNCTIONS; i++) {
    printf("function %s\n", functions[i].name);
  }
  return 0;
}

// ---- what is unknown --------------------------------------------------------

static size_t read_file(uint8_t *out, size_t out_len, const char *path) {
  FILE *file = fopen(path, "rb");
  const size_t len = file == NULL ? 0 : fread(out, 1, out_len, file);
  if (len == 0 || len == out_len) {
    fail(path);
  }
  fclose(file);
  return len;
}

static void read_chain(const char *path) {
  for (uint32_t i = 0; i < MOST_CERTS; i++) {
    uint8_t *cert = certs + offsets[i];
    const size_t len = read_file(cert, CERT_MAX, path);
    pv_span spki;
    if (pv_spki_from_cert(&spki, cert, len) != PV_OK || spki.len < KEY_LEN) {
      fail(path);
    }
    chain[i] = (pv_span){cert, len};
    offsets[i + 1] = offsets[i] + (uint32_t)len;
    POISON((uint8_t *)spki.data + spki.len - KEY_LEN, KEY_LEN);
  }
  column.data_len = offsets[MOST_CERTS];
}

// The bytes are zero for the program and unknown to the checker. They are
// declared anew for each number of pins, since packed pins fill other bytes.
static void check_scan(void (*call)(size_t num)) {
  static const size_t numbers[] = {0, 1, 2, 3, 4, 5, 8, 9, 17, 64, MOST_PINS};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    POISON(pins, sizeof pins);
    POISON(digests, sizeof digests);
    call(numbers[i]);
    UNPOISON(answers, sizeof answers);
  }
}

static void check_decision(void (*call)(size_t num), const char *path) {
  static uint8_t bytes[POLICY_MAX];
  const size_t len = read_file(bytes, sizeof bytes, path);
  if (pv_policy_open(&policy, bytes, len) != PV_OK) {
    fail(path);
  }
  POISON((uint8_t *)policy.pins, 32 * policy.num_rows);
  for (size_t num_certs = 1; num_certs <= MOST_CERTS; num_certs++) {
    call(num_certs);
    UNPOISON(answers, sizeof answers);
  }
  UNPOISON(bytes, sizeof bytes);
}

// Hashing is not what is examined; without its barriers, which MSan takes for
// uses, only the last kernel is right.
static void hash_in_plain_c(void) {
  size_t last = 0;
  while (pv_sha256_kernel_name(last + 1) != NULL) {
    last++;
  }
  need(pv_sha256_use_kernel(last) == PV_OK);
}

int main(int argc, char **argv) {
  if (argc == 1) {
    return list();
  }
  hash_in_plain_c();
  if (argc < 5 || pv_scan_use_kernel(strtoul(argv[1], NULL, 10)) != PV_OK) {
    return 2;
  }
  read_chain(argv[3]);
  for (size_t i = 0; i < NUM_FUNCTIONS; i++) {
    if (strcmp(argv[2], functions[i].name) != 0) {
      continue;
    }
    if (!functions[i].decides) {
      check_scan(functions[i].call);
      return 0;
    }
    for (int policies = 4; policies < argc; policies++) {
      check_decision(functions[i].call, argv[policies]);
    }
    return 0;
  }
  return 2;
}
