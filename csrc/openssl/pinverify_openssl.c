// pinverify_openssl.c: the public functions of the adapter.
#include "../pinverify_openssl.h"

#include "guard.h"
#include "handshake.h"

static const char NO_MEMORY[] = "memory is short";
static const char NOT_TLS[] =
    "connections of this context are not TLS; DTLS and QUIC are not supported";
static const char NOT_YET[] = "the handshake is not over";

static int failed(const char *why) {
  ERR_raise_data(ERR_LIB_SSL, ERR_R_PASSED_INVALID_ARGUMENT, "pinverify: %s",
                 why);
  return 0;
}

static bool is_open(const pv_policy *policy) {
  pv_report report;
  return policy != NULL &&
         pv_evaluate(&report, NULL, policy, "", 0, NULL, 0, 0) == PV_OK;
}

// OSSL_QUIC1_VERSION, which OpenSSL 3.0 does not have.
enum { QUIC_VERSION = 1 };

static bool makes_tls(SSL_CTX *ctx) {
  SSL *ssl = SSL_new(ctx);
  const bool is_tls =
      ssl != NULL && !SSL_is_dtls(ssl) && SSL_version(ssl) != QUIC_VERSION;
  SSL_free(ssl);
  return is_tls;
}

int pv_openssl_pin(SSL_CTX *ctx, const pv_policy *policy,
                   const pv_openssl_options *options) {
  if (ctx == NULL || !is_open(policy)) {
    return failed("no context, or a policy that is not open");
  }
  if (!makes_tls(ctx)) {
    return failed(NOT_TLS);
  }
  if (!pv__ex_data_init() || !pv__guard_init()) {
    return failed(NO_MEMORY);
  }
  if (pv__pinned_of(ctx) != NULL) {
    return failed("the context is pinned already: call pv_openssl_swap");
  }
  pv__pinned *pinned = OPENSSL_zalloc(sizeof(*pinned));
  if (pinned == NULL || !pv__pinned_set(ctx, pinned)) {
    OPENSSL_free(pinned);
    return failed(NO_MEMORY);
  }
  pv__in_force_init(&pinned->in_force, policy);
  pinned->options =
      options == NULL ? (pv_openssl_options){.arg = NULL} : *options;
  pinned->info_callback = SSL_CTX_get_info_callback(ctx);
  SSL_CTX_set_info_callback(ctx, pv__on_info);
  pv__guard(ctx, pinned);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
  return 1;
}

int pv_openssl_swap(SSL_CTX *ctx, const pv_policy *policy) {
  pv__pinned *pinned = pv__pinned_of(ctx);
  if (pinned == NULL || !is_open(policy)) {
    return failed("no pinned context, or a policy that is not open");
  }
  pv__in_force_swap(&pinned->in_force, policy);
  return 1;
}

int pv_openssl_count(const SSL_CTX *ctx, pv_openssl_counters *out) {
  pv__pinned *pinned = ctx == NULL ? NULL : pv__pinned_of(ctx);
  *out = (pv_openssl_counters){.resumed = 0};
  if (pinned == NULL) {
    return 0;
  }
  for (size_t i = 0; i <= PV_NOT_CHECKED; i++) {
    out->accepted[i] = atomic_load(&pinned->accepted[i]);
    out->rejected[i] = atomic_load(&pinned->rejected[i]);
  }
  out->resumed = atomic_load(&pinned->resumed);
  return 1;
}

uint32_t pv_openssl_report(const SSL *ssl, pv_openssl_decision *out) {
  const pv__connection *connection =
      ssl == NULL ? NULL : pv__connection_of(ssl);
  // After SSL_clear, the kept decision is about an earlier handshake.
  const bool is_over = connection != NULL &&
                       connection->state == PV__ACCEPTED && !SSL_in_before(ssl);
  const bool is_decided =
      is_over || (connection != NULL && connection->state == PV__REJECTED);
  if (out != NULL && is_decided) {
    *out = connection->decision;
  } else if (out != NULL) {
    *out = (pv_openssl_decision){.is_client = 0};
    pv__not_checked(out, NOT_YET);
  }
  return is_over && connection->decision.report.accepted == 1;
}
