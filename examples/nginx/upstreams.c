// upstreams.c: pins for the servers behind proxy_pass.
//
// nginx lets locations share a TLS context if none of them says proxy_ssl_*,
// and pins belong to a context. So a location with pins gets one of its own:
// before proxy_pass looks, it is given the proxy_ssl_session_reuse that it
// would inherit anyway. Then pins of one location never decide about another.
#include "ngx_http_pinverify.h"

extern ngx_module_t ngx_http_proxy_module;

ngx_int_t ngx_http_pinverify_note_proxy(ngx_conf_t *cf,
                                        ngx_http_pinverify_loc_conf_t *parent,
                                        ngx_http_pinverify_loc_conf_t *conf,
                                        bool has_own) {
  ngx_http_pinverify_main_conf_t *main_conf =
      ngx_http_conf_get_module_main_conf(cf, ngx_http_pinverify_module);
  ngx_http_core_loc_conf_t *location =
      ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
  // The configuration of proxy_pass begins with that of its upstream.
  ngx_http_upstream_conf_t *upstream =
      ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);
  ngx_http_pinverify_proxy_t *proxy = ngx_array_push(&main_conf->proxies);
  if (proxy == NULL) {
    return NGX_ERROR;
  }
  proxy->conf = conf;
  proxy->upstream = upstream;
  proxy->location = location;
  proxy->server = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
  // Nothing is inherited yet: this is the proxy_pass of the block itself.
  proxy->is_conditional = location->noname && upstream->upstream != NULL;
  conf->session_reuse = upstream->ssl_session_reuse;
  ngx_conf_merge_value(conf->session_reuse, parent->session_reuse, 1);
  // A block of "if" is a location without name. It has no pins of its own, and
  // shares what surrounds it.
  if (!location->noname && (has_own || conf->proxy_mode != PINVERIFY_OFF)) {
    upstream->ssl_session_reuse = conf->session_reuse;
  }
  return NGX_OK;
}

static ngx_int_t refuse_proxy(ngx_conf_t *cf,
                              const ngx_http_pinverify_proxy_t *proxy,
                              const char *what) {
  ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                "pinverify: %s, for location \"%V\" of the server in %s:%ui",
                what, &proxy->location->name, proxy->server->file_name,
                proxy->server->line);
  return NGX_ERROR;
}

static bool names_group(const ngx_http_pinverify_proxy_t *proxy) {
  return proxy->upstream->upstream != NULL &&
         proxy->upstream->upstream->srv_conf != NULL;
}

// Returns the text of proxy_ssl_name, empty if it is that of the upstream.
static ngx_str_t name_text(const ngx_http_pinverify_proxy_t *proxy) {
  static const ngx_str_t usual = ngx_string("$proxy_host");
  const ngx_http_complex_value_t *name = proxy->upstream->ssl_name;
  const bool is_usual =
      name == NULL || (name->value.len == usual.len &&
                       ngx_memcmp(name->value.data, usual.data, usual.len) == 0);
  return is_usual ? (ngx_str_t)ngx_null_string : name->value;
}

static bool has_same_pins(const ngx_http_pinverify_proxy_t *a,
                          const ngx_http_pinverify_proxy_t *b) {
  const ngx_str_t one = name_text(a);
  const ngx_str_t other = name_text(b);
  return a->conf->proxy_policy == b->conf->proxy_policy &&
         one.len == other.len &&
         (one.len == 0 || ngx_memcmp(one.data, other.data, one.len) == 0);
}

// Connections that an upstream{} keeps alive serve all locations that name it.
static bool may_share(const ngx_http_pinverify_proxy_t *a,
                      const ngx_http_pinverify_proxy_t *b) {
  return !names_group(a) || a->upstream->upstream != b->upstream->upstream ||
         (a->conf->proxy_mode == b->conf->proxy_mode &&
          (a->conf->proxy_mode == PINVERIFY_OFF || has_same_pins(a, b)));
}

static ngx_int_t check(ngx_conf_t *cf,
                       const ngx_http_pinverify_proxy_t *proxy) {
  const bool speaks_tls =
      proxy->upstream->ssl != NULL && proxy->upstream->ssl->ctx != NULL;
  if (proxy->conf->proxy_mode == PINVERIFY_OFF) {
    return NGX_OK;
  }
  if (proxy->conf->proxy_policy == NULL) {
    return refuse_proxy(cf, proxy,
                        "\"proxy_pinverify\" is on and no file with pins is "
                        "named: add \"proxy_pinverify_policy\"");
  }
  if (proxy->is_conditional) {  // it shares the context, https or not
    return refuse_proxy(cf, proxy,
                        "a block of \"if\" or \"limit_except\" has a "
                        "\"proxy_pass\" of its own, which pins do not reach: "
                        "write it in a location");
  }
  if (!speaks_tls && proxy->upstream->upstream != NULL) {
    return refuse_proxy(cf, proxy,
                        "\"proxy_pass http://\" has no key that pins could "
                        "match: write https, or \"proxy_pinverify off\"");
  }
  if (speaks_tls && !proxy->upstream->ssl_server_name) {
    return refuse_proxy(cf, proxy,
                        "the name of the upstream decides whose pins count: "
                        "add \"proxy_ssl_server_name on\"");
  }
  const ngx_str_t name = name_text(proxy);
  if (names_group(proxy) && name.len > 0 &&
      proxy->upstream->ssl_name->lengths != NULL) {
    return refuse_proxy(cf, proxy,
                        "connections that the upstream{} keeps for one name "
                        "would serve another: write \"proxy_ssl_name\" "
                        "without variables");
  }
  return NGX_OK;
}

static ngx_int_t pin(ngx_conf_t *cf, const ngx_http_pinverify_proxy_t *proxy) {
  SSL_CTX *ctx = proxy->upstream->ssl->ctx;
  const pv_openssl_options options = {
      // The name that nginx sends is also the one that it verifies.
      .host_from_sni = 1,
      .report_only = proxy->conf->proxy_mode == PINVERIFY_REPORT,
      .on_report = ngx_http_pinverify_on_report};
  if (proxy->upstream->ssl_verify) {
    // nginx looks at the result after the handshake, and its callback accepts
    // all until then. So that does not change; but the chain counts.
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, SSL_CTX_get_verify_callback(ctx));
  }
  if (pv_openssl_pin(ctx, &proxy->conf->proxy_policy->policy, &options) != 1) {
    ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                  "pinverify: an upstream cannot be pinned");
    return NGX_ERROR;
  }
  return NGX_OK;
}

ngx_int_t ngx_http_pinverify_pin_upstreams(ngx_conf_t *cf) {
  const ngx_http_pinverify_main_conf_t *main_conf =
      ngx_http_conf_get_module_main_conf(cf, ngx_http_pinverify_module);
  const ngx_http_pinverify_proxy_t *proxies = main_conf->proxies.elts;
  for (ngx_uint_t i = 0; i < main_conf->proxies.nelts; i++) {
    const ngx_http_pinverify_proxy_t *proxy = &proxies[i];
    if (check(cf, proxy) != NGX_OK) {
      return NGX_ERROR;
    }
    for (ngx_uint_t j = 0; j < i; j++) {
      if (!may_share(proxy, &proxies[j])) {
        return refuse_proxy(cf, proxy,
                            "another location names the same upstream{} with "
                            "other pins, and they would share connections: "
                            "make one upstream{} for each");
      }
    }
    // A block of "if" uses the context of what surrounds it.
    if (!proxy->location->noname &&
        proxy->conf->proxy_mode != PINVERIFY_OFF &&
        proxy->upstream->ssl->ctx != NULL && pin(cf, proxy) != NGX_OK) {
      return NGX_ERROR;
    }
  }
  return NGX_OK;
}
