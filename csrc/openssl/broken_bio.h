// broken_bio.h: a BIO that breaks a connection for good.
#ifndef PINVERIFY_OPENSSL_BROKEN_BIO_H
#define PINVERIFY_OPENSSL_BROKEN_BIO_H

#include <stdbool.h>

#include "library.h"

// pv__broken_bio_init prepares the kind of BIO, once for a process.
bool pv__broken_bio_init(void);

// pv__broken_bio_push puts a BIO in front of those of a connection that fails
// all reads and writes. The others stay behind it: the application may hold
// them, and SSL_get_fd finds its socket. If memory is short, nothing happens.
void pv__broken_bio_push(SSL *ssl);

#endif  // PINVERIFY_OPENSSL_BROKEN_BIO_H
