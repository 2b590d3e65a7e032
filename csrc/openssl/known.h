// known.h: certificates of OpenSSL as a decision needs them: hashed.
#ifndef PINVERIFY_OPENSSL_KNOWN_H
#define PINVERIFY_OPENSSL_KNOWN_H

#include <stdatomic.h>

#include "../evaluate.h"
#include "library.h"

// Bytes on the heap, freed with pv__buffer_free.
typedef struct pv__buffer {
  uint8_t *data;
  size_t len;
} pv__buffer;

enum { PV__SETS = 32, PV__WAYS = 2, PV__PLACE_MAX = 4096 };

// The certificates that a context has hashed, the last two in each set. All
// their bytes are compared, and nothing depends on a policy: to find one here
// is the same as to hash it, and faster. All zero has none. Nobody waits for a
// place: a thread that finds it taken hashes.
typedef struct pv__known {
  struct pv__set {
    struct pv__place {
      _Atomic bool is_taken;
      pv__buffer der;
      hashed_cert cert;
    } places[PV__WAYS];
    _Atomic unsigned newest;  // the place that was used last
  } sets[PV__SETS];
} pv__known;

void pv__buffer_free(pv__buffer *buffer);
void pv__known_free(pv__known *known);

// pv__cert_hashed returns false if a certificate cannot be encoded. Any number
// of threads may call it.
bool pv__cert_hashed(hashed_cert *out, pv__known *known, X509 *cert);

#endif  // PINVERIFY_OPENSSL_KNOWN_H
