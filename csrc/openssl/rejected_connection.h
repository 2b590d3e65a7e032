// rejected_connection.h: the end of a connection whose peer is rejected.
#ifndef PINVERIFY_OPENSSL_REJECTED_CONNECTION_H
#define PINVERIFY_OPENSSL_REJECTED_CONNECTION_H

#include "connection.h"

// Why a certificate that comes after the handshake is refused.
extern const char pv__second_handshake[];

// pv__raise_error puts a rejection into OpenSSL's error queue.
void pv__raise_error(const pv_openssl_decision *decision);

// pv__raise_unseen says there that the adapter does not see a handshake.
void pv__raise_unseen(void);

// pv__break_connection lets every read and write fail from now on, and the
// session of the connection not be resumed.
void pv__break_connection(SSL *ssl);

// pv__reject rejects by the decision that the connection has, and
// pv__reject_because for want of one. Both break the connection.
void pv__reject(pv__connection *connection, SSL *ssl);
void pv__reject_because(pv__connection *connection, SSL *ssl, const char *why);

// pv__tell counts the decision, once, and tells the application if it is no
// plain match. Call it when nothing can change any more.
void pv__tell(pv__connection *connection, SSL *ssl);

#endif  // PINVERIFY_OPENSSL_REJECTED_CONNECTION_H
