// spki.h: the walk of spki.c in two halves, so that hashing can start in
// between.
#ifndef PINVERIFY_SPKI_H
#define PINVERIFY_SPKI_H

#include "der.h"

// What a TBSCertificate holds, up to its key. The two cursors are contents, not
// yet looked into.
typedef struct tbs_fields {
  uint8_t version;
  der_cursor signature;     // of the inner AlgorithmIdentifier
  der_cursor spki_content;  // of the SubjectPublicKeyInfo
  pv_span spki;             // the same with its header: what is hashed
} tbs_fields;

typedef struct spki_walk {
  der_cursor certificate;  // behind tbsCertificate
  der_cursor tbs;          // behind the key
  tbs_fields fields;
} spki_walk;

// pv__spki_find walks to the key. With PV_OK, fields.spki lies in the
// certificate, where its fields say, and nothing is known of what follows: it
// is the key of a certificate when pv__spki_check, which walks on to the last
// byte, gives PV_OK, too.
pv_status pv__spki_find(spki_walk *out, const uint8_t *cert, size_t cert_len);
pv_status pv__spki_check(const spki_walk *walk);

#endif
