// tls.c: both contexts of OpenSSL, their policies, and connections of them.
//
// Tickets carry all that a resumed session of a client needs, so there is no
// cache of sessions that could grow. Of the upstream the latest session is
// kept.
#include "tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- callbacks --------------------------------------------------------------

// Remembers the certificate of a peer: of one that is refused OpenSSL keeps
// none, and the log has to name it. The answer is that of OpenSSL.
static int on_verify(int ok, X509_STORE_CTX *store) {
  const SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  tls_peer *peer = ssl == NULL ? NULL : SSL_get_app_data(ssl);
  X509 *leaf = X509_STORE_CTX_get0_cert(store);
  if (peer != NULL && peer->leaf == NULL && leaf != NULL && X509_up_ref(leaf)) {
    peer->leaf = leaf;
  }
  return ok;
}

static void on_report(const SSL *ssl, const pv_openssl_decision *decision,
                      void *arg) {
  tls_peer *peer = SSL_get_app_data(ssl);
  (void)decision, (void)arg;
  if (peer != NULL) {
    peer->was_told = true;
  }
}

// Keeps the latest session with the upstream. 1: the reference is ours now.
static int on_session(SSL *ssl, SSL_SESSION *session) {
  tls *contexts = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  SSL_SESSION_free(contexts->session);
  contexts->session = session;
  return 1;
}

// ---- policies ---------------------------------------------------------------

// Reads a copy of a policy, so that a person who writes into the file in place
// changes nothing before the next reload. A policy without pins for its peers
// is refused: clients have no name, and the upstream has one.
static bool read_policy(pv_policy_file *out, const char *path, const char *host,
                        char why[LOG_TEXT_MAX]) {
  pv_rule rule;
  if (pv_policy_read(out, path) != 1) {
    snprintf(why, LOG_TEXT_MAX, "%s: %s", path,
             out->error != 0 ? strerror(out->error) : out->why);
    return false;
  }
  if (host == NULL) {
    snprintf(why, LOG_TEXT_MAX, "%s: no pins for clients; add [clients]", path);
    return pv_policy_has_clients(&out->policy);
  }
  const uint32_t index = pv_policy_find(&out->policy, host, strlen(host));
  snprintf(why, LOG_TEXT_MAX, "%s: no pins; add [hosts.\"%.100s\"]", path,
           host);
  return index != PV_NO_RULE &&
         pv_policy_rule(&rule, &out->policy, index) == PV_OK &&
         rule.pinset != PV_UNPINNED;
}

static void log_policies(const tls *contexts) {
  static const char *const names[] = {"clients", "upstream"};
  log_line line;
  log_begin(&line, "policies");
  for (size_t i = 0; i < 2; i++) {
    uint8_t digest[PV_DIGEST_LEN];
    char hex[2 * PV_DIGEST_LEN + 1];
    pv_policy_digest(digest, &contexts->policies[i].policy);
    for (size_t j = 0; j < PV_DIGEST_LEN; j++) {
      snprintf(hex + 2 * j, 3, "%02x", digest[j]);
    }
    log_text(&line, names[i], hex);
  }
  log_end(&line);
}

bool tls_load(tls *out, const options *chosen, char why[LOG_TEXT_MAX]) {
  static const pv_openssl_options told = {.on_report = on_report};
  SSL_CTX *const contexts[] = {out->server, out->client};
  pv_policy_file read[2] = {{.bytes = NULL}, {.bytes = NULL}};
  if (!read_policy(&read[0], chosen->client_policy, NULL, why) ||
      !read_policy(&read[1], chosen->upstream_policy, out->upstream, why)) {
    pv_policy_unmap(&read[0]);
    pv_policy_unmap(&read[1]);
    return false;
  }
  for (size_t i = 0; i < 2; i++) {
    pv_policy_file old = out->policies[i];
    out->policies[i] = read[i];  // the context points into its bytes
    if (old.bytes == NULL
            ? pv_openssl_pin(contexts[i], &read[i].policy, &told) != 1
            : pv_openssl_swap(contexts[i], &read[i].policy) != 1) {
      // The policies are open: memory is short, at the start.
      log_event("a fault of the gateway", "error", "a context is not pinned");
      abort();
    }
    pv_policy_unmap(&old);  // nobody uses it when a swap has returned
  }
  log_policies(out);
  return true;
}

// ---- contexts ---------------------------------------------------------------

static bool trouble(const char *what) {
  fprintf(stderr, "gateway: %s\n", what);
  ERR_print_errors_fp(stderr);
  return false;
}

static SSL_CTX *new_context(const SSL_METHOD *method, int mode) {
  SSL_CTX *ctx = SSL_CTX_new(method);
  if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
    SSL_CTX_free(ctx);
    return NULL;
  }
  // A record may go out in parts, from a buffer that is the same but for what
  // has gone; and idle connections keep no buffers.
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(ctx, mode, on_verify);
  return ctx;
}

// A client without a certificate is refused in report mode, too: pins add to
// the verification, and take nothing from it.
static bool make_server(tls *out, const options *chosen) {
  static const unsigned char name[] = "gateway";
  const char *issuers = chosen->client_authorities;
  out->server = new_context(TLS_server_method(),
                            SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
  if (out->server == NULL) {
    return trouble("OpenSSL makes no context");
  }
  SSL_CTX_set_session_cache_mode(out->server, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_use_certificate_chain_file(out->server, chosen->certificate) !=
          1 ||
      SSL_CTX_use_PrivateKey_file(out->server, chosen->certificate,
                                  SSL_FILETYPE_PEM) != 1) {
    return trouble("--certificate cannot be used");
  }
  if (SSL_CTX_load_verify_locations(out->server, issuers, NULL) != 1) {
    return trouble("--client-authorities cannot be used");
  }
  SSL_CTX_set_client_CA_list(out->server, SSL_load_client_CA_file(issuers));
  return SSL_CTX_set_session_id_context(out->server, name, sizeof(name) - 1) ==
             1 ||
         trouble("sessions cannot be told from those of others");
}

static bool make_client(tls *out, const options *chosen) {
  out->client = new_context(TLS_client_method(), SSL_VERIFY_PEER);
  if (out->client == NULL) {
    return trouble("OpenSSL makes no context");
  }
  if (SSL_CTX_load_verify_locations(out->client, chosen->upstream_authorities,
                                    NULL) != 1) {
    return trouble("--upstream-authorities cannot be used");
  }
  SSL_CTX_set_app_data(out->client, out);
  SSL_CTX_set_session_cache_mode(
      out->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(out->client, on_session);
  return true;
}

bool tls_begin(tls *out, const options *chosen) {
  char why[LOG_TEXT_MAX];
  *out = (tls){.upstream = chosen->upstream.host};
  return make_server(out, chosen) && make_client(out, chosen) &&
         (tls_load(out, chosen, why) || trouble(why));
}

void tls_free(tls *contexts) {
  SSL_SESSION_free(contexts->session);
  SSL_CTX_free(contexts->server);
  SSL_CTX_free(contexts->client);
  pv_policy_unmap(&contexts->policies[0]);
  pv_policy_unmap(&contexts->policies[1]);
}

// ---- connections ------------------------------------------------------------

static SSL *new_connection(SSL_CTX *ctx, int fd, tls_peer *peer) {
  SSL *ssl = SSL_new(ctx);
  if (ssl == NULL || SSL_set_app_data(ssl, peer) != 1 ||
      SSL_set_fd(ssl, fd) != 1) {
    SSL_free(ssl);
    return NULL;
  }
  return ssl;
}

SSL *tls_accept(tls *contexts, int fd, tls_peer *peer) {
  SSL *ssl = new_connection(contexts->server, fd, peer);
  if (ssl != NULL) {
    SSL_set_accept_state(ssl);
  }
  return ssl;
}

SSL *tls_connect(tls *contexts, int fd, tls_peer *peer) {
  const char *host = contexts->upstream;
  unsigned char binary[16];
  const bool is_address = inet_pton(AF_INET, host, binary) == 1 ||
                          inet_pton(AF_INET6, host, binary) == 1;
  SSL *ssl = new_connection(contexts->client, fd, peer);
  if (ssl == NULL) {
    return NULL;
  }
  // The name to verify, and to look up; it goes out as SNI if it is a name.
  if (SSL_set1_host(ssl, host) != 1 ||
      (!is_address && SSL_set_tlsext_host_name(ssl, host) != 1)) {
    SSL_free(ssl);
    return NULL;
  }
  if (contexts->session != NULL) {
    (void)SSL_set_session(ssl, contexts->session);
  }
  SSL_set_connect_state(ssl);
  return ssl;
}
