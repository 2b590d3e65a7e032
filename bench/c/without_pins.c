// without_pins.c: stands in the place of the adapter of OpenSSL, and pins
// nothing. The gateway in C is linked with it to be measured beside itself.
#include "pinverify_openssl.h"

int pv_openssl_pin(SSL_CTX *ctx, const pv_policy *policy,
                   const pv_openssl_options *options) {
  (void)ctx, (void)policy, (void)options;
  return 1;
}

int pv_openssl_swap(SSL_CTX *ctx, const pv_policy *policy) {
  (void)ctx, (void)policy;
  return 1;
}

uint32_t pv_openssl_report(const SSL *ssl, pv_openssl_decision *out) {
  const uint32_t is_over = SSL_is_init_finished(ssl) == 1;
  *out = (pv_openssl_decision){.is_resumed = SSL_session_reused(ssl) == 1,
                               .why = ""};
  out->report.accepted = (uint8_t)is_over;
  out->report.reason = PV_NOT_PINNED;
  return is_over;
}

int pv_openssl_count(const SSL_CTX *ctx, pv_openssl_counters *out) {
  (void)ctx;
  *out = (pv_openssl_counters){0};
  return 1;
}
