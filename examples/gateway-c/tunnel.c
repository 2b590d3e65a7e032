// tunnel.c: the phases of a tunnel, each of which is one function.
#include "tunnel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// Reads and writes of one direction before others have their turn.
enum { ROUNDS = 32 };

typedef enum step {
  STEP_WAIT,  // for a socket
  STEP_NEXT,  // the phase has changed
  STEP_MORE,  // there is more to do, and others should have their turn
  STEP_DONE,  // the part of a phase is over
  STEP_OVER   // and it has failed
} step;

// ---- the end ----------------------------------------------------------------

// Frees the TLS of a side. Without the flags OpenSSL would hold an end without
// close_notify against the session, which both sides may resume all the same.
static void free_tls(end *one) {
  if (one->ssl != NULL) {
    if (!SSL_in_init(one->ssl)) {
      SSL_set_shutdown(one->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(one->ssl);
    one->ssl = NULL;
  }
  X509_free(one->peer.leaf);
  one->peer.leaf = NULL;
}

static void close_socket(end *one) {
  if (one->fd != -1) {
    close(one->fd);
    one->fd = -1;
  }
}

void tunnel_cut(tunnel *one) {
  for (size_t i = 0; i < NUM_SIDES; i++) {
    free_tls(&one->ends[i]);
    close_socket(&one->ends[i]);
  }
  one->phase = CLOSED;
}

// A socket that is closed while bytes come in is reset, and the reset takes
// what was sent before away from its reader.
static step linger(tunnel *one) {
  for (size_t i = 0; i < NUM_SIDES; i++) {
    free_tls(&one->ends[i]);
    if (one->ends[i].fd != -1) {
      shutdown(one->ends[i].fd, SHUT_WR);
    }
  }
  one->phase = LINGERING;
  return STEP_NEXT;
}

// Returns true if there is more to throw away.
static bool throw_away(end *one, uint8_t *room) {
  for (int i = 0; i < ROUNDS && one->fd != -1; i++) {
    const ssize_t len = recv(one->fd, room, BUFFER_LEN, 0);
    if (len == -1 && (errno == EAGAIN || errno == EINTR)) {
      return false;
    }
    if (len <= 0) {
      close_socket(one);
    }
  }
  return one->fd != -1;
}

static step pass_lingering(tunnel *one, shared *all) {
  bool is_more = false;
  (void)all;
  for (size_t i = 0; i < NUM_SIDES; i++) {
    is_more |= throw_away(&one->ends[i], one->flows[i].bytes);
  }
  if (one->ends[CLIENT].fd == -1 && one->ends[UPSTREAM].fd == -1) {
    one->phase = CLOSED;
    return STEP_NEXT;
  }
  return is_more ? STEP_MORE : STEP_WAIT;
}

// ---- handshakes -------------------------------------------------------------

static const char *address_of(const tunnel *one, const shared *all, side peer) {
  return peer == CLIENT ? one->address : all->upstream_text;
}

// Tells why OpenSSL has failed.
static const char *last_error(const SSL *ssl) {
  const long verified = SSL_get_verify_result(ssl);
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  if (verified != X509_V_OK) {
    return X509_verify_cert_error_string(verified);
  }
  return reason == NULL ? "the connection was closed" : reason;
}

static bool is_waiting(const SSL *ssl, int result) {
  const int error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

// The pins are checked in here, by the adapter.
static step shake_hands(tunnel *one, shared *all, side peer) {
  end *with = &one->ends[peer];
  pv_openssl_decision decision;
  ERR_clear_error();
  const int result = SSL_do_handshake(with->ssl);
  if (result != 1 && is_waiting(with->ssl, result)) {
    return STEP_WAIT;
  }
  const bool is_accepted =
      pv_openssl_report(with->ssl, &decision) == 1 && result == 1;
  if (result == 1 || with->peer.was_told) {
    X509 *leaf = with->peer.leaf;  // a resumed session shows none to callbacks
    record_decision(&all->record, peer, &decision,
                    leaf ? leaf : SSL_get0_peer_certificate(with->ssl),
                    address_of(one, all, peer));
  } else {
    record_failure(&all->record, peer, FAILED_HANDSHAKE,
                   address_of(one, all, peer), last_error(with->ssl));
  }
  X509_free(with->peer.leaf);
  with->peer.leaf = NULL;
  return is_accepted ? STEP_DONE : STEP_OVER;
}

static step pass_greeting(tunnel *one, shared *all) {
  const step done = shake_hands(one, all, CLIENT);
  if (done != STEP_DONE) {
    return done == STEP_OVER ? linger(one) : done;
  }
  one->candidate = all->upstream;
  one->phase = CONNECTING;
  return STEP_NEXT;
}

static step pass_meeting(tunnel *one, shared *all) {
  const step done = shake_hands(one, all, UPSTREAM);
  if (done != STEP_DONE) {
    return done == STEP_OVER ? linger(one) : done;
  }
  one->phase = OPEN;
  return STEP_NEXT;
}

// ---- the way to the upstream ------------------------------------------------

static bool watch(const shared *all, end *one) {
  struct epoll_event event = {
      .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = one};
  const int yes = 1;
  (void)setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  return epoll_ctl(all->epoll, EPOLL_CTL_ADD, one->fd, &event) == 0;
}

// Begins to connect to the candidate; returns false if that fails at once.
static bool call_candidate(tunnel *one, const shared *all) {
  end *upstream = &one->ends[UPSTREAM];
  const struct addrinfo *to = one->candidate;
  upstream->fd =
      socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return upstream->fd != -1 &&
         (connect(upstream->fd, to->ai_addr, to->ai_addrlen) == 0 ||
          errno == EINPROGRESS) &&
         watch(all, upstream);
}

// Returns true if the candidate has failed.
static bool has_failed(int fd) {
  int error = 0;
  socklen_t len = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0;
}

static bool is_connected(int fd) {
  struct sockaddr_storage peer;
  socklen_t len = sizeof(peer);
  return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

static step pass_connecting(tunnel *one, shared *all) {
  end *upstream = &one->ends[UPSTREAM];
  bool is_tried = upstream->fd != -1;
  while (one->candidate != NULL) {
    if (!is_tried ? call_candidate(one, all) : !has_failed(upstream->fd)) {
      break;
    }
    close_socket(upstream);
    one->candidate = one->candidate->ai_next;
    is_tried = false;
  }
  if (one->candidate == NULL) {
    record_failure(&all->record, UPSTREAM, FAILED_CONNECT, all->upstream_text,
                   NULL);
    return linger(one);
  }
  if (!is_connected(upstream->fd)) {
    return STEP_WAIT;
  }
  upstream->ssl = tls_connect(&all->tls, upstream->fd, &upstream->peer);
  if (upstream->ssl == NULL) {
    record_failure(&all->record, UPSTREAM, FAILED_HANDSHAKE, all->upstream_text,
                   "memory is short");
    return linger(one);
  }
  one->phase = MEETING;
  return STEP_NEXT;
}

// ---- bytes ------------------------------------------------------------------

static step read_some(flow *in, SSL *source) {
  const int result = SSL_read_ex(source, in->bytes, sizeof(in->bytes), &in->to);
  if (result == 1) {
    in->from = 0;
    return STEP_DONE;
  }
  in->from = in->to = 0;
  if (SSL_get_error(source, result) == SSL_ERROR_ZERO_RETURN) {
    in->has_ended = true;
    return STEP_DONE;
  }
  return is_waiting(source, result) ? STEP_WAIT : STEP_OVER;
}

static step write_some(flow *out, SSL *sink) {
  size_t len = 0;
  const int result =
      SSL_write_ex(sink, out->bytes + out->from, out->to - out->from, &len);
  if (result == 1) {
    out->from += len;
    return STEP_DONE;
  }
  return is_waiting(sink, result) ? STEP_WAIT : STEP_OVER;
}

// Sends close_notify: the sink may still answer.
static step pass_on_end(flow *out, end *sink) {
  const int result = SSL_shutdown(sink->ssl);
  if (result < 0) {
    return is_waiting(sink->ssl, result) ? STEP_WAIT : STEP_OVER;
  }
  shutdown(sink->fd, SHUT_WR);
  out->has_passed_on = true;
  return STEP_DONE;
}

// Moves the bytes of one direction. A stream that ends without close_notify was
// cut, and what was cut must not look complete: the sink gets no close_notify.
static step move_bytes(tunnel *one, shared *all, side from) {
  const side to = from == CLIENT ? UPSTREAM : CLIENT;
  flow *through = &one->flows[from];
  for (int i = 0; i < ROUNDS; i++) {
    side user = to;
    step done = STEP_DONE;
    ERR_clear_error();
    if (through->from < through->to) {
      done = write_some(through, one->ends[to].ssl);
    } else if (!through->has_ended) {
      user = from;
      done = read_some(through, one->ends[from].ssl);
      all->record.bytes[from] += through->to;
    } else if (!through->has_passed_on) {
      done = pass_on_end(through, &one->ends[to]);
    } else {
      return STEP_DONE;
    }
    if (done == STEP_OVER) {
      record_failure(&all->record, user, FAILED_CUT, address_of(one, all, user),
                     NULL);
    }
    if (done != STEP_DONE) {
      return done;
    }
    one->has_moved = true;
  }
  return STEP_MORE;
}

static step pass_open(tunnel *one, shared *all) {
  const step up = move_bytes(one, all, CLIENT);
  const step down = up == STEP_OVER ? up : move_bytes(one, all, UPSTREAM);
  if (up == STEP_OVER || down == STEP_OVER) {
    return linger(one);
  }
  if (up == STEP_DONE && down == STEP_DONE) {
    tunnel_cut(one);  // both streams have ended, and all has been passed on
    return STEP_NEXT;
  }
  return up == STEP_MORE || down == STEP_MORE ? STEP_MORE : STEP_WAIT;
}

// ---- phases -----------------------------------------------------------------

void tunnel_begin(tunnel *out, shared *all, int fd, const char *address) {
  end *client = &out->ends[CLIENT];
  out->phase = GREETING;
  for (size_t i = 0; i < NUM_SIDES; i++) {
    out->ends[i] = (end){.of = out, .fd = -1};
    out->flows[i].from = out->flows[i].to = 0;
    out->flows[i].has_ended = out->flows[i].has_passed_on = false;
  }
  size_t len = 0;
  for (; address[len] != '\0' && len < ADDRESS_LEN - 1; len++) {
    out->address[len] = address[len];
  }
  out->address[len] = '\0';
  client->fd = fd;
  client->ssl = tls_accept(&all->tls, fd, &client->peer);
  if (client->ssl == NULL || !watch(all, client)) {
    record_failure(&all->record, CLIENT, FAILED_ACCEPT, address,
                   "memory is short");
    tunnel_cut(out);
  }
}

bool tunnel_advance(tunnel *one, shared *all) {
  step done = STEP_NEXT;
  one->has_moved = false;
  while (done == STEP_NEXT && one->phase != CLOSED) {
    switch (one->phase) {
      case GREETING:
        done = pass_greeting(one, all);
        break;
      case CONNECTING:
        done = pass_connecting(one, all);
        break;
      case MEETING:
        done = pass_meeting(one, all);
        break;
      case OPEN:
        done = pass_open(one, all);
        break;
      default:
        done = pass_lingering(one, all);
        break;
    }
  }
  return done == STEP_MORE;
}

void tunnel_expire(tunnel *one, shared *all) {
  static const char SLOW[] = "it took too long";
  const bool is_client = one->phase == GREETING || one->phase == OPEN;
  const side peer = is_client ? CLIENT : UPSTREAM;
  const failure kind = one->phase == OPEN         ? FAILED_IDLE
                       : one->phase == CONNECTING ? FAILED_CONNECT
                                                  : FAILED_HANDSHAKE;
  if (one->phase != LINGERING) {
    record_failure(&all->record, peer, kind, address_of(one, all, peer), SLOW);
  }
  tunnel_cut(one);
}
