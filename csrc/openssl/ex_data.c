// ex_data.c: the adapter's state in contexts and connections of OpenSSL.
#include "broken_bio.h"
#include "connection.h"

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int context_index = -1;
static int connection_index = -1;

static void free_pinned(void *parent, void *data, CRYPTO_EX_DATA *all,
                        int index, long argl, void *argp) {
  (void)parent, (void)all, (void)index, (void)argl, (void)argp;
  pv__pinned *pinned = data;
  if (pinned != NULL) {
    pv__hash_cache_free(&pinned->cache);
    OPENSSL_free(pinned);
  }
}

static void free_connection(void *parent, void *data, CRYPTO_EX_DATA *all,
                            int index, long argl, void *argp) {
  (void)parent, (void)all, (void)index, (void)argl, (void)argp;
  pv__connection *connection = data;
  if (connection != NULL) {
    pv__forget(connection);
    OPENSSL_free(connection->name);
    SSL_CTX_free(connection->listener);
    OPENSSL_free(connection);
  }
}

// The copy that SSL_dup makes begins anew. Its verify callback is ours, which
// calls the application's.
static int renew_connection(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from,
                            void **data, int index, long argl, void *argp) {
  (void)to, (void)from, (void)index, (void)argl, (void)argp;
  const pv__connection *old = *data;
  pv__connection *copy = NULL;
  if (old != NULL) {
    copy = OPENSSL_zalloc(sizeof(*copy));
    if (copy == NULL) {
      return 0;
    }
    copy->verify_callback = old->verify_callback;
    copy->is_watched = old->is_watched;
  }
  *data = copy;
  return 1;
}

static void reserve_indexes(void) {
  if (pv__broken_bio_init()) {
    context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_pinned);
    connection_index =
        SSL_get_ex_new_index(0, NULL, NULL, renew_connection, free_connection);
  }
}

pv__pinned *pv__pinned_of(const SSL_CTX *ctx) {
  return context_index < 0 || ctx == NULL
             ? NULL
             : SSL_CTX_get_ex_data(ctx, context_index);
}

pv__pinned *pv__rule_of(const SSL *ssl, const pv__connection *connection) {
  pv__pinned *selected = pv__pinned_of(SSL_get_SSL_CTX(ssl));
  return selected != NULL ? selected : pv__pinned_of(connection->listener);
}

pv__connection *pv__connection_of(const SSL *ssl) {
  return connection_index < 0 ? NULL : SSL_get_ex_data(ssl, connection_index);
}

pv__connection *pv__connection_made(SSL *ssl) {
  pv__connection *connection = pv__connection_of(ssl);
  if (connection == NULL) {
    connection = OPENSSL_zalloc(sizeof(*connection));
    if (connection != NULL &&
        !SSL_set_ex_data(ssl, connection_index, connection)) {
      OPENSSL_free(connection);
      connection = NULL;
    }
  }
  return connection;
}

static void forget_leaf(pv__connection *connection) {
  connection->asked.is_answered = false;
  X509_free(connection->leaf);
  connection->leaf = NULL;
}

bool pv__leaf_kept(pv__connection *connection, pv__hash_cache *cache,
                   X509 *leaf) {
  if (connection->leaf == leaf) {
    return true;
  }
  forget_leaf(connection);
  if (leaf != NULL &&
      !(pv__cert_hashed(&connection->leaf_hashed, cache, leaf) &&
        X509_up_ref(leaf))) {
    return false;
  }
  connection->leaf = leaf;
  return true;
}

void pv__forget(pv__connection *connection) {
  forget_leaf(connection);
  pv__buffer_free(&connection->evidence);
  SSL_SESSION_free(connection->asked.session);
  connection->asked = (pv__question){.is_answered = false};
}

bool pv__ex_data_init(void) {
  return CRYPTO_THREAD_run_once(&once, reserve_indexes) == 1 &&
         context_index >= 0 && connection_index >= 0;
}

bool pv__pinned_set(SSL_CTX *ctx, pv__pinned *pinned) {
  return SSL_CTX_set_ex_data(ctx, context_index, pinned) == 1;
}
