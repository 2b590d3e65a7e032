// guard_boringssl.c: the key-log callback. BoringSSL calls it in each
// handshake, before the first Finished is sent, and has no other callback that
// it also calls for resumed sessions. The keys are only passed on.
#include "guard.h"
#include "handshake.h"
#include "rejected_connection.h"

#ifdef OPENSSL_IS_BORINGSSL

static void on_keylog(const SSL *ssl, const char *line) {
  const pv__pinned *pinned = pv__pinned_of(SSL_get_SSL_CTX(ssl));
  if (!pv__is_followed(ssl)) {
    pv__raise_unseen();
    pv__break_connection((SSL *)ssl);  // the application's own object
  }
  if (pinned != NULL && pinned->guarded != NULL) {
    pinned->guarded(ssl, line);
  }
}

bool pv__guard_init(void) {
  return true;
}

void pv__guard(SSL_CTX *ctx, pv__pinned *pinned) {
  pinned->guarded = SSL_CTX_get_keylog_callback(ctx);
  SSL_CTX_set_keylog_callback(ctx, on_keylog);
}

#endif
