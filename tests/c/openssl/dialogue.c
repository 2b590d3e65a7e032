// dialogue.c: a client and a server of OpenSSL that talk in memory, for tests.
#include "dialogue.h"

int tls_version = 0;

static const char *folder = NULL;

void begin_dialogues(const char *cast, const char *version) {
  folder = cast;
  tls_version =
      strcmp(version, "TLS1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

static const char *path_of(const char *name, const char *suffix) {
  static _Thread_local char path[4096];
  snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
  return path;
}

const pv_policy *policy_of(const char *name) {
  static struct {
    char name[96];
    uint8_t *bytes;
    pv_policy policy;
  } opened_already[512];
  static uint8_t room[1 << 16];
  for (size_t i = 0; i < 512; i++) {
    if (opened_already[i].bytes != NULL) {
      if (strcmp(opened_already[i].name, name) == 0) {
        return &opened_already[i].policy;
      }
      continue;
    }
    FILE *file = fopen(path_of(name, ".pvpol"), "rb");
    if (file == NULL) {
      TROUBLE(name);
    }
    const size_t len = fread(room, 1, sizeof(room), file);
    fclose(file);
    uint8_t *bytes = malloc(len);
    if (bytes == NULL) {
      TROUBLE(name);
    }
    memcpy(bytes, room, len);
    if (pv_policy_open(&opened_already[i].policy, bytes, len) != PV_OK) {
      TROUBLE(name);
    }
    opened_already[i].bytes = bytes;
    snprintf(opened_already[i].name, sizeof(opened_already[i].name), "%s",
             name);
    return &opened_already[i].policy;
  }
  TROUBLE("too many policies");
}

// ---- contexts ---------------------------------------------------------------

static SSL_CTX *context(const SSL_METHOD *method) {
  SSL_CTX *ctx = SSL_CTX_new(method);
  if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, tls_version) ||
      !SSL_CTX_set_max_proto_version(ctx, tls_version) ||
      !SSL_CTX_load_verify_locations(ctx, path_of("trust", ".pem"), NULL)) {
    TROUBLE("a context");
  }
  return ctx;
}

void use_identity(SSL_CTX *ctx, const char *identity) {
  const char *path = path_of(identity, ".pem");
  if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1 ||
      SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1) {
    TROUBLE(identity);
  }
}

// The newest session of this thread, and the last alert that it read.
static _Thread_local SSL_SESSION *newest;
static _Thread_local int last_alert;

static int keep_newest(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(newest);
  newest = session;
  return 1;
}

SSL_CTX *client_context(void) {
  SSL_CTX *ctx = context(TLS_client_method());
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(
      ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, keep_newest);
  return ctx;
}

SSL_CTX *server_context(const char *identity, int asks) {
  SSL_CTX *ctx = context(TLS_server_method());
  use_identity(ctx, identity);
  SSL_CTX_set_verify(ctx, asks, NULL);
  SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"tests", 5);
  SSL_CTX_set_num_tickets(ctx, 1);
  return ctx;
}

SSL_CTX *client_with(const char *identity) {
  SSL_CTX *ctx = client_context();
  if (identity != NULL) {
    use_identity(ctx, identity);
  }
  return ctx;
}

SSL_CTX *honest_server(void) {
  return server_context("server", SSL_VERIFY_NONE);
}

void freed(SSL_CTX *client, SSL_CTX *server) {
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

void pin(SSL_CTX *ctx, const char *policy) {
  if (pv_openssl_pin(ctx, policy_of(policy), NULL) != 1) {
    TROUBLE("pv_openssl_pin");
  }
}

void share_tickets(SSL_CTX *server) {
  unsigned char ticket_keys[80];
  memset(ticket_keys, 9, sizeof(ticket_keys));
  // OpenSSL wants 80 bytes, and BoringSSL 48.
  if (SSL_CTX_set_tlsext_ticket_keys(server, ticket_keys, 80) != 1 &&
      SSL_CTX_set_tlsext_ticket_keys(server, ticket_keys, 48) != 1) {
    TROUBLE("ticket keys");
  }
}

SSL_CTX *pinned_client(const char *policy) {
  SSL_CTX *ctx = client_context();
  pin(ctx, policy);
  return ctx;
}

SSL_CTX *pinned_server(const char *policy) {
  SSL_CTX *ctx = server_context("server", SSL_VERIFY_PEER);
  pin(ctx, policy);
  return ctx;
}

// ---- connections ------------------------------------------------------------

dialogue opened(SSL_CTX *client, SSL_CTX *server) {
  dialogue d = {.client = SSL_new(client), .server = SSL_new(server)};
  BIO *a = NULL, *b = NULL;
  if (d.client == NULL || d.server == NULL ||
      BIO_new_bio_pair(&a, 1 << 17, &b, 1 << 17) != 1) {
    TROUBLE("a connection");
  }
  SSL_set_bio(d.client, a, a);
  SSL_set_bio(d.server, b, b);
  SSL_set_connect_state(d.client);
  SSL_set_accept_state(d.server);
  return d;
}

static bool is_stuck(SSL *ssl, int ret) {
  return ret <= 0 && SSL_get_error(ssl, ret) != SSL_ERROR_WANT_READ;
}

static void exchange(dialogue *d) {
  char byte;
  if (d->client_done && SSL_write(d->client, "?", 1) == 1 &&
      SSL_read(d->server, &byte, 1) == 1) {
    d->at_server++;
  }
  if (d->server_done && SSL_write(d->server, "!", 1) == 1 &&
      SSL_read(d->client, &byte, 1) == 1) {
    d->at_client++;
  }
}

void talk(dialogue *d) {
  bool client_stuck = false, server_stuck = false;
  for (int i = 0; i < 20 && !(d->client_done && d->server_done); i++) {
    if (!d->client_done && !client_stuck) {
      const int ret = SSL_do_handshake(d->client);
      d->client_done = ret == 1;
      client_stuck = is_stuck(d->client, ret);
    }
    if (!d->server_done && !server_stuck) {
      const int ret = SSL_do_handshake(d->server);
      d->server_done = ret == 1;
      server_stuck = is_stuck(d->server, ret);
    }
  }
  exchange(d);
}

#ifdef OPENSSL_IS_BORINGSSL

void expect_host(SSL *client, const char *host) {
  CHECK(pv_openssl_set1_host(client, host) == 1);
}

void expect_address(SSL *client, const char *address) {
  CHECK(pv_openssl_set1_host(client, address) == 1);
}

// BoringSSL names the step that comes next.
bool has_read(const SSL *client, moment which) {
  const char *const names[2][2] = {
      {"TLS client read_session_ticket", "TLS client send_client_certificate"},
      {"TLS 1.3 client read_encrypted_extensions",
       "TLS 1.3 client send_end_of_early_data"}};
  const char *name = names[tls_version == TLS1_3_VERSION][which];
  return strcmp(SSL_state_string_long(client), name) == 0;
}

SSL_SESSION *stored_and_read(SSL_SESSION *session, SSL_CTX *ctx) {
  uint8_t *bytes = NULL;
  size_t len = 0;
  CHECK(SSL_SESSION_to_bytes(session, &bytes, &len) == 1);
  SSL_SESSION *read = SSL_SESSION_from_bytes(bytes, len, ctx);
  CHECK(read != NULL);
  OPENSSL_free(bytes);
  return read;
}

// Sessions may be used several times.
#define SSL_SESSION_dup(session) (SSL_SESSION_up_ref(session), (session))

#else

void expect_host(SSL *client, const char *host) {
  CHECK(SSL_set1_host(client, host) == 1);
}

void expect_address(SSL *client, const char *address) {
  CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(client), address) == 1);
}

SSL_SESSION *stored_and_read(SSL_SESSION *session, SSL_CTX *ctx) {
  unsigned char *bytes = NULL;
  (void)ctx;
  const int len = i2d_SSL_SESSION(session, &bytes);
  const unsigned char *at = bytes;
  SSL_SESSION *read = d2i_SSL_SESSION(NULL, &at, len);
  CHECK(len > 0 && read != NULL);
  OPENSSL_free(bytes);
  return read;
}

bool has_read(const SSL *client, moment which) {
  const char *const names[2][2] = {{"TRSH", "TRSD"}, {"TRSH", "TRFIN"}};
  const char *name = names[tls_version == TLS1_3_VERSION][which];
  return strcmp(SSL_state_string(client), name) == 0;
}

#endif

void offer(SSL *client, SSL_SESSION *session) {
  SSL_SESSION *copy = session == NULL ? NULL : SSL_SESSION_dup(session);
  if (session != NULL && (copy == NULL || SSL_set_session(client, copy) != 1)) {
    TROUBLE("SSL_set_session");
  }
  SSL_SESSION_free(copy);
}

void closed(dialogue *d) {
  SSL_free(d->client);
  SSL_free(d->server);
  ERR_clear_error();
}

void renew(dialogue *d, SSL_CTX *server) {
  BIO *a = NULL, *b = NULL;
  SSL_set_shutdown(d->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  CHECK(SSL_clear(d->client) == 1);
  SSL_set_session(d->client, NULL);
  SSL_free(d->server);
  d->server = SSL_new(server);
  SSL_set_accept_state(d->server);
  SSL_set_connect_state(d->client);
  CHECK(BIO_new_bio_pair(&a, 1 << 17, &b, 1 << 17) == 1);
  SSL_set_bio(d->client, a, a);
  SSL_set_bio(d->server, b, b);
  d->client_done = d->server_done = false;
  d->at_server = d->at_client = 0;
}

// ---- whole connections ------------------------------------------------------

// Sees alerts as they are read, without the info callback.
static void see_alerts(int is_write, int version, int type, const void *data,
                       size_t len, SSL *ssl, void *arg) {
  (void)version, (void)ssl, (void)arg;
  if (!is_write && type == SSL3_RT_ALERT && len == 2) {
    last_alert = ((const unsigned char *)data)[1];
  }
}

answer connect_once(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *session) {
  answer a = {.session = NULL};
  dialogue d = opened(client, server);
  SSL_SESSION_free(newest);  // of a dialogue that asked for none
  newest = NULL;
  last_alert = 0;
  SSL_set_msg_callback(d.client, see_alerts);
  SSL_set_msg_callback(d.server, see_alerts);
  expect_host(d.client, HOST);
  SSL_set_tlsext_host_name(d.client, HOST);
  offer(d.client, session);
  talk(&d);
  if (!d.client_done || !d.server_done) {  // let the other end read an alert
    char byte;
    SSL_read(d.client, &byte, 1);
    SSL_read(d.server, &byte, 1);
  }
  a.client_done = d.client_done;
  a.server_done = d.server_done;
  a.at_server = d.at_server;
  a.at_client = d.at_client;
  a.is_resumed = SSL_session_reused(d.client) == 1;
  a.client_accepts = pv_openssl_report(d.client, &a.client) == 1;
  a.server_accepts = pv_openssl_report(d.server, &a.server) == 1;
  a.verify_result = SSL_get_verify_result(d.client);
  a.alert = last_alert;
  SSL_set_shutdown(d.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_set_shutdown(d.server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  closed(&d);
  a.session = newest;
  newest = NULL;
  return a;
}

void forget(answer *a) {
  SSL_SESSION_free(a->session);
  a->session = NULL;
}

bool went_well(const answer *a) {
  return a->client_done && a->server_done && a->at_server == 1 &&
         a->at_client == 1;
}

bool no_byte_passed(const answer *a) {
  return a->at_server == 0 && a->at_client == 0;
}

bool names_key_of(const pv_openssl_decision *decision, SSL_CTX *shows) {
  unsigned char *der = NULL;
  uint8_t key[PV_DIGEST_LEN] = {0};
  X509 *cert = SSL_CTX_get0_certificate(shows);
  const int len = cert == NULL ? 0 : i2d_X509(cert, &der);
  if (cert != NULL &&
      (len <= 0 || pv_spki_sha256(key, der, (size_t)len) != PV_OK)) {
    TROUBLE("a certificate");
  }
  OPENSSL_free(der);
  return memcmp(key, decision->key_sha256, PV_DIGEST_LEN) == 0;
}

void count(const SSL *ssl, const pv_openssl_decision *decision, void *arg) {
  (void)ssl;
  tally *t = arg;
  t->times++;
  t->last = *decision;
}
