// count.c: does one thing a number of times, for callgrind to count what that
// takes (../bench_counts.py). Nothing here is timed.
//
//   count list                         what can be counted, one name a line
//   count NAME TIMES FOLDER            does it; FOLDER has sets of certificates
//
// The count of a thing is the difference of two runs, so neither the start of
// the program nor this file's loops matter much. valgrind shows programs a CPU
// without SHA-NI and AVX-512, so what is counted are the other kernels.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/pinverify_compile.h"
#include "bench.h"

enum {
  MESSAGE_BLOCKS = 64,
  LANES = 64,  // messages of a batch: a multiple of every kernel's lanes
  NUM_PINS = 8000
};

static uint8_t bytes[LANES * 64 * MESSAGE_BLOCKS];

static void stop(const char *why) {
  fprintf(stderr, "count: %s\n", why);
  exit(2);
}

// ---- what is counted --------------------------------------------------------

// One certificate of a set, the next each time.
static void walk(const char *set_name, size_t times, const char *folder) {
  const cert_set set = cert_set_read(folder, set_name);
  for (size_t i = 0; i < times; i++) {
    pv_span spki;
    const uint64_t at = set.offsets[i % set.num];
    const uint64_t end = set.offsets[i % set.num + 1];
    if (pv_spki_from_cert(&spki, set.data + at, (size_t)(end - at)) != PV_OK) {
      stop("a certificate is malformed");
    }
    bench_keep(&spki);
  }
}

// One message that grows by a block each time.
static void one_message(size_t times) {
  uint8_t digest[PV_DIGEST_LEN];
  if (times > LANES * MESSAGE_BLOCKS) {
    stop("too many times");
  }
  pv_sha256(digest, bytes, 64 * times);
  bench_keep(digest);
}

// A batch of messages of MESSAGE_BLOCKS - 1 blocks, and one of padding.
static void many_messages(size_t times) {
  static uint64_t offsets[LANES + 1];
  static uint8_t digests[LANES * PV_DIGEST_LEN];
  for (size_t i = 0; i <= LANES; i++) {
    offsets[i] = i * 64 * (MESSAGE_BLOCKS - 1);
  }
  const pv_column column = {
      bytes, sizeof bytes, {offsets, sizeof offsets[0], LANES}};
  for (size_t i = 0; i < times; i++) {
    if (pv_sha256_many(digests, &column) != PV_OK) {
      stop("a column was refused");
    }
  }
}

// Blocks of packed pins, or as many as stay rows.
static void scan(size_t num_pins, size_t times) {
  uint8_t *packed = bench_alloc(pv_pins_packed_len(num_pins));
  pv_pins_pack(packed, bytes, num_pins);
  for (size_t i = 0; i < times; i++) {
    const uint32_t found = pv_packed_contain(packed, num_pins, bytes + 1);
    bench_keep(&found);
  }
}

// Hosts that have a rule each, or a wildcard: "host0007.example.com" has its own
// rule, "*.host0007.example.com" is that of "www.host0007.example.com".
enum { HOSTS = 100, DOMAIN_LEN = 20 };

static pv_column hosts_of(const char *before) {
  const size_t len = strlen(before) + DOMAIN_LEN;
  char *hosts = bench_alloc(len * HOSTS + 1);
  uint64_t *offsets = bench_alloc(sizeof *offsets * (HOSTS + 1));
  for (size_t i = 0; i < HOSTS; i++) {
    snprintf(hosts + len * i, len + 1, "%shost%04u.example.com", before,
             (unsigned)i);
  }
  for (size_t i = 0; i <= HOSTS; i++) {
    offsets[i] = len * i;
  }
  return (pv_column){(const uint8_t *)hosts, len * HOSTS,
                     {offsets, sizeof *offsets, HOSTS}};
}

// Opens a policy with these patterns and one PinSet, which has one pin.
static pv_policy hosts_policy(const char *before) {
  static uint32_t pinset_of[HOSTS];
  static const uint8_t pin[PV_DIGEST_LEN] = {1}, pinset[80] = {[20] = 1};
  const pv_policy_source source = {.patterns = hosts_of(before),
                                   .pinset_of = pinset_of,
                                   .pins = pin,
                                   .num_rows = 1,
                                   .pinsets = pinset,
                                   .num_pinsets = 1};
  const size_t len = pv_policy_compiled_len(&source);
  uint8_t *compiled = bench_alloc(len);
  size_t row = 0;
  pv_policy policy = {0};
  if (pv_policy_compile(compiled, len, &row, &source) != PV_OK ||
      pv_policy_open(&policy, compiled, len) != PV_OK) {
    stop("the policy was refused");
  }
  return policy;
}

// Decisions about peers that show no certificate: what a host takes.
static void decide(const char *before_pattern, const char *before_host,
                   size_t times) {
  static const uint64_t nothing[HOSTS + 1];
  static pv_report reports[HOSTS];
  const pv_policy policy = hosts_policy(before_pattern);
  const pv_column hosts = hosts_of(before_host);
  const pv_column certs = {NULL, 0, {nothing, sizeof nothing[0], 0}};
  const pv_offsets chains = {nothing, sizeof nothing[0], HOSTS};
  const pv_answers out = {.reports = reports};
  for (size_t i = 0; i < times; i++) {
    if (pv_evaluate_many(&out, &policy, &hosts, &certs, &chains, 0) != PV_OK ||
        reports[HOSTS - 1].reason != PV_NO_CERTIFICATE) {
      stop("no rule was found");
    }
  }
}

// ---- names ------------------------------------------------------------------

static const char *const sets[] = {"P-256", "RSA-2048",  "RSA-4096", "Ed25519",
                                   "P-384", "ML-DSA-44", "web",      "real"};

// What one time counts: so many certificates, blocks or pins.
typedef struct thing {
  const char *name;
  double units;
} thing;

static const thing of_sha256[] = {
    {"one message, a block", 1},
    {"many messages, a block", (double)LANES * MESSAGE_BLOCKS}};
static const thing of_scan[] = {{"two pins", 1}, {"a pin of many", NUM_PINS}};

static void list(void) {
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    printf("walk/%s\t1\n", sets[i]);
  }
  printf("peer/a rule of its own\t%d\n", HOSTS);
  printf("peer/a wildcard\t%d\n", HOSTS);
  for (size_t k = 0; pv_sha256_kernel_name(k) != NULL; k++) {
    for (size_t i = 0; i < 2; i++) {
      printf("sha256/%s/%s\t%g\n", pv_sha256_kernel_name(k), of_sha256[i].name,
             of_sha256[i].units);
    }
  }
  for (size_t k = 0; pv_scan_kernel_name(k) != NULL; k++) {
    for (size_t i = 0; i < 2; i++) {
      printf("scan/%s/%s\t%g\n", pv_scan_kernel_name(k), of_scan[i].name,
             of_scan[i].units);
    }
  }
}

// Whether `name` is "kind/kernel/thing"; if so, the thing.
static const char *thing_of(const char *name, const char *kind,
                            const char *kernel) {
  const size_t kind_len = strlen(kind);
  const size_t kernel_len = strlen(kernel);
  if (strncmp(name, kind, kind_len) != 0 ||
      strncmp(name + kind_len, kernel, kernel_len) != 0 ||
      name[kind_len + kernel_len] != '/') {
    return NULL;
  }
  return name + kind_len + kernel_len + 1;
}

static bool count_sha256(const char *name, size_t times) {
  for (size_t k = 0; pv_sha256_kernel_name(k) != NULL; k++) {
    const char *what = thing_of(name, "sha256/", pv_sha256_kernel_name(k));
    if (what == NULL || pv_sha256_use_kernel(k) != PV_OK) {
      continue;
    }
    if (strcmp(what, of_sha256[0].name) == 0) {
      one_message(times);
    } else {
      many_messages(times);
    }
    return true;
  }
  return false;
}

static bool count_scan(const char *name, size_t times) {
  for (size_t k = 0; pv_scan_kernel_name(k) != NULL; k++) {
    const char *what = thing_of(name, "scan/", pv_scan_kernel_name(k));
    if (what == NULL || pv_scan_use_kernel(k) != PV_OK) {
      continue;
    }
    scan(strcmp(what, of_scan[0].name) == 0 ? 2 : NUM_PINS, times);
    return true;
  }
  return false;
}

int main(int argc, char **argv) {
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 167 >> 3);
  }
  if (argc == 2 && strcmp(argv[1], "list") == 0) {
    list();
    return 0;
  }
  if (argc != 4) {
    stop("usage: count list, or count NAME TIMES FOLDER");
  }
  const size_t times = strtoul(argv[2], NULL, 10);
  if (strncmp(argv[1], "walk/", 5) == 0) {
    walk(argv[1] + 5, times, argv[3]);
  } else if (strcmp(argv[1], "peer/a rule of its own") == 0) {
    decide("", "", times);
  } else if (strcmp(argv[1], "peer/a wildcard") == 0) {
    decide("*.", "www.", times);
  } else if (!count_sha256(argv[1], times) && !count_scan(argv[1], times)) {
    stop("there is nothing of that name; see: count list");
  }
  return 0;
}
