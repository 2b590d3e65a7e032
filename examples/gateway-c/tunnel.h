// tunnel.h: a client, its upstream, and the bytes between them.
//
// A tunnel goes through its phases in order, may leave some out, and never goes
// back:
//
//   GREETING    the handshake with the client, whose pin is checked in it
//   CONNECTING  to the upstream, at one address after the other
//   MEETING     the handshake with the upstream, whose pin is checked in it
//   OPEN        bytes go both ways, until both sides have ended their streams
//   LINGERING   what still comes is thrown away, so that what was sent (an
//               alert, the last bytes) is not lost in a reset
//   CLOSED      the sockets are closed
//
// No byte of the client is read before OPEN, so an upstream with a wrong key
// gets none.
//
// Sockets are watched for edges (EPOLLET): tunnel_advance does all that can be
// done without waiting, and is called again when a socket has changed. Each
// direction has one buffer. It is filled when it is empty, so a side that does
// not read stops the other one, and nothing is allocated for bytes that move.
#ifndef GATEWAY_TUNNEL_H
#define GATEWAY_TUNNEL_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "tls.h"

enum { BUFFER_LEN = 16384, ADDRESS_LEN = 64 };  // one record of TLS

typedef enum phase {
  CLOSED,
  GREETING,
  CONNECTING,
  MEETING,
  OPEN,
  LINGERING,
  NUM_PHASES
} phase;

typedef struct tunnel tunnel;

// One side of a tunnel. Events of epoll point to it.
typedef struct end {
  tunnel *of;
  int fd;  // -1: none
  SSL *ssl;
  tls_peer peer;
} end;

// One direction of a tunnel.
typedef struct flow {
  size_t from, to;     // the bytes that the sink has not taken yet
  bool has_ended;      // the source has sent close_notify
  bool has_passed_on;  // and so have we, to the sink
  uint8_t bytes[BUFFER_LEN];
} flow;

// What all tunnels use.
typedef struct shared {
  int epoll;
  tls tls;
  record record;
  const struct addrinfo *upstream;  // the addresses to try
  char upstream_text[NAME_MAX_LEN + 16];
} shared;

struct tunnel {
  phase phase;
  bool has_moved;                    // bytes, in the last tunnel_advance
  const struct addrinfo *candidate;  // the address that is tried
  char address[ADDRESS_LEN];         // of the client
  end ends[NUM_SIDES];
  flow flows[NUM_SIDES];  // by the side that the bytes come from

  // For the one who keeps tunnels in lists.
  tunnel *next;
  bool is_ready;
  tunnel *earlier, *later;
  int64_t since;
};

// tunnel_begin begins a tunnel for a socket that was accepted, and owns it.
void tunnel_begin(tunnel *out, shared *all, int fd, const char *address);

// tunnel_advance does what can be done. It returns true if there is more to do
// at once, and others should have their turn first.
bool tunnel_advance(tunnel *one, shared *all);

// tunnel_expire ends a tunnel that has waited for too long in its phase.
void tunnel_expire(tunnel *one, shared *all);

// tunnel_cut closes a tunnel as it is.
void tunnel_cut(tunnel *one);

#endif
