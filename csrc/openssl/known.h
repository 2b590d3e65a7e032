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

// The certificates that a context has hashed, the last two of each set. To find
// one is the same as to hash it, and faster: all bytes are compared. All zero
// has none. Nobody waits for a place: a thread that finds it taken hashes.
typedef struct pv__known {
  struct pv__place {
    _Atomic bool is_taken;
    pv__buffer der;
    hashed_cert cert;
  } places[PV__SETS][PV__WAYS];
  _Atomic uint8_t newest[PV__SETS];  // the place of a set that was used last
} pv__known;

void pv__buffer_free(pv__buffer *buffer);
void pv__known_free(pv__known *known);

// pv__cert_hashed returns false if a certificate cannot be encoded. Any number
// of threads may call it.
bool pv__cert_hashed(hashed_cert *out, pv__known *known, X509 *cert);

#endif  // PINVERIFY_OPENSSL_KNOWN_H
