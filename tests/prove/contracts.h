// contracts.h: the words that contracts are made of, and what an element of DER,
// a certificate and a compiled policy are, said a second time.
//
// A contract says what a function needs and what it promises. It stands in
// *.contracts.h, on a declaration of the function; what a loop keeps stands in
// csrc, through prove.h. README.md has a list of the words.
#ifndef PINVERIFY_CONTRACTS_H
#define PINVERIFY_CONTRACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What must hold before a call; what then holds after it, on every path; and
// all that the call may change.
#define REQUIRES(...) __CPROVER_requires(__VA_ARGS__)
#define ENSURES(...) __CPROVER_ensures(__VA_ARGS__)
#define ASSIGNS(...) __CPROVER_assigns(__VA_ARGS__)

// What holds each time a loop's condition is looked at; and a number that gets
// smaller each time round and is never negative, so that the loop ends.
#define INVARIANT(...) __CPROVER_loop_invariant(__VA_ARGS__)
#define DECREASES(...) __CPROVER_decreases(__VA_ARGS__)
#define LOOP(decreases, ...) INVARIANT(__VA_ARGS__) DECREASES(decreases)

// All that a loop changes, where CBMC does not see it by itself.
#define CHANGES(...) ASSIGNS(__VA_ARGS__)

// A variable that the proof alone knows. What a loop says of it is simpler than
// the same said of a member, and much faster to prove.
#define GHOST(...) __VA_ARGS__;

// Prefetching is safe anywhere; a proof asks that there are bytes all the same,
// since a line that nobody reads costs time.
#define PV_PREFETCH(address) \
  __CPROVER_assert(__CPROVER_r_ok(address, 1), "prefetches bytes that exist")

// Between these, unsigned arithmetic is meant to be modulo a power of two.
#define MAY_WRAP_BEGIN          \
  _Pragma("CPROVER check push") \
      _Pragma("CPROVER check disable \"unsigned-overflow\"")
#define MAY_WRAP_END _Pragma("CPROVER check pop")

// Between these, bytes are read without asking whether they are there. For CBMC
// a byte outside of an object may be any byte, so that what is shown with it
// holds for each; and the proof takes half the time.
#define MAY_READ_BEGIN                                                       \
  _Pragma("CPROVER check push") _Pragma("CPROVER check disable \"pointer\"") \
      _Pragma("CPROVER check disable \"bounds\"")                            \
          _Pragma("CPROVER check disable \"pointer-overflow\"")              \
              _Pragma("CPROVER check disable \"pointer-primitive\"")         \
                  _Pragma("CPROVER check disable \"unsigned-overflow\"")     \
                      _Pragma("CPROVER check disable \"conversion\"")
#define MAY_READ_END _Pragma("CPROVER check pop")

// `p` points to an object of `n` bytes of its own: one byte further is outside.
#define FRESH(p, n) __CPROVER_is_fresh(p, n)

// A part of an output: an object of its own, or a part of the policy's bytes.
#if defined(ONE_OBJECT)
#define IS_OUTPUT(p, n) __CPROVER_rw_ok(p, n)
#else
#define IS_OUTPUT(p, n) FRESH(p, n)
#endif

// `p` is that other pointer. What is known of a pointer after a call must be
// told so: from p == q no prover concludes what p points to.
#define SAME(p, q) __CPROVER_pointer_equals(p, q)

#define RESULT __CPROVER_return_value
#define OLD(x) __CPROVER_old(x)
#define IMPLIES(a, b) (!(a) || (b))

// `p` lies between two pointers into the same object, or is one of them.
#define BETWEEN(low, p, high) __CPROVER_pointer_in_range_dfcc(low, p, high)

// The `n` bytes at `p`, where all of them may change.
#define BYTES(p, n) __CPROVER_object_upto(p, n)

// The whole object, for lengths that are not simple expressions.
#define WHOLE(p) __CPROVER_object_whole(p)

// More than any machine has.
#define PV_PROVED_LEN_MAX ((size_t)1 << 40)

// Any index, and always the same one: nothing is known of it. What is shown of
// the byte at it is shown of every byte.
extern size_t some;

// Any index as well, where two are looked at.
extern size_t later;

// `x` is what a function answers about these bytes. Nothing is known of answers,
// but that there is one for the same bytes: so a contract can say that a caller
// passes an answer on. The proof of the function itself has no use for that.
#if defined(WITH_ANSWERS)
#define IS_ANSWER(x, name, ...) \
  ((x) == __CPROVER_uninterpreted_##name(__VA_ARGS__))
#else
#define IS_ANSWER(x, name, ...) true
#endif
uint32_t __CPROVER_uninterpreted_find(const uint8_t *cert, size_t len);
uint32_t __CPROVER_uninterpreted_check(const uint8_t *cert, size_t len);
uint8_t __CPROVER_uninterpreted_sha256(const uint8_t *data, size_t len,
                                       size_t i);

// Both halves of the walk accept a certificate.
#define IS_ACCEPTED(cert, len)           \
  (IS_ANSWER(PV_OK, find, cert, len) && \
   IS_ANSWER(PV_OK, check, cert, len))

// ---- DER, said a second time ------------------------------------------------
//
// The header of an element as X.690, 8.1 and 10.1 describe it, case by case:
// what der.h reads is compared with this. `p` is behind the tag.

MAY_READ_BEGIN
static inline size_t spec_length_len(const uint8_t *p) {
  return p[0] < 0x80 ? 1 : (size_t)p[0] - 0x7f;
}

static inline size_t spec_length(const uint8_t *p) {
  switch (p[0]) {
    case 0x81:
      return p[1];
    case 0x82:
      return (size_t)p[1] << 8 | p[2];
    case 0x83:
      return (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    default:
      return p[0];
  }
}

static inline bool spec_is_length(const uint8_t *p, size_t room) {
  if (room == 0) {
    return false;
  }
  switch (p[0]) {
    case 0x81:
      return room >= 2 && p[1] >= 0x80;
    case 0x82:
      return room >= 3 && p[1] != 0;
    case 0x83:
      return room >= 4 && p[1] != 0;
    default:
      return p[0] < 0x80;
  }
}

static inline bool spec_is_element(const uint8_t *p, size_t room) {
  return room >= 2 && spec_is_length(p + 1, room - 1) &&
         spec_length(p + 1) <= room - 1 - spec_length_len(p + 1);
}

// The bytes of an element, its header included.
static inline size_t spec_element_len(const uint8_t *p) {
  return 1 + spec_length_len(p + 1) + spec_length(p + 1);
}

// What may stand in such an element, and what in a certificate (RFC 5280, 4.1).
// `p` is the first octet of the content, `len` counts its octets.

static inline bool spec_is_element_of(const uint8_t *p, size_t room,
                                      uint8_t tag) {
  return spec_is_element(p, room) && p[0] == tag;
}

static inline const uint8_t *spec_content(const uint8_t *p) {
  return p + 1 + spec_length_len(p + 1);
}

// INTEGER (X.690, 8.3.2): the first nine bits are not all equal.
static inline bool spec_is_integer(const uint8_t *p, size_t len) {
  return len == 1 || (len > 1 && (p[0] != 0 || p[1] >= 0x80) &&
                      (p[0] != 0xff || p[1] < 0x80));
}

static inline bool spec_holds_0x80(uint64_t octets) {
  bool holds = false;
  for (size_t i = 0; i < 8; i++) {
    holds = holds || (octets >> 8 * i & 0xff) == 0x80;
  }
  return holds;
}

// BIT STRING (X.690, 8.6.2)
static inline bool spec_is_bits(const uint8_t *p, size_t len) {
  return len == 1 ? p[0] == 0 : len > 1 && p[0] < 8;
}

// An algorithm, and a BIT STRING without unused bits that is not empty.
static inline bool spec_is_key(const uint8_t *p, size_t len) {
  if (!spec_is_element_of(p, len, 0x30)) {
    return false;
  }
  const size_t at = spec_element_len(p);
  return spec_is_element_of(p + at, len - at, 0x03) &&
         spec_element_len(p + at) == len - at && spec_length(p + at + 1) >= 2 &&
         spec_content(p + at)[0] == 0;
}

// version: [0] with an INTEGER of one octet, of which there are three.
static inline bool spec_is_version(const uint8_t *p, size_t room) {
  return room >= 5 && p[0] == 0xa0 && p[1] == 3 && p[2] == 0x02 && p[3] == 1 &&
         p[4] <= 2;
}

// issuerUniqueID, subjectUniqueID: a BIT STRING with another tag.
static inline bool spec_is_unique_id(const uint8_t *p, size_t room,
                                     uint8_t tag) {
  return spec_is_element_of(p, room, tag) &&
         spec_is_bits(spec_content(p), spec_length(p + 1));
}

// extensions: [3] around one SEQUENCE.
static inline bool spec_is_extensions(const uint8_t *p, size_t room) {
  return spec_is_element_of(p, room, 0xa3) &&
         spec_is_element_of(spec_content(p), spec_length(p + 1), 0x30) &&
         spec_element_len(spec_content(p)) == spec_length(p + 1);
}

// The fields of a Certificate behind its TBSCertificate, to the last byte: an
// algorithm that begins with this tag, and a BIT STRING.
static inline bool spec_is_certificate_tail(const uint8_t *p, size_t room,
                                            uint8_t tag) {
  if (!spec_is_element_of(p, room, 0x30) || spec_length(p + 1) == 0 ||
      spec_content(p)[0] != tag) {
    return false;
  }
  const size_t at = spec_element_len(p);
  return spec_is_element_of(p + at, room - at, 0x03) &&
         spec_element_len(p + at) == room - at &&
         spec_is_bits(spec_content(p + at), spec_length(p + at + 1));
}

// Where the key begins, counted from the first field of a TBSCertificate:
// behind a version, if there is one, and five fields.
static inline size_t spec_key_at(const uint8_t *p) {
  size_t at = p[0] == 0xa0 ? spec_element_len(p) : 0;
  at += spec_element_len(p + at);  // serialNumber
  at += spec_element_len(p + at);  // signature
  at += spec_element_len(p + at);  // issuer
  at += spec_element_len(p + at);  // validity
  at += spec_element_len(p + at);  // subject
  return at;
}

// The key of a whole certificate, and its length.
static inline const uint8_t *spec_key(const uint8_t *cert) {
  const uint8_t *fields = spec_content(spec_content(cert));
  return fields + spec_key_at(fields);
}

static inline size_t spec_key_len(const uint8_t *cert) {
  return spec_element_len(spec_key(cert));
}

MAY_READ_END

#define LENGTH(in, at) spec_length((in)->base + (at))
#define LENGTH_LEN(in, at) spec_length_len((in)->base + (at))
#define IS_LENGTH(in, at) spec_is_length((in)->base + (at), (in)->end - (at))
#define NEXT_IS(in, at, tag) ((at) < (in)->end && (in)->base[at] == (tag))
#define IS_ELEMENT(in, at) spec_is_element((in)->base + (at), (in)->end - (at))
#define IS_ELEMENT_OF(in, at, tag) (NEXT_IS(in, at, tag) && IS_ELEMENT(in, at))
#define ELEMENT_END(in, at) ((at) + spec_element_len((in)->base + (at)))

// A place to write a result to.
#define IS_OUT(p) FRESH(p, sizeof *(p))

// A cursor over an input of any length up to the limit.
#define IS_CURSOR(in)                                   \
  (FRESH(in, sizeof *(in)) && (in)->pos <= (in)->end && \
   (in)->end <= DER_ELEMENT_MAX && FRESH((in)->base, (in)->end))

// OBJECT IDENTIFIER (X.690, 8.19.2): an arc begins at `i`, with 0x80.
#define IS_PADDED(oid, i) \
  ((oid)[i] == 0x80 && ((i) == 0 || (oid)[(i) - 1] < 0x80))

#define MAY_BE_PARAMETERS(tag)                                           \
  ((tag) >= 0x40 || ((tag) >= 0x04 && (tag) <= 0x06) || (tag) == 0x30 || \
   (tag) == 0x31)

// The same, where a function gets a copy.
#define IS_CURSOR_COPY(in)                                \
  ((in).pos <= (in).end && (in).end <= DER_ELEMENT_MAX && \
   FRESH((in).base, (in).end))

// `content` reads a part of what `in` reads.
#define INSIDE(content, in)                                                 \
  (SAME((content)->base, (in)->base) && (content)->pos <= (content)->end && \
   (content)->end <= (in)->end)

// A field that may be missing: `in` has moved from `at` behind it, or not.
#define PASSED_IF(in, at, tag)                                  \
  (NEXT_IS(in, at, tag)                                         \
       ? IS_ELEMENT(in, at) && (in)->pos == ELEMENT_END(in, at) \
       : (in)->pos == (at))

// Such fields, if they are there.
#define IS_VERSION_OR_NONE(in, at) \
  (!NEXT_IS(in, at, 0xa0) ||       \
   spec_is_version((in)->base + (at), (in)->end - (at)))
#define IS_UNIQUE_ID_OR_NONE(in, at, tag) \
  (!NEXT_IS(in, at, tag) ||               \
   spec_is_unique_id((in)->base + (at), (in)->end - (at), tag))
#define IS_EXTENSIONS_OR_NONE(in, at) \
  (!NEXT_IS(in, at, 0xa3) ||          \
   spec_is_extensions((in)->base + (at), (in)->end - (at)))

#define IS_SERIAL(in, at)         \
  (IS_ELEMENT_OF(in, at, 0x02) && \
   spec_is_integer(spec_content((in)->base + (at)), LENGTH(in, (at) + 1)))

// `in` has moved from the first field of a TBSCertificate to its key.
#define IS_AT_KEY(in, at) \
  ((in)->pos <= (in)->end && (in)->pos == (at) + spec_key_at((in)->base + (at)))

// `span` is the SubjectPublicKeyInfo among the `len` bytes of the fields of a
// TBSCertificate: it lies where they say, and all of it lies among them.
#define IS_KEY(span, fields, length)                                         \
  (spec_key_at(fields) < (length) &&                                         \
   SAME((span)->data, (fields) + spec_key_at(fields)) &&                     \
   spec_is_element_of((span)->data, (length) - spec_key_at(fields), 0x30) && \
   (span)->len == spec_element_len((span)->data))

// `content` is the inside of the element `span`.
#define IS_CONTENT(content, span)                                    \
  ((content)->base + (content)->pos == spec_content((span)->data) && \
   (content)->end - (content)->pos == spec_length((span)->data + 1))

// The same of a whole Certificate.
#define IS_KEY_OF(span, cert, length)                                       \
  (spec_is_element_of(cert, length, 0x30) &&                                \
   spec_element_len(cert) == (length) &&                                    \
   spec_is_element_of(spec_content(cert), spec_length((cert) + 1), 0x30) && \
   IS_KEY(span, spec_content(spec_content(cert)),                           \
          spec_length(spec_content(cert) + 1)))

// `walk` stands behind the key of a certificate of `length` bytes: its cursors
// read parts of that.
#define IS_PART(cursor, length) \
  ((cursor).pos <= (cursor).end && (cursor).end <= (length))
#define ARE_PARTS(walk, length)                                            \
  (IS_PART((walk)->certificate, length) && IS_PART((walk)->tbs, length) && \
   IS_PART((walk)->fields.signature, length) &&                            \
   IS_PART((walk)->fields.spki_content, length) &&                         \
   (walk)->fields.signature.end <= (walk)->certificate.pos)
#define READ_THE_SAME(walk, bytes)               \
  (SAME((walk)->tbs.base, bytes) &&              \
   SAME((walk)->fields.signature.base, bytes) && \
   SAME((walk)->fields.spki_content.base, bytes))

// Of the certificate at `cert`.
#define IS_WALK(walk, cert, length)                                     \
  (SAME((walk)->certificate.base, cert) && READ_THE_SAME(walk, cert) && \
   (walk)->certificate.end == (length) && ARE_PARTS(walk, length))

// Of any certificate.
#define IS_WALK_GIVEN(walk)                                    \
  (FRESH(walk, sizeof *(walk)) &&                              \
   (walk)->certificate.end <= DER_ELEMENT_MAX &&               \
   FRESH((walk)->certificate.base, (walk)->certificate.end) && \
   READ_THE_SAME(walk, (walk)->certificate.base) &&            \
   ARE_PARTS(walk, (walk)->certificate.end))

#define FIRST_OF(cursor) ((cursor).base[(cursor).pos])
#define IS_CERTIFICATE_TAIL(in, at, tag) \
  spec_is_certificate_tail((in)->base + (at), (in)->end - (at), tag)

// What is left of a certificate when its key has been found, and that key; but
// for the fields of the TBSCertificate behind the key.
#define IS_REST(walk)                                                     \
  ((walk)->fields.signature.pos < (walk)->fields.signature.end &&         \
   FIRST_OF((walk)->fields.signature) == DER_OID &&                       \
   spec_is_key((walk)->fields.spki_content.base +                         \
                   (walk)->fields.spki_content.pos,                       \
               (walk)->fields.spki_content.end -                          \
                   (walk)->fields.spki_content.pos) &&                    \
   IS_CERTIFICATE_TAIL(&(walk)->certificate, (walk)->certificate.pos, DER_OID))

// `content` is the inside of the element that began at `at`, and `in` has moved
// behind it.
#define ENTERED(in, at, content)                            \
  (SAME((content)->base, (in)->base) &&                     \
   (content)->pos == (at) + 1 + LENGTH_LEN(in, (at) + 1) && \
   (content)->end == ELEMENT_END(in, at) && (in)->pos == (content)->end)

// ---- numbers, the lowest byte first -----------------------------------------
//
// As macros: the INVARIANT of a loop may not call functions.
#define LE32(p)                                                        \
  ((uint32_t)(p)[0] | (uint32_t)(p)[1] << 8 | (uint32_t)(p)[2] << 16 | \
   (uint32_t)(p)[3] << 24)
#define LE64(p) ((uint64_t)LE32(p) | (uint64_t)LE32((p) + 4) << 32)
#define PACKED_ROWS(num_pins)             \
  ((num_pins) <= 4 ? (uint64_t)(num_pins) \
                   : ((uint64_t)(num_pins) + 7) & ~(uint64_t)7)

// ---- columns ----------------------------------------------------------------

#define IS_WIDTH(width) ((width) == 4 || (width) == 8)

// Position number `i`, as its bytes say it on x86-64.
MAY_READ_BEGIN
static inline uint64_t spec_position(const void *at, size_t width, size_t i) {
  const uint8_t *p = (const uint8_t *)at + (width == 4 ? 4 : 8) * i;
  return width == 4 ? (uint64_t)LE32(p) : LE64(p);
}
MAY_READ_END
#define POSITION_OF(offsets, i) \
  spec_position((offsets)->at, (offsets)->width, i)

// Offsets of any width; as many bytes as wide ones have, if it is a bad one.
#define IS_OFFSETS(offsets)               \
  ((offsets)->num <= PV_PROVED_LEN_MAX && \
   FRESH((offsets)->at,                   \
         ((offsets)->width == 4 ? 4 : 8) * ((offsets)->num + 1)))

// What offsets_fit has looked at, of any two positions.
#define POSITIONS_FIT(offsets, end)                                     \
  (IS_WIDTH((offsets)->width) &&                                        \
   IMPLIES(some <= later && later <= (offsets)->num,                    \
           POSITION_OF(offsets, some) <= POSITION_OF(offsets, later) && \
               POSITION_OF(offsets, later) <= (end)))

// A column with at least one string, which has been checked; a string of it.
#define IS_COLUMN(column)                                          \
  (FRESH(column, sizeof *(column)) && (column)->offsets.num > 0 && \
   IS_OFFSETS(&(column)->offsets) &&                               \
   (column)->data_len <= PV_PROVED_LEN_MAX &&                      \
   FRESH((column)->data, (column)->data_len) &&                    \
   POSITIONS_FIT(&(column)->offsets, (column)->data_len))
#define IS_SLICE(span, column)          \
  ((span).len <= (column)->data_len &&  \
   BETWEEN((column)->data, (span).data, \
           (column)->data + ((column)->data_len - (span).len)))

// ---- SHA-256 ----------------------------------------------------------------

#define IS_MESSAGE(message) \
  ((message).len <= PV_PROVED_LEN_MAX && FRESH((message).data, (message).len))

// A block of a compiled policy. As a LOOP may say it: BETWEEN may not be there.
#define IS_BLOCK(span, bytes, bytes_len)                 \
  ((span).len > 0 && (span).len <= 4096 &&               \
   (span).len <= (bytes_len) &&                          \
   __CPROVER_same_object((span).data, bytes) &&          \
   (size_t)__CPROVER_POINTER_OFFSET((span).data) <=      \
       (bytes_len) - (span).len)

// ---- scans ------------------------------------------------------------------

// Pins as they are packed: rows, and blocks of eight.
#define IS_ROWS(rows, num_rows) \
  ((num_rows) <= PV_PROVED_LEN_MAX / 32 && FRESH(rows, 32 * (num_rows)))

#define IS_PACKED(packed, num_pins)            \
  ((num_pins) <= PV_PROVED_LEN_MAX / 32 - 8 && \
   FRESH(packed, 32 * PACKED_ROWS(num_pins)))

// What the scan of blocks is given.
#define IS_SCAN(out_found, blocks, num_blocks, digests, num_digests)           \
  ((num_digests) >= 1 && (num_digests) <= 4 &&                                 \
   (num_blocks) <= PV_PROVED_LEN_MAX / 256 &&                                  \
   FRESH(out_found, 8 * (num_digests)) && FRESH(blocks, 256 * (num_blocks)) && \
   FRESH(digests, 32 * (num_digests)))

// ---- hosts ------------------------------------------------------------------

// A host or name of any length.
#define IS_HOST(host, host_len) \
  ((host_len) <= PV_PROVED_LEN_MAX && FRESH(host, host_len))

// Each end of a host is no longer than the host.
#define ENDS_FIT(ends, host_len)      \
  ((ends)->num <= ENDS_KEPT &&        \
   IMPLIES(some < (ends)->num, (ends)->lens[some] <= (host_len)))
#define FEW_ENDS_FIT(ends, host_len) \
  ((ends)->num <= PV_ANY_LABELS_MAX && ENDS_FIT(ends, host_len))

// What a canonical name is made of.
#define IS_CANONICAL(c)                                                      \
  (((c) >= 'a' && (c) <= 'z') || ((c) >= '0' && (c) <= '9') || (c) == '-' || \
   (c) == '.' || (c) == '_')

// Up to eight groups, and the gap stands among them.
#define IS_IPV6(address)         \
  ((address)->num_groups <= 8 && \
   ((address)->gap == 9 || (address)->gap <= (address)->num_groups))

// ---- the compiled policy, said a second time --------------------------------
//
// Offsets and sizes as pinverify.h tells them. There is one policy in a proof,
// and policy_len counts its bytes.
extern size_t policy_len;

// A section is an object of its own, so that a proof sees who leaves it. Only
// where a policy is opened, it is a part of the policy's bytes.
#if defined(ONE_OBJECT)
#define IS_SECTION(section, len) __CPROVER_r_ok(section, len)
#else
#define IS_SECTION(section, len) FRESH(section, len)
#endif

#define HAS_SIZES(p)                          \
  ((p)->num_rows <= PV_PROVED_LEN_MAX / 32 && \
   (p)->names_len <= PV_PROVED_LEN_MAX && (p)->bucket_mask <= INT32_MAX)
#define IS_VIEW(p) (FRESH(p, sizeof *(p)) && HAS_SIZES(p))
#define PINS_LEN(p) (32 * (p)->num_rows)
#define PINSETS_LEN(p) (80 * (size_t)(p)->num_pinsets)
#define RULES_LEN(p) (16 * (size_t)(p)->num_rules)
#define BUCKETS_LEN(p) (4 * ((size_t)(p)->bucket_mask + 2))

// Sections as parts of the policy's bytes.
#define IS_POLICY(p)                                                     \
  (IS_VIEW(p) && policy_len >= 128 && policy_len <= PV_PROVED_LEN_MAX && \
   FRESH((p)->bytes, policy_len))
#define IS_PART_AT(p, section, at, len)                \
  ((at) <= policy_len && (len) <= policy_len - (at) && \
   SAME((p)->section, (p)->bytes + (at)))
#define PINSETS_AT(p) (128 + PINS_LEN(p))
#define RULES_AT(p) (PINSETS_AT(p) + PINSETS_LEN(p))
#define BUCKETS_AT(p) (RULES_AT(p) + RULES_LEN(p))
#define NAMES_AT(p) (BUCKETS_AT(p) + BUCKETS_LEN(p))
#define HAS_SECTIONS(p)                                     \
  (IS_PART_AT(p, pins, 128, PINS_LEN(p)) &&                 \
   IS_PART_AT(p, pinsets, PINSETS_AT(p), PINSETS_LEN(p)) && \
   IS_PART_AT(p, rules, RULES_AT(p), RULES_LEN(p)) &&       \
   IS_PART_AT(p, buckets, BUCKETS_AT(p), BUCKETS_LEN(p)) && \
   IS_PART_AT(p, names, NAMES_AT(p), (p)->names_len))

#define RULE_OF(p, i) ((p)->rules + 16 * (size_t)(i))
#define PINSET_OF(p, i) ((p)->pinsets + 80 * (size_t)(i))
#define BUCKET_OF(p, i) ((p)->buckets + 4 * (size_t)(i))

// Pins that lie inside theirs; a name that does; a PinSet that exists.
#define ROWS_FIT(p, first_row, num_pins) \
  ((first_row) <= (p)->num_rows &&       \
   PACKED_ROWS(num_pins) <= (p)->num_rows - (first_row))
#define NAME_FITS(p, at, len) \
  ((at) <= (p)->names_len && (len) <= (p)->names_len - (at))
#define PINSET_EXISTS(p, pinset) \
  ((pinset) < (p)->num_pinsets || (pinset) == PV_UNPINNED)

// The same of a run, and of a rule, as their bytes say.
MAY_READ_BEGIN
static inline uint32_t spec_le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static inline bool spec_run_fits(const uint8_t *run, uint64_t num_rows) {
  const uint64_t first_row = spec_le32(run);
  const uint64_t num_pins = spec_le32(run + 4);
  return first_row <= num_rows && PACKED_ROWS(num_pins) <= num_rows - first_row;
}

static inline bool spec_rule_fits(const uint8_t *rule, uint64_t names_len,
                                  uint32_t num_pinsets) {
  const uint64_t name_at = spec_le32(rule);
  const uint32_t pinset = spec_le32(rule + 8);
  return name_at <= names_len && rule[12] <= names_len - name_at &&
         (pinset < num_pinsets || pinset == 0xffffffff);
}

// And of run, bucket or rule number `some`, if there is one.
static inline bool spec_pinsets_fit(const uint8_t *pinsets,
                                    uint32_t num_pinsets, uint64_t num_rows) {
  return some / 8 >= num_pinsets ||
         spec_run_fits(pinsets + 80 * (some / 8) + 16 + 8 * (some % 8),
                       num_rows);
}

static inline bool spec_buckets_fit(const uint8_t *buckets,
                                    uint32_t bucket_mask, uint32_t num_rules) {
  return some > (uint64_t)bucket_mask + 1 ||
         spec_le32(buckets + 4 * some) <= num_rules;
}

static inline bool spec_rules_fit(const uint8_t *rules, uint32_t num_rules,
                                  uint64_t names_len, uint32_t num_pinsets) {
  return some >= num_rules ||
         spec_rule_fits(rules + 16 * some, names_len, num_pinsets);
}
MAY_READ_END

#define RUN_FITS(p, run) spec_run_fits(run, (p)->num_rows)
#define RULE_FITS(p, rule) \
  spec_rule_fits(rule, (p)->names_len, (p)->num_pinsets)

// What pv_policy_open has looked at: of runs, buckets and rules this speaks of
// number `some`, and so of each. Eight runs make a PinSet, and two are the
// policy's own. The last bucket ends where the rules end.
#define SOME_RUN_FITS(p, pinset) RUN_FITS(p, (pinset) + 16 + 8 * (some % 8))

// The same for the INVARIANT of a loop, which may not call functions.
#define SOME_RUN_AT (80 * (some / 8) + 16 + 8 * (some % 8))
#define LE_RUN_FITS(run, num_rows) \
  (LE32(run) <= (num_rows) &&      \
   PACKED_ROWS(LE32((run) + 4)) <= (num_rows) - LE32(run))
#define SAME_RUN(a, b) (LE32(a) == LE32(b) && LE32((a) + 4) == LE32((b) + 4))
#define LE_RULE_FITS(rule, names_len, num_pinsets)                        \
  (LE32(rule) <= (names_len) && (rule)[12] <= (names_len) - LE32(rule) && \
   (LE32((rule) + 8) < (num_pinsets) || LE32((rule) + 8) == PV_UNPINNED))
#define BUCKET_IS_SHORT(p, i)                                  \
  (LE32(BUCKET_OF(p, i)) <= LE32(BUCKET_OF(p, (i) + 1)) &&     \
   LE32(BUCKET_OF(p, (i) + 1)) - LE32(BUCKET_OF(p, i)) <= 16)
#define BLOCKED_FIT(p) \
  (RUN_FITS(p, (p)->bytes + 80) && RUN_FITS(p, (p)->bytes + 88))
#define PINSETS_FIT(p) \
  spec_pinsets_fit((p)->pinsets, (p)->num_pinsets, (p)->num_rows)
#define BUCKETS_FIT(p) \
  spec_buckets_fit((p)->buckets, (p)->bucket_mask, (p)->num_rules)
#define BUCKETS_END(p) \
  (spec_le32(BUCKET_OF(p, (size_t)(p)->bucket_mask + 1)) == (p)->num_rules)
#define RULES_FIT(p) \
  spec_rules_fit((p)->rules, (p)->num_rules, (p)->names_len, (p)->num_pinsets)

// The sections that rules need, and those that PinSets need.
#define HAS_INDEX(p)                           \
  (IS_SECTION((p)->rules, RULES_LEN(p)) &&     \
   IS_SECTION((p)->buckets, BUCKETS_LEN(p)) && \
   IS_SECTION((p)->names, (p)->names_len))
#define HAS_PINSETS(p)                   \
  (IS_SECTION((p)->pins, PINS_LEN(p)) && \
   IS_SECTION((p)->pinsets, PINSETS_LEN(p)))

// What holds of an opened policy for those who look up a host, and for those
// who want pins; and both.
#define IS_INDEX_IN(p) \
  (HAS_SIZES(p) && HAS_INDEX(p) && BUCKETS_FIT(p) && RULES_FIT(p))
#define IS_PIN_STORE_IN(p)                                     \
  (HAS_SIZES(p) && FRESH((p)->bytes, 128) && HAS_PINSETS(p) && \
   BLOCKED_FIT(p) && PINSETS_FIT(p))
#define IS_INDEX(p) (FRESH(p, sizeof *(p)) && IS_INDEX_IN(p))
#define IS_PIN_STORE(p) (FRESH(p, sizeof *(p)) && IS_PIN_STORE_IN(p))
#define FITS(p)                                                            \
  (BLOCKED_FIT(p) && PINSETS_FIT(p) && BUCKETS_FIT(p) && BUCKETS_END(p) && \
   RULES_FIT(p))

// The pins of clients are PinSet 0, so there is one.
#define FLAGS_FIT(p)  \
  ((p)->flags <= 3 && \
   IMPLIES(((p)->flags & 2) != 0, (p)->num_pinsets >= 1))

// What pv_policy_open leaves, and where it fails.
#define IS_OPEN(p, from)                                        \
  (SAME((p)->bytes, from) && HAS_SIZES(p) && HAS_SECTIONS(p) && \
   FLAGS_FIT(p) && FITS(p))
#define IS_CLOSED(p)                                                     \
  ((p)->bytes == NULL && (p)->flags == 0 && (p)->num_rules == 0 &&       \
   (p)->num_pinsets == 0 && (p)->num_rows == 0 && (p)->names_len == 0 && \
   (p)->bucket_mask == 0 && (p)->key[0] == 0 && (p)->key[1] == 0)

#define IS_INDEX_OR_CLOSED(p) \
  (FRESH(p, sizeof *(p)) &&   \
   (IS_CLOSED(p) || (FRESH((p)->bytes, 128) && IS_INDEX_IN(p))))
#define IS_PIN_STORE_OR_CLOSED(p) \
  (FRESH(p, sizeof *(p)) && (IS_CLOSED(p) || (IS_PIN_STORE_IN(p))))

// Which list exists; and pins that lie inside the policy.
#define IS_LIST(p, pinset, list)   \
  ((pinset) == PV_UNPINNED         \
       ? (list) == PV_LIST_BLOCKED \
       : (pinset) < (p)->num_pinsets && (list) <= PV_LIST_BLOCKED)
#define IS_RUN(packed, num_pins, p)                   \
  (32 * PACKED_ROWS(num_pins) <= PINS_LEN(p) &&       \
   BETWEEN((p)->pins, packed,                         \
           (p)->pins + (PINS_LEN(p) - 32 * PACKED_ROWS(num_pins))))
#define IS_NAME(name, p, len) \
  ((len) <= (p)->names_len && \
   BETWEEN((p)->names, name, (p)->names + ((p)->names_len - (len))))

#endif  // PINVERIFY_CONTRACTS_H
