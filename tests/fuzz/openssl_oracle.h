// openssl_oracle.h: pinverify and OpenSSL about the same bytes, in one process.
//
// "OpenSSL accepts" means what it means in a TLS handshake: d2i_X509 makes a
// certificate of the bytes and has then read all of them.
#ifndef PINVERIFY_OPENSSL_ORACLE_H
#define PINVERIFY_OPENSSL_ORACLE_H

#include "pinverify.h"

typedef enum verdict {
  BOTH_REFUSE,
  SAME_KEY,        // both accept, and the SPKI is the same bytes at one place
  SAME_REENCODED,  // ... but OpenSSL writes the same SPKI in other bytes
  OTHER_KEY,       // never to happen: they read different keys
  ONLY_OPENSSL,    // pinverify refuses; `status` says which field
  ONLY_INSIDE,     // OpenSSL refuses, for what lies inside `fields`
  ONLY_IN_FRAME    // never to happen: OpenSSL refuses the frame itself
} verdict;

// Fields whose inside pinverify does not interpret.
enum {
  INSIDE_ISSUER = 1,
  INSIDE_VALIDITY = 2,
  INSIDE_SUBJECT = 4,
  INSIDE_EXTENSIONS = 8,
  INSIDE_ANY = 15
};

typedef struct judgement {
  verdict verdict;
  pv_status status;  // pinverify's
  unsigned fields;   // INSIDE_ flags: the fewest whose repair OpenSSL accepts
} judgement;

// judge asks both. What pinverify accepts and OpenSSL refuses is repaired, one
// field after the other, with something harmless: so it is OpenSSL that says
// where the difference lies.
judgement judge(const uint8_t *cert, size_t cert_len);

// judge_as_in_a_handshake is judge with OpenSSL's default providers, which try
// to decode the key at once. It takes twice as long and accepts the same.
judgement judge_as_in_a_handshake(const uint8_t *cert, size_t cert_len);

#endif  // PINVERIFY_OPENSSL_ORACLE_H
