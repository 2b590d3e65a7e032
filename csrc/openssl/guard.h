// guard.h: a callback that the library calls in each handshake; it ends
// handshakes that the adapter does not see. handshake.c says why.
#ifndef PINVERIFY_OPENSSL_GUARD_H
#define PINVERIFY_OPENSSL_GUARD_H

#include "connection.h"

// pv__guard_init prepares the callback, once per process.
bool pv__guard_init(void);

// pv__guard sets the callback on a context, and keeps the application's own.
void pv__guard(SSL_CTX *ctx, pv__pinned *pinned);

#endif  // PINVERIFY_OPENSSL_GUARD_H
