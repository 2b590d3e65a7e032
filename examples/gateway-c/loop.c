// loop.c: the loop of the gateway.
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum {
  NUM_EVENTS = 256,
  NUM_ACCEPTS = 64,  // at a time: those who are here have their turn
  LINGER_MS = 2000,  // see tunnel.h
  PAUSE_MS = 100,    // after accept has failed
  FOR_EVER = -1
};

static int64_t clock_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// ---- waiting ----------------------------------------------------------------

static void leave(queue *from, tunnel *one) {
  *(one->earlier == NULL ? &from->first : &one->earlier->later) = one->later;
  *(one->later == NULL ? &from->last : &one->later->earlier) = one->earlier;
}

static void join(queue *to, tunnel *one, int64_t now) {
  one->since = now;
  one->later = NULL;
  one->earlier = to->last;
  *(to->last == NULL ? &to->first : &to->last->later) = one;
  to->last = one;
}

// ---- tunnels ----------------------------------------------------------------

// Puts a tunnel where it belongs, after something has happened to it.
static void settle(gateway *g, tunnel *one, phase before) {
  if (one->phase == before && !one->has_moved) {
    return;
  }
  leave(&g->waiting[before], one);
  // Events of this round may still point to a tunnel that is closed. It is in
  // a queue of its own until they are over.
  join(&g->waiting[one->phase], one, g->now);
}

static void advance(gateway *g, tunnel *one) {
  const phase before = one->phase;
  if (before == CLOSED) {
    return;
  }
  if (tunnel_advance(one, &g->shared) && !one->is_ready) {
    one->is_ready = true;
    one->next = g->ready;
    g->ready = one;
  }
  settle(g, one, before);
}

static void advance_ready(gateway *g) {
  tunnel *list = g->ready;
  g->ready = NULL;
  while (list != NULL) {
    tunnel *one = list;
    list = one->next;
    one->is_ready = false;
    advance(g, one);
  }
}

static void expire(gateway *g) {
  for (phase of = GREETING; of < NUM_PHASES; of++) {
    queue *q = &g->waiting[of];
    while (q->first != NULL && q->first->since + q->ms <= g->now) {
      tunnel *one = q->first;
      tunnel_expire(one, &g->shared);
      one->has_moved = false;
      settle(g, one, of);
    }
  }
}

static void recycle(gateway *g) {
  queue *closed = &g->waiting[CLOSED];
  tunnel *one = closed->first;
  while (one != NULL) {
    tunnel *following = one->later;
    if (!one->is_ready) {
      leave(closed, one);
      one->next = g->unused;
      g->unused = one;
      g->shared.record.open--;
    }
    one = following;
  }
}

// ---- accepting --------------------------------------------------------------

void loop_address(char out[ADDRESS_LEN], const struct sockaddr_storage *from) {
  char host[INET6_ADDRSTRLEN] = "?";
  if (from->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
    inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
    snprintf(out, ADDRESS_LEN, "[%s]:%u", host, ntohs(six->sin6_port));
  } else {
    const struct sockaddr_in *four = (const struct sockaddr_in *)from;
    inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
    snprintf(out, ADDRESS_LEN, "%s:%u", host, ntohs(four->sin_port));
  }
}

// Begins or ends to accept. Without room clients wait in the kernel's queue.
static void set_accepting(gateway *g, bool on) {
  struct epoll_event event = {.events = on ? EPOLLIN : 0,
                              .data.ptr = &g->listener};
  if (g->is_accepting != on && g->listener != -1 &&
      epoll_ctl(g->shared.epoll, EPOLL_CTL_MOD, g->listener, &event) == 0) {
    g->is_accepting = on;
  }
}

static void accept_some(gateway *g) {
  for (int i = 0; i < NUM_ACCEPTS && g->unused != NULL; i++) {
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(from);
    char address[ADDRESS_LEN];
    const int fd = accept4(g->listener, (struct sockaddr *)&from, &len,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1 && (errno == ECONNABORTED || errno == EINTR)) {
      continue;
    }
    if (fd == -1) {
      if (errno != EAGAIN) {
        record_failure(&g->shared.record, CLIENT, FAILED_ACCEPT, "",
                       strerror(errno));
        g->resume_at = g->now + PAUSE_MS;
      }
      return;
    }
    tunnel *one = g->unused;
    g->unused = one->next;
    g->shared.record.open++;
    loop_address(address, &from);
    tunnel_begin(one, &g->shared, fd, address);
    join(&g->waiting[one->phase], one, g->now);
    advance(g, one);
  }
}

// ---- signals ----------------------------------------------------------------

static void log_number_event(const char *event, const char *name,
                             uint64_t number) {
  log_line line;
  log_begin(&line, event);
  log_number(&line, name, number);
  log_end(&line);
}

static void reload(gateway *g) {
  char why[LOG_TEXT_MAX];
  if (tls_load(&g->shared.tls, &g->options, why)) {
    g->shared.record.reloads++;
    record_forget(&g->shared.record);
  } else {
    g->shared.record.reloads_refused++;
    log_event("policies kept", "error", why);
  }
}

// Closes the port; a second signal cuts off those that have not finished.
static void stop(gateway *g) {
  if (g->is_stopping) {
    g->stop_at = g->now;
    return;
  }
  g->is_stopping = true;
  g->stop_at = g->now + g->options.stop_ms;
  close(g->listener);
  g->listener = -1;
  log_number_event("stopping", "open", g->shared.record.open);
}

static void read_signals(gateway *g) {
  struct signalfd_siginfo signal;
  while (read(g->signals, &signal, sizeof(signal)) == sizeof(signal)) {
    if (signal.ssi_signo == SIGHUP) {
      reload(g);
    } else if (signal.ssi_signo == SIGUSR1) {
      record_log(&g->shared.record, g->shared.tls.server, g->shared.tls.client);
    } else {
      stop(g);
    }
  }
}

// ---- the loop ---------------------------------------------------------------

static void cut_all(gateway *g) {
  for (phase of = GREETING; of < NUM_PHASES; of++) {
    while (g->waiting[of].first != NULL) {
      tunnel *one = g->waiting[of].first;
      tunnel_cut(one);
      one->has_moved = false;
      settle(g, one, of);
      g->num_cut += of != LINGERING;
    }
  }
}

static int until_next(const gateway *g) {
  int64_t next = INT64_MAX;
  if (g->ready != NULL) {
    return 0;
  }
  for (phase of = GREETING; of < NUM_PHASES; of++) {
    const queue *q = &g->waiting[of];
    if (q->first != NULL && q->first->since + q->ms < next) {
      next = q->first->since + q->ms;
    }
  }
  if (g->is_stopping && g->stop_at < next) {
    next = g->stop_at;
  }
  if (g->resume_at != 0 && g->resume_at < next) {
    next = g->resume_at;
  }
  if (next == INT64_MAX) {
    return FOR_EVER;
  }
  return next <= g->now ? 0 : (int)(next - g->now) + 1;
}

static bool watch(gateway *g) {
  struct epoll_event signals = {.events = EPOLLIN, .data.ptr = &g->signals};
  struct epoll_event clients = {.events = EPOLLIN, .data.ptr = &g->listener};
  g->shared.epoll = epoll_create1(EPOLL_CLOEXEC);
  g->is_accepting = true;
  return g->shared.epoll != -1 &&
         epoll_ctl(g->shared.epoll, EPOLL_CTL_ADD, g->signals, &signals) == 0 &&
         epoll_ctl(g->shared.epoll, EPOLL_CTL_ADD, g->listener, &clients) == 0;
}

bool loop_run(gateway *g) {
  struct epoll_event events[NUM_EVENTS];
  if (!watch(g)) {
    return false;
  }
  for (phase of = GREETING; of < NUM_PHASES; of++) {
    g->waiting[of].ms = of == OPEN        ? g->options.idle_ms
                        : of == LINGERING ? LINGER_MS
                                          : g->options.handshake_ms;
  }
  while (!g->is_stopping || g->shared.record.open > 0) {
    const int num =
        epoll_wait(g->shared.epoll, events, NUM_EVENTS, until_next(g));
    g->now = clock_ms();
    for (int i = 0; i < num; i++) {
      if (events[i].data.ptr == &g->signals) {
        read_signals(g);
      } else if (events[i].data.ptr == &g->listener) {
        if (!g->is_stopping) {
          accept_some(g);
        }
      } else {
        advance(g, ((end *)events[i].data.ptr)->of);
      }
    }
    advance_ready(g);
    expire(g);
    if (g->is_stopping && g->stop_at <= g->now) {
      cut_all(g);
    }
    recycle(g);
    if (g->resume_at <= g->now) {
      g->resume_at = 0;
    }
    set_accepting(g, g->unused != NULL && g->resume_at == 0);
  }
  close(g->shared.epoll);
  record_log(&g->shared.record, g->shared.tls.server, g->shared.tls.client);
  log_number_event("stopped", "cut", g->num_cut);
  return true;
}
