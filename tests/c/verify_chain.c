// verify_chain.c: a gateway in C with pinverify, as a small program.
//
//   verify_chain POLICY HOST NOW CERT.der...
//
// POLICY is a compiled policy (in Python: policy.compile()), HOST the name that
// was connected to, NOW the time in seconds since 1970-01-01T00:00:00Z. The
// certificates are the chain that the TLS library *verified*, leaf first; never
// the list that the peer sent. It prints one line. It exits with 0 if the
// connection may go on, with 1 if it must be closed, with 2 if the question
// could not be answered, which a gateway treats as 1.
//
// To use pinverify in a program of your own, copy the folder csrc into it and
// compile all of its .c files; nothing has to be configured or installed:
//
//   cc -std=c11 -O3 -Icsrc gateway.c csrc/*.c csrc/kernels/*.c -o gateway
//
// In a gateway, open the policy once, when it starts. Any number of threads may
// then verify with it. To change the policy, open the new one and swap the
// pointer to it; free the old bytes when no thread uses them any more.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pinverify.h"

enum { ACCEPTED = 0, REJECTED = 1, TROUBLE = 2, MAX_CERTS = 16 };

static int trouble(const char *what, const char *which) {
  fprintf(stderr, "verify_chain: %s: %s\n", which, what);
  return TROUBLE;
}

// Reads a whole file. The caller frees `out->data`, which is NULL on failure.
static bool read_file(pv_span *out, const char *path) {
  *out = (pv_span){NULL, 0};
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    return false;
  }
  uint8_t *bytes = NULL;
  long len = -1;
  if (fseek(file, 0, SEEK_END) == 0 && (len = ftell(file)) >= 0 &&
      fseek(file, 0, SEEK_SET) == 0) {
    bytes = malloc((size_t)len + 1);  // +1: an empty file is no failure
  }
  if (bytes != NULL && fread(bytes, 1, (size_t)len, file) != (size_t)len) {
    free(bytes);
    bytes = NULL;
  }
  fclose(file);
  if (bytes == NULL) {
    return false;
  }
  *out = (pv_span){bytes, (size_t)len};
  return true;
}

static void free_span(pv_span *span) {
  free((void *)span->data);
  *span = (pv_span){NULL, 0};
}

static const char *reason_text(uint8_t reason) {
  switch (reason) {
    case PV_MISMATCH:
      return "MISMATCH";
    case PV_MATCH:
      return "MATCH";
    case PV_NOT_PINNED:
      return "NOT_PINNED";
    case PV_EXPIRED:
      return "EXPIRED";
    case PV_NO_CERTIFICATE:
      return "NO_CERTIFICATE";
    case PV_MALFORMED:
      return "MALFORMED";
    case PV_BLOCKED:
      return "BLOCKED";
    case PV_BAD_HOST:
      return "BAD_HOST";
    default:
      return "UNKNOWN";
  }
}

// The rule, spelled as in the policy: its name with "*." or "**." before it.
static void print_rule(const pv_policy *policy, uint32_t index) {
  static const char *const prefixes[] = {"", "*.", "**."};
  pv_rule rule;
  if (pv_policy_rule(&rule, policy, index) != PV_OK) {
    printf(" rule none");
    return;
  }
  printf(" rule %s%.*s",
         rule.shape <= PV_ANY_LABELS ? prefixes[rule.shape] : "",
         (int)rule.name_len, rule.name);
}

static void print_report(const pv_policy *policy, const pv_report *report) {
  printf("%s: %s", report->accepted ? "accepted" : "rejected",
         reason_text(report->reason));
  print_rule(policy, report->rule);
  if (report->depth != PV_NO_DEPTH) {
    printf(" depth %lu", (unsigned long)report->depth);
  }
  if (report->detail != PV_OK) {
    printf(" (%s)", pv_status_text((pv_status)report->detail));
  }
  printf("\n");
}

// The part that a gateway has too: one call for each handshake.
static int verify(const pv_policy *policy, const char *host,
                  const pv_span *verified_chain, size_t num_certs,
                  int64_t now) {
  pv_report report;
  if (pv_evaluate(&report, NULL, policy, host, strlen(host), verified_chain,
                num_certs, now) != PV_OK) {
    return trouble("the question could not be asked", host);
  }
  print_report(policy, &report);
  return report.accepted ? ACCEPTED : REJECTED;
}

static int verify_files(const pv_policy *policy, const char *host, int64_t now,
                        char **paths, size_t num_paths) {
  pv_span chain[MAX_CERTS];
  size_t num_certs = 0;
  while (num_certs < num_paths &&
         read_file(&chain[num_certs], paths[num_certs])) {
    num_certs++;
  }
  const int result =
      num_certs == num_paths
          ? verify(policy, host, chain, num_certs, now)
          : trouble("the certificate cannot be read", paths[num_certs]);
  for (size_t i = 0; i < num_certs; i++) {
    free_span(&chain[i]);
  }
  return result;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc - 4 > MAX_CERTS) {
    fprintf(stderr,
            "usage: verify_chain POLICY HOST NOW CERT.der...\n"
            "       (the verified chain, leaf first, at most %d)\n",
            MAX_CERTS);
    return TROUBLE;
  }
  char *end = NULL;
  const int64_t now = (int64_t)strtoll(argv[3], &end, 10);
  if (end == argv[3] || *end != '\0') {
    return trouble("the time is not a number of seconds", argv[3]);
  }
  pv_span bytes;
  if (!read_file(&bytes, argv[1])) {
    return trouble("the policy cannot be read", argv[1]);
  }
  pv_policy policy;  // a view: `bytes` must live as long
  const pv_status status = pv_policy_open(&policy, bytes.data, bytes.len);
  const int result =
      status == PV_OK
          ? verify_files(&policy, argv[2], now, argv + 4, (size_t)(argc - 4))
          : trouble(pv_status_text(status), argv[1]);
  free_span(&bytes);
  return result;
}
