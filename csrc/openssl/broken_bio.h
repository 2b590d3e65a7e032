// broken_bio.h: a BIO that breaks a connection for good.
#ifndef PINVERIFY_OPENSSL_BROKEN_BIO_H
#define PINVERIFY_OPENSSL_BROKEN_BIO_H

#include <stdbool.h>

#include "library.h"

// pv__broken_bio_init creates this type of BIO, once per process.
bool pv__broken_bio_init(void);

// pv__broken_bio_push puts a BIO that fails all reads and writes in front of
// those of a connection. They stay behind it: the application may hold them,
// and SSL_get_fd finds the socket. If memory is short, nothing happens.
void pv__broken_bio_push(SSL *ssl);

#endif  // PINVERIFY_OPENSSL_BROKEN_BIO_H
