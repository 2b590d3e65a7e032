// verify_callback.h: the verify callback of a connection, which knows whether
// OpenSSL verified the chain.
#ifndef PINVERIFY_OPENSSL_VERIFY_CALLBACK_H
#define PINVERIFY_OPENSSL_VERIFY_CALLBACK_H

#include "connection.h"

// pv__watch_verification puts our verify callback in front of the one that the
// connection has, and turns verification on for clients. It returns false if
// ours is there already, and was put there for another connection: then the
// application's own is unknown.
bool pv__watch_verification(pv__connection *connection, SSL *ssl);

// pv__end_verification gives a client back its own verify mode.
void pv__end_verification(SSL *ssl);

// pv__keep_chain keeps a chain for the session, leaf first; NULL means that
// OpenSSL did not verify it. It returns false if memory is short or the chain
// too long.
bool pv__keep_chain(pv__connection *connection, SSL *ssl, X509 *leaf,
                    STACK_OF(X509) *chain);

#endif  // PINVERIFY_OPENSSL_VERIFY_CALLBACK_H
