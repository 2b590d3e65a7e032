// gateway.c: a TLS gateway on epoll. Clients are pinned, and so is the server
// behind it.
//
// This file prepares what the loop uses: limits, signals, contexts, sockets.
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

enum { OTHER_FILES = 32 };  // descriptors that are no connections

static _Noreturn void give_up(const char *what, const char *why) {
  fprintf(stderr, "gateway: %s: %s\n", what, why);
  exit(2);
}

static struct addrinfo *look_up(const host_port *of, int flags) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
  struct addrinfo *found = NULL;
  const int error = getaddrinfo(of->host, of->port, &hints, &found);
  if (error != 0) {
    give_up(of->host, gai_strerror(error));
  }
  return found;
}

static void listen_at(gateway *g) {
  const int yes = 1;
  struct addrinfo *at = look_up(&g->options.listen, AI_PASSIVE);
  g->listener =
      socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (g->listener == -1 ||
      setsockopt(g->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) !=
          0 ||
      bind(g->listener, at->ai_addr, at->ai_addrlen) != 0 ||
      listen(g->listener, 1024) != 0) {
    give_up("--listen", strerror(errno));
  }
  freeaddrinfo(at);
}

static void tell_address(const gateway *g) {
  struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
  socklen_t len = sizeof(at);
  char address[ADDRESS_LEN];
  if (getsockname(g->listener, (struct sockaddr *)&at, &len) == 0) {
    loop_address(address, &at);
    log_event("listening", "address", address);
  }
}

// Each connection needs two descriptors. Without them accept would fail later.
static void raise_limit(const options *chosen) {
  struct rlimit limit;
  const rlim_t needed = 2 * (rlim_t)chosen->connections + OTHER_FILES;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
    limit.rlim_cur = needed;
    if (needed > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      give_up("--connections",
              "more than descriptors are allowed; raise `ulimit -n`, or "
              "choose fewer");
    }
  }
}

static void watch_signals(gateway *g) {
  sigset_t asked;
  sigemptyset(&asked);
  sigaddset(&asked, SIGHUP);
  sigaddset(&asked, SIGUSR1);
  sigaddset(&asked, SIGTERM);
  sigaddset(&asked, SIGINT);
  signal(SIGPIPE, SIG_IGN);  // a write to a socket that is gone is an error
  g->signals = -1;
  if (sigprocmask(SIG_BLOCK, &asked, NULL) == 0) {
    g->signals = signalfd(-1, &asked, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  if (g->signals == -1) {
    give_up("signals", strerror(errno));
  }
}

static tunnel *make_tunnels(gateway *g) {
  const uint32_t num = g->options.connections;
  tunnel *all = calloc(num, sizeof(*all));
  if (all == NULL) {
    give_up("--connections", "memory is short");
  }
  for (uint32_t i = num; i-- > 0;) {
    all[i].next = g->unused;
    g->unused = &all[i];
  }
  return all;
}

int main(int argc, char **argv) {
  gateway g = {.listener = -1};
  options_read(&g.options, argc, argv);
  raise_limit(&g.options);
  watch_signals(&g);  // before it is ready: a signal must not end it
  if (!tls_begin(&g.shared.tls, &g.options)) {
    tls_free(&g.shared.tls);
    return 2;
  }
  const host_port *upstream = &g.options.upstream;
  struct addrinfo *upstreams = look_up(upstream, 0);
  g.shared.upstream = upstreams;
  snprintf(g.shared.upstream_text, sizeof(g.shared.upstream_text), "%s:%s",
           upstream->host, upstream->port);
  tunnel *tunnels = make_tunnels(&g);
  listen_at(&g);
  tell_address(&g);
  if (!loop_run(&g)) {
    give_up("epoll", strerror(errno));
  }
  tls_free(&g.shared.tls);
  freeaddrinfo(upstreams);
  close(g.signals);
  free(tunnels);
  return 0;
}
