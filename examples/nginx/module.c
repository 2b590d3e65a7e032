// module.c: the directives, how they are inherited, and the hooks of nginx.
#include "ngx_http_pinverify.h"

static ngx_conf_enum_t modes[] = {{ngx_string("off"), PINVERIFY_OFF},
                                  {ngx_string("report"), PINVERIFY_REPORT},
                                  {ngx_string("enforce"), PINVERIFY_ENFORCE},
                                  {ngx_null_string, 0}};

// What a policy is for, as the handler of its directive knows it.
static ngx_uint_t for_hosts;

static ngx_command_t commands[] = {
    {ngx_string("pinverify_policy"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     ngx_http_pinverify_read_policy, NGX_HTTP_SRV_CONF_OFFSET,
     offsetof(ngx_http_pinverify_srv_conf_t, policy), NULL},
    {ngx_string("pinverify"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF |
         NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_pinverify_loc_conf_t, mode), &modes},
    {ngx_string("proxy_pinverify_policy"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF |
         NGX_CONF_TAKE1,
     ngx_http_pinverify_read_policy, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_pinverify_loc_conf_t, proxy_policy), &for_hosts},
    {ngx_string("proxy_pinverify"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF |
         NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_pinverify_loc_conf_t, proxy_mode), &modes},
    ngx_null_command};

static void *create_main_conf(ngx_conf_t *cf) {
  ngx_http_pinverify_main_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
  if (conf == NULL ||
      ngx_array_init(&conf->policies, cf->pool, 4,
                     sizeof(ngx_http_pinverify_policy_t *)) != NGX_OK ||
      ngx_array_init(&conf->proxies, cf->pool, 16,
                     sizeof(ngx_http_pinverify_proxy_t)) != NGX_OK) {
    return NULL;
  }
  return conf;
}

// Runs when http{} is read, and before anything is merged.
static char *init_main_conf(ngx_conf_t *cf, void *conf) {
  (void)conf;
  extern ngx_module_t ngx_http_proxy_module;
  ngx_http_pinverify_loc_conf_t *outermost =
      ngx_http_conf_get_module_loc_conf(cf, ngx_http_pinverify_module);
  const ngx_http_upstream_conf_t *upstream =
      ngx_http_conf_get_module_loc_conf(cf, ngx_http_proxy_module);
  outermost->session_reuse = upstream->ssl_session_reuse;
  for (ngx_uint_t i = 0; cf->cycle->modules[i] != NULL; i++) {
    if (cf->cycle->modules[i] == &ngx_http_pinverify_module) {
      return NGX_CONF_OK;
    }
    if (cf->cycle->modules[i] == &ngx_http_proxy_module) {
      break;
    }
  }
  return "pinverify comes after proxy_pass: build it with "
         "--add-dynamic-module";
}

static void *create_srv_conf(ngx_conf_t *cf) {
  ngx_http_pinverify_srv_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
  if (conf != NULL) {
    conf->policy = NGX_CONF_UNSET_PTR;
  }
  return conf;
}

static char *merge_srv_conf(ngx_conf_t *cf, void *parent, void *child) {
  const ngx_http_pinverify_srv_conf_t *prev = parent;
  ngx_http_pinverify_srv_conf_t *conf = child;
  (void)cf;
  ngx_conf_merge_ptr_value(conf->policy, prev->policy, NULL);
  return NGX_CONF_OK;
}

static void *create_loc_conf(ngx_conf_t *cf) {
  ngx_http_pinverify_loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
  if (conf != NULL) {
    conf->mode = NGX_CONF_UNSET_UINT;
    conf->proxy_policy = NGX_CONF_UNSET_PTR;
    conf->proxy_mode = NGX_CONF_UNSET_UINT;
    conf->session_reuse = NGX_CONF_UNSET;
  }
  return conf;
}

static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child) {
  ngx_http_pinverify_loc_conf_t *prev = parent;
  ngx_http_pinverify_loc_conf_t *conf = child;
  const bool has_own = conf->proxy_policy != NGX_CONF_UNSET_PTR ||
                       conf->proxy_mode != NGX_CONF_UNSET_UINT;
  ngx_conf_merge_uint_value(conf->mode, prev->mode, PINVERIFY_OFF);
  ngx_conf_merge_ptr_value(conf->proxy_policy, prev->proxy_policy, NULL);
  ngx_conf_merge_uint_value(conf->proxy_mode, prev->proxy_mode, PINVERIFY_OFF);
  if (conf->mode != PINVERIFY_OFF) {
    ngx_http_pinverify_srv_conf_t *server =
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_pinverify_module);
    server->is_watched = 1;
  }
  return ngx_http_pinverify_note_proxy(cf, prev, conf, has_own) == NGX_OK
             ? NGX_CONF_OK
             : NGX_CONF_ERROR;
}

static ngx_int_t hook_up(ngx_conf_t *cf) {
  return ngx_http_pinverify_init_notices(cf) == NGX_OK &&
                 ngx_http_pinverify_pin_servers(cf) == NGX_OK &&
                 ngx_http_pinverify_pin_upstreams(cf) == NGX_OK
             ? NGX_OK
             : NGX_ERROR;
}

static ngx_http_module_t hooks = {
    .preconfiguration = ngx_http_pinverify_add_variables,
    .postconfiguration = hook_up,
    .create_main_conf = create_main_conf,
    .init_main_conf = init_main_conf,
    .create_srv_conf = create_srv_conf,
    .merge_srv_conf = merge_srv_conf,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf};

ngx_module_t ngx_http_pinverify_module = {
    NGX_MODULE_V1, &hooks, commands, NGX_HTTP_MODULE,
    NULL,          NULL,   NULL,     NULL,
    NULL,          NULL,   NULL,     NGX_MODULE_V1_PADDING};
