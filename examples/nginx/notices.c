// notices.c: names of reasons, pins of peers, and lines in the error log.
#include "ngx_http_pinverify.h"

static int pin_index = -1;

const char *ngx_http_pinverify_reason_name(uint32_t reason) {
  switch ((pv_reason)reason) {
    case PV_MISMATCH:
      return "MISMATCH";
    case PV_MATCH:
      return "MATCH";
    case PV_NOT_PINNED:
      return "NOT_PINNED";
    case PV_EXPIRED:
      return "EXPIRED";
    case PV_NO_CERTIFICATE:
      return "NO_CERTIFICATE";
    case PV_MALFORMED:
      return "MALFORMED";
    case PV_BLOCKED:
      return "BLOCKED";
    case PV_BAD_HOST:
      return "BAD_HOST";
    case PV_NOT_CHECKED:
      return "NOT_CHECKED";
  }
  return "NOT_CHECKED";
}

static void free_pin(void *parent, void *data, CRYPTO_EX_DATA *all, int index,
                     long argl, void *argp) {
  (void)parent, (void)all, (void)index, (void)argl, (void)argp;
  OPENSSL_free(data);
}

// OpenSSL may ask for a copy when it duplicates a connection; it gets none.
static int forget_pin(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from,
                      void **data, int index, long argl, void *argp) {
  (void)to, (void)from, (void)index, (void)argl, (void)argp;
  *data = NULL;
  return 1;
}

ngx_int_t ngx_http_pinverify_init_notices(ngx_conf_t *cf) {
  if (pin_index < 0) {  // once for a process, which may be configured often
    pin_index = SSL_get_ex_new_index(0, NULL, NULL, forget_pin, free_pin);
  }
  if (pin_index < 0) {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "pinverify: memory is short");
    return NGX_ERROR;
  }
  return NGX_OK;
}

static bool write_pin(char *out, X509 *cert) {
  unsigned char *der = NULL;
  uint8_t digest[PV_DIGEST_LEN];
  const int len = i2d_X509(cert, &der);
  const bool known =
      len > 0 && pv_spki_sha256(digest, der, (size_t)len) == PV_OK;
  if (known) {
    pv_pin_text(out, PV_SPKI, digest);
  }
  OPENSSL_free(der);
  return known;
}

const char *ngx_http_pinverify_peer_pin(SSL *ssl) {
  char *text = SSL_get_ex_data(ssl, pin_index);
  X509 *cert = SSL_get0_peer_certificate(ssl);
  if (text != NULL || cert == NULL) {
    return text;
  }
  text = OPENSSL_zalloc(PV_PIN_TEXT_MAX + 1);
  if (text != NULL &&
      (!write_pin(text, cert) || SSL_set_ex_data(ssl, pin_index, text) != 1)) {
    OPENSSL_free(text);
    text = NULL;
  }
  return text;
}

// Says why, in words of nginx where the adapter's are for programmers.
static const char *why(const pv_openssl_decision *decision) {
  if (!decision->is_client && decision->host[0] == '\0') {
    return "no name is sent to the upstream: proxy_ssl_name must be a name, "
           "and no address";
  }
  return decision->why[0] != '\0'
             ? decision->why
             : pv_reason_text((pv_reason)decision->report.reason);
}

void ngx_http_pinverify_on_report(const SSL *ssl,
                                  const pv_openssl_decision *decision,
                                  void *arg) {
  const ngx_http_pinverify_srv_conf_t *server = arg;
  const ngx_connection_t *c = ngx_ssl_get_connection(ssl);
  if (server != NULL && !server->is_watched) {
    return;
  }
  static const uint8_t no_key[PV_DIGEST_LEN];
  char pin[PV_PIN_TEXT_MAX + 1] = "unknown";
  if (ngx_memcmp(decision->key_sha256, no_key, PV_DIGEST_LEN) != 0) {
    pv_pin_text(pin, PV_SPKI, decision->key_sha256);
  }
  // The error log of nginx adds the addresses, and the upstream's if it is one.
  ngx_log_error(
      NGX_LOG_ERR, c->log, 0, "pinverify: the policy %s %s%s: %s %s, key %s",
      decision->report.accepted ? "accepts without a match" : "rejects",
      decision->is_client ? "the client" : "the upstream ", decision->host,
      ngx_http_pinverify_reason_name(decision->report.reason), why(decision),
      pin);
}
