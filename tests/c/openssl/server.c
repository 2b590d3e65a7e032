// server.c: scenarios of pinned servers: clients' certificates, tickets, SNI.
#include "dialogue.h"

static void expect(SSL_CTX *server, const char *identity, bool accepted,
                   pv_reason reason) {
  SSL_CTX *client = client_with(identity);
  answer a = connect_once(client, server, NULL);
  CHECK(a.server_accepts == accepted);
  CHECK(a.server.report.reason == reason);
  CHECK(accepted ? went_well(&a) : no_byte_passed(&a) && !a.server_done);
  CHECK(a.server.is_client);
  forget(&a);
  SSL_CTX_free(client);
}

static void pinned_clients(void) {
  SSL_CTX *server = pinned_server("clients_leaf");
  expect(server, "client", true, PV_MATCH);
  expect(server, "stranger", false, PV_MISMATCH);
  SSL_CTX_free(server);
  server = pinned_server("clients_ca");
  expect(server, "client", true, PV_MATCH);
  expect(server, "stranger", true, PV_MATCH);
  expect(server, "rogue_client", false, PV_MISMATCH);
  SSL_CTX_free(server);
}

// Without pins the stranger gets in: an authority vouches for him.
static void stranger_without_pins(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX *client = client_with("stranger");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a));
  forget(&a);
  freed(client, server);
}

static void rejected_client_gets_an_alert(void) {
  SSL_CTX *server = pinned_server("clients_leaf");
  SSL_CTX *client = client_with("stranger");
  answer a = connect_once(client, server, NULL);
  CHECK(a.alert == SSL_AD_BAD_CERTIFICATE);
  forget(&a);
  freed(client, server);
}

// Pitfall 12: no certificate.
static void no_certificate(void) {
  for (int tells = 0; tells < 2; tells++) {
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    tally told = {.times = 0};
    const pv_openssl_options options = {.on_report = count, .arg = &told};
    CHECK(pv_openssl_pin(server, policy_of("clients_leaf"),
                         tells ? &options : NULL) == 1);
    SSL_CTX *client = client_with(NULL);
    answer a = connect_once(client, server, NULL);
    CHECK(!a.server_accepts && !a.server_done && no_byte_passed(&a));
    CHECK(a.server.report.reason == PV_NO_CERTIFICATE);
    CHECK(a.alert == (tls_version == TLS1_2_VERSION
                          ? SSL_AD_HANDSHAKE_FAILURE
                          : SSL_AD_CERTIFICATE_REQUIRED));
    forget(&a);
    SSL_CTX_free(client);
    CHECK(told.times == tells);
    CHECK(!tells || told.last.report.reason == PV_NO_CERTIFICATE);
    SSL_CTX_free(server);
  }
}

static void server_that_does_not_ask(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  pin(server, "clients_leaf");
  expect(server, "client", false, PV_NO_CERTIFICATE);
  expect(server, NULL, false, PV_NO_CERTIFICATE);
  SSL_CTX_free(server);
}

// A server that is pinned by a policy without clients lets nobody in.
static void policy_without_clients(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  pin(server, "leaf");
  expect(server, "client", true == false, PV_BAD_HOST);
  SSL_CTX_free(server);
}

static void clients_in_report_mode(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  tally told = {.times = 0};
  const pv_openssl_options options = {.on_report = count, .arg = &told};
  CHECK(pv_openssl_pin(server, policy_of("clients_watched"), &options) == 1);
  expect(server, "stranger", true, PV_MISMATCH);
  CHECK(told.times == 1 && told.last.report.accepted);
  expect(server, NULL, true, PV_NO_CERTIFICATE);
  CHECK(told.times == 2);
  expect(server, "client", true, PV_MATCH);
  CHECK(told.times == 2);
  SSL_CTX_free(server);
}

// A server that answers refused clients itself: all handshakes end, and each
// decision says what it would have been, for the client's ticket as well.
static void server_that_only_reports(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  tally told = {.times = 0};
  const pv_openssl_options options = {
      .report_only = 1, .on_report = count, .arg = &told};
  CHECK(pv_openssl_pin(server, policy_of("clients_leaf"), &options) == 1);
  const struct {
    const char *identity;
    pv_reason reason;
  } cases[] = {{"client", PV_MATCH},
               {"stranger", PV_MISMATCH},
               {NULL, PV_NO_CERTIFICATE}};
  for (int i = 0; i < 3; i++) {
    SSL_CTX *client = client_with(cases[i].identity);
    answer first = connect_once(client, server, NULL);
    CHECK(went_well(&first) && first.session != NULL && first.alert == 0);
    CHECK(first.server.report.reason == cases[i].reason);
    CHECK(names_key_of(&first.server, client));
    CHECK(first.server_accepts == (i == 0) && told.times == 2 * i - (i > 0));
    answer again = connect_once(client, server, first.session);
    CHECK(went_well(&again) && again.is_resumed);
    CHECK(again.server.report.reason == cases[i].reason);
    CHECK(names_key_of(&again.server, client));
    CHECK(again.server_accepts == (i == 0) && told.times == 2 * i);
    forget(&again);
    forget(&first);
    SSL_CTX_free(client);
  }
  SSL_CTX_free(server);
}

#ifndef OPENSSL_IS_BORINGSSL
// A key exchange with a shared secret shows no certificate.
static unsigned int know_secret(SSL *ssl, const char *hint, char *identity,
                                unsigned int identity_max, unsigned char *psk,
                                unsigned int psk_max) {
  (void)ssl, (void)hint, (void)psk_max;
  snprintf(identity, identity_max, "me");
  memset(psk, 7, 16);
  return 16;
}

static unsigned int share_secret(SSL *ssl, const char *identity,
                                 unsigned char *psk, unsigned int psk_max) {
  (void)ssl, (void)identity, (void)psk_max;
  memset(psk, 7, 16);
  return 16;
}

static void shared_secret(void) {
  for (int pinned = 0; pinned < 3; pinned++) {
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    SSL_CTX *client = client_with("client");
    SSL_CTX_set_cipher_list(server, "PSK+AES128");
    SSL_CTX_set_cipher_list(client, "PSK+AES128");
    SSL_CTX_set_ciphersuites(server, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_psk_server_callback(server, share_secret);
    SSL_CTX_set_psk_client_callback(client, know_secret);
    if (pinned == 1) {
      pin(server, "clients_leaf");
    } else if (pinned == 2) {
      pin(client, "leaf");
    }
    answer a = connect_once(client, server, NULL);
    CHECK(pinned ? no_byte_passed(&a) : went_well(&a));
    CHECK(pinned != 1 || (!a.server_done && !a.server_accepts &&
                          a.server.report.reason == PV_NO_CERTIFICATE));
    CHECK(pinned != 2 || (!a.client_done && !a.client_accepts &&
                          a.client.report.reason == PV_NO_CERTIFICATE));
    forget(&a);
    freed(client, server);
  }
}
#endif

#ifndef OPENSSL_IS_BORINGSSL
// Pitfall 13: a client renegotiates to show another certificate.
static void renegotiation(void) {
  if (tls_version != TLS1_2_VERSION) {
    return;
  }
  SSL_CTX *server = pinned_server("clients_leaf");
  SSL_CTX *client = client_with("client");
  for (int allowed = 0; allowed < 2; allowed++) {
    dialogue d = opened(client, server);
    pv_openssl_decision why;
    char byte;
    talk(&d);
    CHECK(d.server_done && d.at_server == 1);
    if (allowed) {  // pitfall 36: an application turns it on
      SSL_clear_options(d.server, SSL_OP_NO_RENEGOTIATION);
      SSL_set_options(d.server, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    }
    SSL_renegotiate(d.client);
    for (int i = 0; i < 6; i++) {
      SSL_do_handshake(d.client);
      CHECK(SSL_read(d.server, &byte, 1) <= 0);
    }
    CHECK(SSL_write(d.client, "?", 1) <= 0 ||
          SSL_read(d.server, &byte, 1) <= 0);
    CHECK(pv_openssl_report(d.server, &why) == 0);
    CHECK(strstr(why.why, "second handshake") != NULL);
    closed(&d);
  }
  freed(client, server);
}

// Authentication after the handshake (RFC 8446, 4.6.2).
static void authentication_afterwards(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX *client = client_with("client");
  SSL_CTX_set_post_handshake_auth(client, 1);
  for (int pinned = 0; pinned < 2; pinned++) {
    char byte;
    if (pinned) {
      pin(server, "clients_watched");
    }
    dialogue d = opened(client, server);
    talk(&d);
    CHECK(d.server_done && d.at_server == 1);
    SSL_set_verify(d.server, SSL_VERIFY_PEER | SSL_VERIFY_POST_HANDSHAKE, NULL);
    CHECK(SSL_verify_client_post_handshake(d.server) == 1);
    SSL_do_handshake(d.server);
    SSL_read(d.client, &byte, 1);
    SSL_write(d.client, "?", 1);
    CHECK((SSL_read(d.server, &byte, 1) == 1) == !pinned);
    CHECK(!pinned || pv_openssl_report(d.server, NULL) == 0);
    closed(&d);
  }
  freed(client, server);
}
#endif

// ---- resumed sessions -------------------------------------------------------

// Pitfalls 40 and 41: another process with the same ticket keys has seen no
// chain; any number of clients resume there.
static void resumed_in_another_process(void) {
  const char *const policies[] = {"clients_ca", "clients_blocked",
                                  "clients_leaf"};
  for (size_t i = 0; i < 3; i++) {
    SSL_CTX *one = pinned_server(policies[i]);
    SSL_CTX *other = pinned_server(policies[i]);
    share_tickets(one);
    share_tickets(other);
    SSL_CTX *client = client_with("client");
    for (int n = 0; n < 20; n++) {
      answer first = connect_once(client, one, NULL);
      CHECK(went_well(&first) && first.session != NULL);
      answer again = connect_once(client, other, first.session);
      CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
      CHECK(again.server.report.reason == PV_MATCH);
      // What a resumed session gives can be resumed again.
      if (again.session != NULL) {
        answer third = connect_once(client, one, again.session);
        CHECK(went_well(&third) && third.is_resumed && third.server_accepts);
        forget(&third);
      }
      forget(&again);
      forget(&first);
    }
    SSL_CTX_free(other);
    freed(client, one);
  }
}

// Sessions in the memory of the server.
static void resumed_from_memory(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  pin(server, "clients_ca");
  SSL_CTX *client = client_with("client");
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// Pitfalls 43 and 64: a ticket from before the pins: refused, and the text says
// why.
static void ticket_older_than_the_pins(void) {
  SSL_CTX *before = server_context("server", SSL_VERIFY_PEER);
  share_tickets(before);
  SSL_CTX *client = client_with("client");
  answer first = connect_once(client, before, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  const struct {
    const char *policy;
    bool accepted;
    pv_reason reason;
  } cases[] = {{"clients_ca", false, PV_NOT_CHECKED},
               {"clients_blocked", false, PV_NOT_CHECKED},
               {"clients_stranger", false, PV_MISMATCH},  // no chain could help
               {"clients_watched", true, PV_MATCH},
               {"clients_leaf", true, PV_MATCH}};
  for (size_t i = 0; i < 5; i++) {
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    share_tickets(server);
    pin(server, cases[i].policy);
    answer again = connect_once(client, server, first.session);
    CHECK(again.is_resumed || !again.client_done);
    CHECK(again.server_accepts == cases[i].accepted);
    CHECK(cases[i].accepted ? went_well(&again) : no_byte_passed(&again));
    CHECK(again.server.report.reason == cases[i].reason);
    const bool is_unknown = cases[i].reason == PV_NOT_CHECKED;
    CHECK((strstr(again.server.why, "without the session") != NULL) ==
          is_unknown);
    CHECK(again.server_done == cases[i].accepted);
    forget(&again);
    // Without the session all is well, if the client is the right one.
    answer full = connect_once(client, server, NULL);
    CHECK(full.server_accepts == (is_unknown || cases[i].accepted));
    forget(&full);
    SSL_CTX_free(server);
  }
  forget(&first);
  freed(client, before);
}

// A client sends a second ClientHello if the server wants another group
// (RFC 8446, 4.1.4), and resumes a session with it all the same.
static void resumed_after_a_retry(void) {
  SSL_CTX *server = pinned_server("clients_ca");
  CHECK(SSL_CTX_set1_curves_list(server, "P-256") == 1);
  SSL_CTX *client = client_with("client");
  CHECK(SSL_CTX_set1_curves_list(client, "X25519:P-256") == 1);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
  forget(&again);
  CHECK(pv_openssl_swap(server, policy_of("clients_stranger")) == 1);
  answer refused = connect_once(client, server, first.session);
  CHECK(!refused.server_accepts && no_byte_passed(&refused));
  forget(&refused);
  forget(&first);
  freed(client, server);
}

// Pitfalls 9 and 10: a client whose pin was removed comes back with its ticket.
static void refused_client_returns(void) {
  for (int in_memory = 0; in_memory < 2; in_memory++) {
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    if (in_memory) {
      SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
    }
    pin(server, "clients_stranger");
    SSL_CTX *client = client_with("stranger");
    answer first = connect_once(client, server, NULL);
    CHECK(went_well(&first) && first.session != NULL);
    CHECK(pv_openssl_swap(server, policy_of("clients_leaf")) == 1);
    for (int i = 0; i < 3; i++) {
      answer again = connect_once(client, server, first.session);
      CHECK(!again.server_accepts && !again.server_done);
      CHECK(no_byte_passed(&again));
      CHECK(again.server.report.reason == PV_MISMATCH);
      forget(&again);
    }
    forget(&first);
    freed(client, server);
  }
}

// A new policy judges the chain in the ticket: nobody is refused for want of
// evidence when pins change.
static void new_policy_judges_the_ticket(void) {
  SSL_CTX *server = pinned_server("clients_leaf");
  SSL_CTX *client = client_with("client");
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(pv_openssl_swap(server, policy_of("clients_ca")) == 1);
  answer again = connect_once(client, server, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
  forget(&again);
  CHECK(pv_openssl_swap(server, policy_of("clients_root_blocked")) == 1);
  again = connect_once(client, server, first.session);
  CHECK(!again.server_accepts && no_byte_passed(&again));
  CHECK(again.server.report.reason == PV_BLOCKED);
  forget(&first);
  forget(&again);
  freed(client, server);
}

// A forged leaf that a callback accepts gets no chain into its ticket.
static int accept_all(int ok, X509_STORE_CTX *store) {
  (void)ok, (void)store;
  return 1;
}

static void callback_that_accepts_all(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_verify(server, SSL_VERIFY_PEER, accept_all);
  pin(server, "clients_watched_ca");
  SSL_CTX *client = client_with("forged_client");
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(first.server.report.reason == PV_MISMATCH);
  CHECK(pv_openssl_swap(server, policy_of("clients_ca")) == 1);
  answer again = connect_once(client, server, first.session);
  CHECK(!again.server_accepts && no_byte_passed(&again));
  forget(&again);
  again = connect_once(client, server, NULL);
  CHECK(!again.server_accepts && no_byte_passed(&again));
  forget(&first);
  forget(&again);
  freed(client, server);
}

// ---- SNI --------------------------------------------------------------------

static SSL_CTX *selected;

static int select_context(SSL *ssl, int *alert, void *arg) {
  (void)alert, (void)arg;
  SSL_set_SSL_CTX(ssl, selected);
  return SSL_TLSEXT_ERR_OK;
}

// Pitfalls 11, 42 and 51: the rule of the selected context counts.
static void selected_context_rules(void) {
  SSL_CTX *listener = pinned_server("clients_ca");
  SSL_CTX *a = pinned_server("clients_leaf");
  SSL_CTX *b = pinned_server("clients_stranger");
  SSL_CTX_set_tlsext_servername_callback(listener, select_context);
  selected = a;
  expect(listener, "client", true, PV_MATCH);
  expect(listener, "stranger", false, PV_MISMATCH);
  selected = b;
  expect(listener, "stranger", true, PV_MATCH);
  expect(listener, "client", false, PV_MISMATCH);
  // A session of one tenant at the other.
  SSL_CTX *client = client_with("stranger");
  answer first = connect_once(client, listener, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  selected = a;
  answer again = connect_once(client, listener, first.session);
  CHECK(!again.server_accepts && no_byte_passed(&again));
  CHECK(again.server.report.reason == PV_MISMATCH);
  forget(&again);
  // A tenant's context is made anew: nobody is refused.
  SSL_CTX *anew = pinned_server("clients_any_of_ca");
  selected = anew;
  again = connect_once(client, listener, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
  forget(&again);
  forget(&first);
  SSL_CTX_free(anew);
  SSL_CTX_free(a);
  SSL_CTX_free(b);
  freed(client, listener);
}

// Node.js selects the context of a tenant in SSL_CTX_set_cert_cb.
static int select_for_a_certificate(SSL *ssl, void *arg) {
  (void)arg;
  return SSL_set_SSL_CTX(ssl, selected) != NULL;
}

static SSL_CTX *listener_that_selects_late(const char *policy, bool in_memory) {
  SSL_CTX *ctx = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_cert_cb(ctx, select_for_a_certificate, NULL);
  if (in_memory) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  }
  pin(ctx, policy);
  return ctx;
}

// Pitfall 62: OpenSSL does not call that for resumed sessions, and the context
// that listens would decide. So a client of a tenant makes full handshakes.
static void tenants_selected_late(void) {
  for (int in_memory = 0; in_memory < 2; in_memory++) {
    SSL_CTX *listener =
        listener_that_selects_late("clients_stranger", in_memory);
    SSL_CTX *client = client_with("client");
    selected = pinned_server("clients_leaf");
    answer a = {.session = NULL};
    for (int i = 0; i < 3; i++) {
      SSL_SESSION *session = a.session;
      a = connect_once(client, listener, session);
      SSL_SESSION_free(session);
      CHECK(went_well(&a) && a.server_accepts);
      CHECK(a.server.report.reason == PV_MATCH);
#ifndef OPENSSL_IS_BORINGSSL
      CHECK(!a.is_resumed);
#endif
    }
    forget(&a);
    expect(listener, "stranger", false, PV_MISMATCH);
    SSL_CTX_free(selected);
    freed(client, listener);
  }
}

// The context that listens is one of the tenants: its clients do not come to
// another one with their sessions, once anybody has.
static void session_where_tenants_are_selected_late(void) {
  for (int in_memory = 0; in_memory < 2; in_memory++) {
    SSL_CTX *listener = listener_that_selects_late("clients_leaf", in_memory);
    SSL_CTX *client = client_with("client");
    SSL_CTX *other = pinned_server("clients_stranger");
    selected = listener;
    answer first = connect_once(client, listener, NULL);
    CHECK(went_well(&first));
#ifndef OPENSSL_IS_BORINGSSL
    CHECK(first.session != NULL);
#endif
    selected = other;
    expect(listener, "stranger", true, PV_MATCH);
    for (int i = 0; i < 2; i++) {
      answer again = connect_once(client, listener, first.session);
      CHECK(!again.server_accepts && no_byte_passed(&again));
#ifndef OPENSSL_IS_BORINGSSL
      if (i == 0) {
        CHECK(again.server.report.reason == PV_NOT_CHECKED);
        CHECK(strstr(again.server.why, "SSL_CTX_set_cert_cb") != NULL);
      }
#endif
      forget(&again);
    }
    // Nor does the adapter give such sessions any more.
    selected = listener;
    answer full = connect_once(client, listener, NULL);
    CHECK(went_well(&full) && full.server_accepts);
#ifndef OPENSSL_IS_BORINGSSL
    answer next = connect_once(client, listener, full.session);
    CHECK(went_well(&next) && !next.is_resumed);
    forget(&next);
#endif
    forget(&full);
    forget(&first);
    SSL_CTX_free(other);
    freed(client, listener);
  }
}

// Selected late and without pins, a context changes no rule: sessions stay.
static void session_where_the_rule_stays(void) {
  SSL_CTX *listener = listener_that_selects_late("clients_ca", false);
  SSL_CTX *client = client_with("client");
  selected = server_context("server", SSL_VERIFY_PEER);
  answer first = connect_once(client, listener, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  answer again = connect_once(client, listener, first.session);
  CHECK(went_well(&again) && again.is_resumed && again.server_accepts);
  forget(&again);
  forget(&first);
  SSL_CTX_free(selected);
  freed(client, listener);
}

// A context without pins does not lift those of the one that listens.
static void selected_context_without_pins(void) {
  SSL_CTX *listener = pinned_server("clients_ca");
  SSL_CTX *plain = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_tlsext_servername_callback(listener, select_context);
  selected = plain;
  expect(listener, "client", true, PV_MATCH);
  expect(listener, "rogue_client", false, PV_MISMATCH);
  expect(listener, NULL, false, PV_NO_CERTIFICATE);
  SSL_CTX *client = client_with("client");
  answer first = connect_once(client, listener, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(pv_openssl_swap(listener, policy_of("clients_stranger")) == 1);
  answer again = connect_once(client, listener, first.session);
  CHECK(!again.server_accepts && no_byte_passed(&again));
  forget(&first);
  forget(&again);
  SSL_CTX_free(plain);
  freed(client, listener);
}

static void ignore_info(const SSL *ssl, int where, int ret) {
  (void)ssl, (void)where, (void)ret;
}

// The context that listens is not pinned: the selected one's pins count.
static void listening_context_without_pins(void) {
  for (int has_callback = 0; has_callback < 2; has_callback++) {
    SSL_CTX *listener = server_context("server", SSL_VERIFY_PEER);
    SSL_CTX *tenant = pinned_server("clients_stranger");
    SSL_CTX_set_tlsext_servername_callback(listener, select_context);
    selected = listener;
    SSL_CTX *client = client_with("client");
    answer first = connect_once(client, listener, NULL);
    CHECK(went_well(&first) && first.session != NULL);
    if (has_callback) {
      SSL_CTX_set_info_callback(listener, ignore_info);
    }
    selected = tenant;
    expect(listener, "client", false, PV_MISMATCH);
    answer again = connect_once(client, listener, first.session);
    CHECK(!again.server_accepts && no_byte_passed(&again));
    forget(&again);
    again = connect_once(client, listener, NULL);
    CHECK(!again.server_accepts && no_byte_passed(&again));
    forget(&first);
    forget(&again);
    SSL_CTX_free(tenant);
    freed(client, listener);
  }
}

// A context that does not ask listens; the selected one would.
static void listening_context_that_does_not_ask(void) {
  SSL_CTX *listener = server_context("server", SSL_VERIFY_NONE);
  SSL_CTX *tenant = pinned_server("clients_ca");
  SSL_CTX_set_tlsext_servername_callback(listener, select_context);
  selected = tenant;
  expect(listener, "forged_client", false, PV_NO_CERTIFICATE);
  pin(listener, "clients_ca");
  expect(listener, "forged_client", false, PV_NO_CERTIFICATE);
  SSL_CTX_free(tenant);
  SSL_CTX_free(listener);
}

const scenario server_scenarios[] = {
    {"pinned_clients", pinned_clients},
    {"stranger_without_pins", stranger_without_pins},
    {"rejected_client_gets_an_alert", rejected_client_gets_an_alert},
    {"no_certificate", no_certificate},
    {"server_that_does_not_ask", server_that_does_not_ask},
    {"policy_without_clients", policy_without_clients},
    {"clients_in_report_mode", clients_in_report_mode},
    {"server_that_only_reports", server_that_only_reports},
#ifndef OPENSSL_IS_BORINGSSL
    {"shared_secret", shared_secret},
#endif
#ifndef OPENSSL_IS_BORINGSSL
    {"renegotiation", renegotiation},
#endif
#ifndef OPENSSL_IS_BORINGSSL
    {"authentication_afterwards", authentication_afterwards},
#endif
    {"resumed_in_another_process", resumed_in_another_process},
    {"resumed_from_memory", resumed_from_memory},
    {"ticket_older_than_the_pins", ticket_older_than_the_pins},
    {"resumed_after_a_retry", resumed_after_a_retry},
    {"refused_client_returns", refused_client_returns},
    {"new_policy_judges_the_ticket", new_policy_judges_the_ticket},
    {"server_callback_that_accepts_all", callback_that_accepts_all},
    {"selected_context_rules", selected_context_rules},
    {"tenants_selected_late", tenants_selected_late},
    {"session_where_tenants_are_selected_late",
     session_where_tenants_are_selected_late},
    {"session_where_the_rule_stays", session_where_the_rule_stays},
    {"selected_context_without_pins", selected_context_without_pins},
    {"listening_context_without_pins", listening_context_without_pins},
    {"listening_context_that_does_not_ask",
     listening_context_that_does_not_ask},
    {NULL, NULL},
};
