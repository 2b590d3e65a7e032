// handshakes.c: handshakes of OpenSSL with pins and without, which take turns.
//
//   handshakes FOLDER TLS1.2|TLS1.3 full|resumed WHO ROUNDS REPEAT
//   handshakes FOLDER TLS1.2|TLS1.3 full|resumed WHO plain|pinned TIMES
//
// FOLDER has the certificates and policies of tests/helpers/openssl_cast.py.
// WHO has pins: client, server or both; with pins for clients, clients show a
// certificate, in the handshakes without pins as well.
//
// The first form prints a line for each round: the nanoseconds of CPU that a
// plain handshake, another plain one and a pinned one took, both ends together;
// of REPEAT handshakes the fastest, since another process may be in between.
// The second does so many handshakes and prints nothing, for callgrind to count
// (../bench_openssl.py).
#define _POSIX_C_SOURCE 200809L
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../csrc/pinverify_openssl.h"

enum { WARM_UP = 5, SIDES = 3, PINNED = 2 };

static void stop(const char *why) {
  fprintf(stderr, "handshakes: %s\n", why);
  ERR_print_errors_fp(stderr);
  exit(2);
}

static const char *folder;

static const char *path_of(const char *name) {
  static char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

// ---- contexts ---------------------------------------------------------------

// A client and a server, and the newest session of theirs.
typedef struct pair {
  SSL_CTX *client, *server;
  SSL_SESSION *session;
} pair;

static void pin(SSL_CTX *ctx, const char *name) {
  static uint8_t bytes[2][1 << 16];  // stays as long as the contexts
  static pv_policy policies[2];
  const int which = SSL_CTX_get_ssl_method(ctx) == TLS_server_method();
  FILE *file = fopen(path_of(name), "rb");
  const size_t len =
      file == NULL ? 0 : fread(bytes[which], 1, sizeof bytes[which], file);
  if (file != NULL) {
    fclose(file);
  }
  if (pv_policy_open(&policies[which], bytes[which], len) != PV_OK ||
      pv_openssl_pin(ctx, &policies[which], NULL) != 1) {
    stop(name);
  }
}

static void use_identity(SSL_CTX *ctx, const char *name) {
  const char *path = path_of(name);
  if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1 ||
      SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1) {
    stop(name);
  }
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
  pair *p = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  SSL_SESSION_free(p->session);
  p->session = session;
  return 1;
}

static SSL_CTX *context(const SSL_METHOD *method, int version) {
  SSL_CTX *ctx = SSL_CTX_new(method);
  if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) ||
      !SSL_CTX_set_max_proto_version(ctx, version) ||
      !SSL_CTX_load_verify_locations(ctx, path_of("trust.pem"), NULL)) {
    stop("no context");
  }
  return ctx;
}

static void make_pair(pair *p, int version, bool asks) {
  p->client = context(TLS_client_method(), version);
  p->server = context(TLS_server_method(), version);
  p->session = NULL;
  use_identity(p->server, "server.pem");
  if (asks) {
    use_identity(p->client, "client.pem");
    SSL_CTX_set_verify(p->server, SSL_VERIFY_PEER, NULL);
  }
  SSL_CTX_set_verify(p->client, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(
      p->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(p->client, keep_session);
  SSL_CTX_set_app_data(p->client, p);
  SSL_CTX_set_session_id_context(p->server, (const unsigned char *)"bench", 5);
}

// ---- handshakes -------------------------------------------------------------

static void shake(pair *p, bool resumes) {
  SSL *client = SSL_new(p->client);
  SSL *server = SSL_new(p->server);
  BIO *near = NULL, *far = NULL;
  char byte = 0;
  if (client == NULL || server == NULL ||
      BIO_new_bio_pair(&near, 1 << 16, &far, 1 << 16) != 1) {
    stop("no connection");
  }
  SSL_set_bio(client, near, near);
  SSL_set_bio(server, far, far);
  SSL_set1_host(client, "localhost");
  SSL_set_tlsext_host_name(client, "localhost");
  SSL_set_connect_state(client);
  SSL_set_accept_state(server);
  if (resumes && SSL_set_session(client, p->session) != 1) {
    stop("no session");
  }
  for (int i = 0; i < 10 && (SSL_in_init(client) || SSL_in_init(server)); i++) {
    SSL_do_handshake(client);
    SSL_do_handshake(server);
  }
  // A byte of data brings the tickets along.
  if (SSL_write(server, "!", 1) != 1 || SSL_read(client, &byte, 1) != 1) {
    stop("the handshake failed");
  }
  if (SSL_session_reused(client) != resumes) {
    stop("the session was resumed, or was not");
  }
  SSL_shutdown(client);
  SSL_shutdown(server);
  SSL_free(client);
  SSL_free(server);
}

static double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double time_shakes(pair *p, bool resumes, int repeat) {
  double least = 0;
  for (int i = 0; i < repeat; i++) {
    const double start = cpu_ns();
    shake(p, resumes);
    const double ns = cpu_ns() - start;
    least = i == 0 || ns < least ? ns : least;
  }
  return least;
}

// Each is first, second and last equally often, and never behind the same one.
static void take_turns(pair *pairs, bool resumes, int rounds, int repeat) {
  static const int orders[6][SIDES] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0},
                                       {0, 2, 1}, {2, 0, 1}, {1, 0, 2}};
  for (int round = 0; round < rounds; round++) {
    double ns[SIDES];
    for (int i = 0; i < SIDES; i++) {
      const int side = orders[round % 6][i];
      ns[side] = time_shakes(&pairs[side], resumes, repeat);
    }
    printf("%.0f %.0f %.0f\n", ns[0], ns[1], ns[PINNED]);
  }
}

int main(int argc, char **argv) {
  static pair pairs[SIDES];
  if (argc != 7) {
    stop("usage: FOLDER TLS1.2|TLS1.3 full|resumed WHO ROUNDS|WHICH REPEAT");
  }
  folder = argv[1];
  const int version =
      strcmp(argv[2], "TLS1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
  const bool resumes = strcmp(argv[3], "resumed") == 0;
  const bool pins_client = strcmp(argv[4], "server") != 0;
  const bool pins_server = strcmp(argv[4], "client") != 0;
  for (int i = 0; i < SIDES; i++) {
    make_pair(&pairs[i], version, pins_server);
  }
  if (pins_client) {
    pin(pairs[PINNED].client, "ca.pvpol");
  }
  if (pins_server) {
    pin(pairs[PINNED].server, "clients_ca.pvpol");
  }
  for (int i = 0; i < SIDES; i++) {
    for (int n = 0; n < WARM_UP; n++) {
      shake(&pairs[i], n > 0 && resumes);
    }
  }
  const bool is_counted = atoi(argv[5]) == 0;
  if (is_counted) {
    pair *p = &pairs[strcmp(argv[5], "pinned") == 0 ? PINNED : 0];
    for (int i = 0; i < atoi(argv[6]); i++) {
      shake(p, resumes);
    }
  } else {
    take_turns(pairs, resumes, atoi(argv[5]), atoi(argv[6]));
  }
  return 0;
}
