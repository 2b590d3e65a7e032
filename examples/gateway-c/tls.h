// tls.h: both contexts of OpenSSL, their policies, and connections of them.
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "options.h"
#include "pinverify_map.h"
#include "pinverify_openssl.h"

// A tls_peer is what is known of the peer of one connection.
typedef struct tls_peer {
  X509 *leaf;     // as it was shown, accepted or not; NULL: none
  bool was_told;  // the adapter has told of a decision
} tls_peer;

// The contexts, and the policies in force. All zero before tls_begin.
typedef struct tls {
  SSL_CTX *server;
  SSL_CTX *client;
  const char *upstream;        // the name that is verified and pinned
  pv_policy_file policies[2];  // for clients, for the upstream
  SSL_SESSION *session;        // the latest one with the upstream, or NULL
} tls;

// tls_begin makes both contexts and pins them. It returns false, and has
// written a message, if that fails: then free it, and do not go on.
bool tls_begin(tls *out, const options *chosen);

// tls_load reads both policies, and puts both in force; tls_begin does it, and
// a reload. It returns false, with the reason in `why`, and has changed
// nothing, if one is wrong.
bool tls_load(tls *out, const options *chosen, char why[LOG_TEXT_MAX]);

void tls_free(tls *contexts);

// tls_accept and tls_connect make a connection on a socket, or return NULL.
// `peer` must stay as long as the connection.
SSL *tls_accept(tls *contexts, int fd, tls_peer *peer);
SSL *tls_connect(tls *contexts, int fd, tls_peer *peer);

#endif
