// composition.c: scenarios of pins beside an application's own callbacks.
#define _GNU_SOURCE  // RTLD_DEFAULT
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include "../../../csrc/openssl/policy_in_force.h"
#include "dialogue.h"

static int steps, ends;

static void count_info(const SSL *ssl, int where, int ret) {
  (void)ret;
  steps++;
  if (where & SSL_CB_HANDSHAKE_DONE) {
    ends++;
    CHECK(pv_openssl_report(ssl, NULL) == 1);
  }
}

// Callbacks that were there before are called.
static void info_callback_before(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  steps = ends = 0;
  SSL_CTX_set_info_callback(client, count_info);
  pin(client, "leaf");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && a.client_accepts && steps > 5 && ends == 1);
  forget(&a);
  freed(client, server);
}

static void forgetful_info(const SSL *ssl, int where, int ret) {
  (void)ssl, (void)where, (void)ret;
}

// One that was set later and forgets ours: handshakes fail, resumed ones too.
static void info_callback_that_forgets_ours(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX_set_info_callback(client, forgetful_info);
  answer again = connect_once(client, server, NULL);
  CHECK(!again.client_done && no_byte_passed(&again));
  forget(&again);
  again = connect_once(client, server, first.session);
  CHECK(!again.client_done && no_byte_passed(&again));
  forget(&again);
  forget(&first);
  freed(client, server);
  // On a server.
  server = pinned_server("clients_leaf");
  SSL_CTX_set_info_callback(server, forgetful_info);
  client = client_context();
  use_identity(client, "stranger");
  again = connect_once(client, server, NULL);
  CHECK(!again.server_done && no_byte_passed(&again));
  forget(&again);
  freed(client, server);
}

static int select_and_forget(SSL *ssl, int *alert, void *arg) {
  (void)alert, (void)arg;
  SSL_set_info_callback(ssl, forgetful_info);
  return SSL_TLSEXT_ERR_OK;
}

// One that a callback for SNI sets on the connection, in the middle. In
// TLS 1.2, a resumed handshake asks no security callback after that: only the
// report tells that nobody has decided.
static void info_callback_in_the_middle(void) {
  SSL_CTX *server = pinned_server("clients_stranger");
  SSL_CTX *client = client_context();
  use_identity(client, "stranger");
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  CHECK(pv_openssl_swap(server, policy_of("clients_leaf")) == 1);
  SSL_CTX_set_tlsext_servername_callback(server, select_and_forget);
  for (int resumes = 0; resumes < 2; resumes++) {
    answer again = connect_once(client, server, resumes ? first.session : NULL);
    CHECK(!again.server_accepts);
    CHECK((resumes && tls_version == TLS1_2_VERSION) ||
          (!again.server_done && no_byte_passed(&again)));
    forget(&again);
  }
  forget(&first);
  freed(client, server);
}

// One that is set on the connection at any message of a handshake: before it is
// read, or after it is written.
static int messages_left;

static void forget_at_message(int is_write, int version, int type,
                              const void *data, size_t len, SSL *ssl,
                              void *arg) {
  (void)is_write, (void)version, (void)data, (void)len, (void)arg;
  if (type == SSL3_RT_HANDSHAKE && messages_left-- == 0) {
    SSL_set_info_callback(ssl, forgetful_info);
  }
}

static void info_callback_at_any_message(void) {
  for (int is_server = 0; is_server < 2; is_server++) {
    SSL_CTX *server = is_server ? pinned_server("clients_leaf")
                                : server_context("impostor", SSL_VERIFY_PEER);
    SSL_CTX *client = is_server ? client_context() : pinned_client("leaf");
    use_identity(client, "stranger");
    bool was_set = true;
    for (int n = 0; was_set; n++) {
      CHECK(n < 20);
      dialogue d = opened(client, server);
      SSL *pinned = is_server ? d.server : d.client;
      messages_left = n;
      SSL_set_msg_callback(pinned, forget_at_message);
      expect_host(d.client, HOST);
      talk(&d);
      was_set = messages_left < 0;
      CHECK(pv_openssl_report(pinned, NULL) == 0);
      CHECK((is_server ? d.at_server : d.at_client) == 0);
      CHECK(!(is_server ? d.server_done : d.client_done));
      closed(&d);
    }
    freed(client, server);
  }
}

static void (*info_below)(const SSL *ssl, int where, int ret);

static void polite_info(const SSL *ssl, int where, int ret) {
  info_below(ssl, where, ret);
}

// One that was set later and calls ours.
static void info_callback_that_calls_ours(void) {
  SSL_CTX *client = pinned_client("leaf");
  info_below = SSL_CTX_get_info_callback(client);
  SSL_CTX_set_info_callback(client, polite_info);
  for (int bad = 0; bad < 2; bad++) {
    SSL_CTX *server =
        server_context(bad ? "impostor" : "server", SSL_VERIFY_NONE);
    answer a = connect_once(client, server, NULL);
    CHECK(bad ? no_byte_passed(&a) : went_well(&a));
    CHECK(a.client_accepts == !bad);
    forget(&a);
    SSL_CTX_free(server);
  }
  SSL_CTX_free(client);
}

static int refuse_all(int ok, X509_STORE_CTX *store) {
  (void)ok, (void)store;
  return 0;
}

// A verify callback goes on to refuse, whenever it was set.
static void verify_callback_refuses(void) {
  for (int when = 0; when < 3; when++) {
    SSL_CTX *client = client_context();
    SSL_CTX *server = honest_server();
    if (when == 0) {
      SSL_CTX_set_verify(client, SSL_VERIFY_PEER, refuse_all);
    }
    pin(client, "leaf");
    if (when == 1) {
      SSL_CTX_set_verify(client, SSL_VERIFY_PEER, refuse_all);
    }
    dialogue d = opened(client, server);
    if (when == 2) {
      SSL_set_verify(d.client, SSL_VERIFY_PEER, refuse_all);
    }
    expect_host(d.client, HOST);
    talk(&d);
    CHECK(!d.client_done && d.at_server == 0);
    closed(&d);
    freed(client, server);
  }
}

static int trust_without_looking(X509_STORE_CTX *store, void *arg) {
  (void)store;
  ++*(int *)arg;
  return 1;
}

static int look_and_trust(X509_STORE_CTX *store, void *arg) {
  ++*(int *)arg;
  return X509_verify_cert(store);
}

static int look_and_ignore(X509_STORE_CTX *store, void *arg) {
  ++*(int *)arg;
  (void)X509_verify_cert(store);
  return 1;
}

// A callback in place of the verification is kept. If it does not verify, only
// the leaf counts.
static void verification_by_the_application(void) {
  const struct {
    int (*callback)(X509_STORE_CTX *, void *);
    const char *policy, *identity;
    bool accepted;
  } cases[] = {
      {look_and_trust, "ca", "server", true},
      {look_and_trust, "ca", "impostor", false},
      {look_and_trust, "ca", "forged", false},
      {look_and_ignore, "ca", "server", true},
      {look_and_ignore, "ca", "impostor", false},
      {look_and_ignore, "ca", "forged", false},
      {look_and_ignore, "leaf", "impostor", false},
      {trust_without_looking, "ca", "server", false},
      {trust_without_looking, "ca", "forged", false},
      {trust_without_looking, "leaf", "server", true},
      {trust_without_looking, "leaf", "impostor", false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (int later = 0; later < 2; later++) {
      int calls = 0;
      SSL_CTX *client = client_context();
      SSL_CTX *server = server_context(cases[i].identity, SSL_VERIFY_NONE);
      if (later) {
        pin(client, cases[i].policy);
      }
      SSL_CTX_set_cert_verify_callback(client, cases[i].callback, &calls);
      if (!later) {
        pin(client, cases[i].policy);
      }
      answer a = connect_once(client, server, NULL);
      CHECK(calls == 1);
      CHECK(a.client_accepts == cases[i].accepted);
      CHECK(cases[i].accepted ? went_well(&a)
                              : no_byte_passed(&a) && !a.client_done);
      forget(&a);
      freed(client, server);
    }
  }
}

#ifndef OPENSSL_IS_BORINGSSL
static int allow_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits,
                          int nid, void *other, void *ex) {
  (void)ssl, (void)ctx, (void)op, (void)bits, (void)nid, (void)other;
  ++*(int *)ex;
  return 1;
}

static void security_callback_before(void) {
  int calls = 0;
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  SSL_CTX_set_security_callback(client, allow_security);
  SSL_CTX_set0_security_ex_data(client, &calls);
  pin(client, "leaf");
  answer a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && a.client_accepts && calls > 0);
  forget(&a);
  freed(client, server);
}

static const char THEIRS[] = "application data of somebody else";

static int put_theirs(SSL *ssl, void *arg) {
  (void)arg;
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), THEIRS,
                                         sizeof(THEIRS));
}

static SSL_TICKET_RETURN see_theirs(SSL *ssl, SSL_SESSION *session,
                                    const unsigned char *name, size_t name_len,
                                    SSL_TICKET_STATUS status, void *arg) {
  void *data = NULL;
  size_t len = 0;
  (void)ssl, (void)name, (void)name_len;
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 &&
      len == sizeof(THEIRS) && memcmp(data, THEIRS, len) == 0) {
    ++*(int *)arg;
  }
  return SSL_TICKET_RETURN_USE;
}

// An application with its own data in tickets keeps them; a session without
// our evidence is judged by its leaf.
static void ticket_data_of_the_application(void) {
  for (int by_ca = 0; by_ca < 2; by_ca++) {
    int seen = 0;
    SSL_CTX *server = server_context("server", SSL_VERIFY_PEER);
    SSL_CTX_set_session_ticket_cb(server, put_theirs, see_theirs, &seen);
    pin(server, by_ca ? "clients_ca" : "clients_leaf");
    SSL_CTX *client = client_context();
    use_identity(client, "client");
    answer first = connect_once(client, server, NULL);
    CHECK(went_well(&first) && first.session != NULL);
    answer again = connect_once(client, server, first.session);
    CHECK(seen == 1);
    CHECK(again.server_accepts == !by_ca);
    CHECK(by_ca ? no_byte_passed(&again) : went_well(&again));
    forget(&first);
    forget(&again);
    freed(client, server);
  }
}
#endif

// A connection that was made before its context was pinned.
static void connection_made_before(void) {
  for (int bad = 0; bad < 2; bad++) {
    SSL_CTX *client = client_context();
    SSL_CTX *server =
        server_context(bad ? "impostor" : "server", SSL_VERIFY_NONE);
    dialogue d = opened(client, server);
    expect_host(d.client, HOST);
    pin(client, "leaf");
    talk(&d);
    CHECK(d.client_done == !bad && d.at_server == !bad);
    CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)!bad);
    closed(&d);
    freed(client, server);
  }
}

// A handshake that had begun is not decided by halves.
static void pinned_in_the_middle(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = honest_server();
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  CHECK(SSL_do_handshake(d.client) <= 0);
  pin(client, "leaf");
  talk(&d);
  CHECK(pv_openssl_report(d.client, NULL) == 0);
  CHECK(!d.client_done && d.at_server == 0 && d.at_client == 0);
  closed(&d);
  freed(client, server);
}

// SSL_clear begins anew.
static void used_again(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  SSL_CTX *impostor = server_context("impostor", SSL_VERIFY_NONE);
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  talk(&d);
  CHECK(d.client_done && pv_openssl_report(d.client, NULL) == 1);
  SSL_set_shutdown(d.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  CHECK(SSL_clear(d.client) == 1 && pv_openssl_report(d.client, NULL) == 0);
  for (int bad = 1; bad >= 0; bad--) {
    renew(&d, bad ? impostor : server);
    talk(&d);
    CHECK(d.client_done == !bad && d.at_server == !bad);
    CHECK(pv_openssl_report(d.client, NULL) == (uint32_t)!bad);
  }
  closed(&d);
  SSL_CTX_free(impostor);
  freed(client, server);
}

#ifndef OPENSSL_IS_BORINGSSL
// The copy that SSL_dup makes begins anew.
static void copied(void) {
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  dialogue e = opened(client, server);
  expect_host(e.client, HOST);
  SSL *copy = SSL_dup(e.client);
  CHECK(copy != NULL);
  CHECK(SSL_get_ex_data(copy, 0) == NULL || copy != e.client);
  SSL_free(copy);
  talk(&e);
  CHECK(pv_openssl_report(e.client, NULL) == 1);
  closed(&e);
  freed(client, server);
}
#endif

// A rejected connection stays broken, whatever the application tries.
static void rejected_for_good(void) {
  SSL_CTX *server = server_context("server", SSL_VERIFY_NONE);
  pin(server, "clients_leaf");  // nobody is asked, so nobody gets in
  SSL_CTX *client = client_context();
  dialogue d = opened(client, server);
  char byte;
  talk(&d);
  CHECK(!d.server_done);
  SSL_set_shutdown(d.server, 0);
  for (int i = 0; i < 3; i++) {
    SSL_do_handshake(d.client);
    CHECK(SSL_accept(d.server) <= 0);
    CHECK(SSL_read(d.server, &byte, 1) <= 0);
    CHECK(SSL_write(d.server, "!", 1) <= 0);
    CHECK(SSL_read(d.client, &byte, 1) <= 0);
  }
  ERR_clear_error();
  CHECK(SSL_accept(d.server) <= 0);
  CHECK(SSL_get_error(d.server, -1) == SSL_ERROR_SSL);
  closed(&d);
  freed(client, server);
}

// Pitfall 28: a swap waits for those that read the old policy.
static pv__in_force in_force;
static atomic_bool has_returned;

static void *swap_once(void *arg) {
  (void)arg;
  pv__in_force_swap(&in_force, policy_of("ca"));
  atomic_store(&has_returned, true);
  return NULL;
}

static void swap_waits_for_readers(void) {
  pthread_t swapper;
  atomic_store(&has_returned, false);
  (void)policy_of("ca");
  pv__in_force_init(&in_force, policy_of("leaf"));
  const pv__reading old = pv__read_begin(&in_force);
  CHECK(pthread_create(&swapper, NULL, swap_once, NULL) == 0);
  while (atomic_load(&in_force.number) == old.number) {
    sched_yield();
  }
  for (int i = 0; i < 200 && !atomic_load(&has_returned); i++) {
    sched_yield();
  }
  CHECK(!atomic_load(&has_returned));
  // New readers get the new policy, and the old one stays for the old reader.
  const pv__reading new = pv__read_begin(&in_force);
  CHECK(new.number == old.number + 1);
  CHECK(memcmp(old.policy, policy_of("leaf"), sizeof(*old.policy)) == 0);
  CHECK(memcmp(new.policy, policy_of("ca"), sizeof(*new.policy)) == 0);
  pv__read_end(&in_force, &new);
  pv__read_end(&in_force, &old);
  CHECK(pthread_join(swapper, NULL) == 0);
  CHECK(atomic_load(&has_returned));
}

// Wrong arguments, and what is not pinned.
static void wrong_arguments(void) {
  SSL_CTX *ctx = client_context();
  pv_policy closed_policy;
  pv_openssl_decision decision;
  memset(&closed_policy, 0, sizeof(closed_policy));
  CHECK(pv_openssl_pin(NULL, policy_of("leaf"), NULL) == 0);
  CHECK(pv_openssl_pin(ctx, NULL, NULL) == 0);
  CHECK(pv_openssl_pin(ctx, &closed_policy, NULL) == 0);
  CHECK(SSL_CTX_get_info_callback(ctx) == NULL);
  CHECK(pv_openssl_swap(ctx, policy_of("leaf")) == 0);
  CHECK(pv_openssl_pin(ctx, policy_of("leaf"), NULL) == 1);
  CHECK(pv_openssl_pin(ctx, policy_of("leaf"), NULL) == 0);
  CHECK(ERR_peek_last_error() != 0);
  CHECK(pv_openssl_swap(ctx, &closed_policy) == 0);
  CHECK(pv_openssl_swap(ctx, NULL) == 0);
  CHECK(pv_openssl_report(NULL, &decision) == 0);
  CHECK(decision.report.reason == PV_NOT_CHECKED && decision.why != NULL);
  SSL *ssl = SSL_new(ctx);
  CHECK(pv_openssl_report(ssl, &decision) == 0);
  CHECK(decision.report.reason == PV_NOT_CHECKED);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
}

static const char *last_words(void) {
  const char *file = NULL, *words = "";
  int line = 0, flags = 0;
#ifdef OPENSSL_IS_BORINGSSL
  ERR_peek_last_error_line_data(&file, &line, &words, &flags);
#else
  const char *function = NULL;
  ERR_peek_last_error_all(&file, &line, &function, &words, &flags);
#endif
  return words;
}

static void dtls_is_refused(void) {
  SSL_CTX *dtls = SSL_CTX_new(DTLS_client_method());
  CHECK(pv_openssl_pin(dtls, policy_of("leaf"), NULL) == 0);
  CHECK(strstr(last_words(), "DTLS") != NULL);
  SSL_CTX_free(dtls);
#ifndef OPENSSL_IS_BORINGSSL
  SSL_CTX *client = pinned_client("leaf");
  SSL_CTX *server = honest_server();
  pv_openssl_decision why;
  // A context can change afterwards.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  CHECK(SSL_CTX_set_ssl_version(client, DTLS_client_method()) == 1);
#pragma GCC diagnostic pop
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  CHECK(SSL_do_handshake(d.client) <= 0);
  CHECK(pv_openssl_report(d.client, &why) == 0);
  CHECK(strstr(why.why, "DTLS") != NULL);
  CHECK(BIO_ctrl_pending(SSL_get_wbio(d.server)) == 0);  // nothing was sent
  closed(&d);
  freed(client, server);
#endif
}

#ifndef OPENSSL_IS_BORINGSSL
// OpenSSL 3.0 and 3.1 have no QUIC, so its method is looked up.
static void quic_is_refused(void) {
  const SSL_METHOD *(*method_of_quic)(void) = NULL;
  *(void **)&method_of_quic = dlsym(RTLD_DEFAULT, "OSSL_QUIC_client_method");
  if (method_of_quic == NULL) {
    CHECK(OpenSSL_version_num() < 0x30200000L);
    return;
  }
  SSL_CTX *quic = SSL_CTX_new(method_of_quic());
  CHECK(quic != NULL && pv_openssl_pin(quic, policy_of("leaf"), NULL) == 0);
  CHECK(strstr(last_words(), "QUIC") != NULL);
  SSL_CTX_free(quic);
}
#endif

// What on_report is told.
static void rejections_are_told_once(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *server = server_context("impostor", SSL_VERIFY_NONE);
  tally told = {.times = 0};
  const pv_openssl_options options = {.on_report = count, .arg = &told};
  CHECK(pv_openssl_pin(client, policy_of("leaf"), &options) == 1);
  answer a = connect_once(client, server, NULL);
  CHECK(told.times == 1 && !told.last.report.accepted);
  CHECK(strcmp(told.last.host, HOST) == 0);
  CHECK(told.last.report.reason == PV_MISMATCH);
  forget(&a);
  SSL_CTX_free(server);
  server = honest_server();
  a = connect_once(client, server, NULL);
  CHECK(went_well(&a) && told.times == 1);
  forget(&a);
  freed(client, server);
}

const scenario composition_scenarios[] = {
    {"info_callback_before", info_callback_before},
    {"info_callback_that_forgets_ours", info_callback_that_forgets_ours},
    {"info_callback_in_the_middle", info_callback_in_the_middle},
    {"info_callback_at_any_message", info_callback_at_any_message},
    {"info_callback_that_calls_ours", info_callback_that_calls_ours},
    {"verify_callback_refuses", verify_callback_refuses},
    {"verification_by_the_application", verification_by_the_application},
#ifndef OPENSSL_IS_BORINGSSL
    {"security_callback_before", security_callback_before},
#endif
#ifndef OPENSSL_IS_BORINGSSL
    {"ticket_data_of_the_application", ticket_data_of_the_application},
#endif
    {"connection_made_before", connection_made_before},
    {"pinned_in_the_middle", pinned_in_the_middle},
    {"used_again", used_again},
#ifndef OPENSSL_IS_BORINGSSL
    {"copied", copied},
#endif
    {"rejected_for_good", rejected_for_good},
    {"swap_waits_for_readers", swap_waits_for_readers},
    {"dtls_is_refused", dtls_is_refused},
#ifndef OPENSSL_IS_BORINGSSL
    {"quic_is_refused", quic_is_refused},
#endif
    {"wrong_arguments", wrong_arguments},
    {"rejections_are_told_once", rejections_are_told_once},
    {NULL, NULL},
};
