// record.h: counters, and the peers that the log has named.
//
// The adapter counts decisions; what else happens is counted here. A peer that
// is refused, or would be in report mode, is named once for each load of the
// policies, however often it comes back: the log of a roll-out is the list of
// those who are not pinned yet.
#ifndef GATEWAY_RECORD_H
#define GATEWAY_RECORD_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pinverify_openssl.h"

typedef enum side { CLIENT, UPSTREAM, NUM_SIDES } side;

// How a connection ended that no pin has ended.
typedef enum failure {
  FAILED_ACCEPT,     // no descriptor or no memory
  FAILED_CONNECT,    // nobody listens
  FAILED_HANDSHAKE,  // of TLS, or too slow
  FAILED_IDLE,       // no byte moved
  FAILED_CUT,        // the stream ended without close_notify
  NUM_FAILURES
} failure;

enum { NUM_REASONS = PV_NOT_CHECKED + 1, NAMED_MAX = 1024 };

// Whom the log has named. Strangers can have a new address each time, and must
// not take the room of peers with a certificate that OpenSSL has verified.
typedef enum standing { VERIFIED, STRANGERS, NUM_STANDINGS } standing;
typedef struct name_list {
  size_t num;
  uint8_t digests[NAMED_MAX][PV_DIGEST_LEN];
} name_list;

typedef struct record {
  uint64_t failed[NUM_SIDES][NUM_FAILURES];
  uint64_t bytes[NUM_SIDES];  // that came from this side
  uint64_t reloads;
  uint64_t reloads_refused;
  uint64_t open;  // connections of clients
  name_list named[NUM_STANDINGS];
} record;

// record_decision names the peer if the pins do not match. `leaf` is its
// certificate, or NULL.
void record_decision(record *out, side peer,
                     const pv_openssl_decision *decision, X509 *leaf,
                     const char *address);

// record_failure counts a connection that failed, and names the address once
// for each way to fail. `why` is NULL, or a text.
void record_failure(record *out, side peer, failure kind, const char *address,
                    const char *why);

// record_forget lets the log name everybody anew: the policies have changed.
void record_forget(record *out);

// record_log writes the counters to the log, with those of both contexts.
void record_log(const record *counters, const SSL_CTX *server,
                const SSL_CTX *client);

#endif
