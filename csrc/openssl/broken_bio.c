// broken_bio.c: a BIO that breaks a connection for good.
#include "broken_bio.h"

static BIO_METHOD *method = NULL;
static int type = 0;

static int fail(BIO *bio) {
  BIO_clear_retry_flags(bio);
  ERR_raise_data(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED,
                 "pinverify: the peer of this connection was rejected");
  return -1;
}

static int fail_read(BIO *bio, char *data, int len) {
  (void)data, (void)len;
  return fail(bio);
}

static int fail_write(BIO *bio, const char *data, int len) {
  (void)data, (void)len;
  return fail(bio);
}

// Refuses to flush; other commands go to the BIO behind.
static long fail_flush(BIO *bio, int command, long number, void *pointer) {
  BIO *next = BIO_next(bio);
  if (command == BIO_CTRL_FLUSH) {
    return fail(bio);
  }
  return next == NULL ? 0 : BIO_ctrl(next, command, number, pointer);
}

static int create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

bool pv__broken_bio_init(void) {
  const int index = BIO_get_new_index();
  if (index == -1) {
    return false;
  }
  type = index | BIO_TYPE_FILTER;
  method = BIO_meth_new(type, "pinverify: broken");
  return method != NULL && BIO_meth_set_read(method, fail_read) &&
         BIO_meth_set_write(method, fail_write) &&
         BIO_meth_set_ctrl(method, fail_flush) &&
         BIO_meth_set_create(method, create);
}

// Returns a broken BIO in front of one that the connection goes on to own.
static BIO *in_front_of(BIO *behind) {
  BIO *broken = BIO_new(method);
  if (broken != NULL && behind != NULL && BIO_up_ref(behind)) {
    BIO_push(broken, behind);
  }
  return broken;
}

void pv__broken_bio_push(SSL *ssl) {
  BIO *reads = SSL_get_rbio(ssl);
  BIO *writes = SSL_get_wbio(ssl);
  if (reads != NULL && BIO_method_type(reads) == type) {
    return;
  }
  BIO *broken_reads = in_front_of(reads);
  BIO *broken_writes = in_front_of(writes);
  if (broken_reads == NULL || broken_writes == NULL) {
    BIO_free_all(broken_reads);  // with its reference to the one behind
    BIO_free_all(broken_writes);
    return;
  }
  SSL_set0_rbio(ssl, broken_reads);
  SSL_set0_wbio(ssl, broken_writes);
}
