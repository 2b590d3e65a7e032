// swaps.c: policies that are replaced while threads do handshakes.
//
//   swaps FOLDER TLS1.2|TLS1.3 THREADS HANDSHAKES
//
// Policy `one` accepts the peer and `other` rejects it. Threads connect, in
// full and with sessions, while another thread swaps the policies of a client
// and of a server. Each policy is read from bytes of its own, which are
// overwritten and freed as soon as the swap has returned. Each handshake must
// be decided by exactly one policy: accepted by `one`, or rejected by `other`.
// The counters of both contexts have each decision once, across all swaps.
#include <pthread.h>
#include <stdatomic.h>

#include "dialogue.h"

// What one side has: its context, and the files and digests of two policies.
typedef struct side {
  SSL_CTX *ctx;
  const pv_policy *one, *other;
  uint8_t digest_of_one[32], digest_of_other[32];
} side;

static side client, server;
static atomic_bool is_over;
static atomic_int left, accepted, rejected, resumed, swaps;

static side side_of(SSL_CTX *ctx, const char *one, const char *other) {
  side s = {.ctx = ctx, .one = policy_of(one), .other = policy_of(other)};
  pv_policy_digest(s.digest_of_one, s.one);
  pv_policy_digest(s.digest_of_other, s.other);
  pin(ctx, one);
  return s;
}

// Adds the counters of a context, which have no other reasons than these two.
static void add_counters(const SSL_CTX *ctx, uint64_t *matches,
                         uint64_t *mismatches) {
  pv_openssl_counters counters;
  CHECK(pv_openssl_count(ctx, &counters) == 1);
  for (size_t i = 0; i <= PV_NOT_CHECKED; i++) {
    CHECK(counters.accepted[i] == 0 || i == PV_MATCH);
    CHECK(counters.rejected[i] == 0 || i == PV_MISMATCH);
  }
  CHECK(counters.resumed <= counters.accepted[PV_MATCH]);
  *matches += counters.accepted[PV_MATCH];
  *mismatches += counters.rejected[PV_MISMATCH];
}

static void check_counters(void) {
  uint64_t matches = 0, mismatches = 0;
  add_counters(client.ctx, &matches, &mismatches);
  add_counters(server.ctx, &matches, &mismatches);
  CHECK(matches == (uint64_t)atomic_load(&accepted));
  CHECK(mismatches == (uint64_t)atomic_load(&rejected));
  SSL_CTX *unpinned = SSL_CTX_new(TLS_method());
  pv_openssl_counters none;
  memset(&none, 0xaa, sizeof none);
  CHECK(unpinned != NULL && pv_openssl_count(unpinned, &none) == 0);
  CHECK(none.accepted[PV_MATCH] == 0 && none.resumed == 0);
  CHECK(pv_openssl_count(NULL, &none) == 0);
  SSL_CTX_free(unpinned);
}

// ---- the thread that swaps --------------------------------------------------

static uint8_t *in_force[2];
static size_t in_force_len[2];

static void swap_to(side *s, int which, const pv_policy *policy) {
  pv_policy copy;
  size_t len = 0;
  for (size_t i = 0; i < 8; i++) {  // the header has it: see pinverify.h
    len |= (size_t)policy->bytes[40 + i] << (8 * i);
  }
  uint8_t *bytes = malloc(len);
  CHECK(bytes != NULL);
  memcpy(bytes, policy->bytes, len);
  CHECK(pv_policy_open(&copy, bytes, len) == PV_OK);
  CHECK(pv_openssl_swap(s->ctx, &copy) == 1);
  if (in_force[which] != NULL) {
    memset(in_force[which], 0xaa, in_force_len[which]);
    free(in_force[which]);
  }
  in_force[which] = bytes;
  in_force_len[which] = len;
  atomic_fetch_add(&swaps, 1);
}

static void *swap_often(void *arg) {
  (void)arg;
  for (unsigned n = 0; !atomic_load(&is_over); n++) {
    const struct timespec a_moment = {0, 200000};
    swap_to(&client, 0, n & 1 ? client.one : client.other);
    swap_to(&server, 1, n & 2 ? server.one : server.other);
    nanosleep(&a_moment, NULL);
  }
  return NULL;
}

// ---- the threads that connect -----------------------------------------------

static void check_decision(const side *s, bool accepts,
                           const pv_openssl_decision *decision) {
  const uint8_t *digest = accepts ? s->digest_of_one : s->digest_of_other;
  CHECK(memcmp(decision->policy_digest, digest, 32) == 0);
  CHECK(decision->report.accepted == accepts);
  CHECK(decision->report.reason == (accepts ? PV_MATCH : PV_MISMATCH));
  atomic_fetch_add(accepts ? &accepted : &rejected, 1);
}

static bool is_decided(const pv_openssl_decision *decision) {
  static const uint8_t none[32] = {0};
  return memcmp(decision->policy_digest, none, 32) != 0;
}

static void *connect_often(void *arg) {
  SSL_SESSION *session = NULL;
  (void)arg;
  while (atomic_fetch_sub(&left, 1) > 0) {
    answer a = connect_once(client.ctx, server.ctx, session);
    // Whoever rejects first may leave the other side undecided.
    const bool is_client_decided = is_decided(&a.client);
    const bool is_server_decided = is_decided(&a.server);
    CHECK(a.client_accepts ? is_client_decided
                           : is_client_decided || !a.server_accepts);
    CHECK(is_client_decided || is_server_decided);
    if (is_client_decided) {
      check_decision(&client, a.client_accepts, &a.client);
    }
    if (is_server_decided) {
      check_decision(&server, a.server_accepts, &a.server);
    }
    CHECK(a.at_server == 0 || a.server_accepts);
    CHECK(a.at_client == 0 || a.client_accepts);
    CHECK(a.client_accepts && a.server_accepts ? went_well(&a)
                                               : a.at_client == 0);
    atomic_fetch_add(&resumed, a.is_resumed);
    if (a.session != NULL) {
      SSL_SESSION_free(session);
      session = a.session;
    }
  }
  SSL_SESSION_free(session);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    TROUBLE("usage: swaps FOLDER TLS1.2|TLS1.3 THREADS HANDSHAKES");
  }
  begin_dialogues(argv[1], argv[2]);
  const int num_threads = atoi(argv[3]);
  const int num_handshakes = atoi(argv[4]);
  pthread_t swapper, threads[64];
  if (num_threads < 1 || num_threads > 64) {
    TROUBLE("from 1 to 64 threads");
  }
  client = side_of(client_context(), "ca", "impostor_leaf");
  use_identity(client.ctx, "client");
  server = side_of(server_context("server", SSL_VERIFY_PEER), "clients_ca",
                   "clients_stranger");
  atomic_store(&left, num_handshakes);
  if (pthread_create(&swapper, NULL, swap_often, NULL) != 0) {
    TROUBLE("a thread");
  }
  for (int i = 0; i < num_threads; i++) {
    if (pthread_create(&threads[i], NULL, connect_often, NULL) != 0) {
      TROUBLE("a thread");
    }
  }
  for (int i = 0; i < num_threads; i++) {
    pthread_join(threads[i], NULL);
  }
  atomic_store(&is_over, true);
  pthread_join(swapper, NULL);
  check_counters();
  SSL_CTX_free(client.ctx);
  SSL_CTX_free(server.ctx);
  free(in_force[0]);
  free(in_force[1]);
  printf("%d handshakes, %d accepted, %d rejected, %d resumed, %d swaps\n",
         num_handshakes, atomic_load(&accepted), atomic_load(&rejected),
         atomic_load(&resumed), atomic_load(&swaps));
  CHECK(atomic_load(&accepted) > 0 && atomic_load(&rejected) > 0);
  CHECK(atomic_load(&resumed) > 0 && atomic_load(&swaps) > 10);
  return 0;
}
