// facts_boringssl.c: facts about a connection, as BoringSSL tells them.
//
// BoringSSL does not tell the name that it verifies, so programs give that name
// to the adapter. Its sessions and tickets have no application data, but keep
// all certificates that the peer sent. The chain as it was sent never counts,
// so the chain of a resumed session is verified again, as in a full handshake.
#include "facts.h"

#ifdef OPENSSL_IS_BORINGSSL

const char pv__no_name[] =
    "the name of the server is not known: call pv_openssl_set1_host before "
    "SSL_connect";

int pv_openssl_set1_host(SSL *ssl, const char *host) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  pv__connection *connection =
      pv__ex_data_init() ? pv__connection_made(ssl) : NULL;
  char *copy = OPENSSL_strdup(host);
  if (param == NULL || connection == NULL || copy == NULL) {
    OPENSSL_free(copy);
    return 0;
  }
  ERR_set_mark();  // a name that is no address is no error
  const bool is_address = X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
  ERR_pop_to_mark();
  if (!is_address && SSL_set1_host(ssl, host) != 1) {
    OPENSSL_free(copy);
    return 0;
  }
  OPENSSL_free(connection->name);
  connection->name = copy;
  return 1;
}

bool pv__verified_name(char out[PV_HOST_MAX + 2], const char **out_why,
                       const SSL *ssl) {
  const pv__connection *connection = pv__connection_of(ssl);
  (void)out_why;
  out[0] = '\0';
  if (connection != NULL && connection->name != NULL) {
    OPENSSL_strlcpy(out, connection->name, PV_HOST_MAX + 2);
  }
  return true;
}

void pv__session_keep(SSL_SESSION *session, const pv__buffer *bytes) {
  (void)session, (void)bytes;
}

// Returns the certificates of a session, leaf first, or NULL.
static STACK_OF(X509) *sent_chain(const SSL_SESSION *session) {
  const STACK_OF(CRYPTO_BUFFER) *sent =
      SSL_SESSION_get0_peer_certificates(session);
  STACK_OF(X509) *chain = sk_X509_new_null();
  const size_t num = sent == NULL ? 0 : sk_CRYPTO_BUFFER_num(sent);
  for (size_t i = 0; chain != NULL && i < num; i++) {
    X509 *cert = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(sent, i));
    if (cert == NULL || !sk_X509_push(chain, cert)) {
      X509_free(cert);
      sk_X509_pop_free(chain, X509_free);
      return NULL;
    }
  }
  return chain;
}

// Verifies as BoringSSL does in a full handshake, but calls no callbacks: these
// could accept errors.
static bool verify(X509_STORE_CTX *store, SSL *ssl, STACK_OF(X509) *sent) {
  const X509_VERIFY_PARAM *given = SSL_get0_param(ssl);
  X509_STORE *trusted = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
  return given != NULL && sent != NULL && sk_X509_num(sent) > 0 &&
         X509_STORE_CTX_init(store, trusted, sk_X509_value(sent, 0), sent) &&
         X509_STORE_CTX_set_default(
             store, SSL_is_server(ssl) ? "ssl_client" : "ssl_server") &&
         X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(store), given) &&
         X509_verify_cert(store) == 1;
}

static bool write_chain(pv__buffer *out, pv__hash_cache *cache,
                        X509_STORE_CTX *store, const char *host) {
  hashed_cert leaf;
  return pv__cert_hashed(&leaf, cache, X509_STORE_CTX_get0_cert(store)) &&
         pv__memo_write(out, cache, &leaf, X509_STORE_CTX_get0_chain(store),
                            host);
}

bool pv__session_evidence(pv__memo *out, pv__buffer *bytes,
                          pv__connection *connection, SSL *ssl,
                          SSL_SESSION *session, const char *host) {
  pv__pinned *rule = pv__rule_of(ssl, connection);
  *out = (pv__memo){.num_issuers = 0};
  ERR_set_mark();  // a session that does not pass is no error
  STACK_OF(X509) *sent = session == NULL ? NULL : sent_chain(session);
  X509_STORE_CTX *store = X509_STORE_CTX_new();
  const bool is_verified = store != NULL && verify(store, ssl, sent) &&
                           rule != NULL &&
                           write_chain(bytes, &rule->cache, store, host) &&
                           pv__memo_read(out, bytes->data, bytes->len);
  X509_STORE_CTX_free(store);
  sk_X509_pop_free(sent, X509_free);
  ERR_pop_to_mark();
  return is_verified;
}

// None is selected late: BoringSSL calls every callback that selects contexts
// for resumed sessions, too.
bool pv__is_selected_late(const pv__connection *connection, const SSL *ssl) {
  (void)connection, (void)ssl;
  return false;
}

void pv__give_no_session(const pv__connection *connection, SSL *ssl) {
  (void)connection, (void)ssl;
}

#endif
