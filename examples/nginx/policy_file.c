// policy_file.c: the directives that name a policy file.
#include "ngx_http_pinverify.h"

// Reads a whole file into the pool of the configuration.
static char *read_file(ngx_conf_t *cf, const ngx_str_t *name, ngx_str_t *out) {
  ngx_file_t file;
  ngx_file_info_t info;
  ssize_t len = NGX_ERROR;
  ngx_memzero(&file, sizeof(file));
  file.name = *name;
  file.log = cf->log;
  // A pipe is opened, and refused below, without a wait for who writes to it.
  file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY | NGX_FILE_NONBLOCK,
                          NGX_FILE_OPEN, 0);
  if (file.fd == NGX_INVALID_FILE) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                       "pinverify: \"%V\" cannot be opened", name);
    return NGX_CONF_ERROR;
  }
  if (ngx_fd_info(file.fd, &info) != NGX_FILE_ERROR && ngx_is_file(&info)) {
    out->len = (size_t)ngx_file_size(&info);
    out->data = ngx_pnalloc(cf->pool, out->len + 1);  // 1: it may be empty
    if (out->data != NULL) {
      len = ngx_read_file(&file, out->data, out->len, 0);
    }
  }
  ngx_close_file(file.fd);
  if (len != (ssize_t)out->len || len < 0) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "pinverify: \"%V\" cannot be read whole", name);
    return NGX_CONF_ERROR;
  }
  return NGX_CONF_OK;
}

static char *open_policy(ngx_conf_t *cf, ngx_http_pinverify_policy_t *policy) {
  ngx_str_t bytes = ngx_null_string;
  if (read_file(cf, &policy->file, &bytes) != NGX_CONF_OK) {
    return NGX_CONF_ERROR;
  }
  const pv_status status =
      pv_policy_open(&policy->policy, bytes.data, bytes.len);
  if (status != PV_OK) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "pinverify: \"%V\" is no compiled policy: %s. Make one "
                       "with \"pinverify compile pins.toml --output "
                       "pins.pvpol\"",
                       &policy->file, pv_status_text(status));
    return NGX_CONF_ERROR;
  }
  pv_policy_digest(policy->digest, &policy->policy);
  return NGX_CONF_OK;
}

// Finds a file that another directive has named, or reads it.
static ngx_http_pinverify_policy_t *find_policy(ngx_conf_t *cf,
                                                const ngx_str_t *file) {
  ngx_http_pinverify_main_conf_t *main_conf =
      ngx_http_conf_get_module_main_conf(cf, ngx_http_pinverify_module);
  ngx_http_pinverify_policy_t **policies = main_conf->policies.elts;
  for (ngx_uint_t i = 0; i < main_conf->policies.nelts; i++) {
    if (policies[i]->file.len == file->len &&
        ngx_memcmp(policies[i]->file.data, file->data, file->len) == 0) {
      return policies[i];
    }
  }
  ngx_http_pinverify_policy_t *policy = ngx_pcalloc(cf->pool, sizeof(*policy));
  ngx_http_pinverify_policy_t **place = ngx_array_push(&main_conf->policies);
  if (policy == NULL || place == NULL) {
    return NULL;
  }
  policy->file = *file;
  *place = policy;
  return open_policy(cf, policy) == NGX_CONF_OK ? policy : NULL;
}

char *ngx_http_pinverify_read_policy(ngx_conf_t *cf, ngx_command_t *cmd,
                                     void *conf) {
  ngx_http_pinverify_policy_t **field =
      (ngx_http_pinverify_policy_t **)((char *)conf + cmd->offset);
  ngx_str_t *words = cf->args->elts;
  if (*field != NGX_CONF_UNSET_PTR) {
    return "is duplicate";
  }
  if (ngx_conf_full_name(cf->cycle, &words[1], 1) != NGX_OK) {
    return NGX_CONF_ERROR;
  }
  *field = find_policy(cf, &words[1]);
  if (*field == NULL) {
    return NGX_CONF_ERROR;
  }
  const bool is_for_clients = cmd->post == NULL;
  if (is_for_clients ? pv_policy_has_clients(&(*field)->policy) != 1
                     : pv_policy_num_rules(&(*field)->policy) == 0) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "pinverify: \"%V\" has no pins for %s: add the table "
                       "\"%s\" to the policy, and compile it again",
                       &words[1], is_for_clients ? "clients" : "hosts",
                       is_for_clients ? "[clients]" : "[hosts.\"NAME\"]");
    return NGX_CONF_ERROR;
  }
  return NGX_CONF_OK;
}
