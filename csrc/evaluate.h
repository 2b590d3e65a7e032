// evaluate.h: the decision about one peer, for files that decide about one or
// many.
#ifndef PINVERIFY_EVALUATE_H
#define PINVERIFY_EVALUATE_H

#include "columns.h"
#include "policy_layout.h"
#include "sha256.h"

// Keys of a column that were hashed side by side: numbers `first` to `end` - 1.
typedef struct hashed {
  size_t first, end;
  uint8_t digests[SHA256_CHUNK][PV_DIGEST_LEN];
  uint8_t statuses[SHA256_CHUNK];
} hashed;

// Both digests of one certificate; index is a pv_kind.
typedef struct cert_digests {
  uint8_t of[2][PV_DIGEST_LEN];
} cert_digests;

// A certificate that was hashed before. This struct has only bytes, so it can
// be stored.
typedef struct hashed_cert {
  cert_digests digests;
  uint8_t status;  // the pv_status of its key
} hashed_cert;

typedef struct chain_view {
  const pv_span *spans;     // one per certificate; if NULL, they are in
  const pv_column *column;  // this column, from number `first` on
  size_t first;
  size_t num_certs;
  hashed *keys;               // of the column, or NULL
  const hashed_cert *hashed;  // in place of certificates, or NULL
} chain_view;

// A host as given, and the rule with exactly this name if that was found
// already, else PV_NO_RULE.
typedef struct given_host {
  const char *name;
  size_t len;
  uint32_t rule;
} given_host;

// pv__evaluate_peer decides about a peer. Returns the PinSet whose pins
// decided, or PV_UNPINNED.
uint32_t pv__evaluate_peer(pv_report *out, uint8_t *out_spkis,
                           const pv_policy *policy, const given_host *host,
                           const chain_view *chain, int64_t now);

#endif  // PINVERIFY_EVALUATE_H
