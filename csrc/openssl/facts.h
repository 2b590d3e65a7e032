// facts.h: facts about a connection that OpenSSL and BoringSSL tell in
// different ways.
#ifndef PINVERIFY_OPENSSL_FACTS_H
#define PINVERIFY_OPENSSL_FACTS_H

#include "connection.h"

// The text for clients that gave no name.
extern const char pv__no_name[];

// pv__verified_name finds the name that the library verifies, or "" if there is
// none. It returns false if there are several; `*out_why` says so.
bool pv__verified_name(char out[PV_HOST_MAX + 2], const char **out_why,
                       const SSL *ssl);

// pv__session_keep puts evidence into a session that nobody shares yet, unless
// the application has put its own data there.
void pv__session_keep(SSL_SESSION *session, const pv__buffer *bytes);

// pv__session_evidence finds the chain above the leaf of a session. `*out` is a
// view of the session, or of `*bytes`, which the caller frees.
bool pv__session_evidence(pv__memo *out, pv__buffer *bytes,
                          pv__connection *connection, SSL *ssl,
                          SSL_SESSION *session, const char *host);

// pv__is_selected_late tells if a server has selected the rule of a full
// handshake in a callback that the library does not call for resumed sessions.
bool pv__is_selected_late(const pv__connection *connection, const SSL *ssl);

// pv__give_no_session prevents resumption of the session of a server's
// handshake, whose ClientHello has just been read.
void pv__give_no_session(const pv__connection *connection, SSL *ssl);

#endif  // PINVERIFY_OPENSSL_FACTS_H
