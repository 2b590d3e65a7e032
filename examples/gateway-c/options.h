// options.h: the command line.
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include <stdint.h>

enum { NAME_MAX_LEN = 256 };

// A host_port is a host and a port, as they were written.
typedef struct host_port {
  char host[NAME_MAX_LEN];
  char port[8];
} host_port;

typedef struct options {
  host_port listen;
  host_port upstream;
  const char *certificate;  // PEM, with the key and the issuers
  const char *client_authorities;
  const char *client_policy;  // compiled, as those of the upstream
  const char *upstream_authorities;
  const char *upstream_policy;
  uint32_t connections;  // at most open at a time
  int64_t handshake_ms;  // for each handshake, and for connecting
  int64_t idle_ms;       // without a byte in either direction
  int64_t stop_ms;       // to finish after SIGTERM
} options;

// options_read reads the command line. It ends the program with a message if
// that is wrong, or after --help.
void options_read(options *out, int argc, char **argv);

#endif
