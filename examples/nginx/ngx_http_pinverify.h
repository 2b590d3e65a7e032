// ngx_http_pinverify.h: the parts of the nginx module, and what they share.
//
// nginx reads the configuration (module.c, policy_file.c) and then lets the
// adapter of OpenSSL pin its TLS contexts (clients.c, upstreams.c). The adapter
// decides in each handshake, and keeps the decision in the connection.
#ifndef NGX_HTTP_PINVERIFY_H
#define NGX_HTTP_PINVERIFY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <stdbool.h>

#include "pinverify_openssl.h"

typedef enum {
  PINVERIFY_OFF = 0,
  PINVERIFY_REPORT = 1,
  PINVERIFY_ENFORCE = 2
} ngx_http_pinverify_mode;

// A policy file, read once for a configuration. The bytes are in its pool, and
// nobody writes to them, so all workers share the pages of the master.
typedef struct {
  ngx_str_t file;
  pv_policy policy;
  uint8_t digest[PV_DIGEST_LEN];
} ngx_http_pinverify_policy_t;

typedef struct {
  ngx_array_t policies;  // ngx_http_pinverify_policy_t *
  ngx_array_t proxies;   // ngx_http_pinverify_proxy_t
} ngx_http_pinverify_main_conf_t;

typedef struct {
  ngx_http_pinverify_policy_t *policy;  // for clients
  ngx_flag_t is_watched;  // some location has another mode than off
} ngx_http_pinverify_srv_conf_t;

typedef struct {
  ngx_uint_t mode;                            // for clients
  ngx_http_pinverify_policy_t *proxy_policy;  // for servers of proxy_pass
  ngx_uint_t proxy_mode;
  ngx_flag_t session_reuse;  // proxy_ssl_session_reuse as it is inherited
} ngx_http_pinverify_loc_conf_t;

// A location, and its proxy_pass if it has one.
typedef struct {
  ngx_http_pinverify_loc_conf_t *conf;
  ngx_http_upstream_conf_t *upstream;
  ngx_http_core_loc_conf_t *location;
  ngx_http_core_srv_conf_t *server;
  bool is_conditional;  // the proxy_pass of a block of "if" or "limit_except"
} ngx_http_pinverify_proxy_t;

extern ngx_module_t ngx_http_pinverify_module;

// ---- policy_file.c ----------------------------------------------------------

// The handler of a directive that names a policy file; `post` of the command
// is NULL for pins of clients, and anything else for pins of hosts.
char *ngx_http_pinverify_read_policy(ngx_conf_t *cf, ngx_command_t *cmd,
                                     void *conf);

// ---- clients.c --------------------------------------------------------------

// Checks all servers, pins their TLS contexts, and joins the phases of
// requests.
ngx_int_t ngx_http_pinverify_pin_servers(ngx_conf_t *cf);

ngx_int_t ngx_http_pinverify_add_variables(ngx_conf_t *cf);

// ---- upstreams.c ------------------------------------------------------------

// Remembers a location, and gives it a TLS context of its own if it has pins.
ngx_int_t ngx_http_pinverify_note_proxy(ngx_conf_t *cf,
                                        ngx_http_pinverify_loc_conf_t *parent,
                                        ngx_http_pinverify_loc_conf_t *conf,
                                        bool has_own);

// Pins the TLS contexts of all locations with proxy_pass.
ngx_int_t ngx_http_pinverify_pin_upstreams(ngx_conf_t *cf);

// ---- notices.c --------------------------------------------------------------

// The name of a reason, such as MISMATCH.
const char *ngx_http_pinverify_reason_name(uint32_t reason);

// The pin of the peer's key, which is computed once for a connection; or NULL,
// if the peer has shown no certificate.
const char *ngx_http_pinverify_peer_pin(SSL *ssl);

// Reserves the place in a connection where that is kept.
ngx_int_t ngx_http_pinverify_init_notices(ngx_conf_t *cf);

// Logs a rejection, and an acceptance without a match, once for a connection.
// `arg` is the server's configuration, or NULL for an upstream.
void ngx_http_pinverify_on_report(const SSL *ssl,
                                  const pv_openssl_decision *decision,
                                  void *arg);

#endif  // NGX_HTTP_PINVERIFY_H
