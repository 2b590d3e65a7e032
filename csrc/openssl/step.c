// step.c: the steps of a handshake at which something is decided.
//
// A step is known by its short name (SSL_state_string). The numbers of
// OSSL_HANDSHAKE_STATE are no part of the binary interface: OpenSSL 3.2 put new
// ones in the middle, so a program that was compiled with one version and runs
// with another would take one step for another.
#include "step.h"

#include <stddef.h>
#include <string.h>

static const struct {
  const char name[6];
  pv__step step;
} STEPS[] = {
    {"TRCH", PV__READ_CLIENT_HELLO}, {"TRSD", PV__READ_SERVER_DONE},
    {"TRFIN", PV__READ_FINISHED},    {"TWCR", PV__WROTE_CERT_REQUEST},
    {"TRCC", PV__READ_CLIENT_CERT},
};

pv__step pv__step_of(const SSL *ssl) {
  const char *name = SSL_state_string(ssl);
  for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
    if (strcmp(name, STEPS[i].name) == 0) {
      return STEPS[i].step;
    }
  }
  return PV__OTHER_STEP;
}
