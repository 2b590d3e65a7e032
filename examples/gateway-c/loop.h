// loop.h: the loop of the gateway, in one thread in which only epoll_wait
// waits.
//
// It accepts clients, lets tunnels advance (tunnel.h), ends those that wait for
// too long, and does what signals ask for.
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "tunnel.h"

// Tunnels that wait for the same time, in the order in which it will be over.
typedef struct queue {
  tunnel *first, *last;
  int64_t ms;
} queue;

typedef struct gateway {
  options options;
  shared shared;
  int listener;
  int signals;     // a signalfd
  tunnel *unused;  // at the start, all of them
  tunnel *ready;   // those that have more to do at once
  queue waiting[NUM_PHASES];
  bool is_accepting;
  bool is_stopping;
  int64_t now;        // milliseconds of a clock that is never set
  int64_t resume_at;  // when to accept again after that has failed; 0: now
  int64_t stop_at;    // when to cut those that have not finished
  uint64_t num_cut;   // of these
} gateway;

// loop_run serves until it is told to stop and all have finished or were cut.
// It returns false, with errno set, if it cannot begin.
bool loop_run(gateway *g);

// loop_address writes an address as logs have it: 127.0.0.1:1234, [::1]:1234.
void loop_address(char out[ADDRESS_LEN], const struct sockaddr_storage *from);

#endif
