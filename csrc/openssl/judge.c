// judge.c: the certificates that count, and the decision about them.
//
// The rules are those of src/pinverify/tls/_evidence.py: a verified chain, or
// the leaf alone; resumed sessions are judged again, with the chain that their
// first handshake showed; an unknown chain must not hide a blocked key.
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "connection.h"

static const char NO_RULE[] = "neither context of this connection is pinned";
static const char NO_NAME[] =
    "the name of the server is not known: call SSL_set1_host before "
    "SSL_connect";
static const char SEVERAL_NAMES[] =
    "several names were given with SSL_add1_host, and their pins may differ: "
    "give one with SSL_set1_host";
static const char LONG_NAME[] = "the name is longer than 253 bytes";
static const char HIDDEN[] =
    "a resumed session shows no chain, and its first handshake is not known: "
    "connect again without the session";
static const char UNREADABLE[] =
    "the chain could not be encoded, or has too many certificates";
static const char NO_ANSWER[] = "the policy could not be asked";

void pv__not_checked(pv_openssl_decision *out, const char *why) {
  out->report = (pv_report){
      .reason = PV_NOT_CHECKED, .rule = PV_NO_RULE, .depth = PV_NO_DEPTH};
  out->why = why;
}

// The one name that OpenSSL verifies, or NULL. An address is a name, too.
static bool copy_verified_name(char out[PV_HOST_MAX + 2], SSL *ssl) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  const char *name = X509_VERIFY_PARAM_get0_host(param, 0);
  char *address = NULL;
  if (name == NULL) {
    address = X509_VERIFY_PARAM_get1_ip_asc(param);
    name = address;
  }
  out[0] = '\0';
  if (name != NULL) {
    OPENSSL_strlcpy(out, name, PV_HOST_MAX + 2);
  }
  OPENSSL_free(address);
  return out[0] != '\0';
}

static bool name_to_look_up(char out[PV_HOST_MAX + 2], const char **out_why,
                            const SSL *ssl, const pv__pinned *rule) {
  out[0] = '\0';
  *out_why = "";
  if (SSL_is_server(ssl)) {
    return true;
  }
  SSL *connection = (SSL *)ssl;  // SSL_get0_param only reads it
  if (X509_VERIFY_PARAM_get0_host(SSL_get0_param(connection), 1) != NULL) {
    *out_why = SEVERAL_NAMES;
    return false;
  }
  if (copy_verified_name(out, connection)) {
    *out_why = strlen(out) > PV_HOST_MAX ? LONG_NAME : "";
    return strlen(out) <= PV_HOST_MAX;
  }
  const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (rule->options.host_from_sni && sni != NULL && sni[0] != '\0') {
    OPENSSL_strlcpy(out, sni, PV_HOST_MAX + 2);
    return strlen(out) <= PV_HOST_MAX;
  }
  *out_why = NO_NAME;
  return false;
}

bool pv__host_of(char out[PV_HOST_MAX + 2], const char **out_why,
                 const SSL *ssl, const pv__pinned *rule) {
  // A question that OpenSSL cannot answer is no error of the connection, for
  // which SSL_get_error would take it.
  ERR_set_mark();
  const bool found = name_to_look_up(out, out_why, ssl, rule);
  ERR_pop_to_mark();
  return found;
}

// Fills an array with the certificates that count, leaf first.
static size_t list_chain(pv_span out[PV_OPENSSL_CERTS_MAX],
                         const pv__buffer *leaf, const pv__shown *shown) {
  if (leaf->data == NULL) {
    return 0;
  }
  out[0] = (pv_span){leaf->data, leaf->len};
  if (shown->evidence == NULL || !shown->evidence->is_verified) {
    return 1;
  }
  const size_t num = shown->evidence->num_issuers;
  memcpy(out + 1, shown->evidence->issuers, num * sizeof(pv_span));
  return num + 1;
}

// Tells if certificates above the leaf could change a decision about it.
static bool depends_on_chain(const pv_report *report, const pv_policy *policy,
                             const char *host) {
  if (report->mode != PV_ENFORCE) {
    return false;
  }
  return report->accepted ? !pv_host_is_clear(policy, host, strlen(host))
                          : report->reason == PV_MISMATCH;
}

// Asks one policy, whichever is in force now.
static void ask(pv__connection *connection, pv__pinned *rule,
                const pv_span *chain, size_t num_certs, bool has_name,
                bool is_hidden) {
  pv_openssl_decision *out = &connection->decision;
  const size_t host_len = strlen(out->host);
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
    if (pv_evaluate(&out->report, NULL, policy, out->host, host_len, chain,
                    num_certs, (int64_t)time(NULL)) != PV_OK) {
      pv__not_checked(out, NO_ANSWER);
    } else if (is_hidden && depends_on_chain(&out->report, policy, out->host)) {
      out->report.accepted = 0;
      out->report.reason = PV_NOT_CHECKED;
      out->why = HIDDEN;
    }
  }
  pv__read_end(&rule->in_force, &reading);
}

bool pv__judge(pv__connection *connection, SSL *ssl, const pv__shown *shown) {
  pv_openssl_decision *out = &connection->decision;
  pv__pinned *rule = pv__rule_of(ssl, connection);
  char host[PV_HOST_MAX + 2];
  pv__buffer leaf = {NULL, 0};
  *out = (pv_openssl_decision){.is_client = SSL_is_server(ssl) == 1,
                               .is_resumed = SSL_session_reused(ssl) == 1};
  pv__not_checked(out, NO_RULE);
  if (rule == NULL) {
    return false;
  }
  const bool has_name = pv__host_of(host, &out->why, ssl, rule);
  if (has_name) {
    memcpy(out->host, host, strlen(host) + 1);
  }
  if (shown->leaf != NULL && !pv__buffer_of_cert(&leaf, shown->leaf)) {
    pv__not_checked(out, UNREADABLE);
    return false;
  }
  pv_span chain[PV_OPENSSL_CERTS_MAX];
  const size_t num_certs = list_chain(chain, &leaf, shown);
  out->is_verified = shown->evidence != NULL && shown->evidence->is_verified;
  ask(connection, rule, chain, num_certs, has_name, shown->is_hidden);
  pv__buffer_free(&leaf);
  return out->report.accepted == 1 || rule->options.report_only != 0;
}

bool pv__judge_full(pv__connection *connection, SSL *ssl) {
  pv__evidence evidence;
  pv__shown shown = {.leaf = SSL_get0_peer_certificate(ssl)};
  // An error that a callback accepted after the leaf was decided counts as
  // well: name constraints are checked last.
  if (!connection->is_unverified && !connection->is_doubted &&
      pv__evidence_read(&evidence, connection->evidence.data,
                        connection->evidence.len)) {
    shown.evidence = &evidence;
  }
  return pv__judge(connection, ssl, &shown);
}

// The evidence in a session is for one leaf, and on a client for one name.
static bool is_for(const pv__evidence *evidence, SSL_SESSION *session,
                   const char *host) {
  pv__buffer leaf;
  uint8_t digest[PV_DIGEST_LEN];
  X509 *peer = SSL_SESSION_get0_peer(session);
  if (peer == NULL || !pv__buffer_of_cert(&leaf, peer)) {
    return false;
  }
  pv_sha256(digest, leaf.data, leaf.len);
  pv__buffer_free(&leaf);
  return memcmp(digest, evidence->leaf_sha256, PV_DIGEST_LEN) == 0 &&
         evidence->host_len == strlen(host) &&
         memcmp(evidence->host, host, evidence->host_len) == 0;
}

bool pv__judge_session(pv__connection *connection, SSL *ssl,
                       SSL_SESSION *session) {
  pv__pinned *rule = pv__rule_of(ssl, connection);
  char host[PV_HOST_MAX + 2] = "";
  const char *why = "";
  pv__evidence evidence;
  pv__shown shown = {.leaf = SSL_SESSION_get0_peer(session)};
  // A client that verifies does not rely on a handshake that did not.
  const bool is_known =
      rule != NULL && pv__evidence_of_session(&evidence, session) &&
      (pv__host_of(host, &why, ssl, rule) || host[0] == '\0') &&
      is_for(&evidence, session, host) &&
      (evidence.is_verified || connection->is_unverified || SSL_is_server(ssl));
  if (is_known && !connection->is_unverified) {
    shown.evidence = &evidence;
  }
  // Without verification, nothing above the leaf counts, so nothing is hidden.
  shown.is_hidden = !is_known && !connection->is_unverified;
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
