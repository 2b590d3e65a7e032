// step.c: recognises the steps of a handshake at which something is decided.
//
// A step is known by its short name (SSL_state_string). The numbers of
// OSSL_HANDSHAKE_STATE are no part of the binary interface: OpenSSL 3.2 put new
// ones in the middle, so a program that was compiled with one version and runs
// with another would take one step for another.
#include "step.h"

#include <stddef.h>
#include <string.h>

typedef struct named_step {
  const char *name;
  pv__step step;
} named_step;

#ifdef OPENSSL_IS_BORINGSSL

// BoringSSL names the step that comes next. Before the ClientHello is answered,
// there are several steps in which an application can select a context.
#define STATE_NAME SSL_state_string_long
static const named_step STEPS[] = {
    {"TLS server read_client_hello_after_ech", PV__READING_CLIENT_HELLO},
    {"TLS server select_certificate", PV__READING_CLIENT_HELLO},
    {"TLS server select_parameters", PV__READING_CLIENT_HELLO},
    {"TLS 1.3 server select_parameters", PV__READING_CLIENT_HELLO},
    {"TLS server send_server_hello", PV__READ_CLIENT_HELLO},
    {"TLS 1.3 server send_server_hello", PV__READ_CLIENT_HELLO},
    {"TLS client send_client_certificate", PV__READ_SERVER_DONE},
    {"TLS client send_client_finished", PV__READ_FINISHED},
    {"TLS 1.3 client send_end_of_early_data", PV__READ_FINISHED},
    {"TLS server send_server_finished", PV__READ_FINISHED},
    {"TLS 1.3 server send_new_session_ticket", PV__READ_FINISHED},
};

#else

#define STATE_NAME SSL_state_string
static const named_step STEPS[] = {
    {"TRCH", PV__READ_CLIENT_HELLO}, {"TRSD", PV__READ_SERVER_DONE},
    {"TRFIN", PV__READ_FINISHED},    {"TWCR", PV__WROTE_CERT_REQUEST},
    {"TRCC", PV__READ_CLIENT_CERT},  {"TED", PV__EARLY_DATA},
};

#endif

pv__step pv__step_of(const SSL *ssl) {
  const char *name = STATE_NAME(ssl);
  for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
    if (strcmp(name, STEPS[i].name) == 0) {
      return STEPS[i].step;
    }
  }
  return PV__OTHER_STEP;
}
