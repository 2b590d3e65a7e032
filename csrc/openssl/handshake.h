// handshake.h: the steps of a handshake, and what is decided at which.
#ifndef PINVERIFY_OPENSSL_HANDSHAKE_H
#define PINVERIFY_OPENSSL_HANDSHAKE_H

#include "connection.h"

// The info callback of a pinned context: OpenSSL tells it each step.
void pv__on_info(const SSL *ssl, int where, int ret);

// The security callback of a pinned context: in front of OpenSSL's own, or of
// one that the application had set.
int pv__on_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits,
                    int nid, void *other, void *ex);
int pv__on_security_composed(const SSL *ssl, const SSL_CTX *ctx, int op,
                             int bits, int nid, void *other, void *ex);

#endif  // PINVERIFY_OPENSSL_HANDSHAKE_H
