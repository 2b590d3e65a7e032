// clients.c: client certificates: pinned servers, refused requests, variables.
//
// The handshake of a client whom the policy rejects comes to its end, and each
// request is answered as nginx answers a certificate that it cannot verify:
// 400, which error_page knows as 495 or 496. So locations may differ, and the
// access log has a line with the reason.
#include "ngx_http_pinverify.h"

// ---- requests ---------------------------------------------------------------

// Returns the decision about the client of a request, all zero (a rejection) if
// there is none by the policy of the request's server.
static pv_openssl_decision decision_for(ngx_http_request_t *r) {
  const ngx_http_pinverify_srv_conf_t *conf =
      ngx_http_get_module_srv_conf(r, ngx_http_pinverify_module);
  const ngx_connection_t *c = r->connection;
  pv_openssl_decision decision = {.why = ""};
  if (c->ssl == NULL) {
    decision.report.reason = PV_NO_CERTIFICATE;
    return decision;
  }
  bool is_over_tcp = true;
#if (NGX_QUIC || NGX_COMPAT)
  is_over_tcp = c->quic == NULL;  // the adapter does not know QUIC
#endif
  const uint32_t accepted = pv_openssl_report(c->ssl->connection, &decision);
  decision.report.accepted = accepted == 1;
  // Without SNI, or with the name of another server, another policy decided.
  if (!is_over_tcp || conf->policy == NULL ||
      ngx_memcmp(decision.policy_digest, conf->policy->digest, PV_DIGEST_LEN) !=
          0) {
    decision = (pv_openssl_decision){.why = ""};
    decision.report.reason = PV_NOT_CHECKED;
  }
  return decision;
}

static ngx_int_t on_request(ngx_http_request_t *r) {
  const ngx_http_pinverify_loc_conf_t *conf =
      ngx_http_get_module_loc_conf(r, ngx_http_pinverify_module);
  if (conf->mode != PINVERIFY_ENFORCE) {
    return NGX_DECLINED;
  }
  const pv_openssl_decision decision = decision_for(r);
  if (decision.report.accepted == 1) {
    return NGX_DECLINED;
  }
  switch (decision.report.reason) {
    case PV_NO_CERTIFICATE:
      return NGX_HTTPS_NO_CERT;
    case PV_NOT_CHECKED:
      return NGX_HTTP_MISDIRECTED_REQUEST;
    default:
      return NGX_HTTPS_CERT_ERROR;
  }
}

// ---- variables --------------------------------------------------------------

enum { ACCEPTED, REASON, SPKI, MATCHED };

static ngx_int_t set_text(ngx_http_request_t *r, ngx_http_variable_value_t *out,
                          const char *text) {
  const size_t len = text == NULL ? 0 : ngx_strlen(text);
  out->not_found = len == 0;
  out->valid = len > 0;
  out->no_cacheable = 0;
  out->len = (unsigned)len & 0xfffffff;  // a field of 28 bits
  if (len > 0) {
    // A variable may be read after the connection is gone.
    out->data = ngx_pnalloc(r->pool, len);
    if (out->data == NULL) {
      return NGX_ERROR;
    }
    ngx_memcpy(out->data, text, len);
  }
  return NGX_OK;
}

static ngx_int_t get_variable(ngx_http_request_t *r,
                              ngx_http_variable_value_t *out, uintptr_t which) {
  const ngx_http_pinverify_srv_conf_t *conf =
      ngx_http_get_module_srv_conf(r, ngx_http_pinverify_module);
  if (conf->policy == NULL) {
    return set_text(r, out, NULL);
  }
  if (which == SPKI) {
    const ngx_ssl_connection_t *ssl = r->connection->ssl;
    return set_text(
        r, out,
        ssl == NULL ? NULL : ngx_http_pinverify_peer_pin(ssl->connection));
  }
  const pv_openssl_decision decision = decision_for(r);
  const pv_report *report = &decision.report;
  char pin[PV_PIN_TEXT_MAX + 1];
  switch (which) {
    case ACCEPTED:
      return set_text(r, out, report->accepted == 1 ? "1" : "0");
    case REASON:
      return set_text(r, out, ngx_http_pinverify_reason_name(report->reason));
    default:
      if (report->reason != PV_MATCH && report->reason != PV_BLOCKED) {
        return set_text(r, out, NULL);
      }
      return set_text(r, out,
                      pv_pin_text(pin, report->matched_kind, report->matched));
  }
}

ngx_int_t ngx_http_pinverify_add_variables(ngx_conf_t *cf) {
  static const struct {
    ngx_str_t name;
    uintptr_t which;
  } variables[] = {{ngx_string("pinverify_accepted"), ACCEPTED},
                   {ngx_string("pinverify_reason"), REASON},
                   {ngx_string("pinverify_spki"), SPKI},
                   {ngx_string("pinverify_matched"), MATCHED}};
  for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
    ngx_str_t name = variables[i].name;
    ngx_http_variable_t *variable = ngx_http_add_variable(cf, &name, 0);
    if (variable == NULL) {
      return NGX_ERROR;
    }
    variable->get_handler = get_variable;
    variable->data = variables[i].which;
  }
  return NGX_OK;
}

// ---- servers ----------------------------------------------------------------

static ngx_int_t refuse_server(ngx_conf_t *cf,
                               const ngx_http_core_srv_conf_t *server,
                               const char *what) {
  ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                "pinverify: %s, for the server in %s:%ui", what,
                server->file_name, server->line);
  return NGX_ERROR;
}

// Checks what a server needs before it can judge clients.
static ngx_int_t check_server(ngx_conf_t *cf,
                              const ngx_http_core_srv_conf_t *server,
                              bool speaks_tls) {
  void **confs = server->ctx->srv_conf;
  const ngx_http_pinverify_srv_conf_t *conf =
      confs[ngx_http_pinverify_module.ctx_index];
  const ngx_http_ssl_srv_conf_t *ssl = confs[ngx_http_ssl_module.ctx_index];
  if (!conf->is_watched) {
    return NGX_OK;
  }
  if (conf->policy == NULL) {
    return refuse_server(cf, server,
                         "\"pinverify\" is on and no file with pins is named: "
                         "add \"pinverify_policy\"");
  }
  if (speaks_tls && ssl->verify == 0) {
    return refuse_server(cf, server,
                         "no client is asked for a certificate: set "
                         "\"ssl_verify_client\" to on, optional or "
                         "optional_no_ca");
  }
  if (speaks_tls && ssl->early_data) {
    return refuse_server(cf, server,
                         "requests in early data come before the decision: "
                         "remove \"ssl_early_data on\"");
  }
  return NGX_OK;
}

// Whether a server speaks TLS is a matter of the addresses where it listens.
static ngx_int_t check_address(ngx_conf_t *cf,
                               const ngx_http_conf_addr_t *address) {
  ngx_http_core_srv_conf_t **servers = address->servers.elts;
  for (ngx_uint_t i = 0; i < address->servers.nelts; i++) {
    if (check_server(cf, servers[i], address->opt.ssl) != NGX_OK) {
      return NGX_ERROR;
    }
  }
  return NGX_OK;
}

static ngx_int_t check_servers(ngx_conf_t *cf,
                               const ngx_http_core_main_conf_t *core) {
  const ngx_http_conf_port_t *ports = core->ports->elts;
  for (ngx_uint_t i = 0; i < core->ports->nelts; i++) {
    const ngx_http_conf_addr_t *addresses = ports[i].addrs.elts;
    for (ngx_uint_t j = 0; j < ports[i].addrs.nelts; j++) {
      if (check_address(cf, &addresses[j]) != NGX_OK) {
        return NGX_ERROR;
      }
    }
  }
  return NGX_OK;
}

ngx_int_t ngx_http_pinverify_pin_servers(ngx_conf_t *cf) {
  ngx_http_core_main_conf_t *core =
      ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
  ngx_http_core_srv_conf_t **servers = core->servers.elts;
  if (core->ports != NULL && check_servers(cf, core) != NGX_OK) {
    return NGX_ERROR;
  }
  for (ngx_uint_t i = 0; i < core->servers.nelts; i++) {
    void **confs = servers[i]->ctx->srv_conf;
    ngx_http_pinverify_srv_conf_t *conf =
        confs[ngx_http_pinverify_module.ctx_index];
    const ngx_http_ssl_srv_conf_t *ssl = confs[ngx_http_ssl_module.ctx_index];
    const pv_openssl_options options = {
        .report_only = 1,
        .on_report = ngx_http_pinverify_on_report,
        .arg = conf};
    if (conf->policy == NULL || ssl->ssl.ctx == NULL) {
      continue;
    }
    if (pv_openssl_pin(ssl->ssl.ctx, &conf->policy->policy, &options) != 1) {
      ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                    "pinverify: the server cannot be pinned");
      return NGX_ERROR;
    }
  }
  // Before the access phase: "satisfy any" must not make an address enough.
  ngx_http_handler_pt *handler =
      ngx_array_push(&core->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
  if (handler == NULL) {
    return NGX_ERROR;
  }
  *handler = on_request;
  return NGX_OK;
}
