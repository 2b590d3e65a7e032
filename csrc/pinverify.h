// pinverify.h: the functions of the C core of pinverify, and their manual.
//
// The core answers one question: is the key of this TLS peer one that I expect
// for this host? The answer is computed from raw DER bytes, without allocating,
// in time that does not depend on the bytes of the pins.
//
//   DER bytes --> SPKI slice --> SHA-256 --> constant-time scan --> report
//   host -------> rule (pins, mode, expiry) -------^
//
// To use the core in a C program, copy this folder and compile every .c file in
// it and in kernels/, as C11 with -O3: without optimisation, the core is 17 to
// 50 times slower. The core needs nothing but memcpy, memset, memcmp and
// memchr. See csrc/README.md.
//
//   pv_policy policy;                        // a view: keep `bytes` alive
//   if (pv_policy_open(&policy, bytes, len) != PV_OK) { refuse to start }
//   pv_report report;
//   if (pv_evaluate(&report, NULL, &policy, host, host_len, chain, num_certs,
//                   now) != PV_OK || !report.accepted) { close the connection }
//
// Conventions. A `pv_status` tells whether a question could be answered; the
// report holds the answer, and a zeroed report is a rejection. pv_decide and
// pv_leaf_suffices return 1 if the connection may go on; treat every other
// value as "not accepted". (A 1 from pv_host_is_clear is not an acceptance.)
// `x_len` counts bytes, `num_xs` counts things. Outputs come first and are
// written on every path. Any number of threads may call any function at the
// same time.
//
// Constant time. The time to compare a digest with pins depends on the number
// of pins only: not on their bytes, on which pin matches, or on how many bytes
// of a pin agree with the digest. The DER walk, the hashing and the look-up of
// hosts work on public bytes, and their time is not constant.
#ifndef PINVERIFY_H
#define PINVERIFY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// PV_API marks the public functions and exports them from a shared library. If
// your own library must not export them, compile with -fvisibility=hidden
// -DPV_API=. PV_CHECK marks functions whose result must not be ignored.
#ifndef PV_API
#if defined(__GNUC__) && !defined(_WIN32)
#define PV_API __attribute__((visibility("default")))
#else
#define PV_API
#endif
#endif
#if defined(__GNUC__)
#define PV_CHECK __attribute__((warn_unused_result))
#else
#define PV_CHECK
#endif

// PV_VERSION is the version of this header, and pv_version that of the library
// that a program runs with. The preprocessor can compare PV_VERSION_NUMBER.
#define PV_VERSION_MAJOR 0
#define PV_VERSION_MINOR 1
#define PV_VERSION_PATCH 0
#define PV_VERSION "0.1.0"
#define PV_VERSION_NUMBER \
  (PV_VERSION_MAJOR * 1000000 + PV_VERSION_MINOR * 1000 + PV_VERSION_PATCH)

// Between the marks "cdef: begin" and "cdef: end" there are only declarations
// that cffi can read: the Python package takes its declarations from here.
// cdef: begin

#define PV_DIGEST_LEN 32  // bytes of a SHA-256 digest, and so of a pin
#define PV_HOST_MAX 253   // bytes of the longest host name (RFC 1035, 2.3.4)
#define PV_ANY_LABELS_MAX 16  // most labels after "**." in a pattern
#define PV_PIN_TEXT_MAX 76  // bytes of the longest text of a pin, without NUL

// A pv_span is a slice of bytes that it does not own.
typedef struct pv_span {
  const uint8_t *data;
  size_t len;
} pv_span;

// pv_offsets are num + 1 positions p[0] <= p[1] <= ... that cut a sequence into
// `num` pieces: piece i goes from p[i] up to, not including, p[i + 1]. A
// position is an unsigned number of `width` bytes, 4 or 8, in the byte order of
// the machine; it needs no alignment. (The positions of Arrow are signed, but
// never negative.)
typedef struct pv_offsets {
  const void *at;
  size_t width;
  size_t num;
} pv_offsets;

// A pv_column is many byte strings back to back in one buffer, which may hold
// other bytes before and after: string i is the bytes of `data` from offset i
// up to, not including, offset i + 1. This is the layout of Arrow's binary
// (4-byte offsets) and large_binary (8-byte offsets) columns. A column does not
// own its bytes.
typedef struct pv_column {
  const uint8_t *data;
  size_t data_len;
  pv_offsets offsets;
} pv_column;

// A pv_status is PV_OK, or the one thing that went wrong.
typedef enum pv_status {
  PV_OK = 0,
  PV_ERR_ARGUMENT = 1,  // NULL, an index out of range, offsets that descend or
                        // exceed the data, or a policy that is not open

  // A certificate is not strict DER; the status names the faulty field
  // (RFC 5280, 4.1).
  PV_ERR_DER_CERTIFICATE = 10,     // not one SEQUENCE that ends with the input
  PV_ERR_DER_TBS = 11,             // tbsCertificate
  PV_ERR_DER_VERSION = 12,         // version: not v1, v2 or v3
  PV_ERR_DER_SERIAL = 13,          // serialNumber
  PV_ERR_DER_SIGNATURE = 14,       // signature (the one inside tbsCertificate)
  PV_ERR_DER_ISSUER = 15,          // issuer
  PV_ERR_DER_VALIDITY = 16,        // validity
  PV_ERR_DER_SUBJECT = 17,         // subject
  PV_ERR_DER_SPKI = 18,            // subjectPublicKeyInfo
  PV_ERR_DER_SPKI_ALGORITHM = 19,  // subjectPublicKeyInfo.algorithm
  PV_ERR_DER_SPKI_KEY = 20,        // subjectPublicKeyInfo.subjectPublicKey
  PV_ERR_DER_UNIQUE_ID = 21,       // issuerUniqueID or subjectUniqueID
  PV_ERR_DER_EXTENSIONS = 22,      // extensions
  PV_ERR_DER_TBS_END = 23,         // bytes after tbsCertificate's last field
  PV_ERR_DER_SIGNATURE_ALGORITHM = 24,  // signatureAlgorithm
  PV_ERR_DER_SIGNATURE_VALUE = 25,      // signatureValue
  PV_ERR_DER_CERTIFICATE_END = 26,      // bytes after signatureValue

  // The host is not a valid name or address, or is ambiguous.
  PV_ERR_HOST_EMPTY = 40,
  PV_ERR_HOST_TOO_LONG = 41,        // over PV_HOST_MAX
  PV_ERR_HOST_LABEL_EMPTY = 42,     // "a..b", ".a"
  PV_ERR_HOST_LABEL_TOO_LONG = 43,  // over 63
  PV_ERR_HOST_CHARACTER = 44,       // not a letter, digit, '-', '_' or '.'
  PV_ERR_HOST_IPV4 = 45,            // ends in a number, but is not an address
  PV_ERR_HOST_IPV6 = 46,            // has a colon, but is not an address

  // The bytes are not a compiled policy; the status names the faulty part.
  PV_ERR_POLICY_MAGIC = 60,   // not a compiled policy, or another version
  PV_ERR_POLICY_SIZE = 61,    // truncated, or with bytes appended
  PV_ERR_POLICY_DIGEST = 62,  // bytes changed since it was compiled
  PV_ERR_POLICY_HEADER = 63,  // a flag or a reserved field
  PV_ERR_POLICY_PINSET = 64,  // a PinSet: its mode, expiry or lists
  PV_ERR_POLICY_RULE = 65,    // a rule: its name, labels, order or PinSet
  PV_ERR_POLICY_BUCKETS = 66,  // the index of the rules

  // A pattern can't be compiled (pinverify_compile.h).
  PV_ERR_POLICY_PATTERN = 70,  // it is not canonical, or "**." has more than
                               // PV_ANY_LABELS_MAX labels after it
  PV_ERR_POLICY_ORDER = 71     // it does not sort after the one before it
} pv_status;

// A pv_reason is the reason of an acceptance or a rejection.
typedef enum pv_reason {
  PV_MISMATCH = 0,        // a list of pins does not match the chain
  PV_MATCH = 1,           // every list of pins matches
  PV_NOT_PINNED = 2,      // no rule for the host, or one that says "unpinned"
  PV_EXPIRED = 3,         // the pins of the rule have expired
  PV_NO_CERTIFICATE = 4,  // the peer showed no certificate
  PV_MALFORMED = 5,       // a certificate is not strict DER
  PV_BLOCKED = 6,         // a key of the chain is blocked
  PV_BAD_HOST = 7,        // the host has no canonical form
  PV_NOT_CHECKED = 8      // never given by the core: an adapter of a TLS
                          // library lacked evidence, or failed before deciding
} pv_reason;

// A pv_mode tells whether a rule rejects peers or only reports them.
typedef enum pv_mode { PV_ENFORCE = 0, PV_REPORT = 1 } pv_mode;

// A pv_kind tells what a pin is the SHA-256 of.
typedef enum pv_kind {
  PV_SPKI = 0,        // the SubjectPublicKeyInfo (RFC 7469, 2.4)
  PV_CERTIFICATE = 1  // the whole certificate
} pv_kind;

// A pv_list names one of the four lists of pins in a PinSet.
typedef enum pv_list {
  PV_LIST_PINS = 0,    // must match a certificate at any position
  PV_LIST_LEAF = 1,    // must match the leaf, position 0
  PV_LIST_CA = 2,      // must match a certificate at position 1 or later
  PV_LIST_BLOCKED = 3  // must match no certificate
} pv_list;

// A pv_shape tells which hosts the name of a rule matches.
typedef enum pv_shape {
  PV_EXACT = 0,       // example.org: this name or address
  PV_ONE_LABEL = 1,   // *.example.org: exactly one more label
  PV_ANY_LABELS = 2,  // **.example.org: any number of more labels, or none.
                      // The name has at most PV_ANY_LABELS_MAX labels, so that
                      // no look-up takes long
  PV_CLIENTS = 3      // no name: the PinSet of clients decided
} pv_shape;

#define PV_NO_RULE 4294967295   // pv_report.rule: no rule names the host
#define PV_UNPINNED 4294967295  // pv_rule.pinset: the rule says "unpinned"
#define PV_NO_DEPTH 4294967295  // pv_report.depth: no certificate decided

// A pv_report is the decision about one peer. All zero is a rejection.
typedef struct pv_report {
  uint8_t accepted;      // 1: go on. 0: close the connection
  uint8_t reason;        // a pv_reason
  uint8_t mode;          // the rule's pv_mode; PV_ENFORCE without a rule
  uint8_t matched_kind;  // a pv_kind: what `matched` is the digest of
  uint8_t shape;         // the rule's pv_shape
  uint8_t name_len;      // the rule's name is the last name_len bytes of the
                         // canonical host; 0 without a rule
  uint8_t zero[2];
  uint32_t rule;        // index of the rule that decided, or PV_NO_RULE
  uint32_t depth;       // position of the certificate that decided (0 = leaf):
                        // the first that matched a list of pins, or is
                        // blocked, or is malformed; or PV_NO_DEPTH
  uint32_t num_seen;    // certificates, leaf first, before the first that is
                        // malformed; 0 if the chain was not looked at
  uint32_t detail;      // a pv_status: what is wrong with the host or the
                        // certificate
  uint8_t matched[32];  // the digest that matched; zero without one
} pv_report;

// A pv_policy is the opened view of a compiled policy. Its fields are private.
// It points into the compiled bytes, which must outlive it and never change.
typedef struct pv_policy {
  const uint8_t *bytes;
  const uint8_t *pins;
  const uint8_t *pinsets;
  const uint8_t *rules;
  const uint8_t *buckets;
  const uint8_t *names;
  uint64_t num_rows;
  uint64_t names_len;
  uint32_t flags;
  uint32_t num_rules;
  uint32_t num_pinsets;
  uint32_t bucket_mask;
  uint64_t key[2];
} pv_policy;

// A pv_rule describes one rule of a policy, for messages and listings.
typedef struct pv_rule {
  const char *name;  // without "*." or "**."; not terminated by NUL
  size_t name_len;
  uint32_t shape;   // a pv_shape
  uint32_t pinset;  // index of its PinSet, or PV_UNPINNED
} pv_rule;

// A pv_pinset describes one PinSet of a policy.
typedef struct pv_pinset {
  uint32_t mode;             // a pv_mode
  uint32_t expires_set;      // 1: `expires` is set; 0: the pins never expire
  uint32_t expired_rejects;  // once expired, the rule rejects (1) or allows (0)
  int64_t expires;           // seconds since 1970-01-01T00:00:00Z
  uint32_t num_pins[8];      // of list `l` and kind `k`: [2 * l + k]
} pv_pinset;

// ---------------------------------------------------------------------------
// 1. The key of a certificate
// ---------------------------------------------------------------------------

// pv_status_text returns a short English phrase for a status, for logs. It is
// never NULL, is a static string, and contains no input bytes. Time: constant.
PV_API const char *pv_status_text(pv_status status);

// pv_spki_from_cert finds the SubjectPublicKeyInfo of one certificate.
//
// `cert` is one DER Certificate (RFC 5280, 4.1) of `cert_len` bytes, with
// nothing after it. On PV_OK `*out_spki` is a slice of `cert`, tag and length
// included, so its SHA-256 is the fingerprint of RFC 7469, 2.4. Nothing is
// copied: the slice is valid as long as `cert`. On any other status `*out_spki`
// is empty.
//
// The structure is checked to its last byte: every field of Certificate,
// TBSCertificate, AlgorithmIdentifier and SubjectPublicKeyInfo must have a
// definite, minimal length below 2^24. The parameters of an algorithm must be
// NULL, an OID, an OCTET STRING or a constructed element. The contents of
// names, validity, extensions, constructed parameters, key bits and the
// signature are not interpreted.
//
// Two things that RFC 5280 forbids are accepted: unique identifiers and
// extensions in a certificate of any version, and version v1 encoded
// explicitly. Some authorities make such certificates and some TLS libraries
// accept them, and neither changes which bytes are the key.
//
// Fails with the PV_ERR_DER_ status of a field that is not strict DER; if
// several are not, with the status of one of them. Time: linear in the number
// of fields; not constant (certificates are public).
PV_API PV_CHECK pv_status pv_spki_from_cert(pv_span *out_spki,
                                            const uint8_t *cert,
                                            size_t cert_len);

// pv_spki_sha256 computes the SHA-256 of a certificate's SubjectPublicKeyInfo:
// its pin (RFC 7469, 2.4). `out` is zero unless the status is PV_OK. Fails like
// pv_spki_from_cert. Time: linear in the bytes of the key.
PV_API PV_CHECK pv_status pv_spki_sha256(uint8_t out[32], const uint8_t *cert,
                                         size_t cert_len);

// pv_spki_sha256_many does the same for every certificate of a column.
//
// For each certificate, `out_digests` receives 32 bytes, and `out_statuses` one
// byte, a pv_status. A malformed certificate gets a zero digest and its status;
// the others are still hashed. `*out_num_malformed` counts the malformed ones.
//
// Fails with PV_ERR_ARGUMENT, all outputs zero, if the offsets descend, exceed
// the data, or are neither 4 nor 8 bytes wide. Time: linear in the bytes.
PV_API PV_CHECK pv_status pv_spki_sha256_many(uint8_t *out_digests,
                                              uint8_t *out_statuses,
                                              size_t *out_num_malformed,
                                              const pv_column *certs);

// ---------------------------------------------------------------------------
// 2. SHA-256 (FIPS 180-4) and its kernels
// ---------------------------------------------------------------------------

// pv_sha256 hashes one message of `len` bytes. Time: linear in `len`.
PV_API void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len);

// pv_sha256_many hashes every message of a column: `out_digests` receives 32
// bytes for each. Fails with PV_ERR_ARGUMENT, all digests zero, if the offsets
// descend, exceed the data, or are neither 4 nor 8 bytes wide. Time: linear in
// the bytes.
PV_API PV_CHECK pv_status pv_sha256_many(uint8_t *out_digests,
                                         const pv_column *messages);

// A kernel is a SHA-256 for this machine. Kernels are numbered from 0, best
// first; the last one is portable C. pv_sha256_kernel_name returns the name of
// kernel `i`, or NULL if there is none. pv_sha256_kernel returns the number of
// the kernel in use. pv_sha256_use_kernel selects another kernel for the whole
// process, for tests and benches; if there is no such kernel it fails with
// PV_ERR_ARGUMENT and changes nothing. Time: constant.
PV_API const char *pv_sha256_kernel_name(size_t i);
PV_API size_t pv_sha256_kernel(void);
PV_API PV_CHECK pv_status pv_sha256_use_kernel(size_t i);

// ---------------------------------------------------------------------------
// 3. The constant-time scan
// ---------------------------------------------------------------------------

// pv_pins_contain returns 1 if `digest` (32 bytes) is one of the `num_pins`
// pins that lie back to back in `pins`, else 0. Time: linear in num_pins,
// independent of the bytes of the pins and of the digest.
PV_API uint32_t pv_pins_contain(const uint8_t *pins, size_t num_pins,
                                const uint8_t digest[32]);

// Packed pins are pins laid out for the scan. Up to 4 pins are stored as rows:
// 32 bytes each, back to back. 5 or more are stored in blocks of 8 pins; a
// block has 256 bytes: bytes 0 to 7 of each of its pins in turn, then bytes 8
// to 15 of each, then 16 to 23, then 24 to 31. The last block is filled up by
// repeating the last pin, which changes no answer.
//
// pv_pins_packed_len returns the number of bytes that `num_pins` packed pins
// take, or 0 if that exceeds a size_t. pv_pins_pack writes them to `out`.
// pv_pins_unpack reads pin `i` (i < num_pins) back.
// Time: pv_pins_pack is linear in num_pins; the other two are constant.
PV_API size_t pv_pins_packed_len(size_t num_pins);
PV_API void pv_pins_pack(uint8_t *out, const uint8_t *pins, size_t num_pins);
PV_API void pv_pins_unpack(uint8_t out[32], const uint8_t *packed,
                           size_t num_pins, size_t i);

// pv_packed_contain is pv_pins_contain for packed pins. Time: like
// pv_pins_contain.
PV_API uint32_t pv_packed_contain(const uint8_t *packed, size_t num_pins,
                                  const uint8_t digest[32]);

// pv_packed_contain_many looks for several digests in one pass over the pins:
// out_found[i] is the answer of pv_packed_contain for digest i; the digests lie
// back to back. If the pins do not fit into the first-level cache, three
// digests take hardly longer than one. Time: linear in num_pins times
// num_digests, independent of the bytes of pins and digests.
PV_API void pv_packed_contain_many(uint8_t *out_found, const uint8_t *packed,
                                   size_t num_pins, const uint8_t *digests,
                                   size_t num_digests);

// pv_cert_is_pinned returns 1 if the SPKI of one certificate is among packed
// pins, else 0. Bytes that are not a certificate are not pinned. `*out_status`
// receives the status of pv_spki_from_cert; out_status may be NULL. Time:
// linear in the bytes of the key and in num_pins, independent of the bytes of
// the pins.
PV_API PV_CHECK uint32_t pv_cert_is_pinned(pv_status *out_status,
                                           const uint8_t *packed,
                                           size_t num_pins, const uint8_t *cert,
                                           size_t cert_len);

// pv_certs_are_pinned does the same for every certificate of a column, and
// fails like pv_spki_sha256_many.
//
// `out_pinned` receives one bit for each certificate, 1 if it is pinned, the
// first in the lowest bit of the first byte (an Arrow bitmap): (num + 7) / 8
// bytes, the last one filled up with zeros. `out_digests` is NULL, or receives
// the digests. A malformed certificate is not pinned. Time: like
// pv_cert_is_pinned, for each certificate.
PV_API PV_CHECK pv_status pv_certs_are_pinned(
    uint8_t *out_pinned, uint8_t *out_digests, uint8_t *out_statuses,
    size_t *out_num_malformed, const uint8_t *packed, size_t num_pins,
    const pv_column *certs);

// The scan has kernels too; these functions work like those of SHA-256. A
// kernel of the scan also hashes the hosts that are looked up.
PV_API const char *pv_scan_kernel_name(size_t i);
PV_API size_t pv_scan_kernel(void);
PV_API PV_CHECK pv_status pv_scan_use_kernel(size_t i);

// ---------------------------------------------------------------------------
// 4. Hosts
// ---------------------------------------------------------------------------

// pv_host_canonical writes the canonical spelling of a host.
//
// A name is changed to lower case (ASCII), and one trailing dot is dropped. It
// must have at most 253 bytes, in labels of 1 to 63 letters, digits, '-' or
// '_'. A name whose last label is a number must be an IPv4 address in dotted
// decimal without leading zeros. A host with a colon must be an IPv6 address
// (RFC 4291, 2.2, without zone or brackets); it gets the shortest form of RFC
// 5952, 4, always in hexadecimal. A name that is not ASCII is refused: convert
// it to A-labels (RFC 5890) first.
//
// `out` has room for PV_HOST_MAX + 1 bytes and is terminated by NUL; `*out_len`
// counts the bytes before the NUL. Unless the status is PV_OK, `out` is empty
// and `*out_len` is 0. `host` must not overlap `out`. Fails with a PV_ERR_HOST_
// status. Time: linear in host_len.
PV_API PV_CHECK pv_status pv_host_canonical(char *out, size_t *out_len,
                                            const char *host, size_t host_len);

// ---------------------------------------------------------------------------
// 5. The compiled policy
// ---------------------------------------------------------------------------
//
// A compiled policy is one byte string, without pointers, the same on every
// machine. It can be mapped from a file and shared by processes, and the digest
// in its header identifies it. It is checked completely when it is opened.
//
// pinverify_compile.h describes each byte, and declares the functions that
// write a policy. A program that only opens policies, and decides by them, does
// not need that header.

// pv_policy_open checks a whole compiled policy and makes a view of it.
//
// `bytes` must stay valid and unchanged as long as `*out` is used; they need no
// alignment. After PV_OK every look-up stays inside these bytes, even if an
// attacker made them. On any other status `*out` is zero and must not be used.
//
// Fails with the PV_ERR_POLICY_ status of the faulty part. A policy that was
// truncated, extended or damaged never opens. The digest is not a signature:
// whoever can write the policy can also recompute it. If the first 128 bytes
// show that the policy is of another version, or not whole, nothing else is
// read. Time: linear in bytes_len.
PV_API PV_CHECK pv_status pv_policy_open(pv_policy *out, const uint8_t *bytes,
                                         size_t bytes_len);

// pv_policy_find returns the index of the one rule that applies to a host, or
// PV_NO_RULE. The exact name wins, then the rule with the longest name, then
// "*." over "**.". `host` must be canonical (pv_host_canonical). Time: linear
// in host_len, independent of the number of rules: even if an attacker chose
// them and the host, the look-up reads at most 20 buckets of at most 16 rules.
// Not constant (hosts are public).
PV_API uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                               size_t host_len);

// These functions read the header of an opened policy: the number of rules and
// of PinSets; whether PinSet 0 is for clients (1 or 0), and whether hosts
// without pins are rejected (1 or 0); the number of pins of a pv_kind that are
// blocked for every host; and the digest, 32 bytes that identify the policy.
// For a policy that is not open, all of them are zero. Time: constant.
PV_API uint32_t pv_policy_num_rules(const pv_policy *policy);
PV_API uint32_t pv_policy_num_pinsets(const pv_policy *policy);
PV_API uint32_t pv_policy_has_clients(const pv_policy *policy);
PV_API uint32_t pv_policy_rejects_unpinned(const pv_policy *policy);
PV_API uint32_t pv_policy_num_blocked(const pv_policy *policy, uint32_t kind);
PV_API void pv_policy_digest(uint8_t out[32], const pv_policy *policy);

// pv_policy_rule, pv_policy_pinset and pv_policy_pin read an opened policy, for
// messages and listings. pv_policy_pin reads pin `i` among the pins of `kind`
// in `list` of PinSet `pinset`; for the pins that are blocked for every host,
// `pinset` is PV_UNPINNED and `list` is PV_LIST_BLOCKED. If a number is out of
// range they fail with PV_ERR_ARGUMENT, and the output is zero. Time: constant.
PV_API PV_CHECK pv_status pv_policy_rule(pv_rule *out, const pv_policy *policy,
                                         uint32_t rule);
PV_API PV_CHECK pv_status pv_policy_pinset(pv_pinset *out,
                                           const pv_policy *policy,
                                           uint32_t pinset);
PV_API PV_CHECK pv_status pv_policy_pin(uint8_t out[32],
                                        const pv_policy *policy,
                                        uint32_t pinset, uint32_t list,
                                        uint32_t kind, uint32_t i);

// ---------------------------------------------------------------------------
// 6. The decision
// ---------------------------------------------------------------------------

// pv_evaluate judges one peer.
//
// `host` of `host_len` bytes is the name that the TLS library verified, in any
// spelling that pv_host_canonical reads. If the policy has pins for clients,
// host_len may be 0. These pins apply to a peer without a name; if there are no
// rules, they apply to every peer. `verified_chain` is `num_certs` DER
// certificates, leaf first. It must be the chain that the TLS library verified,
// or the leaf alone. A chain as the peer sent it proves nothing: anybody can
// append a well-known CA certificate to it. `now` is in seconds since
// 1970-01-01T00:00:00Z.
//
// The decision, in this order:
//   1. A host without canonical form: BAD_HOST, rejected. If the pins for
//      clients apply, the host is not read, and step 3 comes next.
//   2. No rule, or a rule that says "unpinned": NOT_PINNED, accepted or
//      rejected as the policy says.
//   3. An expired rule (now >= expires): EXPIRED, accepted or rejected as the
//      rule says; accepted if it is in report mode.
//   4. No certificate: NO_CERTIFICATE, rejected.
//   5. A blocked key or certificate at any position, also behind a certificate
//      that is not strict DER: BLOCKED, rejected.
//   6. A certificate that is not strict DER, and so could hide a blocked key:
//      MALFORMED, rejected. Such a certificate is ignored if each list of step
//      7 matches a certificate below it, and no key is blocked, by the rule or
//      for every host.
//   7. MATCH, accepted, if each of the lists `pins`, `leaf` and `ca` that is
//      not empty matches; else MISMATCH, rejected.
//   8. A rule in report mode accepts what steps 4 to 7 would reject, and keeps
//      the reason. Steps 1 and 2 reject in any mode.
// If step 2 or 3 accepts, and the policy blocks keys for every host, steps 4 to
// 6 follow, with only those keys, and then step 8. The reason of step 2 or 3
// stays only if steps 4 to 6 find nothing. For example, if the rule has expired
// and is in report mode, a key that is blocked for every host gives BLOCKED,
// accepted.
//
// A resumed session shows the leaf, but no verified chain. Store the verified
// chain of the full handshake along with the session, and pass that chain when
// the session is resumed. Without that chain, accept the peer only if
// pv_leaf_suffices returns 1 for the leaf.
//
// `out_spkis` is NULL, or receives num_certs x 32 bytes: the SPKI digests of
// the first out->num_seen certificates, leaf first, then zeros.
//
// Fails with PV_ERR_ARGUMENT, and a zero report (a rejection), if `policy` is
// not open, or if `host` or `verified_chain` is NULL although its length is not
// 0. Time: linear in the bytes of the chain and in the number of pins of
// the rule; independent of the bytes of the pins.
PV_API PV_CHECK pv_status pv_evaluate(pv_report *out, uint8_t *out_spkis,
                                      const pv_policy *policy, const char *host,
                                      size_t host_len,
                                      const pv_span *verified_chain,
                                      size_t num_certs, int64_t now);

// pv_host_is_clear returns 1 if neither the rule of this host nor the policy as
// a whole blocks any key (host_len 0 stands for a peer without a name). It
// returns 0 if a key is blocked, if the host has no canonical form, or if the
// policy is not open. After 0, do not accept the peer on an incomplete chain:
// the missing part could contain a blocked key. 1 is not an acceptance. Time:
// linear in host_len.
PV_API PV_CHECK uint32_t pv_host_is_clear(const pv_policy *policy,
                                          const char *host, size_t host_len);

// pv_decide is pv_evaluate without a report, as one cheap call per handshake.
// It returns 1 if the peer is accepted, else 0, also for a bad argument.
// `*out_reason` receives the pv_reason, PV_MISMATCH for a bad argument;
// out_reason may be NULL.
//
// `certs` and `cert_offsets` are like a pv_column, with num_certs + 1 offsets
// of 4 bytes each; the last offset is `certs_len`. Time: like pv_evaluate.
PV_API PV_CHECK uint32_t pv_decide(uint32_t *out_reason,
                                   const pv_policy *policy, const char *host,
                                   size_t host_len, const uint8_t *certs,
                                   size_t certs_len,
                                   const uint8_t *cert_offsets,
                                   size_t num_certs, int64_t now);

// pv_leaf_suffices returns 1 if the leaf alone is enough to accept the peer and
// there is nothing to report: pv_evaluate would accept the leaf with the reason
// MATCH or NOT_PINNED, and no key is blocked for this peer, so nothing above
// the leaf could change that. 0 is not a rejection: call pv_evaluate with the
// whole chain. Time: like pv_evaluate.
PV_API PV_CHECK uint32_t pv_leaf_suffices(const pv_policy *policy,
                                          const char *host, size_t host_len,
                                          const uint8_t *leaf, size_t leaf_len,
                                          int64_t now);

// pv_answers says where the answers about n peers with m certificates go.
// `reports` is NULL, or has room for n reports. `spkis` is NULL, or has room
// for m digests. `accepted` and the fields after it are columns in the layout
// of Arrow, each with one field of every report; if `accepted` is NULL, none of
// these columns is written.
typedef struct pv_answers {
  pv_report *reports;
  uint8_t *spkis;     // m x 32 bytes; see pv_evaluate. Nothing is written for
                      // certificates before the first chain or after the last
  uint8_t *accepted;  // (n + 7) / 8 bytes: one bit for each peer, the first in
                      // the lowest bit of the first byte, filled up with zeros
  uint8_t *reasons;   // n pv_reasons
  uint32_t *rules;    // n indices, or PV_NO_RULE
  uint32_t *depths;   // n positions, or PV_NO_DEPTH
  uint16_t *details;  // n numbers. bit 0: mode; bit 1: matched_kind; bits 2 and
                      // 3: shape; bits 8 to 15: detail
  uint8_t *matched;   // n x 32 bytes
} pv_answers;

// pv_evaluate_many judges many peers in one call, each as pv_evaluate does.
//
// Peer i has name i of `hosts`. Its verified chain (see pv_evaluate), leaf
// first, is piece i of the column `certs`, cut by `chains`: the certificates
// from position chains[i] up to, not including, chains[i + 1] (an Arrow column
// of lists). If `chains` is NULL, each certificate is a chain by itself.
//
// Up to 256 keys of neighbouring chains are hashed side by side, which takes a
// fraction of the time of hashing one after the other.
//
// Fails with PV_ERR_ARGUMENT, all answers zero, if the policy is not open, if
// offsets descend, run past the end of what they index, or are neither 4 nor 8
// bytes wide, or if the numbers of chains and hosts differ. Time: like
// pv_evaluate, for each peer.
PV_API PV_CHECK pv_status pv_evaluate_many(const pv_answers *out,
                                           const pv_policy *policy,
                                           const pv_column *hosts,
                                           const pv_column *certs,
                                           const pv_offsets *chains,
                                           int64_t now);

// ---------------------------------------------------------------------------
// 7. Texts for logs and messages
// ---------------------------------------------------------------------------

// pv_reason_text returns a short English phrase for a reason. It is never NULL,
// is a static string, and contains no input bytes. Time: constant.
PV_API const char *pv_reason_text(pv_reason reason);

// pv_pin_text writes a pin as policy files spell it: "sha256/" and the digest
// in base64 (RFC 4648, 4) for the pv_kind PV_SPKI, "cert-sha256:" and the
// digest in hexadecimal for PV_CERTIFICATE, and "unknown kind" for any other
// number.
//
// `out` has room for PV_PIN_TEXT_MAX + 1 bytes, is terminated by NUL, and is
// returned. Time: constant.
//
// The pins of a chain are those that pv_evaluate writes to `out_spkis`. The
// pins that were expected are those of the lists `pins`, `leaf` and `ca` of the
// rule's PinSet: pv_policy_rule gives its number (if the report's shape is
// PV_CLIENTS, it is 0), pv_policy_pinset the number of its pins, and
// pv_policy_pin each pin. docs/c.md has a function that prints both.
PV_API const char *pv_pin_text(char out[77], uint32_t kind,
                               const uint8_t digest[32]);

// pv_version returns the version of the library, "major.minor.patch", as a
// static string. It is PV_VERSION if the program was compiled with the header
// of that version. Time: constant.
PV_API const char *pv_version(void);

// cdef: end

#ifdef __cplusplus
}
#endif

#endif  // PINVERIFY_H
