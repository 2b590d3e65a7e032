// dialogue.h: a client and a server of OpenSSL that talk in memory, for tests.
#ifndef PINVERIFY_TESTS_DIALOGUE_H
#define PINVERIFY_TESTS_DIALOGUE_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../csrc/pinverify_openssl.h"

// CHECK ends the program with 1 if something does not hold. TROUBLE ends it
// with 2: then the test itself is at fault.
#define CHECK(holds)                                              \
  do {                                                            \
    if (!(holds)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); \
      ERR_print_errors_fp(stderr);                                \
      exit(1);                                                    \
    }                                                             \
  } while (0)
#define TROUBLE(what)                                                    \
  do {                                                                   \
    fprintf(stderr, "%s:%d: trouble: %s\n", __FILE__, __LINE__, (what)); \
    ERR_print_errors_fp(stderr);                                         \
    exit(2);                                                             \
  } while (0)

#define HOST "localhost"

extern int tls_version;  // TLS1_2_VERSION or TLS1_3_VERSION

// Says where certificates and policies are, and which TLS is spoken.
void begin_dialogues(const char *cast, const char *version);

// A policy from a file of the folder, opened once.
const pv_policy *policy_of(const char *name);

// Contexts. A client trusts both authorities and verifies; a server shows an
// identity, and asks clients for a certificate if `asks` is SSL_VERIFY_PEER.
SSL_CTX *client_context(void);
SSL_CTX *server_context(const char *identity, int asks);
void use_identity(SSL_CTX *ctx, const char *identity);
void freed(SSL_CTX *client, SSL_CTX *server);

// A client that shows an identity, or none if it is NULL; and the server that
// clients mean to reach, which asks for none.
SSL_CTX *client_with(const char *identity);
SSL_CTX *honest_server(void);

// Gives a server the ticket keys of all others.
void share_tickets(SSL_CTX *server);

// The same, pinned.
SSL_CTX *pinned_client(const char *policy);
SSL_CTX *pinned_server(const char *policy);
void pin(SSL_CTX *ctx, const char *policy);

// A connection: two ends over a pair of BIOs.
typedef struct dialogue {
  SSL *client;
  SSL *server;
  bool client_done;  // the handshake is over, by SSL_do_handshake
  bool server_done;
  int at_server;  // bytes of the application that came to an end
  int at_client;
} dialogue;

dialogue opened(SSL_CTX *client, SSL_CTX *server);

// Gives a client the name or the address of its server.
void expect_host(SSL *client, const char *host);
void expect_address(SSL *client, const char *address);

// Tells in an info callback if a client has just read the ServerHello of a
// resumed session; or all that the server sends before the client's last
// flight.
typedef enum moment { SERVER_HELLO, LAST_FLIGHT } moment;
bool has_read(const SSL *client, moment which);

// Offers a copy of a session: OpenSSL uses each session of TLS 1.3 once.
void offer(SSL *client, SSL_SESSION *session);

// Writes a session to bytes, and reads it from them.
SSL_SESSION *stored_and_read(SSL_SESSION *session, SSL_CTX *ctx);

// Does the handshake and then exchanges a few bytes, as far as both can.
void talk(dialogue *d);
void closed(dialogue *d);

// Lets the client begin again (SSL_clear), with a new connection of a server.
void renew(dialogue *d, SSL_CTX *server);

// One whole connection to HOST. `session` may be NULL. The result of each end
// is in the answer.
typedef struct answer {
  bool client_done, server_done;
  int at_server, at_client;
  bool is_resumed;
  bool client_accepts, server_accepts;  // pv_openssl_report
  pv_openssl_decision client, server;
  long verify_result;
  int alert;             // what the other end was sent, or 0
  SSL_SESSION *session;  // the newest that the client can resume; or NULL
} answer;

answer connect_once(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *session);
void forget(answer *a);

// True if both ends are done and bytes went both ways; or neither did.
bool went_well(const answer *a);
bool no_byte_passed(const answer *a);

// True if a decision names the key of the certificate that a context shows; if
// it shows none, that no key is named.
bool names_key_of(const pv_openssl_decision *decision, SSL_CTX *shows);

// What on_report was told.
typedef struct tally {
  int times;
  pv_openssl_decision last;
} tally;
void count(const SSL *ssl, const pv_openssl_decision *decision, void *arg);

typedef struct scenario {
  const char *name;
  void (*run)(void);
} scenario;
extern const scenario client_scenarios[], server_scenarios[],
    composition_scenarios[], verification_scenarios[], early_scenarios[],
    boringssl_scenarios[];

#endif  // PINVERIFY_TESTS_DIALOGUE_H
