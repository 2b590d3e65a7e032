// verify_callbacks.c: scenarios in which an application changes how a
// connection is verified: its callback, its mode, what it verifies.
#include "dialogue.h"

typedef int verify_callback(int ok, X509_STORE_CTX *store);

static verify_callback *previous;
static int calls;

// Callbacks that call the one that was there before.
static int accept_all_by_ours(int ok, X509_STORE_CTX *store) {
  (void)ok;
  return previous(1, store);
}

static int hide_errors_from_ours(int ok, X509_STORE_CTX *store) {
  (void)ok;
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return previous(1, store);
}

static int call_ours(int ok, X509_STORE_CTX *store) {
  return previous(ok, store);
}

static void wrap(SSL *ssl, verify_callback *callback) {
  previous = SSL_get_verify_callback(ssl);
  CHECK(previous != NULL);
  SSL_set_verify(ssl, SSL_get_verify_mode(ssl) | SSL_VERIFY_PEER, callback);
}

static void ended(dialogue *d) {
  SSL_set_shutdown(d->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_set_shutdown(d->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  closed(d);
}

// A callback that is set on the way, calls ours, and says that all is well:
// then nothing but the leaf counts.
static void expect_wrapped(const char *policy, const char *identity,
                           verify_callback *callback, bool accepted) {
  SSL_CTX *client = pinned_client(policy);
  SSL_CTX *server = server_context(identity, SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  pv_openssl_decision decision;
  expect_host(d.client, HOST);
  SSL_do_handshake(d.client);
  wrap(d.client, callback);
  talk(&d);
  CHECK(pv_openssl_report(d.client, &decision) == (uint32_t)accepted);
  CHECK(!decision.is_verified);
  CHECK(d.client_done == accepted && d.at_server == accepted);
  ended(&d);
  freed(client, server);
}

static void callback_in_place_of_ours(void) {
  expect_wrapped("ca", "forged", accept_all_by_ours, false);
  expect_wrapped("ca", "forged", hide_errors_from_ours, false);
  expect_wrapped("leaf", "impostor", hide_errors_from_ours, false);
  expect_wrapped("leaf", "server", call_ours, true);
}

// The same for a callback that an application gives to one verification.
static int verify_with_its_own(X509_STORE_CTX *store, void *arg) {
  SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  verify_callback *const *callback = arg;
  previous = SSL_get_verify_callback(ssl);
  X509_STORE_CTX_set_verify_cb(store, *callback);
  return X509_verify_cert(store);
}

static void callback_of_a_verification(void) {
  static verify_callback *callbacks[] = {
      accept_all_by_ours,
#ifndef OPENSSL_IS_BORINGSSL
      hide_errors_from_ours,
#endif
  };
  for (size_t i = 0; i < sizeof(callbacks) / sizeof(callbacks[0]); i++) {
    SSL_CTX *client = client_context();
    SSL_CTX *server = server_context("forged", SSL_VERIFY_NONE);
    SSL_CTX_set_cert_verify_callback(client, verify_with_its_own,
                                     &callbacks[i]);
    pin(client, "ca");
    answer a = connect_once(client, server, NULL);
    CHECK(!a.client_accepts && !a.client.is_verified && no_byte_passed(&a));
    forget(&a);
    freed(client, server);
  }
}

// One that hides an error and puts ours back, as if nothing had been.
static int put_ours_back(int ok, X509_STORE_CTX *store) {
  if (!ok) {
    X509_STORE_CTX_set_error(store, X509_V_OK);
    X509_STORE_CTX_set_verify_cb(store, previous);
  }
  return 1;
}

static void callback_that_puts_ours_back(void) {
  expect_wrapped("ca", "forged", put_ours_back, false);
}

// A callback of the store is called where the connection has none.
static int refuse_and_count(int ok, X509_STORE_CTX *store) {
  (void)ok;
  calls++;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

static void callback_of_the_store(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  X509_STORE_set_verify_cb(SSL_CTX_get_cert_store(client), refuse_and_count);
  calls = 0;
  answer a = connect_once(client, server, NULL);
  CHECK(calls > 0 && !a.client_done && no_byte_passed(&a));
  forget(&a);
  freed(client, server);
}

#ifndef OPENSSL_IS_BORINGSSL
// A note that a callback leaves in place of an error is none. (BoringSSL may
// hide an error by one.)
static int leave_a_note(int ok, X509_STORE_CTX *store) {
  if (ok && X509_STORE_CTX_get_error_depth(store) > 0) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_CRL);
  }
  return ok;
}

static void note_of_a_callback(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, leave_a_note);
  pin(client, "ca");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && a.client_accepts && a.client.is_verified);
  forget(&a);
  freed(client, server);
}
#endif

// An application that tries a second store, if the first does not do.
static int try_twice(X509_STORE_CTX *store, void *arg) {
  const int index = SSL_get_ex_data_X509_STORE_CTX_idx();
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, index);
  X509_STORE *empty = X509_STORE_new();
  X509_STORE_CTX *first = X509_STORE_CTX_new();
  (void)arg;
  CHECK(X509_STORE_CTX_init(first, empty, X509_STORE_CTX_get0_cert(store),
                            NULL) == 1);
  X509_STORE_CTX_set_ex_data(first, index, ssl);
  X509_STORE_CTX_set_verify_cb(first, SSL_get_verify_callback(ssl));
  CHECK(X509_verify_cert(first) != 1);
  X509_STORE_CTX_free(first);
  X509_STORE_free(empty);
  return X509_verify_cert(store);
}

static void second_store(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_cert_verify_callback(client, try_twice, NULL);
  pin(client, "ca");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && a.client_accepts && a.client.is_verified);
  forget(&a);
  freed(client, server);
}

// With SSL_VERIFY_NONE the refusal of a callback is ignored, and can be read.
static int refuse_without_a_reason(int ok, X509_STORE_CTX *store) {
  (void)ok, (void)store;
  return 0;
}

static void refusal_without_verification(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_verify(client, SSL_VERIFY_NONE, refuse_without_a_reason);
  pin(client, "leaf");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && a.verify_result != X509_V_OK);
  forget(&a);
  freed(client, server);
}

// The mode is the application's again when the handshake is over.
static void mode_is_given_back(void) {
  SSL_CTX *client = pinned_client("elsewhere");
  SSL_CTX *server = server_context("self_signed", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  SSL_set_verify(d.client, SSL_VERIFY_NONE, NULL);
  talk(&d);
  CHECK(d.client_done && SSL_get_verify_mode(d.client) == SSL_VERIFY_NONE);
  renew(&d, server);
  SSL_set_verify(d.client, SSL_get_verify_mode(d.client) | SSL_VERIFY_PEER,
                 NULL);
  talk(&d);
  CHECK(!d.client_done && pv_openssl_report(d.client, NULL) == 0);
  ended(&d);
  freed(client, server);
}

// Ours, taken from one connection, does not know the callback of another.
static void callback_taken_from_another(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, refuse_and_count);
  pin(client, "leaf");
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  talk(&d);
  CHECK(!d.client_done);
  dialogue e = opened(client, server);
  expect_host(e.client, HOST);
  SSL_set_verify(e.client, SSL_VERIFY_PEER, SSL_get_verify_callback(d.client));
  talk(&e);
  CHECK(!e.client_done && e.at_server == 0 && e.at_client == 0);
  ended(&d);
  ended(&e);
  freed(client, server);
}

// A server that is used again demands no more than its policy.
static void server_used_again(void) {
  SSL_CTX *server = pinned_server("clients_leaf");
  SSL_CTX *good = client_with("client"), *none = client_with(NULL);
  dialogue d = opened(good, server);
  expect_host(d.client, HOST);
  talk(&d);
  CHECK(d.server_done);
  CHECK(pv_openssl_swap(server, policy_of("clients_watched")) == 1);
  SSL_set_shutdown(d.server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  CHECK(SSL_clear(d.server) == 1);
  SSL_set_accept_state(d.server);
  dialogue e = opened(none, server);
  SSL_free(e.server);
  e.server = d.server;
  BIO *a = NULL, *b = NULL;
  CHECK(BIO_new_bio_pair(&a, 1 << 17, &b, 1 << 17) == 1);
  SSL_set_bio(e.client, a, a);
  SSL_set_bio(e.server, b, b);
  expect_host(e.client, HOST);
  talk(&e);
  CHECK(e.server_done && e.at_server == 1);
  SSL_free(d.client);
  ended(&e);
  SSL_CTX_free(none);
  freed(good, server);
}

// The same at a server, whose ticket must not carry a chain that nobody
// verified.
static SSL_SESSION *newest;

static int keep_newest(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(newest);
  newest = session;
  return 1;
}

static void callback_in_place_of_ours_at_a_server(void) {
  SSL_CTX *server = pinned_server("clients_ca");
  SSL_CTX *client = client_with("forged_client");
  SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(client, keep_newest);
  for (int wrapped = 1; wrapped >= 0; wrapped--) {
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    if (newest != NULL) {
      offer(d.client, newest);
    }
    SSL_do_handshake(d.client);
    SSL_do_handshake(d.server);
    if (wrapped) {
      wrap(d.server, hide_errors_from_ours);
    }
    talk(&d);
    CHECK(d.at_server == 0 && pv_openssl_report(d.server, NULL) == 0);
    ended(&d);
  }
  SSL_SESSION_free(newest);
  newest = NULL;
  freed(client, server);
}

// A callback of an application that calls ours is called by ours.
static int wrap_in_callback(SSL *ssl, int *alert, void *arg) {
  (void)alert, (void)arg;
  wrap(ssl, call_ours);
  return SSL_TLSEXT_ERR_OK;
}

static void callback_that_calls_ours(void) {
  static const char *clients[] = {"stranger", "client"};
  for (int good = 0; good < 2; good++) {
    SSL_CTX *server = pinned_server("clients_leaf");
    SSL_CTX *client = client_with(clients[good]);
    SSL_CTX_set_tlsext_servername_callback(server, wrap_in_callback);
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    SSL_set_tlsext_host_name(d.client, HOST);
    talk(&d);
    CHECK(pv_openssl_report(d.server, NULL) == (uint32_t)good);
    CHECK(d.at_server == good);
    ended(&d);
    freed(client, server);
  }
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  talk(&d);
  renew(&d, server);
  wrap(d.client, call_ours);
  talk(&d);
  CHECK(d.client_done && d.at_server == 1);
  ended(&d);
  freed(client, server);
}

// A client that verifies again, after it did not: the verification of OpenSSL
// counts, where pins say nothing.
static void verification_turned_on(void) {
  for (int in_one = 0; in_one < 2; in_one++) {
    SSL_CTX *client = pinned_client("elsewhere");
    SSL_CTX *server = server_context("self_signed", SSL_VERIFY_NONE);
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    SSL_set_verify(d.client, SSL_VERIFY_NONE, NULL);
    if (in_one) {
      SSL_do_handshake(d.client);
    } else {
      talk(&d);
      CHECK(d.client_done && d.at_server == 1);
      renew(&d, server);
    }
    SSL_set_verify(d.client, SSL_VERIFY_PEER, NULL);
    talk(&d);
    CHECK(!d.client_done && d.at_server == 0 && d.at_client == 0);
    CHECK(pv_openssl_report(d.client, NULL) == 0);
    ended(&d);
    freed(client, server);
  }
}

// A client with SSL_VERIFY_NONE ignores the first refusal of its callback,
// which then turns verification on.
static int refusals;

static int refuse_and_turn_on(int ok, X509_STORE_CTX *store) {
  SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  refusals += !ok;
  if (ok && refusals > 0) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
  }
  return ok;
}

static void verification_turned_on_by_a_callback(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("forged", SSL_VERIFY_NONE);
  SSL_CTX_set_verify(client, SSL_VERIFY_NONE, refuse_and_turn_on);
  pin(client, "forged_leaf");
  refusals = 0;
  answer a = connect_once(client, server, NULL);
  CHECK(refusals > 0);
  CHECK(!a.client_done && !a.client_accepts && no_byte_passed(&a));
  forget(&a);
  freed(client, server);
}

// Without verification, and with nobody who follows the handshake any more, a
// rejection ends it all the same.
static void mind_nothing(const SSL *ssl, int where, int ret) {
  (void)ssl, (void)where, (void)ret;
}

static void nobody_follows_a_client(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *unpinned = client_context();
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  SSL_do_handshake(d.client);
  SSL_set_SSL_CTX(d.client, unpinned);
  SSL_set_info_callback(d.client, mind_nothing);
  SSL_set_verify(d.client, SSL_VERIFY_NONE, NULL);
  talk(&d);
  CHECK(d.at_server == 0 && d.at_client == 0);
  CHECK(pv_openssl_report(d.client, NULL) == 0);
  ended(&d);
  SSL_CTX_free(unpinned);
  freed(client, server);
}

static SSL_CTX *selected;

static int select_and_forget(SSL *ssl, int *alert, void *arg) {
  (void)alert, (void)arg;
  SSL_set_SSL_CTX(ssl, selected);
  SSL_set_info_callback(ssl, mind_nothing);
  return SSL_TLSEXT_ERR_OK;
}

static void nobody_follows_at_a_server(void) {
  SSL_CTX *listener = pinned_server("clients_leaf");
  SSL_CTX *client = client_with("stranger");
  selected = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_tlsext_servername_callback(listener, select_and_forget);
  dialogue d = opened(client, listener);
  expect_host(d.client, HOST);
  SSL_set_tlsext_host_name(d.client, HOST);
  talk(&d);
  CHECK(d.at_server == 0 && d.at_client == 0);
  CHECK(pv_openssl_report(d.server, NULL) == 0);
  ended(&d);
  SSL_CTX_free(selected);
  freed(client, listener);
}

#ifndef OPENSSL_IS_BORINGSSL
static int refuse_all(int ok, X509_STORE_CTX *store) {
  (void)ok;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

// The copy that SSL_dup makes of a client that was used keeps the callback.
static void copy_of_a_used_client(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, refuse_all);
  pin(client, "leaf");
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  talk(&d);
  CHECK(!d.client_done);
  renew(&d, server);
  SSL *copy = SSL_dup(d.client);
  CHECK(copy != NULL && copy != d.client);
  SSL_set_connect_state(copy);
  SSL_set0_rbio(copy, BIO_new(BIO_s_mem()));
  SSL_set0_wbio(copy, BIO_new(BIO_s_mem()));
  SSL_free(d.client);
  d.client = copy;
  renew(&d, server);
  expect_host(d.client, HOST);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0 && d.at_client == 0);
  ended(&d);
  freed(client, server);
}
#endif

// An application verifies the issuer that came along, and lets ours see that.
static int verify_the_issuer(X509_STORE_CTX *store, void *arg) {
  const int index = SSL_get_ex_data_X509_STORE_CTX_idx();
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, index);
  STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
  X509_STORE *trusted = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
  X509_STORE_CTX *other = X509_STORE_CTX_new();
  (void)arg;
  CHECK(X509_STORE_CTX_init(other, trusted, sk_X509_value(sent, 1), sent) == 1);
  X509_STORE_CTX_set_ex_data(other, index, ssl);
  X509_STORE_CTX_set_verify_cb(other, SSL_get_verify_callback(ssl));
  X509_verify_cert(other);
  X509_STORE_CTX_free(other);
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

static void chain_of_another_certificate(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("forged", SSL_VERIFY_NONE);
  SSL_CTX_set_cert_verify_callback(client, verify_the_issuer, NULL);
  pin(client, "root");
  answer a = connect_once(client, server, NULL);
  CHECK(!a.client_accepts && no_byte_passed(&a));
  CHECK(!a.client.is_verified);
  forget(&a);
  freed(client, server);
}

const scenario verification_scenarios[] = {
    {"callback_in_place_of_ours", callback_in_place_of_ours},
    {"callback_in_place_of_ours_at_a_server",
     callback_in_place_of_ours_at_a_server},
    {"callback_of_a_verification", callback_of_a_verification},
    {"callback_that_puts_ours_back", callback_that_puts_ours_back},
    {"callback_of_the_store", callback_of_the_store},
#ifndef OPENSSL_IS_BORINGSSL
    {"note_of_a_callback", note_of_a_callback},
#endif
    {"second_store", second_store},
    {"refusal_without_verification", refusal_without_verification},
    {"mode_is_given_back", mode_is_given_back},
    {"callback_taken_from_another", callback_taken_from_another},
    {"server_used_again", server_used_again},
    {"callback_that_calls_ours", callback_that_calls_ours},
    {"verification_turned_on", verification_turned_on},
    {"verification_turned_on_by_a_callback",
     verification_turned_on_by_a_callback},
    {"nobody_follows_a_client", nobody_follows_a_client},
    {"nobody_follows_at_a_server", nobody_follows_at_a_server},
#ifndef OPENSSL_IS_BORINGSSL
    {"copy_of_a_used_client", copy_of_a_used_client},
#endif
    {"chain_of_another_certificate", chain_of_another_certificate},
    {NULL, NULL},
};
