// openssl_oracle.c: asks OpenSSL, as openssl_oracle.h explains.
#include "openssl_oracle.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "check.h"

// ---- OpenSSL's opinion ------------------------------------------------------

// Without a provider of algorithms, OpenSSL cannot decode keys. It parses the
// same, in half of the time.
static OSSL_LIB_CTX *without_algorithms(void) {
  static OSSL_LIB_CTX *context = NULL;
  if (context == NULL) {
    context = OSSL_LIB_CTX_new();
    check(context != NULL && OSSL_PROVIDER_load(context, "null") != NULL,
          "OpenSSL has its provider of nothing");
  }
  return context;
}

// The certificate if OpenSSL accepts; the caller frees it.
static X509 *parse(OSSL_LIB_CTX *context, const uint8_t *cert, size_t len) {
  X509 *x509 = X509_new_ex(context, NULL);
  check(x509 != NULL, "there is memory for a certificate");
  const unsigned char *at = cert;
  if (d2i_X509(&x509, &at, (long)len) == NULL) {  // which frees it
    ERR_clear_error();
    return NULL;
  }
  if (at != cert + len) {
    X509_free(x509);
    return NULL;
  }
  return x509;
}

static bool accepts(OSSL_LIB_CTX *context, const uint8_t *cert, size_t len) {
  X509 *x509 = parse(context, cert, len);
  X509_free(x509);
  return x509 != NULL;
}

// ---- where things lie, by OpenSSL's own reader of headers -------------------

typedef struct element {
  const uint8_t *start;
  const uint8_t *content;
  const uint8_t *end;
  uint8_t tag;  // the first octet
} element;

// One element of definite length, or false.
static bool next_element(const uint8_t **at, const uint8_t *end, element *out) {
  const unsigned char *p = *at;
  long len = 0;
  int tag = 0;
  int tag_class = 0;
  if (p >= end) {
    return false;
  }
  const int flags =
      ASN1_get_object(&p, &len, &tag, &tag_class, (long)(end - p));
  if ((flags & 0x81) != 0) {  // an error, or an indefinite length
    ERR_clear_error();
    return false;
  }
  *out = (element){*at, p, p + len, **at};
  *at = out->end;
  return true;
}

enum { ISSUER, VALIDITY, SUBJECT, SPKI, EXTENSIONS, NUM_PARTS };

// The parts of a certificate that matter here; those that are absent are empty.
typedef struct parts {
  element tbs;
  element part[NUM_PARTS];
} parts;

static bool find_parts(const uint8_t *cert, size_t len, parts *out) {
  element one;
  const uint8_t *at = cert;
  if (!next_element(&at, cert + len, &one)) {
    return false;
  }
  at = one.content;
  if (!next_element(&at, one.end, &out->tbs)) {
    return false;
  }
  at = out->tbs.content;
  const uint8_t *end = out->tbs.end;
  if (at < end && *at == 0xa0 && !next_element(&at, end, &one)) {
    return false;
  }
  if (!next_element(&at, end, &one) || !next_element(&at, end, &one)) {
    return false;  // serialNumber, signature
  }
  for (int i = ISSUER; i <= SPKI; i++) {
    if (!next_element(&at, end, &out->part[i])) {
      return false;
    }
  }
  out->part[EXTENSIONS] = (element){end, end, end, 0};
  while (at < end) {
    if (!next_element(&at, end, &one)) {
      return false;
    }
    if (one.tag == 0xa3) {
      out->part[EXTENSIONS] = one;
    }
  }
  return true;
}

// ---- repair -----------------------------------------------------------------

static const uint8_t good_name[] = {0x30, 0x00};
// Two times, 300101000000Z each.
static const uint8_t good_validity[] = {
    0x30, 0x1e,                                      //
    0x17, 0x0d, 0x33, 0x30, 0x30, 0x31, 0x30, 0x31,  //
    0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x5a,        //
    0x17, 0x0d, 0x33, 0x30, 0x30, 0x31, 0x30, 0x31,  //
    0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x5a};
static const uint8_t good_extensions[] = {// basicConstraints
                                          0xa3, 0x0d, 0x30, 0x0b, 0x30,
                                          0x09, 0x06, 0x03, 0x55, 0x1d,
                                          0x13, 0x04, 0x02, 0x30, 0x00};

static const struct {
  unsigned flag;
  int part;
  pv_span good;
} repairs[] = {
    {INSIDE_ISSUER, ISSUER, {good_name, sizeof good_name}},
    {INSIDE_VALIDITY, VALIDITY, {good_validity, sizeof good_validity}},
    {INSIDE_SUBJECT, SUBJECT, {good_name, sizeof good_name}},
    {INSIDE_EXTENSIONS, EXTENSIONS, {good_extensions, sizeof good_extensions}},
};
enum { NUM_REPAIRS = sizeof repairs / sizeof repairs[0] };

typedef struct writer {
  uint8_t *bytes;
  size_t len;
} writer;

static void write_bytes(writer *out, const uint8_t *from, const uint8_t *to) {
  memcpy(out->bytes + out->len, from, (size_t)(to - from));
  out->len += (size_t)(to - from);
}

static void write_sequence(writer *out, const writer *content) {
  unsigned char *p = out->bytes + out->len;
  ASN1_put_object(&p, 1, (int)content->len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  out->len = (size_t)(p - out->bytes);
  write_bytes(out, content->bytes, content->bytes + content->len);
}

// Whether OpenSSL accepts the certificate once `fields` are replaced.
static bool accepts_repaired(OSSL_LIB_CTX *context, const uint8_t *cert,
                             size_t len, const parts *found, unsigned fields) {
  const size_t room = len + 128;  // what is good is short
  uint8_t *memory = malloc(4 * room);
  check(memory != NULL, "there is memory for a repair");
  writer tbs = {memory, 0};
  writer content = {memory + room, 0};
  writer whole = {memory + 2 * room, 0};
  const uint8_t *at = found->tbs.content;
  for (size_t i = 0; i < NUM_REPAIRS; i++) {
    const element *old = &found->part[repairs[i].part];
    if ((fields & repairs[i].flag) == 0 || old->start == old->end) {
      continue;
    }
    write_bytes(&tbs, at, old->start);
    write_bytes(&tbs, repairs[i].good.data,
                repairs[i].good.data + repairs[i].good.len);
    at = old->end;
  }
  write_bytes(&tbs, at, found->tbs.end);
  write_sequence(&content, &tbs);
  write_bytes(&content, found->tbs.end, cert + len);
  write_sequence(&whole, &content);
  const bool good = accepts(context, whole.bytes, whole.len);
  free(memory);
  return good;
}

// The fewest fields whose repair makes OpenSSL accept; 0 if all do not suffice.
static unsigned fields_that_differ(OSSL_LIB_CTX *context, const uint8_t *cert,
                                   size_t len) {
  parts found;
  check(find_parts(cert, len, &found), "what pinverify accepts has all fields");
  unsigned fields = INSIDE_ANY;
  if (!accepts_repaired(context, cert, len, &found, fields)) {
    return 0;
  }
  for (size_t i = 0; i < NUM_REPAIRS; i++) {
    const unsigned fewer = fields & ~repairs[i].flag;
    if (accepts_repaired(context, cert, len, &found, fewer)) {
      fields = fewer;
    }
  }
  return fields;
}

// ---- both -------------------------------------------------------------------

// What OpenSSL writes for its SubjectPublicKeyInfo; the caller frees it.
static size_t write_spki(const X509_PUBKEY *key, unsigned char **out) {
  *out = NULL;
  const int len = i2d_X509_PUBKEY(key, out);
  check(len > 0, "OpenSSL writes a key that it has read");
  return (size_t)len;
}

static bool same_bytes(const uint8_t *bytes, size_t len, pv_span span) {
  return len == span.len && memcmp(bytes, span.data, len) == 0;
}

// Whether OpenSSL, when it reads `spki` alone, writes `written`.
static bool reencodes_to(pv_span spki, const uint8_t *written, size_t len) {
  const unsigned char *at = spki.data;
  X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &at, (long)spki.len);
  if (key == NULL) {
    ERR_clear_error();
    return false;
  }
  unsigned char *again = NULL;
  const size_t again_len = write_spki(key, &again);
  const bool same = at == spki.data + spki.len &&
                    same_bytes(again, again_len, (pv_span){written, len});
  OPENSSL_free(again);
  X509_PUBKEY_free(key);
  return same;
}

static verdict compare_keys(X509 *x509, const uint8_t *cert, size_t len,
                            pv_span spki) {
  parts found;
  if (!find_parts(cert, len, &found) || found.part[SPKI].start != spki.data ||
      found.part[SPKI].end != spki.data + spki.len) {
    return OTHER_KEY;
  }
  unsigned char *written = NULL;
  const size_t written_len = write_spki(X509_get_X509_PUBKEY(x509), &written);
  verdict out = OTHER_KEY;
  if (same_bytes(written, written_len, spki)) {
    out = SAME_KEY;
  } else if (reencodes_to(spki, written, written_len)) {
    out = SAME_REENCODED;
  }
  OPENSSL_free(written);
  return out;
}

static judgement judge_in(OSSL_LIB_CTX *context, const uint8_t *cert,
                          size_t len) {
  pv_span spki;
  judgement out = {BOTH_REFUSE, pv_spki_from_cert(&spki, cert, len), 0};
  X509 *x509 = parse(context, cert, len);
  if (out.status == PV_OK && x509 != NULL) {
    out.verdict = compare_keys(x509, cert, len, spki);
  } else if (x509 != NULL) {
    out.verdict = ONLY_OPENSSL;
  } else if (out.status == PV_OK) {
    out.fields = fields_that_differ(context, cert, len);
    out.verdict = out.fields != 0 ? ONLY_INSIDE : ONLY_IN_FRAME;
  }
  X509_free(x509);
  return out;
}

judgement judge(const uint8_t *cert, size_t cert_len) {
  return judge_in(without_algorithms(), cert, cert_len);
}

judgement judge_as_in_a_handshake(const uint8_t *cert, size_t cert_len) {
  return judge_in(NULL, cert, cert_len);
}
