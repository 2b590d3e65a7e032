// rejected_connection.c: the end of a connection whose peer is rejected.
#include "rejected_connection.h"

#include "broken_bio.h"

const char pv__second_handshake[] =
    "a second handshake on one connection could change the certificate";

static const char LATE_CALLBACK[] =
    "pinverify: an info callback that was set after pv_openssl_pin does not "
    "call the one that was there before";

void pv__raise_error(const pv_openssl_decision *decision) {
  ERR_raise_data(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, "pinverify: %s",
                 decision->why[0] != '\0'
                     ? decision->why
                     : pv_reason_text((pv_reason)decision->report.reason));
}

void pv__raise_unseen(void) {
  ERR_raise_data(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, "%s",
                 LATE_CALLBACK);
}

// The shutdown flags stop data that OpenSSL has read already; the BIOs stop
// what is left of the handshake, which ignores the flags.
void pv__break_connection(SSL *ssl) {
  SSL_SESSION *session = SSL_get_session(ssl);
  if (session != NULL) {
    SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl), session);
  }
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_set_verify_result(ssl, X509_V_ERR_CERT_REJECTED);
  pv__broken_bio_push(ssl);
}

void pv__reject(pv__connection *connection, SSL *ssl) {
  connection->state = PV__REJECTED;
  pv__raise_error(&connection->decision);
  pv__break_connection(ssl);
}

void pv__reject_because(pv__connection *connection, SSL *ssl, const char *why) {
  connection->decision =
      (pv_openssl_decision){.is_client = SSL_is_server(ssl) == 1,
                            .is_resumed = SSL_session_reused(ssl) == 1};
  pv__not_checked(&connection->decision, why);
  pv__reject(connection, ssl);
}

static void count(pv__pinned *rule, const pv_openssl_decision *decision) {
  const pv_report *report = &decision->report;
  const bool is_accepted = report->accepted == 1;
  _Atomic uint64_t *counters = is_accepted ? rule->accepted : rule->rejected;
  atomic_fetch_add_explicit(&counters[report->reason], 1, memory_order_relaxed);
  if (is_accepted && decision->is_resumed) {
    atomic_fetch_add_explicit(&rule->resumed, 1, memory_order_relaxed);
  }
}

void pv__tell(pv__connection *connection, SSL *ssl) {
  const pv_openssl_decision *decision = &connection->decision;
  pv__pinned *rule = pv__rule_of(ssl, connection);
  if (rule != NULL && !connection->is_counted) {
    connection->is_counted = true;
    count(rule, decision);
  }
  const bool is_plain =
      decision->report.accepted && (decision->report.reason == PV_MATCH ||
                                    decision->report.reason == PV_NOT_PINNED);
  if (!connection->is_told && !is_plain && rule != NULL &&
      rule->options.on_report != NULL) {
    connection->is_told = true;
    rule->options.on_report(ssl, decision, rule->options.arg);
  }
}
