// record.c: counters, and the peers that the log has named.
#include "record.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

static const char *const SIDES[NUM_SIDES] = {"client", "upstream"};
static const char *const FAILURES[NUM_FAILURES] = {"accept", "connect",
                                                   "handshake", "idle", "cut"};
static const char *const REASONS[NUM_REASONS] = {
    "MISMATCH",  "MATCH",   "NOT_PINNED", "EXPIRED",    "NO_CERTIFICATE",
    "MALFORMED", "BLOCKED", "BAD_HOST",   "NOT_CHECKED"};

// Returns true if the log has not named this peer yet, and has room for it.
static bool is_new(record *out, standing of, const char *peer) {
  name_list *known = &out->named[of];
  uint8_t digest[PV_DIGEST_LEN];
  pv_sha256(digest, (const uint8_t *)peer, strlen(peer));
  for (size_t i = 0; i < known->num; i++) {
    if (memcmp(known->digests[i], digest, sizeof(digest)) == 0) {
      return false;
    }
  }
  if (known->num == NAMED_MAX) {
    return false;
  }
  memcpy(known->digests[known->num], digest, sizeof(digest));
  if (++known->num == NAMED_MAX) {
    log_event(of == STRANGERS ? "no more strangers are named until a reload"
                              : "no more peers are named until a reload",
              NULL, NULL);
  }
  return true;
}

// Writes the pin of a peer's key, or "none".
static void write_pin(char out[PV_PIN_TEXT_MAX + 1],
                      const pv_openssl_decision *decision) {
  static const uint8_t none[PV_DIGEST_LEN] = {0};
  memcpy(out, "none", sizeof("none"));
  if (memcmp(decision->key_sha256, none, sizeof(none)) != 0) {
    pv_pin_text(out, PV_SPKI, decision->key_sha256);
  }
}

// Returns how much of an address is the host: its port is another one each
// time.
static int host_len(const char *address) {
  const char *port = strrchr(address, ':');
  return port == NULL ? 0 : (int)(port - address);
}

static void write_subject(char *out, size_t len, X509 *leaf) {
  BIO *text = BIO_new(BIO_s_mem());
  int written = 0;
  if (text != NULL && leaf != NULL &&
      X509_NAME_print_ex(text, X509_get_subject_name(leaf), 0,
                         XN_FLAG_RFC2253) > 0) {
    written = BIO_read(text, out, (int)len - 1);
  }
  out[written > 0 ? written : 0] = '\0';
  BIO_free(text);
}

static void name_peer(side peer, const pv_openssl_decision *decision,
                      X509 *leaf, const char *pin, const char *address) {
  const pv_report *report = &decision->report;
  char subject[LOG_TEXT_MAX];
  log_line line;
  write_subject(subject, sizeof(subject), leaf);
  log_begin(&line, report->accepted ? "accepted without a match" : "rejected");
  log_text(&line, "side", SIDES[peer]);
  log_text(&line, "reason", REASONS[report->reason]);
  log_text(&line, "mode", report->mode == PV_REPORT ? "report" : "enforce");
  log_text(&line, "pin", pin);
  log_text(&line, "subject", subject);
  log_text(&line, "address", address);
  if (decision->why[0] != '\0') {
    log_text(&line, "why", decision->why);
  }
  log_end(&line);
}

void record_decision(record *out, side peer,
                     const pv_openssl_decision *decision, X509 *leaf,
                     const char *address) {
  const pv_report *report = &decision->report;
  if (report->accepted && report->reason == PV_MATCH) {
    return;
  }
  char pin[PV_PIN_TEXT_MAX + 1];
  char key[LOG_TEXT_MAX];
  write_pin(pin, decision);
  snprintf(key, sizeof(key), "%d %d %.*s", (int)peer, (int)report->reason,
           leaf == NULL ? host_len(address) : PV_PIN_TEXT_MAX,
           leaf == NULL ? address : pin);
  const bool is_stranger = peer == CLIENT && leaf == NULL;
  if (is_new(out, is_stranger ? STRANGERS : VERIFIED, key)) {
    name_peer(peer, decision, leaf, pin, address);
  }
}

void record_failure(record *out, side peer, failure kind, const char *address,
                    const char *why) {
  char key[LOG_TEXT_MAX];
  out->failed[peer][kind]++;
  snprintf(key, sizeof(key), "%d failed %d %.*s", (int)peer, (int)kind,
           host_len(address), address);
  if (!is_new(out, peer == CLIENT ? STRANGERS : VERIFIED, key)) {
    return;
  }
  log_line line;
  log_begin(&line, "failed");
  log_text(&line, "side", SIDES[peer]);
  log_text(&line, "kind", FAILURES[kind]);
  log_text(&line, "address", address);
  if (why != NULL) {
    log_text(&line, "why", why);
  }
  log_end(&line);
}

void record_forget(record *out) {
  for (size_t i = 0; i < NUM_STANDINGS; i++) {
    out->named[i].num = 0;
  }
}

// Writes those of a row of counters that are not zero.
static void log_row(log_line *line, const char *title, const uint64_t *counts,
                    const char *const *names, size_t num) {
  log_open(line, title);
  for (size_t i = 0; i < num; i++) {
    if (counts[i] != 0) {
      log_number(line, names[i], counts[i]);
    }
  }
  log_close(line);
}

void record_log(const record *counters, const SSL_CTX *server,
                const SSL_CTX *client) {
  const SSL_CTX *const contexts[NUM_SIDES] = {server, client};
  log_line line;
  pv_openssl_counters decided;
  log_begin(&line, "counters");
  for (size_t i = 0; i < NUM_SIDES; i++) {
    if (pv_openssl_count(contexts[i], &decided) != 1) {
      continue;  // not pinned yet
    }
    log_open(&line, SIDES[i]);
    log_row(&line, "accepted", decided.accepted, REASONS, NUM_REASONS);
    log_row(&line, "rejected", decided.rejected, REASONS, NUM_REASONS);
    log_row(&line, "failed", counters->failed[i], FAILURES, NUM_FAILURES);
    log_number(&line, "resumed", decided.resumed);
    log_number(&line, "bytes", counters->bytes[i]);
    log_close(&line);
  }
  log_number(&line, "open", counters->open);
  log_number(&line, "reloads", counters->reloads);
  log_number(&line, "reloads_refused", counters->reloads_refused);
  log_end(&line);
}
