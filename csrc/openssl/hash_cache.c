// hash_cache.c: a context's cache of the certificates that it has hashed.
#include "hash_cache.h"

#include <string.h>

void pv__buffer_free(pv__buffer *buffer) {
  OPENSSL_free(buffer->data);
  *buffer = (pv__buffer){NULL, 0};
}

void pv__hash_cache_free(pv__hash_cache *cache) {
  for (size_t i = 0; i < PV__SETS * PV__WAYS; i++) {
    pv__buffer_free(&cache->places[i / PV__WAYS][i % PV__WAYS].der);
  }
}

static bool is_found(hashed_cert *out, struct pv__place *place,
                     const pv__buffer *der) {
  bool is_same = false;
  if (!atomic_exchange(&place->is_taken, true)) {
    is_same = place->der.len == der->len &&
              memcmp(place->der.data, der->data, der->len) == 0;
    *out = place->cert;
    atomic_store(&place->is_taken, false);
  }
  return is_same;
}

// Puts a certificate in a place. `*der` receives what was there.
static void keep(struct pv__place *place, pv__buffer *der,
                 const hashed_cert *cert) {
  if (der->len <= PV__PLACE_MAX && !atomic_exchange(&place->is_taken, true)) {
    const pv__buffer old = place->der;
    place->der = *der;
    place->cert = *cert;
    atomic_store(&place->is_taken, false);
    *der = old;
  }
}

bool pv__cert_hashed(hashed_cert *out, pv__hash_cache *cache, X509 *cert) {
  pv__buffer der = {NULL, 0};
  const int len = i2d_X509(cert, &der.data);
  if (len <= 0) {
    return false;
  }
  der.len = (size_t)len;
  // Signatures end in any byte; an attacker who chooses it fills one set only.
  const size_t set = der.data[der.len - 1] % PV__SETS;
  struct pv__place *places = cache->places[set];
  uint8_t way = !is_found(out, &places[0], &der);
  if (way == 1 && !is_found(out, &places[1], &der)) {
    out->status =
        (uint8_t)pv_spki_sha256(out->digests.of[PV_SPKI], der.data, der.len);
    pv_sha256(out->digests.of[PV_CERTIFICATE], der.data, der.len);
    way = atomic_load(&cache->newest[set]) == 0;  // the one used longer ago
    keep(&places[way], &der, out);
  }
  atomic_store(&cache->newest[set], way);
  pv__buffer_free(&der);
  return true;
}
