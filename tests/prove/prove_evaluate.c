// Harnesses for evaluate.c.
#include "harness.h"
#include "libc.h"
#include "evaluate.c"
#include "evaluate.contracts.h"

void prove_add_list(void) {
  pin_lists *out;
  const pv_policy *policy;
  uint32_t pinset;
  uint32_t list;
  uint32_t kind;
  add_list(out, policy, pinset, list, kind);
  REACHED(pinset == PV_UNPINNED && kind == PV_CERTIFICATE);
  REACHED(pinset == 9 && list == PV_LIST_CA);
}

void prove_collect_lists(void) {
  pin_lists *out;
  const pv_policy *policy;
  uint32_t pinset;
  collect_lists(out, policy, pinset);
  REACHED(pinset == PV_UNPINNED);
  REACHED(pinset == 9);
}

void prove_scan_list(void) {
  evidence *out;
  const pv_policy *policy;
  const pin_list *pins;
  uint32_t depth;
  const cert_digests *digests;
  scan_list(out, policy, pins, depth, digests);
  REACHED(depth == 9);
}

void prove_look_at(void) {
  evidence *out;
  const pv_policy *policy;
  const pin_lists *lists;
  uint32_t depth;
  const cert_digests *digests;
  look_at(out, policy, lists, depth, digests);
  REACHED(depth == 0);
  REACHED(depth == 9);
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

void prove_find_pinset(void) {
  pv_report *out;
  const pv_policy *policy;
  const given_host *host;
  const uint32_t pinset = find_pinset(out, policy, host);
  REACHED(pinset == PV_UNPINNED);
  REACHED(pinset == 9);
}
