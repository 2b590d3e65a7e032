// early.c: scenarios of early data, which OpenSSL has in TLS 1.3.
#include "dialogue.h"

#ifndef OPENSSL_IS_BORINGSSL

static SSL_CTX *with_early_data(SSL_CTX *server) {
  SSL_CTX_set_max_early_data(server, 1000);
  SSL_CTX_set_recv_max_early_data(server, 1000);
  SSL_CTX_set_options(server, SSL_OP_NO_ANTI_REPLAY);
  return server;
}

// Early data leaves only for a server whose key is pinned.
static void early_data(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  SSL_CTX *client = pinned_client("impostor_leaf");
  SSL_CTX *server =
      with_early_data(server_context("impostor", SSL_VERIFY_NONE));
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  for (int good = 1; good >= 0; good--) {
    size_t written = 0, got = 0;
    char bytes[8] = "";
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    offer(d.client, first.session);
    if (!good) {
      CHECK(pv_openssl_swap(client, policy_of("leaf")) == 1);
    }
    CHECK(SSL_write_early_data(d.client, "secret", 6, &written) == good);
    SSL_read_early_data(d.server, bytes, sizeof(bytes), &got);
    CHECK(got == (good ? 6 : 0));
    closed(&d);
  }
  forget(&first);
  freed(client, server);
}

// Early data is read only from a client whose key is pinned.
static void early_data_at_a_server(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  SSL_CTX *server = with_early_data(pinned_server("clients_stranger"));
  SSL_CTX *client = client_with("stranger");
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  for (int good = 1; good >= 0; good--) {
    size_t written = 0, got = 0;
    char bytes[8] = "";
    dialogue d = opened(client, server);
    if (!good) {
      CHECK(pv_openssl_swap(server, policy_of("clients_leaf")) == 1);
    }
    offer(d.client, first.session);
    CHECK(SSL_write_early_data(d.client, "secret", 6, &written) == 1);
    const int ret = SSL_read_early_data(d.server, bytes, sizeof(bytes), &got);
    CHECK(good == (ret == SSL_READ_EARLY_DATA_SUCCESS && got == 6));
    closed(&d);
  }
  forget(&first);
  freed(client, server);
}

// Goes on after early data to the end of a handshake, and talks.
static void go_on(dialogue *d) {
  char bytes[8] = "";
  size_t got = 0;
  for (int i = 0; i < 5 && !(d->client_done && d->server_done); i++) {
    if (SSL_read_early_data(d->server, bytes, sizeof(bytes), &got) !=
        SSL_READ_EARLY_DATA_SUCCESS) {
      d->server_done = SSL_do_handshake(d->server) == 1;
    }
    d->client_done = SSL_do_handshake(d->client) == 1;
  }
  ERR_clear_error();
  d->at_server = SSL_write(d->client, "?", 1) == 1 &&
                 SSL_read(d->server, bytes, 1) == 1;
  d->at_client = SSL_write(d->server, "!", 1) == 1 &&
                 SSL_read(d->client, bytes, 1) == 1;
  ERR_clear_error();
}

// Early data is not the end of a handshake: the peer has proved nothing yet. It
// leaves by the chain of the session, so pins of authorities may have it, and
// the peer is decided about again at the end.
static void early_data_is_not_the_end(void) {
  static const char *policies[] = {"leaf", "ca", NULL};
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  for (const char **policy = policies; *policy != NULL; policy++) {
    for (int good = 1; good >= 0; good--) {
      size_t written = 0;
      SSL_CTX *client = pinned_client(*policy);
      SSL_CTX *server = with_early_data(honest_server());
      answer first = connect_once(client, server, NULL);
      CHECK(went_well(&first) && first.session != NULL);
      dialogue d = opened(client, server);
      expect_host(d.client, HOST);
      offer(d.client, first.session);
      CHECK(SSL_write_early_data(d.client, "secret", 6, &written) == 1);
      CHECK(pv_openssl_report(d.client, NULL) == 0);
      if (!good) {
        CHECK(pv_openssl_swap(client, policy_of("impostor_leaf")) == 1);
      }
      go_on(&d);
      CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)good);
      CHECK(d.at_server == good && d.at_client == good);
      closed(&d);
      forget(&first);
      freed(client, server);
    }
  }
}

// A key that both ends have outside of TLS shows no certificate.
static SSL_SESSION *shared_session(SSL *ssl) {
  static const unsigned char key[32] = {7}, suite[] = {0x13, 0x01};
  SSL_SESSION *session = SSL_SESSION_new();
  SSL_SESSION_set1_master_key(session, key, sizeof(key));
  SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite));
  SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION);
  SSL_SESSION_set_max_early_data(session, 1000);
  return session;
}

static int use_shared(SSL *ssl, const EVP_MD *md, const unsigned char **id,
                      size_t *id_len, SSL_SESSION **out) {
  *out = md == NULL || EVP_MD_get_size(md) == 32 ? shared_session(ssl) : NULL;
  *id = (const unsigned char *)"x";
  *id_len = *out != NULL;
  return 1;
}

static int find_shared(SSL *ssl, const unsigned char *id, size_t id_len,
                       SSL_SESSION **out) {
  (void)id, (void)id_len;
  *out = shared_session(ssl);
  return 1;
}

static void early_data_by_a_shared_key(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  size_t written = 0, got = 0;
  char bytes[8] = "";
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server =
      with_early_data(server_context("impostor", SSL_VERIFY_NONE));
  SSL_CTX_set_psk_use_session_callback(client, use_shared);
  SSL_CTX_set_psk_find_session_callback(server, find_shared);
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  CHECK(SSL_write_early_data(d.client, "secret", 6, &written) == 0);
  SSL_read_early_data(d.server, bytes, sizeof(bytes), &got);
  CHECK(got == 0);
  closed(&d);
  freed(client, server);
}

// A session that the policy accepts is no reason to send early data for another
// key; nor is one that was accepted before another took its place.
static void early_data_by_a_shared_key_beside_a_session(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  size_t written = 0;
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();  // whose sessions allow no early data
  SSL_CTX *impostor =
      with_early_data(server_context("impostor", SSL_VERIFY_NONE));
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX_set_psk_use_session_callback(client, use_shared);
  SSL_CTX_set_psk_find_session_callback(impostor, find_shared);
  dialogue d = opened(client, impostor);
  expect_host(d.client, HOST);
  offer(d.client, first.session);
  CHECK(SSL_write_early_data(d.client, "secret", 6, &written) == 0);
  closed(&d);
  forget(&first);
  SSL_CTX_free(impostor);
  freed(client, server);
}

static SSL_SESSION *late;

static void set_late(const SSL *ssl, int where, int ret) {
  (void)ret;
  if ((where & SSL_CB_HANDSHAKE_START) && !SSL_is_server(ssl) && late != NULL) {
    CHECK(SSL_set_session((SSL *)ssl, late) == 1);
  }
}

static void early_data_of_another_session(void) {
  if (tls_version != TLS1_3_VERSION) {
    return;
  }
  size_t written = 0;
  SSL_CTX *plain = client_context();
  SSL_CTX *impostor =
      with_early_data(server_context("impostor", SSL_VERIFY_NONE));
  answer first = connect_once(plain, impostor, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX *client = client_context();
  SSL_CTX_set_info_callback(client, set_late);
  pin(client, "leaf");
  dialogue d = opened(client, impostor);
  expect_host(d.client, HOST);
  SSL_SESSION *copies[] = {SSL_SESSION_dup(first.session),
                           SSL_SESSION_dup(first.session)};
  SSL_set_session(d.client, copies[0]);
  late = copies[1];
  CHECK(SSL_write_early_data(d.client, "secret", 6, &written) <= 0);
  late = NULL;
  closed(&d);
  SSL_SESSION_free(copies[0]);
  SSL_SESSION_free(copies[1]);
  forget(&first);
  SSL_CTX_free(plain);
  freed(client, impostor);
}

// A server that could read early data decides at the end, as all do.
static void server_that_could_read_early_data(void) {
  static const char *clients[] = {"client", "stranger", NULL};
  for (int i = 0; i < 3; i++) {
    char bytes[8] = "";
    size_t got = 0;
    SSL_CTX *server = with_early_data(pinned_server("clients_leaf"));
    SSL_CTX *client = client_with(clients[i]);
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    SSL_do_handshake(d.client);
    SSL_read_early_data(d.server, bytes, sizeof(bytes), &got);
    CHECK(pv_openssl_report(d.server, NULL) == 0);
    go_on(&d);
    CHECK(pv_openssl_report(d.server, NULL) == (i == 0));
    CHECK(d.at_server == (i == 0));
    closed(&d);
    freed(client, server);
  }
}

#endif

const scenario early_scenarios[] = {
#ifndef OPENSSL_IS_BORINGSSL
    {"early_data", early_data},
    {"early_data_at_a_server", early_data_at_a_server},
    {"early_data_is_not_the_end", early_data_is_not_the_end},
    {"early_data_by_a_shared_key", early_data_by_a_shared_key},
    {"early_data_by_a_shared_key_beside_a_session",
     early_data_by_a_shared_key_beside_a_session},
    {"early_data_of_another_session", early_data_of_another_session},
    {"server_that_could_read_early_data", server_that_could_read_early_data},
#endif
    {NULL, NULL},
};
