// gateway_load.c: both ends of a gateway under load, on the loopback interface.
//
//   gateway_load upstream PEM                  echoes; prints its port
//   gateway_load clients PORT PEM ROOTS MS     prints a line for each
//   connection
//
// A connection of a client is a full handshake, a request of 64 bytes, the same
// bytes back, and close_notify from both sides. Its line has the microseconds
// from the connect to the answer, or "error" and where it happened.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// More upstreams than clients: none waits for a connection that is ending.
enum { CLIENTS = 4, UPSTREAMS = 16, REQUEST_LEN = 64 };

typedef struct work {
  SSL_CTX *ctx;
  int listener;  // of the upstream
  struct sockaddr_in gateway;
  int64_t until;  // in microseconds
} work;

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static _Noreturn void give_up(const char *what) {
  fprintf(stderr, "gateway_load: %s\n", what);
  ERR_print_errors_fp(stderr);
  exit(2);
}

static struct sockaddr_in loopback(uint16_t port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

static bool read_all(SSL *ssl, char *out, size_t len) {
  size_t got = 0;
  for (size_t at = 0; at < len; at += got) {
    if (SSL_read_ex(ssl, out + at, len - at, &got) != 1) {
      return false;
    }
  }
  return true;
}

static SSL *on_socket(SSL_CTX *ctx, int fd) {
  SSL *ssl = SSL_new(ctx);
  if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
    give_up("no connection");
  }
  return ssl;
}

// ---- the upstream -----------------------------------------------------------

static void echo(SSL *ssl) {
  char data[4096];
  size_t len = 0;
  if (SSL_accept(ssl) != 1) {
    return;
  }
  while (SSL_read_ex(ssl, data, sizeof(data), &len) == 1) {
    if (SSL_write(ssl, data, (int)len) != (int)len) {
      return;
    }
  }
  SSL_shutdown(ssl);
}

static _Noreturn void *serve(void *arg) {
  const work *todo = arg;
  for (;;) {
    const int fd = accept(todo->listener, NULL, NULL);
    if (fd == -1) {
      continue;
    }
    SSL *ssl = on_socket(todo->ctx, fd);
    echo(ssl);
    SSL_free(ssl);
    close(fd);
  }
}

static int64_t begin_upstream(work *out, const char *pem) {
  struct sockaddr_in at = loopback(0);
  socklen_t len = sizeof(at);
  out->ctx = SSL_CTX_new(TLS_server_method());
  out->listener = socket(AF_INET, SOCK_STREAM, 0);
  if (out->ctx == NULL ||
      SSL_CTX_use_certificate_chain_file(out->ctx, pem) != 1 ||
      SSL_CTX_use_PrivateKey_file(out->ctx, pem, SSL_FILETYPE_PEM) != 1 ||
      bind(out->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
      listen(out->listener, 512) != 0 ||
      getsockname(out->listener, (struct sockaddr *)&at, &len) != 0) {
    give_up("no upstream");
  }
  SSL_CTX_set_session_cache_mode(out->ctx, SSL_SESS_CACHE_OFF);  // tickets do
  return ntohs(at.sin_port);
}

// ---- the clients ------------------------------------------------------------

// Returns NULL, or the step that has failed.
static const char *visit(SSL *ssl) {
  const char request[REQUEST_LEN] = "a request of 64 bytes";
  char answer[REQUEST_LEN];
  if (SSL_connect(ssl) != 1) {
    return "handshake";
  }
  if (SSL_write(ssl, request, REQUEST_LEN) != REQUEST_LEN) {
    return "write";
  }
  if (!read_all(ssl, answer, sizeof(answer))) {
    return "read";
  }
  return memcmp(request, answer, REQUEST_LEN) == 0 ? NULL : "answer";
}

// Returns NULL if the other side has ended its stream, too.
static const char *leave(SSL *ssl) {
  char more;
  size_t len = 0;
  SSL_shutdown(ssl);
  return SSL_read_ex(ssl, &more, 1, &len) != 1 &&
                 (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
             ? NULL
             : "close_notify";
}

static void *visit_often(void *arg) {
  const work *todo = arg;
  while (now_us() < todo->until) {
    const int64_t start = now_us();
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const char *failed = "connect";
    int64_t taken = 0;
    if (connect(fd, (const struct sockaddr *)&todo->gateway,
                sizeof(todo->gateway)) == 0) {
      SSL *ssl = on_socket(todo->ctx, fd);
      SSL_set_tlsext_host_name(ssl, "localhost");
      SSL_set1_host(ssl, "localhost");
      failed = visit(ssl);
      taken = now_us() - start;
      failed = failed == NULL ? leave(ssl) : failed;
      SSL_free(ssl);
    }
    close(fd);
    if (failed == NULL) {
      printf("%lld\n", (long long)taken);
    } else {
      printf("error %s\n", failed);
    }
  }
  return NULL;
}

static void begin_clients(work *out, char **argv) {
  out->gateway = loopback((uint16_t)atoi(argv[2]));
  out->until = now_us() + 1000 * atoll(argv[5]);
  out->ctx = SSL_CTX_new(TLS_client_method());
  if (out->ctx == NULL ||
      SSL_CTX_use_certificate_chain_file(out->ctx, argv[3]) != 1 ||
      SSL_CTX_use_PrivateKey_file(out->ctx, argv[3], SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_load_verify_locations(out->ctx, argv[4], NULL) != 1) {
    give_up("no clients");
  }
  SSL_CTX_set_verify(out->ctx, SSL_VERIFY_PEER, NULL);
}

int main(int argc, char **argv) {
  const bool is_upstream = argc == 3 && strcmp(argv[1], "upstream") == 0;
  work todo = {.listener = -1};
  const int num = is_upstream ? UPSTREAMS : CLIENTS;
  pthread_t threads[UPSTREAMS];
  signal(SIGPIPE, SIG_IGN);
  if (is_upstream) {
    printf("%lld\n", (long long)begin_upstream(&todo, argv[2]));
    fflush(stdout);
  } else if (argc == 6 && strcmp(argv[1], "clients") == 0) {
    begin_clients(&todo, argv);
  } else {
    give_up("the first lines of gateway_load.c say how it is called");
  }
  for (int i = 0; i < num; i++) {
    if (pthread_create(&threads[i], NULL, is_upstream ? serve : visit_often,
                       &todo) != 0) {
      give_up("no threads");
    }
  }
  for (int i = 0; i < num; i++) {
    pthread_join(threads[i], NULL);
  }
  SSL_CTX_free(todo.ctx);
  return 0;
}
