// Harnesses for evaluate.c.
#include "harness.h"
#include "libc.h"
#include "evaluate.c"
#include "evaluate.contracts.h"

void prove_scan_list(void) {
  evidence *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t list;
  uint8_t kind;
  uint32_t depth;
  const cert_digests *digests;
  scan_list(out, policy, pinset, list, kind, depth, digests);
  REACHED(kind == PV_CERTIFICATE && pinset == PV_UNPINNED);
  REACHED(list == PV_LIST_CA && pinset == 9);
}

void prove_look_at(void) {
  evidence *out;
  const pv_policy *policy;
  uint32_t pinset;
  const pv_pinset *own;
  uint32_t depth;
  const cert_digests *digests;
  look_at(out, policy, pinset, own, depth, digests);
  REACHED(pinset == PV_UNPINNED);
  REACHED(depth == 0 && pinset == 9);
  REACHED(depth == 9 && pinset == 9);
}

void prove_wants_certificate_digest(void) {
  const pv_policy *policy;
  const pv_pinset *own;
  const bool wants = wants_certificate_digest(policy, own);
  REACHED(wants);
  REACHED(!wants);
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
  const pv_pinset *own;
  uint32_t lists_hit;
  const bool hit = lists_are_hit(own, lists_hit);
  REACHED(hit);
  REACHED(!hit);
}

void prove_find_pinset(void) {
  pv_report *out;
  const pv_policy *policy;
  const given_host *host;
  const uint32_t pinset = find_pinset(out, policy, host);
  REACHED(pinset == PV_UNPINNED);
  REACHED(pinset == 9);
}
