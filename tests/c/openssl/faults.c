// faults.c: an allocation that fails, at each place of a handshake.
//
//   faults FOLDER TLS1.2|TLS1.3 STRIDE
//
// A client and a server with pins meet an impostor and a stranger, in full and
// resumed handshakes, and each time another allocation fails: with STRIDE 1
// each one, with 2 every other. While their pins are in force the handshake may
// fail; after that nobody may be accepted, and no byte may pass. Without a
// fault, all goes well before: so the program does not pass by doing nothing.
#include "dialogue.h"

static long allocations;  // since the last handshake began
static long failing;      // the one that fails; 0: none

#ifdef OPENSSL_IS_BORINGSSL

#include <malloc.h>

// BoringSSL calls these if a program has them.
void *OPENSSL_memory_alloc(size_t len);
void OPENSSL_memory_free(void *data);
size_t OPENSSL_memory_get_size(void *data);

void *OPENSSL_memory_alloc(size_t len) {
  return ++allocations == failing ? NULL : malloc(len);
}

void OPENSSL_memory_free(void *data) {
  free(data);
}

size_t OPENSSL_memory_get_size(void *data) {
  return malloc_usable_size(data);
}

static bool take_over_memory(void) {
  return true;
}

#else

static void *allocate(size_t len, const char *file, int line) {
  (void)file, (void)line;
  return ++allocations == failing ? NULL : malloc(len);
}

static void *allocate_again(void *old, size_t len, const char *file, int line) {
  (void)file, (void)line;
  return ++allocations == failing ? NULL : realloc(old, len);
}

static void release(void *old, const char *file, int line) {
  (void)file, (void)line;
  free(old);
}

static bool take_over_memory(void) {
  return CRYPTO_set_mem_functions(allocate, allocate_again, release) == 1;
}

#endif

typedef struct meeting {
  const char *policy, *other_policy;  // the second rejects the peer
  bool is_server;                     // the side with pins
} meeting;

static SSL_CTX *client_of(const meeting *m, const char *policy) {
  SSL_CTX *ctx = m->is_server ? client_context() : pinned_client(policy);
  use_identity(ctx, "stranger");
  return ctx;
}

static SSL_CTX *server_of(const meeting *m, const char *policy) {
  return m->is_server ? pinned_server(policy)
                      : server_context("impostor", SSL_VERIFY_NONE);
}

// Connects by hand: connect_once treats a failing SSL_new as trouble.
static bool gets_through(const meeting *m, SSL_CTX *client, SSL_CTX *server,
                         SSL_SESSION *session, long fault) {
  dialogue d = opened(client, server);
  expect_host(d.client, HOST);
  offer(d.client, session);
  allocations = 0;
  failing = fault;
  talk(&d);
  failing = 0;
  const bool accepted =
      pv_openssl_report(m->is_server ? d.server : d.client, NULL) == 1;
  const bool passed = (m->is_server ? d.at_server : d.at_client) > 0;
  CHECK(accepted || !passed);
  closed(&d);
  return accepted || passed;
}

static long try_all(const meeting *m, long stride) {
  SSL_CTX *client = client_of(m, m->policy);
  SSL_CTX *server = server_of(m, m->policy);
  share_tickets(server);
  answer first = connect_once(client, server, NULL);
  CHECK(went_well(&first) && first.session != NULL);
  SSL_CTX *pinned = m->is_server ? server : client;
  long tried = 0;
  for (int rejects = 0; rejects < 2; rejects++) {
    for (int resumes = 0; resumes < 2; resumes++) {
      SSL_SESSION *session = resumes ? first.session : NULL;
      CHECK(gets_through(m, client, server, session, 0) == !rejects);
      const long num = allocations;
      for (long fault = 1; fault <= num; fault += stride) {
        CHECK(!gets_through(m, client, server, session, fault) || !rejects);
        tried++;
      }
    }
    CHECK(pv_openssl_swap(pinned, policy_of(m->other_policy)) == 1);
  }
  forget(&first);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
  return tried;
}

int main(int argc, char **argv) {
  const meeting meetings[] = {{"impostor_leaf", "leaf", false},
                              {"clients_stranger", "clients_leaf", true}};
  if (argc != 4 || atol(argv[3]) < 1 || !take_over_memory()) {
    TROUBLE("usage: faults FOLDER TLS1.2|TLS1.3 STRIDE");
  }
  begin_dialogues(argv[1], argv[2]);
  for (int i = 0; i < 2; i++) {
    printf("%ld faults\n", try_all(&meetings[i], atol(argv[3])));
  }
  return 0;
}
