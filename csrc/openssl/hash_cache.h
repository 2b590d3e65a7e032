// hash_cache.h: a context's cache of the certificates that it has hashed.
#ifndef PINVERIFY_OPENSSL_HASH_CACHE_H
#define PINVERIFY_OPENSSL_HASH_CACHE_H

#include <stdatomic.h>

#include "../evaluate.h"
#include "library.h"

// Bytes on the heap, freed with pv__buffer_free.
typedef struct pv__buffer {
  uint8_t *data;
  size_t len;
} pv__buffer;

enum { PV__SETS = 32, PV__WAYS = 2, PV__PLACE_MAX = 4096 };

// The certificates that a context has hashed, the last two of each set. Finding
// one gives what hashing it gives, and is faster: all bytes are compared. All
// zero is empty. No thread waits for a place: one that finds it taken hashes.
typedef struct pv__hash_cache {
  struct pv__place {
    _Atomic bool is_taken;
    pv__buffer der;
    hashed_cert cert;
  } places[PV__SETS][PV__WAYS];
  _Atomic uint8_t newest[PV__SETS];  // the place of a set that was used last
} pv__hash_cache;

void pv__buffer_free(pv__buffer *buffer);
void pv__hash_cache_free(pv__hash_cache *cache);

// pv__cert_hashed returns false if a certificate cannot be encoded. Any number
// of threads may call it.
bool pv__cert_hashed(hashed_cert *out, pv__hash_cache *cache, X509 *cert);

#endif  // PINVERIFY_OPENSSL_HASH_CACHE_H
