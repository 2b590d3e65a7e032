// handshake.c: the steps of a handshake, and what is decided at each.
//
// How a handshake is decided. OpenSSL tells the info callback each step, and
// the adapter decides where a rejection still stops the handshake:
//
//   * In the verify callback, at the leaf, or at the first error that somebody
//     accepts. A rejection there sends an alert. OpenSSL does not call this
//     callback for resumed sessions or for peers without a certificate, ignores
//     its answer with SSL_VERIFY_NONE, and may call it again after the leaf.
//   * So each handshake is decided once more. A client decides before it sends
//     its last flight: at ServerHelloDone (TLS 1.2) or at the server's
//     Finished. A server decides after the client's last flight, at its
//     Finished; and for resumed sessions at the ClientHello as well, before a
//     byte is sent. A rejection there breaks the connection: see
//     pv__break_connection.
//   * At the end, if the policy has been replaced meanwhile.
//
// On a client SSL_VERIFY_NONE becomes SSL_VERIFY_PEER with a callback that
// accepts what OpenSSL rejects: only the pins can reject.
//
// If the application replaced the info callback later, resumed sessions would
// stay undecided. So the security callback, which OpenSSL calls in each
// handshake and copies to each connection, refuses everything if the adapter
// does not see the handshake.
#include "handshake.h"

#include "facts.h"
#include "rejected_connection.h"
#include "step.h"
#include "verify_callback.h"

static const char NO_MEMORY[] = "memory is short";
static const char IS_DTLS[] = "DTLS is not supported";
static const char NOT_ASKED[] =
    "the server asks no client for a certificate: set SSL_VERIFY_PEER";
static const char UNSEEN_START[] =
    "the handshake began before the context was pinned";
static const char SELECTED_LATE[] =
    "a session was resumed where SSL_CTX_set_cert_cb selects contexts, and "
    "OpenSSL does not call that then: select in SSL_CTX_set_client_hello_cb or "
    "SSL_CTX_set_tlsext_servername_callback";
static const char BORROWED[] =
    "the verify callback is that of another pinned connection: set your own";
static const pv__shown NOTHING = {.leaf = NULL};

// The info callback that OpenSSL calls.
static pv__info_callback *info_callback_of(const SSL *ssl) {
  pv__info_callback *callback = SSL_get_info_callback(ssl);
  return callback != NULL ? callback
                          : SSL_CTX_get_info_callback(SSL_get_SSL_CTX(ssl));
}

// Makes sure to see this handshake even if another context is selected.
static void keep_following(pv__connection *connection, SSL *ssl) {
  connection->followed_by = info_callback_of(ssl);
  SSL_set_info_callback(ssl, connection->followed_by);
}

// Keeps the name that a client sends. If it sends none, OpenSSL returns that of
// the session, which does not count.
static void keep_sni(pv__connection *connection, SSL *ssl,
                     const SSL_SESSION *session) {
  const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (sni == NULL ||
      (session != NULL && sni == SSL_SESSION_get0_hostname(session))) {
    sni = "";
  }
  OPENSSL_strlcpy(connection->sni, sni, sizeof(connection->sni));
}

// Begins a handshake. An SSL may be used again, after SSL_clear.
static void begin(pv__connection *connection, SSL *ssl) {
  connection->state = PV__PENDING;
  keep_following(connection, ssl);
  connection->is_doubted = connection->is_overruled = false;
  connection->is_told = connection->is_counted = false;
  connection->selected_early = NULL;
  pv__forget(connection);
  SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
  if (SSL_is_dtls(ssl)) {
    pv__reject_because(connection, ssl, IS_DTLS);
    return;
  }
  SSL_CTX *listener = SSL_get_SSL_CTX(ssl);
  if (listener != connection->listener && SSL_CTX_up_ref(listener)) {
    SSL_CTX_free(connection->listener);
    connection->listener = listener;
  }
  if (connection->is_demanding) {
    connection->is_demanding = false;
    SSL_set_verify(
        ssl, SSL_get_verify_mode(ssl) & ~SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  }
  if (!pv__watch_verification(connection, ssl)) {
    pv__reject_because(connection, ssl, BORROWED);
    return;
  }
  SSL_SESSION *session = SSL_is_server(ssl) ? NULL : SSL_get_session(ssl);
  keep_sni(connection, ssl, session);
  if (session != NULL && !(pv__judge_session(connection, ssl, session) &&
                           connection->decision.report.accepted == 1)) {
    (void)SSL_set_session(ssl, NULL);  // a full handshake shows the chain
  }
}

// Decides at a moment when all that this handshake will show is known.
static void decide(pv__connection *connection, SSL *ssl) {
  const bool passed = SSL_session_reused(ssl)
                          ? pv__judge_resumed(connection, ssl)
                          : pv__judge_full(connection, ssl);
  if (!passed) {
    pv__reject(connection, ssl);
    return;
  }
  connection->state = PV__PASSED;
}

// Puts the chain of a full handshake, and whether OpenSSL verified it, into the
// session, before anybody else has the session.
static void keep_evidence(pv__connection *connection, SSL *ssl) {
  X509 *leaf = SSL_get0_peer_certificate(ssl);
  if (connection->state != PV__PASSED || SSL_session_reused(ssl) ||
      leaf == NULL) {
    return;
  }
  if ((connection->is_unverified || connection->is_doubted ||
       connection->evidence.data == NULL) &&
      !pv__keep_chain(connection, ssl, leaf, NULL)) {
    return;
  }
  pv__session_keep(SSL_get_session(ssl), &connection->evidence);
}

// A server has read a ClientHello that resumes no session.
static void on_client_hello(pv__connection *connection, SSL *ssl) {
  // If OpenSSL asks for a certificate, let it refuse clients without one: it
  // sends an alert.
  if (!pv__judge(connection, ssl, &NOTHING)) {
    const int mode = SSL_get_verify_mode(ssl);
    if (mode & SSL_VERIFY_PEER) {
      connection->is_demanding = !(mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
      SSL_set_verify(ssl, mode | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    } else {
      connection->decision.why = NOT_ASKED;
      pv__reject(connection, ssl);
    }
  }
}

// Tells if a resumed session may miss the rule that a full handshake would
// select. The first full handshake that selects a rule late shows that.
static bool is_ambiguous(const pv__connection *connection, const SSL *ssl) {
  pv__pinned *listening = pv__pinned_of(connection->listener);
  const bool is_late = pv__is_selected_late(connection, ssl);
  if (listening == NULL) {
    return is_late;
  }
  if (is_late) {
    atomic_store(&listening->selects_late, true);
  }
  return is_late || (pv__rule_of(ssl, connection) == listening &&
                     atomic_load(&listening->selects_late));
}

static void on_step(pv__connection *connection, SSL *ssl) {
  const pv__step step = pv__step_of(ssl);
  if (connection->state == PV__REJECTED) {
    // The handshake goes on despite the rejection: verification was turned off
    // meanwhile, or a callback that replaced ours ignored its answer.
    pv__break_connection(ssl);
    return;
  }
  if (connection->state == PV__ACCEPTED) {
    // Authentication after the handshake (RFC 8446, 4.6.2) shows another
    // certificate.
    if (step == PV__WROTE_CERT_REQUEST || step == PV__READ_CLIENT_CERT) {
      pv__reject_because(connection, ssl, pv__second_handshake);
    }
    return;
  }
  const bool is_hello = step == PV__READ_CLIENT_HELLO;
  // The context is selected now.
  if (is_hello && !pv__watch_verification(connection, ssl)) {
    pv__reject_because(connection, ssl, BORROWED);
    return;
  }
  if (SSL_is_server(ssl) && SSL_session_reused(ssl) &&
      (is_hello || connection->state == PV__PENDING)) {
    // Early data must not be read before a decision. So the server decides at
    // the first step that shows a resumed session, whatever its name.
    if (is_ambiguous(connection, ssl)) {
      pv__reject_because(connection, ssl, SELECTED_LATE);
      return;
    }
    decide(connection, ssl);
  } else if (is_hello) {
    if (is_ambiguous(connection, ssl)) {
      pv__give_no_session(connection, ssl);
    }
    on_client_hello(connection, ssl);
  } else if (step == PV__READ_SERVER_DONE ||
             (step == PV__READ_FINISHED &&
              (SSL_is_server(ssl) || connection->state == PV__PENDING))) {
    decide(connection, ssl);
    keep_evidence(connection, ssl);
  }
}

// The number of the policy in force.
static uint64_t number_in_force(const SSL *ssl,
                                const pv__connection *connection) {
  pv__pinned *rule = pv__rule_of(ssl, connection);
  return rule == NULL ? 0 : atomic_load(&rule->in_force.number);
}

// The handshake goes on after early data. A client's data are for the server of
// the session, perhaps another session than when the handshake began; or they
// are for a key that both have outside of TLS, without a certificate.
static void on_early_data(pv__connection *connection, SSL *ssl) {
  if (SSL_is_server(ssl) || connection->state != PV__PENDING) {
    return;
  }
  const SSL_SESSION *session = SSL_get_session(ssl);
  const bool is_for_session =
      session != NULL && pv__max_early_data(session) > 0;
  if (!(is_for_session ? pv__judge_resumed(connection, ssl)
                       : pv__judge(connection, ssl, &NOTHING))) {
    pv__reject(connection, ssl);
  }
}

static void finish(pv__connection *connection, SSL *ssl) {
  if (pv__step_of(ssl) == PV__EARLY_DATA) {
    on_early_data(connection, ssl);
    return;
  }
  if (connection->state == PV__ACCEPTED) {
    return;
  }
  if (connection->state == PV__PENDING ||
      (connection->state == PV__PASSED &&
       connection->number != number_in_force(ssl, connection))) {
    decide(connection, ssl);
  }
  if (connection->state == PV__PASSED) {
    connection->state = PV__ACCEPTED;
    pv__end_verification(ssl);
    pv__forget(connection);
    pv__tell(connection, ssl);
  }
}

// The handshake has stopped: for good, or to wait for the peer.
static void on_stop(pv__connection *connection, SSL *ssl) {
  const pv__error error = ERR_peek_last_error();
  if (connection->state == PV__PENDING && ERR_GET_LIB(error) == ERR_LIB_SSL &&
      ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    if (!pv__judge(connection, ssl, &NOTHING)) {
      connection->state = PV__REJECTED;
    }
  }
  if (connection->state == PV__REJECTED) {
    pv__tell(connection, ssl);
  }
}

static void follow(pv__connection *connection, SSL *ssl, int where) {
  if (where & SSL_CB_HANDSHAKE_START) {
    unsigned char byte;
    if (SSL_get_finished(ssl, &byte, 1) > 0 &&
        SSL_get_peer_finished(ssl, &byte, 1) > 0) {
      pv__reject_because(connection, ssl, pv__second_handshake);
    } else if (pv__step_of(ssl) != PV__EARLY_DATA) {
      begin(connection, ssl);
    }
  } else if (where & SSL_CB_LOOP) {
    if (connection->followed_by == NULL) {
      // The listening context is not pinned; the selected one is.
      keep_following(connection, ssl);
      const pv__step step = pv__step_of(ssl);
      if (step != PV__READING_CLIENT_HELLO && step != PV__READ_CLIENT_HELLO) {
        pv__reject_because(connection, ssl, UNSEEN_START);
      }
    }
    on_step(connection, ssl);
  } else if (where & SSL_CB_HANDSHAKE_DONE) {
    finish(connection, ssl);
  } else if (where & SSL_CB_EXIT) {
    on_stop(connection, ssl);
  }
}

void pv__on_info(const SSL *ssl, int where, int ret) {
  SSL *connected = (SSL *)ssl;  // the application's own object
  pv__connection *connection = pv__connection_made(connected);
  if (connection == NULL) {
    ERR_raise_data(ERR_LIB_SSL, ERR_R_INTERNAL_ERROR, "pinverify: %s",
                   NO_MEMORY);
    pv__break_connection(connected);
    return;
  }
  follow(connection, connected, where);
  // Without ours, OpenSSL would call the callback of the selected context.
  SSL_CTX *selected = SSL_get_SSL_CTX(ssl);
  const pv__pinned *pinned = pv__pinned_of(selected);
  pv__info_callback *callback = pinned == NULL
                                    ? SSL_CTX_get_info_callback(selected)
                                    : pinned->info_callback;
  if (callback != NULL && callback != pv__on_info) {
    callback(ssl, where, ret);
  }
}

bool pv__is_followed(const SSL *ssl) {
  const pv__connection *connection = pv__connection_of(ssl);
  pv__info_callback *callback = info_callback_of(ssl);
  return callback == pv__on_info || (connection != NULL && callback != NULL &&
                                     callback == connection->followed_by);
}
