// pinverify_openssl.h: the adapter for OpenSSL, which pins handshakes.
//
// A context is pinned once, before it makes connections. From then on a policy
// decides each of its handshakes, on clients and on servers, resumed or not, in
// TLS 1.2 and 1.3:
//
//   pv_policy policy;                        // a view: keep `bytes` alive
//   if (pv_policy_open(&policy, bytes, len) != PV_OK) { refuse to start }
//   if (pv_openssl_pin(ctx, &policy, NULL) != 1) { refuse to start }
//   SSL *ssl = SSL_new(ctx);
//   SSL_set1_host(ssl, host);                // clients: whose pins count
//   if (SSL_connect(ssl) != 1) { pv_openssl_report tells why }
//
// Limits.
//   * OpenSSL 3.0 or later, or BoringSSL: see below. TLS over BIOs: DTLS and
//     QUIC are refused. QUIC that the application implements itself
//     (SSL_set_quic_tls_cbs) is not refused: do not pin it.
//   * Pin a context before its first SSL_new. Pin the listening context as well
//     as those that a callback for SNI selects.
//   * Pins add to the verification of OpenSSL, and replace none of it.
//   * SSL_set_SSL_CTX before a handshake moves the SSL to another context, and
//     no pins apply if that context has none. During a handshake, in a callback
//     for SNI, selecting a context without pins leaves those of the listening
//     context in force.
//   * Select contexts in the callback of SSL_CTX_set_client_hello_cb or for
//     SNI. Do not select them in the certificate callback
//     (SSL_CTX_set_cert_cb), where Node.js does it: OpenSSL does not call the
//     certificate callback for a resumed session, so the listening context
//     decides. If the certificate callback selects a context with pins of its
//     own, the session of that handshake cannot be resumed. From then on the
//     listening context issues no sessions, and rejects clients that resume
//     one: PV_NOT_CHECKED. Until then, a session that the listening context
//     issued, in this process or in another, can be resumed under any name, and
//     the pins of the listening context decide. So give the listening context
//     pins that match nobody. (BoringSSL calls the certificate callback for
//     resumed sessions, too.)
//   * On a client with SSL_VERIFY_NONE, the mode of the SSL is SSL_VERIFY_PEER
//     | 0x80 until the handshake is over, so that a pin can reject. The
//     adapter's verify callback accepts what OpenSSL rejects. So
//     X509_verify_cert returns 1 for any chain, and a cert_verify_callback that
//     returns 0 ends the handshake. SSL_get_verify_result still has the last
//     error.
//   * A client's early data is for the server of its session. The policy judges
//     that server before the data is sent. At the end of the handshake it
//     judges the server that answers. If a session is not offered because it
//     would be rejected, SSL_write_early_data fails. A server that writes
//     before the handshake is over (SSL_write_early_data) writes to a client
//     that has not been judged yet.
//   * If pv_openssl_report does not return 1 after a handshake, close the
//     connection. It returns 1 only if the peer was accepted.
//
// Evidence. The chain counts if OpenSSL verified it in this handshake. With
// SSL_VERIFY_NONE, or if a verify callback of the application accepted an error
// that OpenSSL found, only the leaf counts: `ca` pins do not match. The chain
// as the peer sent it never counts.
//
// Resumed sessions show the leaf and no chain. So the adapter keeps the digests
// of the first handshake's chain in the session, as its ticket application data
// (SSL_SESSION_set1_ticket_appdata): on a server they travel in the ticket,
// which OpenSSL encrypts and authenticates; on a client they stay in memory.
// The policy in force judges them again. A client does not offer a session that
// would be rejected, but makes a full handshake. A server rejects such a
// session, and the client has to connect without it.
//
// If the chain of a session is unknown, only the leaf is judged. The reason is
// PV_NOT_CHECKED if a certificate above the leaf could change the decision.
// That is so if the leaf does not match and the rule has `pins` or `ca` pins,
// or if the peer would be accepted and a key is blocked for it. A rule in
// report mode rejects nobody for this reason. The chain is unknown for tickets
// from before the context was pinned or of an adapter that kept other bytes,
// and if the program itself uses the ticket application data.
//
// A context keeps up to 64 certificates, each of at most 4 kB, with their
// digests, so that the adapter need not hash them again.
//
// Clients on a server are judged by the policy's pins for clients. A policy
// without such pins rejects every client. So does a policy with them if the
// server does not ask for a certificate (SSL_VERIFY_PEER).
//
// A rejection in a full handshake sends the alert bad_certificate (or OpenSSL's
// own alert, if a client has no certificate). In all other cases no alert is
// sent, because OpenSSL has no function for that: reads and writes fail, and
// the application closes the connection. SSL_get_verify_result is then
// X509_V_ERR_CERT_REJECTED, with or without an alert, and the error queue has
// the reason.
//
// Callbacks. The adapter uses the info callback, the verify callback of each
// connection and the security callback, and calls the ones that the application
// had set before. It does not touch the callbacks for tickets, SNI, ALPN and
// certificates.
//   * An info callback that is set later must call the one that
//     SSL_get_info_callback or SSL_CTX_get_info_callback returned; if it does
//     not, handshakes fail. In two cases they do not fail, and only
//     pv_openssl_report shows the mistake, by returning 0: if the info callback
//     is replaced during a handshake that resumes a session of TLS 1.2; and if
//     the application also selects a context that is not pinned, turns
//     verification off, or ignores the result of X509_verify_cert.
//   * A security callback that is set later must call the earlier one as well,
//     or info callbacks that do not call the earlier one are not noticed.
//   * A verify callback may be set at any time; while it replaces the
//     adapter's, only the leaf counts. If the connection has no verify
//     callback, that of the store (X509_STORE_set_verify_cb) is called. Do not
//     give a connection the verify callback that SSL_get_verify_callback
//     returned for another one: such a connection is refused.
//
// With BoringSSL all of this is the same, except:
//   * It does not tell the adapter the name that it verifies. Clients give the
//     name with pv_openssl_set1_host, and are refused if they call
//     SSL_set1_host alone.
//   * Its sessions and tickets keep all certificates that the peer sent. The
//     chain of a resumed session is verified again, with the trust store of the
//     context, for the name of this connection, and without callbacks of the
//     application. If that fails, the chain is unknown. A store that
//     SSL_set0_verify_cert_store sets on a connection does not count for that.
//   * With SSL_CTX_set_custom_verify only the leaf counts.
//   * Instead of the security callback, the adapter uses the key-log callback
//     (SSL_CTX_set_keylog_callback); it reads no keys.
//   * SSL_get_verify_result shows only rejections that sent an alert.
//   * While there is early data, and after a false start, pv_openssl_report
//     returns 0: the peer has been judged, but the handshake is not over.
#ifndef PINVERIFY_OPENSSL_H
#define PINVERIFY_OPENSSL_H

#include <openssl/ssl.h>

#include "pinverify.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PV_OPENSSL_CERTS_MAX 16  // certificates of a chain; more: rejected

// A pv_openssl_decision is the answer about the peer of one connection. All
// zero is a rejection.
typedef struct pv_openssl_decision {
  pv_report report;            // see pinverify.h. PV_NOT_CHECKED: see `why`
  uint8_t policy_digest[32];   // of the policy that decided
  uint8_t key_sha256[32];      // pin of the peer's key; zero if none was seen
  uint8_t is_client;           // 1: the peer is a client
  uint8_t is_resumed;          // 1: the session was resumed
  uint8_t is_verified;         // 1: OpenSSL had verified the chain that counted
  char host[PV_HOST_MAX + 1];  // the name that was looked up; "" for clients
  const char *why;  // a static text in English, never NULL: what the adapter
                    // adds to the reason
} pv_openssl_decision;

// pv_openssl_options are options of pv_openssl_pin. All zero is the default.
typedef struct pv_openssl_options {
  // 1: on clients without SSL_set1_host, look up the name sent as SNI. OpenSSL
  // then verifies no name: leave it 0 unless leaf pins are all that you need.
  int host_from_sni;

  // 1: do not break a connection because the policy rejects its peer; the
  // program decides. pv_openssl_report then returns 0, and says why. Use it on
  // servers that answer a rejected client, as HTTP can, or to try pins out.
  // Connections that cannot be judged (second handshakes, too many
  // certificates) are broken all the same.
  int report_only;

  // NULL, or a function that is called for each rejection, and for each
  // acceptance with a reason other than PV_MATCH and PV_NOT_PINNED. It is
  // called once per handshake, in its thread, when the handshake ends. It may
  // read from `ssl`, and must not do I/O on it. `arg` is the field below.
  void (*on_report)(const SSL *ssl, const pv_openssl_decision *decision,
                    void *arg);
  void *arg;
} pv_openssl_options;

// pv_openssl_pin pins a context: from now on `policy` decides each handshake of
// its connections. `options` is copied; it may be NULL.
//
// `*policy` is copied; the bytes that it was opened from must stay until
// pv_openssl_swap has replaced it, or until the context and all its connections
// are freed. Renegotiation is turned off. Call it before other threads use the
// context, and before SSL_new.
//
// Returns 1; or 0, with the reason in OpenSSL's error queue, if the policy is
// not open, the context is for DTLS or QUIC or pinned already, or memory is
// short. Then nothing has changed.
PV_API PV_CHECK int pv_openssl_pin(SSL_CTX *ctx, const pv_policy *policy,
                                   const pv_openssl_options *options);

// pv_openssl_swap replaces the policy of a pinned context.
//
// Exactly one policy decides each handshake: before the swap the old one, after
// it the new one, also for connections that were made before. A handshake that
// was decided but is not over at the swap is decided again, by the new policy,
// when it ends. Connections whose handshake is over stay open.
//
// When it returns, no thread uses the old policy any more, and the caller may
// free its bytes. It waits for decisions, which take microseconds, and not for
// handshakes. Any thread may call it at any time. A process that forks while
// another thread decides should not call it in the child.
//
// Returns 1; or 0, with the reason in OpenSSL's error queue, if the context is
// not pinned or the policy is not open. Then nothing has changed.
PV_API PV_CHECK int pv_openssl_swap(SSL_CTX *ctx, const pv_policy *policy);

// pv_openssl_set1_host gives a client the name of its server, or its address:
// the name to verify, and to look up. With OpenSSL it is SSL_set1_host. With
// BoringSSL, which does not tell the adapter that name, call it instead of
// SSL_set1_host, once per connection.
//
// Returns 1; or 0 if memory is short.
PV_API PV_CHECK int pv_openssl_set1_host(SSL *ssl, const char *host);

// pv_openssl_report returns 1 if the handshake of `ssl` is over and its peer
// was accepted, else 0. `*out` receives the decision; out may be NULL. If there
// is none yet, its reason is PV_NOT_CHECKED. Time: constant.
PV_API PV_CHECK uint32_t pv_openssl_report(const SSL *ssl,
                                           pv_openssl_decision *out);

// pv_openssl_counters count the decisions of a context since it was pinned:
// each handshake counts once, when its decision is final. Handshakes that fail
// before a decision are not counted.
typedef struct pv_openssl_counters {
  uint64_t accepted[PV_NOT_CHECKED + 1];  // by pv_reason
  uint64_t rejected[PV_NOT_CHECKED + 1];
  uint64_t resumed;  // accepted handshakes that resumed a session
} pv_openssl_counters;

// pv_openssl_count reads the counters of a context. A swap keeps them, and a
// forked process counts on its own from the fork on. Any thread may call it at
// any time; handshakes that end meanwhile may be in one counter and not yet in
// another.
//
// Returns 1; or 0, with zeros, if the context is not pinned. Time: constant.
PV_API PV_CHECK int pv_openssl_count(const SSL_CTX *ctx,
                                     pv_openssl_counters *out);

#ifdef __cplusplus
}
#endif

#endif  // PINVERIFY_OPENSSL_H
