// boringssl.c: scenarios of what BoringSSL has and OpenSSL does not.
#include "dialogue.h"

#ifdef OPENSSL_IS_BORINGSSL

static enum ssl_verify_result_t trust_all(SSL *ssl, uint8_t *alert) {
  (void)ssl, (void)alert;
  return ssl_verify_ok;
}

static enum ssl_verify_result_t trust_none(SSL *ssl, uint8_t *alert) {
  (void)ssl;
  *alert = SSL_AD_UNKNOWN_CA;
  return ssl_verify_invalid;
}

// A callback in place of the verification is kept, and the leaf alone counts.
static void custom_verification(void) {
  const struct {
    enum ssl_verify_result_t (*callback)(SSL *ssl, uint8_t *alert);
    const char *policy, *identity;
    bool accepted;
  } cases[] = {
      {trust_all, "leaf", "server", true},
      {trust_all, "leaf", "impostor", false},
      {trust_all, "ca", "server", false},
      {trust_all, "ca", "forged", false},
      {trust_all, "self_signed", "self_signed", true},
      {trust_none, "leaf", "server", false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (int later = 0; later < 2; later++) {
      SSL_CTX *client = client_context();
      SSL_CTX *server = server_context(cases[i].identity, SSL_VERIFY_NONE);
      if (later) {
        pin(client, cases[i].policy);
      }
      SSL_CTX_set_custom_verify(client, SSL_VERIFY_PEER, cases[i].callback);
      if (!later) {
        pin(client, cases[i].policy);
      }
      answer a = connect_once(client, server, NULL);
      CHECK(a.client_accepts == cases[i].accepted);
      CHECK(cases[i].accepted ? went_well(&a)
                              : no_byte_passed(&a) && !a.client_done);
      CHECK(!a.client.is_verified);
      forget(&a);
      freed(client, server);
    }
  }
}

// The chain of a session that was offered, and not resumed, is no evidence for
// the certificates of the full handshake.
static void declined_session_and_custom_verification(void) {
  SSL_CTX *client = pinned_client("ca");
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  SSL_CTX *forger = server_context("forged", SSL_VERIFY_NONE);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX_set_custom_verify(client, SSL_VERIFY_PEER, trust_all);
  answer again = connect_once(client, forger, first.session);
  CHECK(!again.is_resumed && !again.client_accepts && no_byte_passed(&again));
  CHECK(again.client.report.reason == PV_MISMATCH);
  forget(&first);
  forget(&again);
  SSL_CTX_free(forger);
  freed(client, server);
}

// Authorities that are trusted no longer do not live on in sessions.
static void trust_is_looked_up_again(void) {
  SSL_CTX *before = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX *client = client_with("client");
  share_tickets(before);
  answer first = connect_once(client, before, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  for (int trusts = 0; trusts < 2; trusts++) {
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    share_tickets(server);
    if (!trusts) {
      SSL_CTX_set_cert_store(server, X509_STORE_new());
    }
    pin(server, "clients_ca");
    answer again = connect_once(client, server, first.session);
    CHECK(again.server_accepts == trusts && again.server.is_resumed);
    CHECK(trusts ? went_well(&again) : no_byte_passed(&again));
    CHECK(trusts || again.server.report.reason == PV_NOT_CHECKED);
    forget(&again);
    SSL_CTX_free(server);
  }
  forget(&first);
  freed(client, before);
}

// A session does not prove that its certificate is for another name.
static void session_for_a_name_it_does_not_have(void) {
  SSL_CTX *client = pinned_client("ca");
  SSL_CTX *other_client = pinned_client("elsewhere_ca");
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  dialogue d = opened(other_client, server);
  CHECK(pv_openssl_set1_host(d.client, "elsewhere.example") == 1);
  offer(d.client, first.session);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0);
  CHECK(!pv_openssl_report(d.client, NULL));
  closed(&d);
  forget(&first);
  SSL_CTX_free(other_client);
  freed(client, server);
}

// A server that keeps digests of certificates alone knows no leaf later.
static void digests_of_clients(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
  SSL_CTX_set_retain_only_sha256_of_client_certs(server, 1);
  pin(server, "clients_leaf");
  SSL_CTX *client = client_with("client");
  answer first = connect_once(client, server, NULL);
  CHECK(first.server_accepts ? went_well(&first) : no_byte_passed(&first));
  if (first.session != NULL) {
    answer again = connect_once(client, server, first.session);
    CHECK(!again.server_accepts && no_byte_passed(&again));
    forget(&again);
  }
  forget(&first);
  freed(client, server);
}

// Early data leaves only for a server whose key is pinned.
static void early_data_of_a_client(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  SSL_CTX *client = pinned_client("impostor_leaf");
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  SSL_CTX_set_early_data_enabled(client, 1);
  SSL_CTX_set_early_data_enabled(server, 1);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  for (int good = 1; good >= 0; good--) {
    char bytes[8] = "";
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    offer(d.client, first.session);
    if (!good) {
      CHECK(pv_openssl_swap(client, policy_of("leaf")) == 1);
    }
    CHECK((SSL_do_handshake(d.client) == 1) == good);
    CHECK(SSL_in_early_data(d.client) == good);
    CHECK((SSL_write(d.client, "secret", 6) == 6) == good);
    CHECK(pv_openssl_report(d.client, NULL) == 0);  // not over
    CHECK((SSL_do_handshake(d.server) == 1) == good);
    CHECK((SSL_read(d.server, bytes, sizeof(bytes)) == 6) == good);
    d.server_done = good;
    talk(&d);
    CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)good);
    closed(&d);
  }
  forget(&first);
  freed(client, server);
}

// Early data is read only from a client whose key is pinned.
static void early_data_of_a_server(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  SSL_CTX *server = pinned_server("clients_stranger");
  SSL_CTX *client = client_with("stranger");
  SSL_CTX_set_early_data_enabled(client, 1);
  SSL_CTX_set_early_data_enabled(server, 1);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  for (int good = 1; good >= 0; good--) {
    char bytes[8] = "";
    dialogue d = opened(client, server);
    if (!good) {
      CHECK(pv_openssl_swap(server, policy_of("clients_leaf")) == 1);
    }
    expect_host(d.client, HOST);
    offer(d.client, first.session);
    CHECK(SSL_do_handshake(d.client) == 1 && SSL_in_early_data(d.client));
    CHECK(SSL_write(d.client, "secret", 6) == 6);
    CHECK((SSL_do_handshake(d.server) == 1) == good);
    CHECK((SSL_read(d.server, bytes, sizeof(bytes)) == 6) == good);
    CHECK((SSL_write(d.server, "!", 1) == 1) == good);
    closed(&d);
  }
  forget(&first);
  freed(client, server);
}

// A false start (RFC 7918) sends data before the server's Finished.
static int agree(SSL *ssl, const uint8_t **out, uint8_t *out_len,
                 const uint8_t *in, unsigned in_len, void *arg) {
  (void)ssl, (void)in_len, (void)arg;
  *out = in + 1;
  *out_len = in[0];
  return SSL_TLSEXT_ERR_OK;
}

static void false_start(void) {
  if (tls_version != TLS1_2_VERSION) {
    return;
  }
  for (int good = 0; good < 2; good++) {
    char byte;
    SSL_CTX *client = pinned_client("leaf");
    SSL_CTX *server =
        server_context(good ? "server" : "impostor", SSL_VERIFY_NONE);
    SSL_CTX_set_mode(client, SSL_MODE_ENABLE_FALSE_START);
    SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\x01h", 2);
    SSL_CTX_set_alpn_select_cb(server, agree, NULL);
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    SSL_do_handshake(d.client);
    SSL_do_handshake(d.server);
    CHECK((SSL_do_handshake(d.client) == 1) == good);
    CHECK(SSL_in_false_start(d.client) == good);
    CHECK((SSL_write(d.client, "?", 1) == 1) == good);
    CHECK(pv_openssl_report(d.client, NULL) == 0);
    CHECK((SSL_do_handshake(d.server) == 1) == good);
    CHECK((SSL_read(d.server, &byte, 1) == 1) == good);
    SSL_read(d.client, &byte, 1);
    CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)good);
    closed(&d);
    freed(client, server);
  }
}

// A context that is selected before the ClientHello is read as a whole.
static SSL_CTX *selected;

static enum ssl_select_cert_result_t select_early(
    const SSL_CLIENT_HELLO *hello) {
  SSL_set_SSL_CTX(hello->ssl, selected);
  return ssl_select_cert_success;
}

static int select_late(SSL *ssl, void *arg) {
  (void)arg;
  SSL_set_SSL_CTX(ssl, selected);
  return 1;
}

static void context_selected_early_or_late(void) {
  for (int pinned = 0; pinned < 2; pinned++) {
    for (int late = 0; late < 2; late++) {
      SSL_CTX *listener = server_context("server", SSL_VERIFY_PEER);
      selected = pinned_server("clients_stranger");
      if (pinned) {
        pin(listener, "clients_ca");
      }
      if (late) {
        SSL_CTX_set_cert_cb(listener, select_late, NULL);
      } else {
        SSL_CTX_set_select_certificate_cb(listener, select_early);
      }
      for (int good = 0; good < 2; good++) {
        SSL_CTX *client = client_with(good ? "stranger" : "client");
        answer a = connect_once(client, listener, NULL);
        CHECK(a.server_accepts == good);
        CHECK(good ? went_well(&a) : no_byte_passed(&a));
        forget(&a);
        SSL_CTX_free(client);
      }
      freed(selected, listener);
    }
  }
}

// The application's log of keys goes on.
static int lines;

static void count_lines(const SSL *ssl, const char *line) {
  (void)ssl, (void)line;
  lines++;
}

static void log_of_keys(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  SSL_CTX_set_keylog_callback(client, count_lines);
  pin(client, "leaf");
  lines = 0;
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && lines > 0);
  forget(&a);
  freed(client, server);
}

// A name that only BoringSSL was told is not known.
static void name_of_the_library_alone(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  pv_openssl_decision why;
  CHECK(SSL_set1_host(d.client, HOST) == 1);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0);
  CHECK(!pv_openssl_report(d.client, &why));
  CHECK(why.report.reason == PV_BAD_HOST);
  CHECK(strstr(why.why, "pv_openssl_set1_host") != NULL);
  closed(&d);
  freed(client, server);
}

// The certificate has to be for the name that the adapter was given.
static void name_is_verified(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  CHECK(pv_openssl_set1_host(d.client, "elsewhere.example") == 1);
  talk(&d);
  CHECK(!d.client_done && d.at_server == 0);
  CHECK(SSL_get_verify_result(d.client) == X509_V_ERR_HOSTNAME_MISMATCH);
  closed(&d);
  freed(client, server);
}

#endif

const scenario boringssl_scenarios[] = {
#ifdef OPENSSL_IS_BORINGSSL
    {"custom_verification", custom_verification},
    {"declined_session_and_custom_verification",
     declined_session_and_custom_verification},
    {"trust_is_looked_up_again", trust_is_looked_up_again},
    {"session_for_a_name_it_does_not_have",
     session_for_a_name_it_does_not_have},
    {"digests_of_clients", digests_of_clients},
    {"early_data_of_a_client", early_data_of_a_client},
    {"early_data_of_a_server", early_data_of_a_server},
    {"false_start", false_start},
    {"context_selected_early_or_late", context_selected_early_or_late},
    {"log_of_keys", log_of_keys},
    {"name_of_the_library_alone", name_of_the_library_alone},
    {"name_is_verified", name_is_verified},
#endif
    {NULL, NULL},
};
