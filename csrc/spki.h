// spki.h: the walk of spki.c in two halves, so that hashing starts between
// them.
#ifndef PINVERIFY_SPKI_H
#define PINVERIFY_SPKI_H

#include "der.h"

// The fields of a TBSCertificate up to its key. The contents of the two cursors
// have not been checked yet.
typedef struct tbs_fields {
  der_cursor signature;     // of the inner AlgorithmIdentifier
  der_cursor spki_content;  // of the SubjectPublicKeyInfo
  pv_span spki;             // SubjectPublicKeyInfo with header: bytes to hash
} tbs_fields;

typedef struct spki_walk {
  der_cursor certificate;  // after tbsCertificate
  der_cursor tbs;          // after the key
  tbs_fields fields;
} spki_walk;

// pv__spki_find walks up to the key. On PV_OK, fields.spki is inside the
// certificate, but nothing after it has been checked. Use it only if
// pv__spki_check, which walks on to the last byte, returns PV_OK as well.
pv_status pv__spki_find(spki_walk *out, const uint8_t *cert, size_t cert_len);
pv_status pv__spki_check(const spki_walk *walk);

// pv__spki_chunk does what pv_spki_sha256_many does, for up to SHA256_CHUNK
// certificates of a column that fits, from `first` on. It returns their number.
size_t pv__spki_chunk(uint8_t *out_digests, uint8_t *out_statuses,
                      const pv_column *certs, size_t first);

#endif
