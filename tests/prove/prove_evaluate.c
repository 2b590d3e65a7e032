// Harnesses for evaluate.c.
#include "harness.h"
#include "libc.h"
#include "evaluate.c"
#include "evaluate.contracts.h"

void prove_lens_add_up(void) {
  const uint8_t *lens;
  size_t num;
  size_t total;
  const bool add_up = lens_add_up(lens, num, total);
  REACHED(add_up && num == 9 && total == 9);
  REACHED(!add_up);
}

void prove_run_contains(void) {
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t list;
  uint32_t kind;
  const cert_digests *digests;
  const uint32_t found = run_contains(policy, pinset, list, kind, digests);
  REACHED(found == 1 && pinset == PV_UNPINNED);
  REACHED(found == 0 && pinset == 9);
}

void prove_note_first(void) {
  finding *out;
  uint32_t depth;
  uint8_t kind;
  const cert_digests *digests;
  note_first(out, depth, kind, digests);
  REACHED(kind == PV_CERTIFICATE);
}

void prove_scan_pinset(void) {
  evidence *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t depth;
  const cert_digests *digests;
  scan_pinset(out, policy, pinset, depth, digests);
  REACHED(depth == 0 && pinset == 9);
  REACHED(depth == 9 && pinset == 9);
}

void prove_scan_blocked(void) {
  evidence *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t depth;
  const cert_digests *digests;
  scan_blocked(out, policy, pinset, depth, digests);
  REACHED(pinset == PV_UNPINNED);
  REACHED(pinset == 9);
}

void prove_wants_certificate_digest(void) {
  const pv_policy *policy;
  uint32_t pinset;
  const bool wants = wants_certificate_digest(policy, pinset);
  REACHED(wants && pinset == PV_UNPINNED);
  REACHED(!wants && pinset == 9);
}

void prove_look_at(void) {
  evidence *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t depth;
  const cert_digests *digests;
  look_at(out, policy, pinset, depth, digests);
  REACHED(pinset == PV_UNPINNED);
  REACHED(pinset == 9);
}

void prove_blocks_nothing(void) {
  const pv_policy *policy;
  uint32_t pinset;
  const bool clear = blocks_nothing(policy, pinset);
  REACHED(clear && pinset == PV_UNPINNED);
  REACHED(!clear && pinset == 9);
}

void prove_judge_chain(void) {
  const evidence *seen;
  size_t num_certs;
  bool is_clear;
  bool is_hit;
  const pv_reason reason = judge_chain(seen, num_certs, is_clear, is_hit);
  REACHED(reason == PV_NO_CERTIFICATE);
  REACHED(reason == PV_BLOCKED);
  REACHED(reason == PV_MALFORMED);
  REACHED(reason == PV_MATCH);
  REACHED(reason == PV_MISMATCH);
}

void prove_report_finding(void) {
  pv_report *out;
  const finding *found;
  report_finding(out, found);
  REACHED(some == 9);
}

void prove_report_reason(void) {
  pv_report *out;
  pv_reason reason;
  const evidence *seen;
  report_reason(out, reason, seen);
  REACHED(reason == PV_MATCH);
  REACHED(reason == PV_BLOCKED);
  REACHED(reason == PV_MALFORMED);
  REACHED(reason == PV_MISMATCH);
}

void prove_lists_are_hit(void) {
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t lists_hit;
  const bool hit = lists_are_hit(policy, pinset, lists_hit);
  REACHED(hit && pinset == 9);
  REACHED(!hit && pinset == 9);
}

void prove_find_pinset(void) {
  pv_report *out;
  const pv_policy *policy;
  const char *host;
  size_t host_len;
  const uint32_t pinset = find_pinset(out, policy, host, host_len);
  REACHED(pinset == PV_UNPINNED && host_len == 9);
  REACHED(pinset == 9 && host_len == 9);
}
