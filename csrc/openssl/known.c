// known.c: certificates of OpenSSL as a decision needs them: hashed.
#include "known.h"

#include <string.h>

void pv__buffer_free(pv__buffer *buffer) {
  OPENSSL_free(buffer->data);
  *buffer = (pv__buffer){NULL, 0};
}

void pv__known_free(pv__known *known) {
  for (size_t i = 0; i < PV__SETS; i++) {
    for (size_t way = 0; way < PV__WAYS; way++) {
      pv__buffer_free(&known->sets[i].places[way].der);
    }
  }
}

static bool is_found(hashed_cert *out, struct pv__set *set,
                     const pv__buffer *der) {
  bool is_same = false;
  for (unsigned way = 0; way < PV__WAYS && !is_same; way++) {
    struct pv__place *place = &set->places[way];
    if (!atomic_exchange(&place->is_taken, true)) {
      is_same = place->der.len == der->len &&
                memcmp(place->der.data, der->data, der->len) == 0;
      *out = place->cert;
      atomic_store(&place->is_taken, false);
      if (is_same) {
        atomic_store(&set->newest, way);
      }
    }
  }
  return is_same;
}

// Puts a certificate in the place of its set that was used longer ago. `*der`
// receives what was there.
static void keep(struct pv__set *set, pv__buffer *der,
                 const hashed_cert *cert) {
  const unsigned way = 1 - atomic_load(&set->newest);
  struct pv__place *place = &set->places[way];
  if (der->len <= PV__PLACE_MAX && !atomic_exchange(&place->is_taken, true)) {
    const pv__buffer old = place->der;
    place->der = *der;
    place->cert = *cert;
    atomic_store(&place->is_taken, false);
    atomic_store(&set->newest, way);
    *der = old;
  }
}

bool pv__cert_hashed(hashed_cert *out, pv__known *known, X509 *cert) {
  pv__buffer der = {NULL, 0};
  const int len = i2d_X509(cert, &der.data);
  if (len <= 0) {
    return false;
  }
  der.len = (size_t)len;
  // A signature ends in any byte. Somebody who chooses it gets one set.
  struct pv__set *set = &known->sets[der.data[der.len - 1] % PV__SETS];
  if (!is_found(out, set, &der)) {
    out->status =
        (uint8_t)pv_spki_sha256(out->digests.of[PV_SPKI], der.data, der.len);
    pv_sha256(out->digests.of[PV_CERTIFICATE], der.data, der.len);
    keep(set, &der, out);
  }
  pv__buffer_free(&der);
  return true;
}
