// client.c: scenarios of pinned clients: full and resumed handshakes.
#include "../../../csrc/openssl/hash_cache.h"
#include "dialogue.h"

// The server is the one that is meant, unless a scenario says otherwise.
static void expect(const char *policy, const char *identity, bool accepted,
                   pv_reason reason) {
  SSL_CTX *client = pinned_client(policy);
  SSL_CTX *server = server_context(identity, SSL_VERIFY_NONE);
  answer a = connect_once(client, server, NULL);
  CHECK(a.client_accepts == accepted);
  CHECK(a.client.report.reason == reason);
  CHECK(accepted ? went_well(&a) : no_byte_passed(&a) && !a.server_done);
  CHECK(names_key_of(&a.client, server) ==
        (reason != PV_NOT_PINNED && reason != PV_NOT_CHECKED));
  if (!accepted) {
    CHECK(!a.client_done);
    CHECK(a.alert == SSL_AD_BAD_CERTIFICATE);
    CHECK(a.verify_result == X509_V_ERR_CERT_REJECTED);
  }
  forget(&a);
  freed(client, server);
}

static void pinned_leaf(void) {
  expect("leaf", "server", true, PV_MATCH);
  expect("leaf", "impostor", false, PV_MISMATCH);
}

static void pinned_authority(void) {
  expect("ca", "server", true, PV_MATCH);
  expect("ca", "impostor", false, PV_MISMATCH);
}

static void unpinned_host(void) {
  expect("elsewhere", "impostor", true, PV_NOT_PINNED);
}

// A key of the chain is blocked: the root's.
static void blocked_root(void) {
  expect("root_blocked", "server", false, PV_BLOCKED);
}

static void report_mode(void) {
  expect("watched", "impostor", true, PV_MISMATCH);
}

// A chain of 16 certificates is decided, and resumed; a longer one is rejected.
static void chain_of_16(void) {
  expect("root", "longest_chain", true, PV_MATCH);
  expect("root", "longer_chain", false, PV_NOT_CHECKED);
  SSL_CTX *client = pinned_client("root");
  SSL_CTX *server = server_context("longest_chain", SSL_VERIFY_NONE);
  answer first = connect_once(client, server, NULL);
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.client_accepts);
  CHECK(again.client.report.depth == 15);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// Connects a client that pins "server" to whoever shows an identity.
static void expect_server_alone(SSL_CTX *client, const char *shown) {
  const bool is_pinned = strcmp(shown, "server") == 0;
  SSL_CTX *server = server_context(shown, SSL_VERIFY_NONE);
  answer a = connect_once(client, server, NULL);
  CHECK(a.client_accepts == is_pinned);
  CHECK(is_pinned ? went_well(&a) : no_byte_passed(&a));
  CHECK(a.client.report.reason == (is_pinned ? PV_MATCH : PV_MISMATCH));
  CHECK(names_key_of(&a.client, server));
  forget(&a);
  SSL_CTX_free(server);
}

// A context remembers certificates: the one that it knows, and no other that is
// like it.
static void certificates_that_are_alike(void) {
  const char *const shown[] = {"server", "twin", "server", "twin", "twin"};
  SSL_CTX *client = pinned_client("leaf");
  for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
    expect_server_alone(client, shown[i]);
  }
  SSL_CTX_free(client);
}

// One that has the signature of another, or signs the same bytes otherwise, is
// not that other. Without verification only the pins tell them apart.
static void certificates_with_parts_of_another(void) {
  const char *const shown[] = {"server", "other_tbs", "other_signature",
                               "server", "other_algorithm", "server"};
  SSL_CTX *client = client_context();
  SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
  pin(client, "certificate");
  for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
    expect_server_alone(client, shown[i]);
  }
  SSL_CTX_free(client);
}

static bool is_remembered(const pv__hash_cache *cache, const char *identity) {
  SSL_CTX *shows = server_context(identity, SSL_VERIFY_NONE);
  uint8_t *der = NULL;
  const int len = i2d_X509(SSL_CTX_get0_certificate(shows), &der);
  bool is_there = false;
  for (size_t i = 0; len > 0 && i < PV__SETS * PV__WAYS; i++) {
    const pv__buffer *has = &cache->places[i / PV__WAYS][i % PV__WAYS].der;
    is_there |= has->len == (size_t)len && memcmp(has->data, der, has->len) == 0;
  }
  OPENSSL_free(der);
  SSL_CTX_free(shows);
  return is_there;
}

// The certificates of one chain may fall into one set, and both stay. A third
// takes the place of the one that was used longer ago.
static void two_certificates_of_one_set(void) {
  static pv__hash_cache cache;
  const char *const used[] = {"server", "twin", "server", "other_signature"};
  for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
    SSL_CTX *shows = server_context(used[i], SSL_VERIFY_NONE);
    hashed_cert digests;
    CHECK(pv__cert_hashed(&digests, &cache, SSL_CTX_get0_certificate(shows)));
    SSL_CTX_free(shows);
    CHECK(is_remembered(&cache, "server"));
    CHECK(is_remembered(&cache, used[i]));
  }
  CHECK(!is_remembered(&cache, "twin"));
  pv__hash_cache_free(&cache);
}

// Without pins the impostor is believed: he has a certificate for the name.
static void impostor_without_pins(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a));
  CHECK(!a.client_accepts && a.client.report.reason == PV_NOT_CHECKED);
  forget(&a);
  freed(client, server);
}

// Pitfall 1: no operation comes before the check. Pitfall 3: none comes after.
static void try_all(dialogue *d) {
  char byte;
  for (int i = 0; i < 3; i++) {
    CHECK(SSL_write(d->client, "secret", 6) <= 0);
    CHECK(SSL_read(d->client, &byte, 1) <= 0);
    CHECK(SSL_peek(d->client, &byte, 1) <= 0);
    CHECK(SSL_connect(d->client) <= 0);
    CHECK(SSL_do_handshake(d->client) <= 0);
    SSL_do_handshake(d->server);
    CHECK(SSL_read(d->server, &byte, 1) <= 0);
    ERR_clear_error();
  }
}

static void no_operation_before_the_check(void) {
  for (int operation = 0; operation < 4; operation++) {
    SSL_CTX *client = pinned_client("leaf");
    SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
    dialogue d = opened(client, server);
    char byte;
    expect_host(d.client, HOST);
    for (int i = 0; i < 6; i++) {
      const int ret = operation == 0   ? SSL_write(d.client, "secret", 6)
                      : operation == 1 ? SSL_read(d.client, &byte, 1)
                      : operation == 2 ? SSL_peek(d.client, &byte, 1)
                                       : SSL_do_handshake(d.client);
      CHECK(ret <= 0);
      if (SSL_do_handshake(d.server) == 1) {
        CHECK(SSL_write(d.server, "!", 1) == 1);
        CHECK(SSL_read(d.server, &byte, 1) <= 0);
      }
    }
    CHECK(pv_openssl_report(d.client, NULL) == 0);
    try_all(&d);
    closed(&d);
    freed(client, server);
  }
}

// Pitfall 5: the chain as it was sent does not count.
static void appended_authority(void) {
  SSL_CTX *unpinned = client_context();
  SSL_CTX *server = server_context("impostor_with_ca", SSL_VERIFY_NONE);
  answer a = connect_once(unpinned, server, NULL);
  CHECK(went_well(&a));  // a valid chain, and one certificate more
  forget(&a);
  freed(unpinned, server);
  expect("ca", "impostor_with_ca", false, PV_MISMATCH);
}

// Pitfalls 6 and 50: without verification, only the leaf counts, and the answer
// counts although OpenSSL ignores it.
static void expect_unverified(const char *policy, const char *identity,
                              bool accepted) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context(identity, SSL_VERIFY_NONE);
  SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a));
  forget(&a);
  pin(client, policy);
  a = connect_once(client, server, NULL);
  CHECK(a.client_accepts == accepted);
  CHECK(accepted ? went_well(&a) : no_byte_passed(&a));
  CHECK(accepted || (!a.client_done && a.alert == SSL_AD_BAD_CERTIFICATE));
  CHECK(!a.client.is_verified);
  forget(&a);
  freed(client, server);
}

static void unverified_forgery(void) {
  expect_unverified("ca", "forged", false);
}

static void unverified_impostor(void) {
  expect_unverified("leaf", "impostor", false);
}

static void unverified_leaf(void) {
  expect_unverified("self_signed", "self_signed", true);
  expect_unverified("leaf", "server", true);
  expect_unverified("ca", "server", false);  // nobody verified who signed it
}

static void verification_still_counts(void) {
  SSL_CTX *client = pinned_client("self_signed");
  SSL_CTX *server = server_context("self_signed", SSL_VERIFY_NONE);
  answer a = connect_once(client, server, NULL);
  CHECK(!a.client_done && !a.client_accepts && no_byte_passed(&a));
  CHECK(a.verify_result != X509_V_OK);
  CHECK(a.verify_result != X509_V_ERR_CERT_REJECTED);
  forget(&a);
  freed(client, server);
}

// Pitfall 31: the mode of the connection counts, not that of the context, which
// another thread may have changed in between: in either direction.
static void mode_of_the_connection(void) {
  for (int verifies = 0; verifies < 2; verifies++) {
    const int mode = verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
    const int other = verifies ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    SSL_CTX *client = pinned_client("ca");
    SSL_CTX *server =
        server_context(verifies ? "server" : "forged", SSL_VERIFY_NONE);
    SSL_CTX_set_verify(client, mode, NULL);
    dialogue d = opened(client, server);
    SSL_CTX_set_verify(client, other, NULL);
    expect_host(d.client, HOST);
    talk(&d);
    CHECK(d.client_done == verifies && d.at_server == verifies);
    closed(&d);
    freed(client, server);
  }
}

// The mode may change until the end, and OpenSSL reads it late.
static int turn_off(int ok, X509_STORE_CTX *store) {
  SSL *ssl =
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
  (void)ok;
  return 1;
}

static void verification_turned_off_on_the_way(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("forged", SSL_VERIFY_NONE);
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, turn_off);
  pin(client, "ca");
  answer a = connect_once(client, server, NULL);
  CHECK(!a.client_done && !a.client_accepts && no_byte_passed(&a));
  forget(&a);
  freed(client, server);
}

// Pitfall 23: a callback that always returns 1.
static int accept_all(int ok, X509_STORE_CTX *store) {
  (void)ok, (void)store;
  return 1;
}

static void expect_with_callback(const char *policy, const char *identity,
                                 bool accepted) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context(identity, SSL_VERIFY_NONE);
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, accept_all);
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a));
  forget(&a);
  pin(client, policy);
  a = connect_once(client, server, NULL);
  CHECK(a.client_accepts == accepted);
  CHECK(accepted ? went_well(&a) : no_byte_passed(&a) && !a.client_done);
  forget(&a);
  freed(client, server);
}

static void callback_that_accepts_all(void) {
  expect_with_callback("ca", "forged", false);
  expect_with_callback("ca", "server", true);
  expect_with_callback("self_signed", "self_signed", true);
}

// Name constraints are checked after the leaf; a callback accepts the error.
static void error_after_the_leaf(void) {
  expect_with_callback("constrained_ca", "constrained", false);
  expect_with_callback("constrained_leaf", "constrained", true);
}

// The name of the server.
static void name_is_needed(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  dialogue d = opened(client, server);
  pv_openssl_decision why;
  SSL_set_tlsext_host_name(d.client, HOST);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0);
  CHECK(!pv_openssl_report(d.client, &why));
  CHECK(why.report.reason == PV_BAD_HOST);
  CHECK(strstr(why.why, "set1_host") != NULL);
  closed(&d);
  freed(client, server);
}

// A server without a name is no client, whose pins it might have.
static void no_name_is_no_client(void) {
  SSL_CTX *client = pinned_client("hosts_and_clients");
  SSL_CTX *server = server_context("client", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  SSL_set_verify(d.client, SSL_VERIFY_NONE, NULL);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0);
  closed(&d);
  freed(client, server);
}

static void name_from_sni_if_told(void) {
  for (int bad = 0; bad < 2; bad++) {
    SSL_CTX *client = client_context();
    SSL_CTX *server =
        server_context(bad ? "impostor" : "server", SSL_VERIFY_NONE);
    const pv_openssl_options options = {.host_from_sni = 1};
    CHECK(pv_openssl_pin(client, policy_of("leaf"), &options) == 1);
    dialogue d = opened(client, server);
    SSL_set_tlsext_host_name(d.client, HOST);
    talk(&d);
    CHECK(d.client_done == !bad && d.at_server == !bad);
    closed(&d);
    freed(client, server);
  }
}

#ifndef OPENSSL_IS_BORINGSSL
// In a resumed session of TLS 1.2, OpenSSL tells the name that the session has.
static int know_any_name(SSL *ssl, int *alert, void *arg) {
  (void)ssl, (void)alert, (void)arg;
  return SSL_TLSEXT_ERR_OK;
}

static void name_from_sni_of_this_connection(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  const pv_openssl_options options = {.host_from_sni = 1};
  pv_openssl_decision decision;
  SSL_CTX_set_tlsext_servername_callback(server, know_any_name);
  CHECK(pv_openssl_pin(client, policy_of("leaf"), &options) == 1);
  dialogue d = opened(client, server);
  SSL_set_tlsext_host_name(d.client, "elsewhere.test");  // which has no pins
  talk(&d);
  CHECK(d.client_done);
  SSL_SESSION *session = SSL_get1_session(d.client);
  SSL_set_shutdown(d.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  closed(&d);
  d = opened(client, server);
  SSL_set_tlsext_host_name(d.client, HOST);
  offer(d.client, session);
  SSL_do_handshake(d.client);
  CHECK(pv_openssl_swap(client, policy_of("impostor_leaf")) == 1);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0 && d.at_client == 0);
  CHECK(pv_openssl_report(d.client, &decision) == 0);
  CHECK(strcmp(decision.host, HOST) == 0);
  closed(&d);
  // Of a client that sends none, the name of a session is no name.
  d = opened(client, server);
  offer(d.client, session);
  talk(&d);
  CHECK(!d.client_done && pv_openssl_report(d.client, &decision) == 0);
  CHECK(decision.report.reason == PV_BAD_HOST);
  closed(&d);
  SSL_SESSION_free(session);
  freed(client, server);
}

static void several_names_are_refused(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  dialogue d = opened(client, server);
  pv_openssl_decision why;
  expect_host(d.client, HOST);
  SSL_add1_host(d.client, "elsewhere.example");
  talk(&d);
  CHECK(!d.client_done && !pv_openssl_report(d.client, &why));
  CHECK(why.report.reason == PV_BAD_HOST);
  closed(&d);
  freed(client, server);
}
#endif

static void address_is_a_name(void) {
  for (int bad = 0; bad < 2; bad++) {
    SSL_CTX *client = pinned_client("address");
    SSL_CTX *server =
        server_context(bad ? "impostor" : "server", SSL_VERIFY_NONE);
    dialogue d = opened(client, server);
    expect_address(d.client, "127.0.0.1");
    talk(&d);
    CHECK(d.client_done == !bad && d.at_server == !bad);
    closed(&d);
    freed(client, server);
  }
}

// A name or an address that the adapter is given.
static void name_by_the_adapter(void) {
  const char *const names[] = {HOST, "127.0.0.1"};
  const char *const policies[] = {"leaf", "address"};
  for (int i = 0; i < 4; i++) {
    const bool bad = i >= 2;
    SSL_CTX *client = pinned_client(policies[i % 2]);
    SSL_CTX *server =
        server_context(bad ? "impostor" : "server", SSL_VERIFY_NONE);
    dialogue d = opened(client, server);
    CHECK(pv_openssl_set1_host(d.client, names[i % 2]) == 1);
    talk(&d);
    CHECK(d.client_done == !bad && d.at_server == !bad);
    CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)!bad);
    closed(&d);
    freed(client, server);
  }
}

// ---- resumed sessions -------------------------------------------------------

// Pitfall 8: with evidence, a session is resumed; CA pins match.
static void resumed_with_evidence(void) {
  const char *const policies[] = {"leaf", "ca", "blocked_elsewhere"};
  for (size_t i = 0; i < 3; i++) {
    SSL_CTX *client = pinned_client(policies[i]);
    SSL_CTX *server = honest_server();
    answer first = connect_once(client, server, NULL);
    CHECK(went_well(&first) && first.session != NULL);
    answer again = connect_once(client, server, first.session);
    CHECK(went_well(&again) && again.is_resumed && again.client_accepts);
    CHECK(again.client.report.reason == PV_MATCH && again.client.is_resumed);
    forget(&first);
    forget(&again);
    freed(client, server);
  }
}

// Sessions survive as bytes, with their evidence.
static void resumed_from_bytes(void) {
  SSL_CTX *client = pinned_client("ca");
  SSL_CTX *server = honest_server();
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_SESSION *read = stored_and_read(first.session, client);
  answer again = connect_once(client, server, read);
  CHECK(went_well(&again) && again.is_resumed && again.client_accepts);
  SSL_SESSION_free(read);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// Pitfall 8: a session that is older than the pins is not offered.
static void session_older_than_the_pins(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  pin(client, "ca");
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && !again.is_resumed && again.client_accepts);
  CHECK(again.client.is_verified);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// A client that only reports is not cut off by an impostor; and it does not
// offer a session whose chain it does not know, but makes a full handshake.
static void client_that_only_reports(void) {
  const pv_openssl_options options = {.report_only = 1};
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX *impostor = server_context("impostor", SSL_VERIFY_NONE);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(pv_openssl_pin(client, policy_of("leaf_root_blocked"), &options) == 1);
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && !again.is_resumed && !again.client_accepts);
  CHECK(again.client.report.reason == PV_BLOCKED);
  CHECK(pv_openssl_swap(client, policy_of("leaf")) == 1);
  answer other = connect_once(client, impostor, NULL);
  CHECK(went_well(&other) && !other.client_accepts && other.alert == 0);
  CHECK(other.client.report.reason == PV_MISMATCH);
  forget(&other);
  forget(&again);
  forget(&first);
  SSL_CTX_free(impostor);
  freed(client, server);
}

// A blocked key could be above a leaf that is pinned.
static void blocked_key_may_not_hide(void) {
  SSL_CTX *unpinned = client_context();
  SSL_CTX *server = honest_server();
  answer first = connect_once(unpinned, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX *client = pinned_client("leaf_root_blocked");
  answer again = connect_once(client, server, first.session);
  CHECK(!again.is_resumed && !again.client_accepts && no_byte_passed(&again));
  CHECK(again.client.report.reason == PV_BLOCKED);
  forget(&first);
  forget(&again);
  SSL_CTX_free(unpinned);
  freed(client, server);
}

// Pitfalls 9 and 24: pins that were removed in between do not live on. The
// session of an impostor is offered to him after the pins came.
static void pin_removed_in_between(void) {
  SSL_CTX *client = pinned_client("impostor_leaf");
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(pv_openssl_swap(client, policy_of("leaf")) == 1);
  answer again = connect_once(client, server, first.session);
  CHECK(!again.client_accepts && !again.client_done && no_byte_passed(&again));
  CHECK(again.client.report.reason == PV_MISMATCH);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// A policy that comes while the session is being resumed.
static SSL_CTX *to_swap;
static void swap_at_server_hello(const SSL *ssl, int where, int ret) {
  (void)ret;
  if (where & SSL_CB_LOOP && has_read(ssl, SERVER_HELLO)) {
    CHECK(pv_openssl_swap(to_swap, policy_of("leaf")) == 1);
  }
}

static void swapped_while_resuming(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  SSL_CTX_set_info_callback(client, swap_at_server_hello);
  pin(client, "impostor_leaf");
  to_swap = NULL;
  SSL_CTX *first_client = pinned_client("impostor_leaf");
  answer first = connect_once(first_client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  to_swap = client;
  answer again = connect_once(client, server, first.session);
  CHECK(again.is_resumed && !again.client_done && no_byte_passed(&again));
  CHECK(!again.client_accepts && again.client.report.reason == PV_MISMATCH);
  CHECK(again.verify_result == X509_V_ERR_CERT_REJECTED);
  forget(&first);
  forget(&again);
  SSL_CTX_free(first_client);
  freed(client, server);
}

// A policy that comes after the decision, and before the end: all is decided
// again, and an acceptance is told only at the end (pitfall 48).
static void swap_after_the_decision(const SSL *ssl, int where, int ret) {
  (void)ret;
  if (where & SSL_CB_LOOP && has_read(ssl, LAST_FLIGHT)) {
    CHECK(pv_openssl_swap(to_swap, policy_of("leaf")) == 1);
  }
}

static void swapped_before_the_end(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  tally told = {.times = 0};
  const pv_openssl_options options = {.on_report = count, .arg = &told};
  SSL_CTX_set_info_callback(client, swap_after_the_decision);
  CHECK(pv_openssl_pin(client, policy_of("watched"), &options) == 1);
  to_swap = client;
  answer a = connect_once(client, server, NULL);
  CHECK(!a.client_accepts && no_byte_passed(&a));
  CHECK(a.client.report.reason == PV_MISMATCH);
  CHECK(told.times == 1 && !told.last.report.accepted);
  forget(&a);
  freed(client, server);
}

// Counts of a context, in a row: matches, mismatches in report mode, rejected
// mismatches, rejected because nothing could be checked; resumed; and all.
static void check_counts(const SSL_CTX *ctx, const uint64_t expected[5]) {
  pv_openssl_counters counters;
  uint64_t all = 0, expected_all = 0;
  memset(&counters, 0xaa, sizeof(counters));
  CHECK(pv_openssl_count(ctx, &counters) == 1);
  CHECK(counters.accepted[PV_MATCH] == expected[0]);
  CHECK(counters.accepted[PV_MISMATCH] == expected[1]);
  CHECK(counters.rejected[PV_MISMATCH] == expected[2]);
  CHECK(counters.rejected[PV_NOT_CHECKED] == expected[3]);
  CHECK(counters.resumed == expected[4]);
  for (size_t i = 0; i <= PV_NOT_CHECKED; i++) {
    all += counters.accepted[i] + counters.rejected[i];
  }
  for (size_t i = 0; i < 4; i++) {
    expected_all += expected[i];
  }
  CHECK(all == expected_all);
}

// Each handshake is counted once, by its outcome, however often it was decided;
// a swap keeps the counters, and an SSL that is used again counts again.
static void decisions_are_counted(void) {
  SSL_CTX *client = pinned_client("root");
  SSL_CTX *server = honest_server();
  SSL_CTX *impostor = server_context("impostor", SSL_VERIFY_NONE);
  SSL_CTX *longer = server_context("longer_chain", SSL_VERIFY_NONE);
  check_counts(client, (const uint64_t[]){0, 0, 0, 0, 0});
  answer first = connect_once(client, server, NULL);
  check_counts(client, (const uint64_t[]){1, 0, 0, 0, 0});
  answer again = connect_once(client, server, first.session);
  CHECK(again.is_resumed);
  check_counts(client, (const uint64_t[]){2, 0, 0, 0, 1});
  forget(&again);
  again = connect_once(client, longer, NULL);
  check_counts(client, (const uint64_t[]){2, 0, 0, 1, 1});
  forget(&again);
  CHECK(pv_openssl_swap(client, policy_of("watched")) == 1);
  again = connect_once(client, impostor, NULL);
  check_counts(client, (const uint64_t[]){2, 1, 0, 1, 1});
  forget(&again);
  freed(client, server);
  forget(&first);

  // Accepted, and then rejected by another policy.
  server = honest_server();
  client = client_context();
  SSL_CTX_set_info_callback(client, swap_after_the_decision);
  pin(client, "watched");
  to_swap = client;
  first = connect_once(client, impostor, NULL);
  CHECK(!first.client_accepts);
  check_counts(client, (const uint64_t[]){0, 0, 1, 0, 0});
  forget(&first);
  freed(client, server);

  // Rejected without an alert, and asked again by a loop that ignores it.
  server = server_context("server", SSL_VERIFY_PEER);
  client = client_with("client");
  pin(server, "clients_leaf");
  first = connect_once(client, server, NULL);
  CHECK(first.server_accepts && first.session != NULL);
  CHECK(pv_openssl_swap(server, policy_of("clients_stranger")) == 1);
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  offer(d.client, first.session);
  talk(&d);
  for (int tries = 0; tries < 3; tries++) {
    check_counts(server, (const uint64_t[]){1, 0, 1, 0, 0});
    CHECK(SSL_do_handshake(d.server) != 1);
  }
  closed(&d);
  forget(&first);
  freed(client, server);

  // The same SSL, for two servers.
  server = honest_server();
  client = pinned_client("leaf");
  d = opened(client, server);
  expect_host(d.client, HOST);
  talk(&d);
  check_counts(client, (const uint64_t[]){1, 0, 0, 0, 0});
  renew(&d, impostor);
  talk(&d);
  check_counts(client, (const uint64_t[]){1, 0, 1, 0, 0});
  closed(&d);

  pv_openssl_counters none;
  memset(&none, 0xaa, sizeof(none));
  CHECK(pv_openssl_count(server, &none) == 0);
  CHECK(none.accepted[PV_MATCH] == 0 && none.rejected[PV_NOT_CHECKED] == 0);
  freed(client, server);
  SSL_CTX_free(impostor);
  SSL_CTX_free(longer);
}

// Pitfall 9: a session of another name is judged by the pins of this one, and
// its chain is no evidence for it.
static void session_of_another_name(void) {
  const char *const policies[] = {"two_hosts", "two_hosts_alike"};
  for (int alike = 0; alike < 2; alike++) {
    SSL_CTX *client = pinned_client(policies[alike]);
    SSL_CTX *server = honest_server();
    answer first = connect_once(client, server, NULL);
    CHECK(went_well(&first) && first.session != NULL);
    dialogue d = opened(client, server);
    expect_host(d.client, "other.localhost");
    offer(d.client, first.session);
    talk(&d);
    CHECK(!SSL_session_reused(d.client));
    CHECK(d.client_done == alike && d.at_server == alike);
    closed(&d);
    forget(&first);
    freed(client, server);
  }
}

#ifndef OPENSSL_IS_BORINGSSL
// Evidence of which a byte is wrong, is missing or too much counts for nothing,
// and so does that of an older version, whose eighth byte was another one.
static void damaged_evidence(void) {
  enum { HEADER_AND_HOST = 44 + sizeof(HOST) - 1, ROOM = 4096 };
  SSL_CTX *client = pinned_client("ca");
  SSL_CTX *server = honest_server();
  answer first = connect_once(client, server, NULL);
  void *data = NULL;
  size_t len = 0;
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(SSL_SESSION_get0_ticket_appdata(first.session, &data, &len) == 1);
  CHECK(len == HEADER_AND_HOST + 2 * 65);
  uint8_t good[ROOM] = {0}, bad[ROOM];
  memcpy(good, data, len);
  for (size_t i = 0; i <= HEADER_AND_HOST + 2; i++) {
    const size_t bad_len =
        len + (i == HEADER_AND_HOST) - (i == HEADER_AND_HOST + 1);
    const bool is_good = i == HEADER_AND_HOST + 2;
    memcpy(bad, good, sizeof(good));
    bad[i] ^= i < HEADER_AND_HOST;
    CHECK(SSL_SESSION_set1_ticket_appdata(first.session, bad, bad_len) == 1);
    answer again = connect_once(client, server, first.session);
    CHECK(went_well(&again) && again.client_accepts);
    CHECK(again.is_resumed == is_good);
    forget(&again);
  }
  forget(&first);
  freed(client, server);
}
#endif

// An unverified handshake is no evidence for a client that verifies.
static void unverified_session(void) {
  SSL_CTX *careless = client_context();
  SSL_CTX_set_verify(careless, SSL_VERIFY_NONE, NULL);
  pin(careless, "forged_leaf");
  SSL_CTX *server = server_context("forged", SSL_VERIFY_NONE);
  answer first = connect_once(careless, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX *client = pinned_client("ca");
  answer again = connect_once(client, server, first.session);
  CHECK(!again.is_resumed && !again.client_accepts && no_byte_passed(&again));
  // The same client may resume it.
  answer same = connect_once(careless, server, first.session);
  CHECK(went_well(&same) && same.client_accepts);
  forget(&first);
  forget(&again);
  forget(&same);
  SSL_CTX_free(careless);
  freed(client, server);
}

// Pitfall 48: an expired rule, a blocked key, a chain that nobody has seen. An
// acceptance is told only when nothing can reject any more.
static void expired_rule_and_hidden_chain(void) {
  SSL_CTX *unpinned = client_context();
  SSL_CTX *server = honest_server();
  answer first = connect_once(unpinned, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX *client = client_context();
  tally told = {.times = 0};
  const pv_openssl_options options = {.on_report = count, .arg = &told};
  CHECK(pv_openssl_pin(client, policy_of("expired_blocked"), &options) == 1);
  answer again = connect_once(client, server, first.session);
  CHECK(!again.is_resumed && !again.client_accepts && no_byte_passed(&again));
  CHECK(told.times == 1 && !told.last.report.accepted);
  CHECK(told.last.report.reason == PV_BLOCKED);
  forget(&first);
  forget(&again);
  SSL_CTX_free(unpinned);
  freed(client, server);
}

const scenario client_scenarios[] = {
    {"pinned_leaf", pinned_leaf},
    {"pinned_authority", pinned_authority},
    {"unpinned_host", unpinned_host},
    {"blocked_root", blocked_root},
    {"report_mode", report_mode},
    {"chain_of_16", chain_of_16},
    {"certificates_that_are_alike", certificates_that_are_alike},
    {"certificates_with_parts_of_another", certificates_with_parts_of_another},
    {"two_certificates_of_one_set", two_certificates_of_one_set},
    {"impostor_without_pins", impostor_without_pins},
    {"no_operation_before_the_check", no_operation_before_the_check},
    {"appended_authority", appended_authority},
    {"unverified_forgery", unverified_forgery},
    {"unverified_impostor", unverified_impostor},
    {"unverified_leaf", unverified_leaf},
    {"verification_still_counts", verification_still_counts},
    {"mode_of_the_connection", mode_of_the_connection},
    {"verification_turned_off_on_the_way", verification_turned_off_on_the_way},
    {"callback_that_accepts_all", callback_that_accepts_all},
    {"error_after_the_leaf", error_after_the_leaf},
    {"name_is_needed", name_is_needed},
    {"no_name_is_no_client", no_name_is_no_client},
    {"name_from_sni_if_told", name_from_sni_if_told},
#ifndef OPENSSL_IS_BORINGSSL
    {"name_from_sni_of_this_connection", name_from_sni_of_this_connection},
    {"several_names_are_refused", several_names_are_refused},
#endif
    {"address_is_a_name", address_is_a_name},
    {"name_by_the_adapter", name_by_the_adapter},
    {"resumed_with_evidence", resumed_with_evidence},
    {"resumed_from_bytes", resumed_from_bytes},
    {"session_older_than_the_pins", session_older_than_the_pins},
    {"client_that_only_reports", client_that_only_reports},
    {"blocked_key_may_not_hide", blocked_key_may_not_hide},
    {"pin_removed_in_between", pin_removed_in_between},
    {"swapped_while_resuming", swapped_while_resuming},
    {"swapped_before_the_end", swapped_before_the_end},
    {"decisions_are_counted", decisions_are_counted},
    {"session_of_another_name", session_of_another_name},
#ifndef OPENSSL_IS_BORINGSSL
    {"damaged_evidence", damaged_evidence},
#endif
    {"unverified_session", unverified_session},
    {"expired_rule_and_hidden_chain", expired_rule_and_hidden_chain},
    {NULL, NULL},
};
