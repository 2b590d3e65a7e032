// peers.h: the ways of C programs today to check the key of a certificate. Each
// function does what its library's users would write, and says 1 or 0.
#ifndef PINVERIFY_BENCH_PEERS_H
#define PINVERIFY_BENCH_PEERS_H

#include <stddef.h>
#include <stdint.h>

typedef int is_pinned_function(const uint8_t *pins, size_t num_pins,
                               const uint8_t *cert, size_t cert_len);

// A peer is one library; `is_pinned` is NULL where it was not installed.
typedef struct peer {
  const char *who;
  is_pinned_function *is_pinned;
} peer;

// The first is OpenSSL, which is always there.
extern const peer peers[];
extern const size_t num_peers;

// openssl_contains compares a digest with each pin by CRYPTO_memcmp.
int openssl_contains(const uint8_t *pins, size_t num_pins,
                     const uint8_t digest[32]);

// openssl_sha256 hashes one message by Init, Update and Final: the one-shot
// SHA256() looks its algorithm up on each call and would be no fair rival.
void openssl_sha256(uint8_t out[32], const uint8_t *data, size_t len);

#endif  // PINVERIFY_BENCH_PEERS_H
