// rejected_connection.h: the end of a connection whose peer is rejected.
#ifndef PINVERIFY_OPENSSL_REJECTED_CONNECTION_H
#define PINVERIFY_OPENSSL_REJECTED_CONNECTION_H

#include "connection.h"

// The reason for refusing a certificate that comes after the handshake.
extern const char pv__second_handshake[];

// pv__raise_error puts a rejection into OpenSSL's error queue.
void pv__raise_error(const pv_openssl_decision *decision);

// pv__raise_unseen puts there an error: the adapter does not see a handshake.
void pv__raise_unseen(void);

// pv__break_connection makes every read and write fail from now on, and the
// session of the connection impossible to resume.
void pv__break_connection(SSL *ssl);

// pv__reject rejects a connection by its decision, and pv__reject_because
// without one. Both break the connection.
void pv__reject(pv__connection *connection, SSL *ssl);
void pv__reject_because(pv__connection *connection, SSL *ssl, const char *why);

// pv__tell counts the decision, once, and reports it to the application unless
// it accepts with PV_MATCH or PV_NOT_PINNED. Call it when the decision is
// final.
void pv__tell(pv__connection *connection, SSL *ssl);

#endif  // PINVERIFY_OPENSSL_REJECTED_CONNECTION_H
