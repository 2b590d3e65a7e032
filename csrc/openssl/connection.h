// connection.h: the state of one connection, and the decision about its peer.
#ifndef PINVERIFY_OPENSSL_CONNECTION_H
#define PINVERIFY_OPENSSL_CONNECTION_H

#include "memo.h"
#include "policy_in_force.h"

typedef void pv__info_callback(const SSL *ssl, int where, int ret);

// The state of a pinned context.
typedef struct pv__pinned {
  pv__in_force in_force;
  pv_openssl_options options;
  // The application's own callbacks, which are called, too.
  pv__info_callback *info_callback;
  pv__guard_callback *guarded;
  // It is a listening context, and others are selected in SSL_CTX_set_cert_cb.
  _Atomic bool selects_late;
  // As in pv_openssl_counters.
  _Atomic uint64_t accepted[PV_NOT_CHECKED + 1];
  _Atomic uint64_t rejected[PV_NOT_CHECKED + 1];
  _Atomic uint64_t resumed;
  pv__hash_cache cache;
} pv__pinned;

// A connection begins PENDING. A decision makes it PASSED or REJECTED; the end
// of the handshake turns PASSED into ACCEPTED. REJECTED is for good.
typedef enum pv__state {
  PV__PENDING = 0,
  PV__PASSED = 1,
  PV__ACCEPTED = 2,
  PV__REJECTED = 3
} pv__state;

// The question that a decision answers, together with the leaf, the host and
// the number of the policy. The same question has the same answer: see
// pv__judge.
typedef struct pv__question {
  bool is_answered;
  bool has_chain;
  bool is_unverified;
  const pv__pinned *rule;
  SSL_SESSION *session;  // a reference, or NULL
  int64_t now;           // seconds since 1970-01-01T00:00:00Z
} pv__question;

typedef struct pv__connection {
  pv__state state;
  bool is_unverified;  // SSL_VERIFY_NONE: only the leaf counts
  bool is_doubted;     // a callback accepted an error that OpenSSL found
  bool is_overruled;   // a callback refused, and SSL_VERIFY_NONE ignores it
  bool is_asking;      // the application's verify callback is running
  bool is_watched;     // our verify callback was put in front
  bool is_demanding;   // we added SSL_VERIFY_FAIL_IF_NO_PEER_CERT
  bool is_told;        // on_report has the decision
  bool is_counted;     // the context's counters have the decision
  // The info callback by which the adapter sees each step; NULL: none yet.
  pv__info_callback *followed_by;
  // The name that a client sends; a session that it resumes may have another.
  char sni[PV_HOST_MAX + 2];
  char *name;                     // given to pv_openssl_set1_host; NULL: none
  SSL_CTX *listener;              // the listening context: a reference
  const SSL_CTX *selected_early;  // before the cert_cb; only compared
  uint64_t number;                // of the policy that decided
  int (*verify_callback)(int ok, X509_STORE_CTX *store);  // the application's
  pv__buffer evidence;  // of this handshake; empty: the leaf alone
  X509 *leaf;           // the one that was hashed last: a reference, or NULL
  hashed_cert leaf_hashed;
  pv__question asked;  // what was decided last
  pv_openssl_decision decision;
} pv__connection;

// The peer's certificates, as known at one moment of a handshake.
typedef struct pv__shown {
  X509 *leaf;            // NULL: none
  bool has_chain;        // connection->evidence has a chain, and it counts
  SSL_SESSION *session;  // NULL, or the resumed session, with its own evidence
} pv__shown;

// pv__ex_data_init reserves places in OpenSSL's objects, once per process.
bool pv__ex_data_init(void);

// pv__connection_of returns the state of a connection, or NULL if it has none.
// pv__connection_made creates one if there is none; NULL means that memory is
// short.
pv__connection *pv__connection_of(const SSL *ssl);
pv__connection *pv__connection_made(SSL *ssl);

// pv__pinned_set stores the state of a pinned context, freed with it.
bool pv__pinned_set(SSL_CTX *ctx, pv__pinned *pinned);

// pv__pinned_of returns the state of a context, or NULL if it is not pinned.
pv__pinned *pv__pinned_of(const SSL_CTX *ctx);

// pv__rule_of returns the state that decides about a connection: that of the
// selected context, or else of the listening context; NULL if neither is
// pinned.
pv__pinned *pv__rule_of(const SSL *ssl, const pv__connection *connection);

// pv__leaf_kept puts the digests of a leaf into connection->leaf_hashed, once
// per handshake. It returns false if that fails.
bool pv__leaf_kept(pv__connection *connection, pv__hash_cache *cache,
                   X509 *leaf);

// pv__forget frees what only the handshake needs.
void pv__forget(pv__connection *connection);

// pv__judge decides about a peer by the policy in force, and returns true if
// it may pass: it is accepted, or the option report_only is set. The decision
// is in connection->decision.
bool pv__judge(pv__connection *connection, SSL *ssl, const pv__shown *shown);

// pv__judge_full and pv__judge_resumed do so with what a connection shows at
// the end of a full handshake, or once a session is resumed; pv__judge_session
// does so for a session that a client could offer.
bool pv__judge_full(pv__connection *connection, SSL *ssl);
bool pv__judge_resumed(pv__connection *connection, SSL *ssl);
bool pv__judge_session(pv__connection *connection, SSL *ssl,
                       SSL_SESSION *session);

// pv__host_of finds the name of the peer. It returns false if no name can be
// trusted; `*out_why` says why. The clients of a server have the name "".
bool pv__host_of(char out[PV_HOST_MAX + 2], const char **out_why,
                 const SSL *ssl, const pv__pinned *rule);

// pv__not_checked makes a decision a rejection with the reason PV_NOT_CHECKED.
void pv__not_checked(pv_openssl_decision *out, const char *why);

#endif  // PINVERIFY_OPENSSL_CONNECTION_H
