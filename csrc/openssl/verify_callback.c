// verify_callback.c: the verify callback of a connection, which knows whether
// OpenSSL verified the chain. OpenSSL does not call it for resumed sessions:
// handshake.c says what is done instead.
#include "verify_callback.h"

#include "rejected_connection.h"

static const char TOO_MANY[] =
    "the chain has too many certificates, or memory is short";

bool pv__keep_chain(pv__connection *connection, SSL *ssl, X509 *leaf,
                    STACK_OF(X509) *chain) {
  pv__pinned *rule = pv__rule_of(ssl, connection);
  char host[PV_HOST_MAX + 2] = "";
  const char *why = "";
  if (rule == NULL) {
    return true;  // pv__judge rejects for that
  }
  if (!pv__host_of(host, &why, ssl, rule)) {
    host[0] = '\0';
  }
  connection->asked.is_answered = false;
  pv__buffer_free(&connection->evidence);
  return pv__leaf_kept(connection, &rule->cache, leaf) &&
         pv__memo_write(&connection->evidence, &rule->cache,
                        &connection->leaf_hashed, chain, host);
}

// Decides about the chain of a verification. OpenSSL has verified the chain
// when it comes to the leaf without an error.
static bool passes(pv__connection *connection, SSL *ssl,
                   X509_STORE_CTX *store) {
  pv__shown shown = {.leaf = X509_STORE_CTX_get0_cert(store)};
  if (!connection->is_unverified && !connection->is_doubted) {
    shown.has_chain = pv__keep_chain(connection, ssl, shown.leaf,
                                     X509_STORE_CTX_get0_chain(store));
    if (!shown.has_chain) {
      pv__not_checked(&connection->decision, TOO_MANY);
      return false;
    }
  }
  return pv__judge(connection, ssl, &shown);
}

// On a client, SSL_VERIFY_NONE becomes SSL_VERIFY_PEER with this bit, which
// neither library uses.
enum { FOR_NONE = 0x80 };

static bool verifies(int mode) {
  return (mode & SSL_VERIFY_PEER) && !(mode & FOR_NONE);
}

// Rejects a peer. If OpenSSL would ignore that, breaks the connection now: no
// later step is sure to, since the info callback can have been replaced.
static int refused(pv__connection *connection, SSL *ssl,
                   X509_STORE_CTX *store) {
  if (connection->state != PV__REJECTED) {
    connection->state = PV__REJECTED;
    pv__raise_error(&connection->decision);
  }
  if (!(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER)) {
    pv__break_connection(ssl);
  }
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
  return 0;
}

// Asks the verify callback in whose place ours is: the one that the application
// gave to the connection, or else the one of the store.
static int answer_of_application(pv__connection *connection, int ok,
                                 X509_STORE_CTX *store) {
  SSL_verify_cb callback = connection->verify_callback;
  if (callback == NULL) {
    callback = X509_STORE_get_verify_cb(X509_STORE_CTX_get0_store(store));
  }
  if (callback == NULL) {
    return ok;
  }
  connection->is_asking = true;
  const int answer = callback(ok, store);
  connection->is_asking = false;
  return answer;
}

static int on_verify(int ok, X509_STORE_CTX *store) {
  SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  pv__connection *connection = ssl == NULL ? NULL : pv__connection_of(ssl);
  if (connection == NULL) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
  }
  if (connection->is_asking) {
    return ok;  // the application's callback calls ours
  }
  if (connection->state == PV__ACCEPTED) {
    pv__reject_because(connection, ssl, pv__second_handshake);
  }
  // A callback that replaced ours and calls it may have changed `ok`.
  const bool is_wrong = !ok || SSL_get_verify_callback(ssl) != on_verify ||
                        !pv__is_callback_of(on_verify, store);
  const int answer = answer_of_application(connection, ok, store);
  // The application may have changed the mode.
  connection->is_unverified = !verifies(SSL_get_verify_mode(ssl));
  if (!connection->is_unverified && (!answer || connection->is_overruled)) {
    return 0;
  }
  connection->is_doubted |= is_wrong;
  if (!answer) {
    connection->is_overruled = true;
    if (X509_STORE_CTX_get_error(store) == X509_V_OK) {
      X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    }
  }
  const bool is_decided_now = connection->is_unverified ||
                              connection->is_doubted ||
                              X509_STORE_CTX_get_error_depth(store) == 0;
  if (connection->state != PV__REJECTED &&
      (!is_decided_now || passes(connection, ssl, store))) {
    return 1;
  }
  return refused(connection, ssl, store);
}

bool pv__watch_verification(pv__connection *connection, SSL *ssl) {
  int mode = SSL_get_verify_mode(ssl);
  SSL_verify_cb callback = SSL_get_verify_callback(ssl);
  if (callback != on_verify) {
    connection->verify_callback = callback;
  } else if (!connection->is_watched) {
    return false;  // copied from another connection, with an unknown one behind
  }
  connection->is_watched = true;
  connection->is_unverified = !verifies(mode);
  if (connection->is_unverified && !SSL_is_server(ssl)) {
    mode |= SSL_VERIFY_PEER | FOR_NONE;
  }
  SSL_set_verify(ssl, mode, on_verify);
  return true;
}

void pv__end_verification(SSL *ssl) {
  const int mode = SSL_get_verify_mode(ssl);
  if (mode & FOR_NONE) {
    SSL_set_verify(ssl, mode & ~(SSL_VERIFY_PEER | FOR_NONE), NULL);
  }
}
