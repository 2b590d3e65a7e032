// handshake.h: the steps of a handshake, and what is decided at each.
#ifndef PINVERIFY_OPENSSL_HANDSHAKE_H
#define PINVERIFY_OPENSSL_HANDSHAKE_H

#include "connection.h"

// The info callback of a pinned context: OpenSSL tells it each step.
void pv__on_info(const SSL *ssl, int where, int ret);

// pv__is_followed tells if the adapter sees the steps of a handshake.
bool pv__is_followed(const SSL *ssl);

#endif  // PINVERIFY_OPENSSL_HANDSHAKE_H
