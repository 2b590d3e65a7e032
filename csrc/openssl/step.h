// step.h: the steps of a handshake at which something is decided.
#ifndef PINVERIFY_OPENSSL_STEP_H
#define PINVERIFY_OPENSSL_STEP_H

#include "library.h"

typedef enum pv__step {
  PV__OTHER_STEP = 0,
  PV__READING_CLIENT_HELLO,  // a server, of BoringSSL
  PV__READ_CLIENT_HELLO,     // a server; the context is selected
  PV__READ_SERVER_DONE,      // a client, in TLS 1.2
  PV__READ_FINISHED,         // either side
  PV__WROTE_CERT_REQUEST,    // a server
  PV__READ_CLIENT_CERT,      // a server
  PV__EARLY_DATA             // either side
} pv__step;

// pv__step_of names the step that a connection has just done.
pv__step pv__step_of(const SSL *ssl);

#endif  // PINVERIFY_OPENSSL_STEP_H
