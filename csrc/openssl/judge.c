// judge.c: the certificates that count, and the decision about them.
//
// The rules are those of src/pinverify/tls/_judge.py: a verified chain, or the
// leaf alone; resumed sessions are judged again, with the chain that their
// first handshake showed; an unknown chain must not hide a blocked key. After
// the decision, the option report_only lets every peer pass. verify_callback.c
// and handshake.c call this file.
#include <string.h>
#include <time.h>

#include "connection.h"
#include "facts.h"

static const char NO_RULE[] = "neither context of this connection is pinned";
static const char LONG_NAME[] = "the name is longer than 253 bytes";
// For sessions whose chain nobody has seen.
static const char COULD_BE_BLOCKED[] =
    "a resumed session shows no chain, and a blocked key could be in it: "
    "connect again without the session";
static const char LEAF_ALONE[] =
    "a resumed session shows no chain, and its leaf alone does not match the "
    "pins: connect again without the session";
static const char UNREADABLE[] =
    "the chain could not be encoded, or has too many certificates";

void pv__not_checked(pv_openssl_decision *out, const char *why) {
  out->report = (pv_report){
      .reason = PV_NOT_CHECKED, .rule = PV_NO_RULE, .depth = PV_NO_DEPTH};
  out->why = why;
}

static bool name_to_look_up(char out[PV_HOST_MAX + 2], const char **out_why,
                            const SSL *ssl, const pv__pinned *rule) {
  out[0] = '\0';
  *out_why = "";
  if (SSL_is_server(ssl)) {
    return true;
  }
  if (!pv__verified_name(out, out_why, ssl)) {
    return false;
  }
  if (out[0] != '\0') {
    *out_why = strlen(out) > PV_HOST_MAX ? LONG_NAME : "";
    return strlen(out) <= PV_HOST_MAX;
  }
  const pv__connection *connection = pv__connection_of(ssl);
  if (rule->options.host_from_sni && connection != NULL &&
      connection->sni[0] != '\0') {
    OPENSSL_strlcpy(out, connection->sni, PV_HOST_MAX + 2);
    return strlen(out) <= PV_HOST_MAX;
  }
  *out_why = pv__no_name;
  return false;
}

bool pv__host_of(char out[PV_HOST_MAX + 2], const char **out_why,
                 const SSL *ssl, const pv__pinned *rule) {
  // SSL_get_error would take a question that OpenSSL cannot answer for an error
  // of the connection.
  ERR_set_mark();
  const bool found = name_to_look_up(out, out_why, ssl, rule);
  ERR_pop_to_mark();
  return found;
}

// Fills an array with the certificates that count, leaf first.
static size_t list_chain(hashed_cert out[PV_OPENSSL_CERTS_MAX],
                         const pv__connection *connection,
                         const pv__memo *evidence) {
  if (connection->leaf == NULL) {
    return 0;
  }
  out[0] = connection->leaf_hashed;
  if (!evidence->is_verified) {
    return 1;
  }
  const size_t num = evidence->num_issuers;
  memcpy(out + 1, evidence->issuers, num * sizeof(hashed_cert));
  return num + 1;
}

// Tells if a certificate above the leaf can match a PinSet.
static bool looks_above_leaf(const pv_policy *policy, uint32_t pinset) {
  pv_pinset own;
  return pv_policy_pinset(&own, policy, pinset) == PV_OK &&
         (own.num_pins[2 * PV_LIST_PINS + PV_SPKI] != 0 ||
          own.num_pins[2 * PV_LIST_PINS + PV_CERTIFICATE] != 0 ||
          own.num_pins[2 * PV_LIST_CA + PV_SPKI] != 0 ||
          own.num_pins[2 * PV_LIST_CA + PV_CERTIFICATE] != 0);
}

// Tells if certificates above the leaf could change a decision about the leaf.
// `pinset` is the PinSet whose pins decided, or PV_UNPINNED.
static bool depends_on_chain(const pv_report *report, const pv_policy *policy,
                             const char *host, uint32_t pinset) {
  if (report->mode != PV_ENFORCE) {
    return false;
  }
  return report->accepted ? !pv_host_is_clear(policy, host, strlen(host))
                          : report->reason == PV_MISMATCH &&
                                looks_above_leaf(policy, pinset);
}

// Asks the policy that is in force now.
static void ask(pv__connection *connection, pv__pinned *rule,
                const hashed_cert *chain, size_t num_certs, bool has_name,
                bool is_hidden) {
  pv_openssl_decision *out = &connection->decision;
  const pv__reading reading = pv__read_begin(&rule->in_force);
  const pv_policy *policy = reading.policy;
  connection->number = reading.number;
  pv_policy_digest(out->policy_digest, policy);
  // A server without a name must not be taken for a client. If there are pins
  // for clients and no rules, they are for every peer, and no name is needed.
  if (!has_name &&
      !(pv_policy_has_clients(policy) && pv_policy_num_rules(policy) == 0)) {
    out->report.reason = PV_BAD_HOST;
  } else {
    out->why = "";
    const given_host host = {out->host, strlen(out->host), PV_NO_RULE};
    const chain_view shown = {.num_certs = num_certs, .hashed = chain};
    const uint32_t pinset = pv__evaluate_peer(
        &out->report, NULL, policy, &host, &shown, connection->asked.now);
    if (is_hidden &&
        depends_on_chain(&out->report, policy, out->host, pinset)) {
      out->why = out->report.accepted ? COULD_BE_BLOCKED : LEAF_ALONE;
      out->report.accepted = 0;
      out->report.reason = PV_NOT_CHECKED;
    }
    if (out->report.num_seen > 0) {
      memcpy(out->key_sha256, chain[0].digests.of[PV_SPKI], PV_DIGEST_LEN);
    }
  }
  pv__read_end(&rule->in_force, &reading);
}

// The evidence in a session is for one leaf, and on a client for one name.
static bool is_for(const pv__memo *evidence, const hashed_cert *leaf,
                   const char *host) {
  return memcmp(leaf->digests.of[PV_CERTIFICATE], evidence->leaf_sha256,
                PV_DIGEST_LEN) == 0 &&
         evidence->host_len == strlen(host) &&
         memcmp(evidence->host, host, evidence->host_len) == 0;
}

// Finds the evidence of a session. A client that verifies does not rely on a
// handshake that did not verify.
static bool is_known(pv__memo *out, pv__buffer *bytes,
                     pv__connection *connection, SSL *ssl, SSL_SESSION *session,
                     const char *host) {
  return connection->leaf != NULL &&
         pv__session_evidence(out, bytes, connection, ssl, session, host) &&
         is_for(out, &connection->leaf_hashed, host) &&
         (out->is_verified || SSL_is_server(ssl));
}

// Finds the evidence that counts; it may be a view of `*bytes`. Returns false
// if OpenSSL may have verified a chain that is not known.
static bool find_evidence(pv__memo *out, pv__buffer *bytes,
                          pv__connection *connection, SSL *ssl,
                          const pv__shown *shown, const char *host) {
  *out = (pv__memo){.num_issuers = 0};
  bool is_clear = false;
  if (shown->session == NULL) {
    is_clear = !shown->has_chain ||
               (pv__memo_read(out, connection->evidence.data,
                              connection->evidence.len) &&
                connection->leaf != NULL &&
                is_for(out, &connection->leaf_hashed, host));
  } else {
    // Without verification, nothing above the leaf counts or is hidden.
    is_clear = connection->is_unverified ||
               is_known(out, bytes, connection, ssl, shown->session, host);
  }
  if (is_clear) {
    return true;
  }
  *out = (pv__memo){.num_issuers = 0};
  return false;
}

// Tells if the last decision answers a question, and if its policy is in force.
static bool is_answered(const pv__connection *connection,
                        const pv__question *question, X509 *leaf,
                        const char *host) {
  const pv__question *asked = &connection->asked;
  return asked->is_answered && connection->leaf == leaf &&
         asked->session == question->session &&
         asked->has_chain == question->has_chain &&
         asked->is_unverified == question->is_unverified &&
         asked->rule == question->rule && asked->now == question->now &&
         connection->number == atomic_load(&question->rule->in_force.number) &&
         strcmp(connection->decision.host, host) == 0;
}

// Keeps a question and, as long, its session: so no other session can be at the
// same address.
static bool keep_question(pv__connection *connection,
                          const pv__question *question) {
  SSL_SESSION *session = question->session;
  if (session != NULL && !SSL_SESSION_up_ref(session)) {
    return false;
  }
  SSL_SESSION_free(connection->asked.session);
  connection->asked = *question;
  return true;
}

static bool may_pass(const pv_openssl_decision *decision,
                     const pv__pinned *rule) {
  return decision->report.accepted == 1 || rule->options.report_only != 0;
}

// A handshake asks at several moments: see handshake.c. While the question is
// the same, down to the second, the answer stays, and nothing is hashed again.
bool pv__judge(pv__connection *connection, SSL *ssl, const pv__shown *shown) {
  pv_openssl_decision *out = &connection->decision;
  pv__pinned *rule = pv__rule_of(ssl, connection);
  const pv__question question = {.has_chain = shown->has_chain,
                                 .is_unverified = connection->is_unverified,
                                 .rule = rule,
                                 .session = shown->session,
                                 .now = (int64_t)time(NULL)};
  char host[PV_HOST_MAX + 2] = "";
  const char *why = NO_RULE;
  const bool has_name = rule != NULL && pv__host_of(host, &why, ssl, rule);
  if (has_name && is_answered(connection, &question, shown->leaf, host)) {
    out->is_resumed = SSL_session_reused(ssl) == 1;
    return may_pass(out, rule);
  }
  *out = (pv_openssl_decision){.is_client = SSL_is_server(ssl) == 1,
                               .is_resumed = SSL_session_reused(ssl) == 1};
  pv__not_checked(out, why);
  connection->asked.is_answered = false;
  if (rule == NULL) {
    return false;
  }
  if (has_name) {
    memcpy(out->host, host, strlen(host) + 1);
  }
  if (!pv__leaf_kept(connection, &rule->cache, shown->leaf) ||
      !keep_question(connection, &question)) {
    pv__not_checked(out, UNREADABLE);
    return false;
  }
  pv__memo evidence;
  pv__buffer bytes = {NULL, 0};
  hashed_cert chain[PV_OPENSSL_CERTS_MAX];
  const bool is_hidden =
      !find_evidence(&evidence, &bytes, connection, ssl, shown, host);
  const size_t num_certs = list_chain(chain, connection, &evidence);
  out->is_verified = evidence.is_verified;
  ask(connection, rule, chain, num_certs, has_name, is_hidden);
  pv__buffer_free(&bytes);
  connection->asked.is_answered = has_name;
  return may_pass(out, rule);
}

bool pv__judge_full(pv__connection *connection, SSL *ssl) {
  // An error that a callback accepted after the decision about the leaf counts
  // as well: name constraints are checked last.
  const pv__shown shown = {.leaf = SSL_get0_peer_certificate(ssl),
                           .has_chain = !connection->is_unverified &&
                                        !connection->is_doubted &&
                                        connection->evidence.data != NULL};
  return pv__judge(connection, ssl, &shown);
}

bool pv__judge_session(pv__connection *connection, SSL *ssl,
                       SSL_SESSION *session) {
  const pv__shown shown = {.leaf = SSL_SESSION_get0_peer(session),
                           .session = session};
  return pv__judge(connection, ssl, &shown);
}

bool pv__judge_resumed(pv__connection *connection, SSL *ssl) {
  SSL_SESSION *session = SSL_get_session(ssl);
  if (session == NULL) {
    const pv__shown nothing = {.leaf = NULL};
    return pv__judge(connection, ssl, &nothing);
  }
  return pv__judge_session(connection, ssl, session);
}
