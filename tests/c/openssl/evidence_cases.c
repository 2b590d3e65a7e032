// evidence_cases.c: the cases of the rule of evidence, each as a handshake.
//
//   evidence_cases FOLDER TLS1.2|TLS1.3 CASES
//
// CASES are rows of tests/vectors/evidence_cases.tsv, which evidence_cases.py
// explains: what the library shows of a peer, the policy, and what must come of
// it. FOLDER has the certificates, and the policies by their names. The program
// prints how many cases it ran, and those in which the adapter decides
// otherwise.
#include "../../../csrc/openssl/connection.h"
#include "dialogue.h"

typedef struct row {
  bool is_client;
  bool is_verified;
  bool is_resumed;
  bool is_remembered;
  bool is_accepted;
  bool is_noticed;
  char policy[96];
  char reason[16];
} row;

// What the adapter decided, and what it told the application.
typedef struct outcome {
  bool is_final;  // not about a session that a client does not offer then
  bool is_accepted;
  bool is_noticed;
  pv_reason reason;
} outcome;

static const char *const REASONS[] = {
    "MISMATCH",  "MATCH",   "NOT_PINNED", "EXPIRED",    "NO_CERTIFICATE",
    "MALFORMED", "BLOCKED", "BAD_HOST",   "NOT_CHECKED"};

static bool read_row(row *out, FILE *file) {
  char peer[16], verified[16], resumed[16], remembered[16], blocked[16],
      expired[16], mode[16], pins[16], accepted[16], noticed[16];
  const int num =
      fscanf(file, "%15s %15s %15s %15s %15s %15s %15s %15s %15s %15s %15s",
             peer, verified, resumed, remembered, blocked, expired, mode, pins,
             accepted, out->reason, noticed);
  if (num != 11) {
    return false;
  }
  out->is_client = strcmp(peer, "client") == 0;
  out->is_verified = strcmp(verified, "verified") == 0;
  out->is_resumed = strcmp(resumed, "resumed") == 0;
  out->is_remembered = strcmp(remembered, "remembered") == 0;
  out->is_accepted = strcmp(accepted, "accepted") == 0;
  out->is_noticed = strcmp(noticed, "noticed") == 0;
  snprintf(out->policy, sizeof(out->policy), "%s_%s_%s_%s_%s", peer, blocked,
           expired, mode, pins);
  return true;
}

// ---- contexts ---------------------------------------------------------------

static tally told;

// A client decides about a session before it offers it.
static pv_openssl_decision about_session;
static void keep_first_decision(const SSL *ssl, int where, int ret) {
  (void)ret;
  if ((where & SSL_CB_HANDSHAKE_START) && !SSL_is_server(ssl)) {
    about_session = pv__connection_of(ssl)->decision;
  }
}

static SSL_CTX *watched(SSL_CTX *ctx, const char *policy) {
  const pv_openssl_options options = {.on_report = count, .arg = &told};
  SSL_CTX_set_info_callback(ctx, keep_first_decision);
  if (pv_openssl_pin(ctx, policy_of(policy), &options) != 1) {
    TROUBLE("pv_openssl_pin");
  }
  return ctx;
}

static void trust_nobody(SSL_CTX *ctx) {
  SSL_CTX_set_cert_store(ctx, X509_STORE_new());
}

static int accept_all(int ok, X509_STORE_CTX *store) {
  (void)ok, (void)store;
  return 1;
}

// A server verifies no client if a callback accepts what OpenSSL rejects:
// without SSL_VERIFY_PEER it would ask for no certificate.
static SSL_CTX *asking_server(bool verifies, bool shares) {
  SSL_CTX *ctx = server_context("server", SSL_VERIFY_PEER);
  if (!verifies) {
    trust_nobody(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_all);
  }
  if (shares) {
    share_tickets(ctx);
  }
  return ctx;
}

static SSL_CTX *client_that(bool verifies) {
  SSL_CTX *ctx = client_context();
  SSL_CTX_set_verify(ctx, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
  return ctx;
}

static SSL_CTX *serving(bool shares) {
  SSL_CTX *ctx = honest_server();
  if (shares) {
    share_tickets(ctx);
  }
  return ctx;
}

// The two ends of the rows that show the same; one of them is pinned.
typedef struct stage {
  SSL_CTX *client, *server;
  SSL_SESSION *session;  // to offer, or NULL
} stage;

// Does a full handshake, and returns its session.
static SSL_SESSION *session_between(SSL_CTX *client, SSL_CTX *server) {
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  freed(client, server);
  return first.session;
}

// BoringSSL verifies the chain of a session again: nobody knows it if that does
// not pass. OpenSSL does not know it if it was no pinned context that saw it.
static stage with_server_as_peer(const row *r) {
  stage s = {client_that(r->is_verified), serving(r->is_resumed), NULL};
  if (r->is_resumed || r->is_remembered) {
    SSL_CTX *before = client_that(true);
    if (r->is_remembered) {
      watched(before, "elsewhere");
    }
    s.session = session_between(before, serving(true));
  }
#ifdef OPENSSL_IS_BORINGSSL
  if (r->is_resumed && !r->is_remembered) {
    trust_nobody(s.client);
  }
#endif
  watched(s.client, "elsewhere");
  return s;
}

static stage with_client_as_peer(const row *r) {
  stage s = {client_with("client"),
             asking_server(r->is_verified, r->is_resumed), NULL};
  if (r->is_resumed || r->is_remembered) {
    const bool is_verified = r->is_verified || !r->is_resumed;
    SSL_CTX *before = asking_server(is_verified, true);
    if (r->is_remembered || !is_verified) {
      watched(before, "clients_watched");
    }
    if (r->is_remembered && !is_verified) {  // it was verified at another time
      SSL_CTX *careful = watched(asking_server(true, true), "clients_watched");
      SSL_SESSION_free(session_between(client_with("client"), careful));
    }
    s.session = session_between(client_with("client"), before);
  }
#ifdef OPENSSL_IS_BORINGSSL
  if (r->is_resumed && !r->is_remembered) {
    trust_nobody(s.server);
  }
#endif
  watched(s.server, "clients_watched");
  return s;
}

// ---- rows -------------------------------------------------------------------

static outcome decided(const pv_openssl_decision *decision, bool is_final) {
  return (outcome){
      .is_final = is_final,
      .is_accepted = decision->report.accepted == 1,
      .reason = (pv_reason)decision->report.reason,
      .is_noticed = is_final && told.times == 1 && told.last.report.accepted};
}

static outcome run(const stage *s, const row *r) {
  SSL_CTX *pinned = r->is_client ? s->server : s->client;
  if (pv_openssl_swap(pinned, policy_of(r->policy)) != 1) {
    TROUBLE("pv_openssl_swap");
  }
  told.times = 0;
  answer a = connect_once(s->client, s->server, s->session);
  const pv_openssl_decision *last = r->is_client ? &a.server : &a.client;
  const bool is_offered = r->is_client || about_session.report.accepted == 1;
  outcome out = !r->is_resumed || is_offered
                    ? decided(last, true)
                    : decided(&about_session, false);
  if (out.is_final) {
    CHECK(out.is_accepted ==
          (r->is_client ? a.server_accepts : a.client_accepts));
    CHECK(out.is_accepted ? went_well(&a) : no_byte_passed(&a));
    CHECK(last->is_resumed == r->is_resumed);
    // Each rejection is told, and each acceptance without a match, once.
    CHECK(told.times == (!out.is_accepted || out.is_noticed));
    CHECK(told.times == 0 || (told.last.report.accepted == out.is_accepted &&
                              told.last.report.reason == out.reason));
  } else {
    CHECK(!a.is_resumed && !out.is_accepted);
  }
  CHECK(out.reason != PV_NOT_CHECKED ||
        strstr(out.is_final ? last->why : about_session.why,
               "connect again without the session") != NULL);
  forget(&a);
  return out;
}

static bool is_as_expected(const outcome *out, const row *r) {
  return out->is_accepted == r->is_accepted &&
         strcmp(REASONS[out->reason], r->reason) == 0 &&
         (!out->is_final || out->is_noticed == r->is_noticed);
}

static bool shows_the_same(const row *a, const row *b) {
  return a->is_client == b->is_client && a->is_verified == b->is_verified &&
         a->is_resumed == b->is_resumed && a->is_remembered == b->is_remembered;
}

static void struck(stage *s) {
  freed(s->client, s->server);
  SSL_SESSION_free(s->session);
  *s = (stage){NULL, NULL, NULL};
}

int main(int argc, char **argv) {
  int num_rows = 0, num_different = 0;
  stage s = {NULL, NULL, NULL};
  row r, before = {.is_client = false};
  FILE *file = argc == 4 ? fopen(argv[3], "r") : NULL;
  if (file == NULL) {
    TROUBLE("usage: evidence_cases FOLDER TLS1.2|TLS1.3 CASES");
  }
  begin_dialogues(argv[1], argv[2]);
  for (; read_row(&r, file); before = r, num_rows++) {
    if (num_rows == 0 || !shows_the_same(&r, &before)) {
      struck(&s);
      s = r.is_client ? with_client_as_peer(&r) : with_server_as_peer(&r);
    }
    const outcome out = run(&s, &r);
    if (!is_as_expected(&out, &r)) {
      num_different++;
      printf(
          "row %d: %s, verified %d, resumed %d, remembered %d: %s %s, not %s\n",
          num_rows + 1, r.policy, r.is_verified, r.is_resumed, r.is_remembered,
          out.is_accepted ? "accepted" : "rejected", REASONS[out.reason],
          r.reason);
    }
  }
  printf("%d cases, %d decided otherwise\n", num_rows, num_different);
  struck(&s);
  fclose(file);
  return num_different != 0;
}
