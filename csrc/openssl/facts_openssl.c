// facts_openssl.c: facts about a connection, as OpenSSL tells them.
#include "facts.h"

#ifndef OPENSSL_IS_BORINGSSL

const char pv__no_name[] =
    "the name of the server is not known: call SSL_set1_host before "
    "SSL_connect";

static const char SEVERAL_NAMES[] =
    "several names were given with SSL_add1_host, and their pins may differ: "
    "give one with SSL_set1_host";

int pv_openssl_set1_host(SSL *ssl, const char *host) {
  return SSL_set1_host(ssl, host);
}

// The name may be an IP address.
bool pv__verified_name(char out[PV_HOST_MAX + 2], const char **out_why,
                       const SSL *ssl) {
  X509_VERIFY_PARAM *param = SSL_get0_param((SSL *)ssl);  // which only reads
  const char *name = X509_VERIFY_PARAM_get0_host(param, 0);
  char *address = NULL;
  out[0] = '\0';
  if (X509_VERIFY_PARAM_get0_host(param, 1) != NULL) {
    *out_why = SEVERAL_NAMES;
    return false;
  }
  if (name == NULL) {
    address = X509_VERIFY_PARAM_get1_ip_asc(param);
    name = address;
  }
  if (name != NULL) {
    OPENSSL_strlcpy(out, name, PV_HOST_MAX + 2);
  }
  OPENSSL_free(address);
  return true;
}

// Evidence is the ticket application data of sessions.
void pv__session_keep(SSL_SESSION *session, const pv__buffer *bytes) {
  void *data = NULL;
  size_t len = 0;
  pv__memo ours;
  if (session == NULL ||
      !SSL_SESSION_get0_ticket_appdata(session, &data, &len) ||
      (len != 0 && !pv__memo_read(&ours, data, len))) {
    return;
  }
  // If memory is short, the session has no evidence, and is rejected later.
  (void)SSL_SESSION_set1_ticket_appdata(session, bytes->data, bytes->len);
}

bool pv__session_evidence(pv__memo *out, pv__buffer *bytes,
                          pv__connection *connection, SSL *ssl,
                          SSL_SESSION *session, const char *host) {
  void *data = NULL;
  size_t len = 0;
  (void)bytes, (void)connection, (void)ssl, (void)host;
  *out = (pv__memo){.num_issuers = 0};
  return session != NULL &&
         SSL_SESSION_get0_ticket_appdata(session, &data, &len) &&
         data != NULL && pv__memo_read(out, data, len);
}

// The security callback notes the context that was selected early. If it noted
// none, only the listening context counts as selected early.
bool pv__is_selected_late(const pv__connection *connection, const SSL *ssl) {
  const SSL_CTX *early = connection->selected_early != NULL
                             ? connection->selected_early
                             : connection->listener;
  const pv__pinned *pinned = pv__pinned_of(SSL_get_SSL_CTX(ssl));
  return !SSL_session_reused(ssl) && pinned != NULL &&
         pinned != pv__pinned_of(early);
}

void pv__give_no_session(const pv__connection *connection, SSL *ssl) {
  SSL_set_num_tickets(ssl, 0);
  SSL_set_options(ssl, SSL_OP_NO_TICKET);
  if (connection->listener != NULL) {
    SSL_CTX_remove_session(connection->listener, SSL_get_session(ssl));
  }
}

#endif
