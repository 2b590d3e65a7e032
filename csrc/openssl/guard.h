// guard.h: a callback that the library calls in each handshake, and that ends
// those which the adapter does not see: see handshake.c.
#ifndef PINVERIFY_OPENSSL_GUARD_H
#define PINVERIFY_OPENSSL_GUARD_H

#include "connection.h"

// pv__guard_init prepares it, once for a process.
bool pv__guard_init(void);

// pv__guard sets it on a context, and keeps the application's own.
void pv__guard(SSL_CTX *ctx, pv__pinned *pinned);

#endif  // PINVERIFY_OPENSSL_GUARD_H
