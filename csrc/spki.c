// spki.c: certificate --> SubjectPublicKeyInfo. It reads like the ASN.1 of RFC
// 5280, 4.1, and refuses everything that could make a TLS library read a
// different key: the structure is checked to the last byte. der.h reads the
// elements, and keeps to the bounds. The contents of names, validity,
// extensions, parameters, key bits and the signature are left to the TLS
// library. So is the question of which fields a version may have: these fields
// follow the key, and deployed software takes liberties with them.
#include "spki.h"

#include "bytes.h"

enum { VERSION_3 = 2, VERSION_LEN = 5 };

// INTEGER: at least one octet, and no superfluous first octet (X.690, 8.3.2).
// Negative, zero and long serial numbers exist and are accepted.
PV_FLATTENED bool read_serial(der_cursor *in) {
  der_cursor n;
  if (!der_enter(in, &n, DER_INTEGER) || der_at_end(&n)) {
    return false;
  }
  if (n.end - n.pos == 1) {
    return true;
  }
  const uint8_t first = n.base[n.pos];
  const uint8_t top_bit = n.base[n.pos + 1] >> 7;
  return !(first == 0x00 && top_bit == 0) && !(first == 0xff && top_bit == 1);
}

// Returns true if no arc of an OID begins with 0x80, which would be padding.
static bool arcs_are_minimal(const uint8_t *oid, size_t oid_len) {
  bool arc_begins = true;
  for (size_t i = 0; i < oid_len; i++)
    LOOP(oid_len - i, i <= oid_len &&
                          arc_begins == (i == 0 || oid[i - 1] < 0x80) &&
                          IMPLIES(some < i, !IS_PADDED(oid, some)))
  {
    if (arc_begins && oid[i] == 0x80) {
      return false;
    }
    arc_begins = oid[i] < 0x80;
  }
  return true;
}

// Returns the top bit of each of eight octets that is 0x80, the only value with
// no bit set but the top one. Adding 0x7f to the low bits of any other octet
// with its top bit set carries into the top bit.
PV_FLATTENED uint64_t find_0x80(uint64_t octets) {
  const uint64_t low_bits = UINT64_C(0x7f7f7f7f7f7f7f7f);
  return octets & ~((octets & low_bits) + low_bits) & ~low_bits;
}

// OBJECT IDENTIFIER: whole arcs, none padded (X.690, 8.19.2). Fast path: an OID
// without any 0x80 has no padding; the OIDs in use have none, and at most 16
// octets. The load of the last eight octets may begin before the OID: at this
// place in a certificate there are always that many.
PV_FLATTENED bool is_oid(const der_cursor *oid) {
  const size_t oid_len = oid->end - oid->pos;
  const uint8_t *octets = oid->base + oid->pos;
  if (oid_len == 0 || oid->end < 8) {
    return false;
  }
  const uint64_t last = load_le64(oid->base + oid->end - 8);
  if (last >> 63 != 0) {
    return false;
  }
  if (oid_len <= 8) {
    return find_0x80(last >> (64 - 8 * oid_len)) == 0 ||
           arcs_are_minimal(octets, oid_len);
  }
  return (oid_len <= 16 &&
          (find_0x80(load_le64(octets)) | find_0x80(last)) == 0) ||
         arcs_are_minimal(octets, oid_len);
}

// NULL has a single encoding.
PV_FLATTENED bool is_null(const der_cursor *in) {
  return in->end - in->pos == 2 && in->base[in->pos] == DER_NULL &&
         in->base[in->pos + 1] == 0;
}

// Parameters are NULL, an OID, or a type that parsers do not decode by
// themselves. Other simple types are refused: no algorithm needs them, and
// OpenSSL checks special rules for each.
PV_FLATTENED bool is_parameters(der_cursor in) {
  der_cursor content;
  uint8_t tag = 0;
  if (is_null(&in)) {
    return true;
  }
  if (!der_enter_any(&in, &content, &tag) || !der_at_end(&in)) {
    return false;
  }
  if (tag == DER_OID) {
    return is_oid(&content);
  }
  return tag == DER_OCTET_STRING || tag == DER_SEQUENCE || tag == DER_SET ||
         (tag & DER_CLASS_BITS) != 0;
}

// AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER,
//   parameters ANY DEFINED BY algorithm OPTIONAL }
PV_FLATTENED bool is_algorithm(der_cursor in) {
  der_cursor oid;
  if (!der_enter(&in, &oid, DER_OID) || !is_oid(&oid)) {
    return false;
  }
  return der_at_end(&in) || is_parameters(in);
}

// Returns true if two contents are the same 8 to 16 octets.
PV_FLATTENED bool is_same(const der_cursor *a, const der_cursor *b) {
  const size_t len = a->end - a->pos;
  if (b->end - b->pos != len || len < 8 || len > 16) {
    return false;
  }
  return memcmp(a->base + a->pos, b->base + b->pos, 8) == 0 &&
         memcmp(a->base + a->end - 8, b->base + b->end - 8, 8) == 0;
}

// BIT STRING (X.690, 8.6.2): the first octet counts unused bits of the last.
PV_FLATTENED bool is_bit_string(const der_cursor *bits) {
  if (der_at_end(bits)) {
    return false;
  }
  const uint8_t unused = bits->base[bits->pos];
  return unused == 0 || (unused <= 7 && bits->end - bits->pos > 1);
}

// version [0] EXPLICIT INTEGER { v1(0), v2(1), v3(2) } DEFAULT v1, each in its
// single encoding. DER would leave v1 out, but some certificates have it.
PV_FLATTENED bool read_version(der_cursor *tbs) {
  const uint8_t *octets = tbs->base + tbs->pos;
  if (!der_next_is(tbs, DER_CONTEXT_0)) {
    return true;
  }
  if (tbs->pos + VERSION_LEN > tbs->end ||
      memcmp(octets, "\xa0\x03\x02\x01", 4) != 0) {
    return false;
  }
  tbs->pos += VERSION_LEN;
  return octets[4] <= VERSION_3;
}

// issuerUniqueID [1], subjectUniqueID [2] IMPLICIT BIT STRING OPTIONAL
PV_FLATTENED bool read_unique_id(der_cursor *tbs, uint8_t tag) {
  der_cursor bits;
  return !der_next_is(tbs, tag) ||
         (der_enter(tbs, &bits, tag) && is_bit_string(&bits));
}

// extensions [3] EXPLICIT SEQUENCE OPTIONAL
PV_FLATTENED bool read_extensions(der_cursor *tbs) {
  der_cursor explicit_tag;
  return !der_next_is(tbs, DER_CONTEXT_3) ||
         (der_enter(tbs, &explicit_tag, DER_CONTEXT_3) &&
          der_skip(&explicit_tag, DER_SEQUENCE) && der_at_end(&explicit_tag));
}

// TBSCertificate ::= SEQUENCE { version [0] EXPLICIT DEFAULT v1, serialNumber
//   INTEGER, signature AlgorithmIdentifier, issuer Name, validity Validity,
//   subject Name, subjectPublicKeyInfo SubjectPublicKeyInfo, issuerUniqueID [1]
//   OPTIONAL, subjectUniqueID [2] OPTIONAL, extensions [3] OPTIONAL }

// The fields of TBSCertificate before the key.
PV_FLATTENED pv_status read_tbs_head(der_cursor *tbs, tbs_fields *out) {
  if (!read_version(tbs)) {
    return PV_ERR_DER_VERSION;
  }
  if (!read_serial(tbs)) {
    return PV_ERR_DER_SERIAL;
  }
  if (!der_enter(tbs, &out->signature, DER_SEQUENCE)) {
    return PV_ERR_DER_SIGNATURE;
  }
  if (!der_skip(tbs, DER_SEQUENCE)) {
    return PV_ERR_DER_ISSUER;
  }
  if (!der_skip(tbs, DER_SEQUENCE)) {
    return PV_ERR_DER_VALIDITY;
  }
  if (!der_skip(tbs, DER_SEQUENCE)) {
    return PV_ERR_DER_SUBJECT;
  }
  return PV_OK;
}

// The fields of TBSCertificate up to and including the key.
PV_FLATTENED pv_status read_tbs_key(der_cursor *tbs, tbs_fields *out) {
  const pv_status head = read_tbs_head(tbs, out);
  if (head != PV_OK) {
    return head;
  }
  der_cursor copy = *tbs;
  if (!der_take(tbs, &out->spki, DER_SEQUENCE) ||
      !der_enter(&copy, &out->spki_content, DER_SEQUENCE)) {
    return PV_ERR_DER_SPKI;
  }
  return PV_OK;
}

// The fields of TBSCertificate after the key.
PV_FLATTENED pv_status read_tbs_tail(der_cursor *tbs) {
  if (!read_unique_id(tbs, DER_CONTEXT_1_PRIMITIVE) ||
      !read_unique_id(tbs, DER_CONTEXT_2_PRIMITIVE)) {
    return PV_ERR_DER_UNIQUE_ID;
  }
  if (!read_extensions(tbs)) {
    return PV_ERR_DER_EXTENSIONS;
  }
  return der_at_end(tbs) ? PV_OK : PV_ERR_DER_TBS_END;
}

// SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier,
//   subjectPublicKey BIT STRING }. Every key is a whole number of octets.
PV_FLATTENED pv_status check_spki(der_cursor spki) {
  der_cursor algorithm, key;
  if (!der_enter(&spki, &algorithm, DER_SEQUENCE) || !is_algorithm(algorithm)) {
    return PV_ERR_DER_SPKI_ALGORITHM;
  }
  if (!der_enter(&spki, &key, DER_BIT_STRING) || key.end - key.pos < 2 ||
      key.base[key.pos] != 0) {
    return PV_ERR_DER_SPKI_KEY;
  }
  return der_at_end(&spki) ? PV_OK : PV_ERR_DER_SPKI;
}

// The fields of Certificate after tbsCertificate.
PV_FLATTENED pv_status read_certificate_tail(der_cursor *certificate,
                                             const der_cursor *inner) {
  der_cursor algorithm, signature;
  if (!der_enter(certificate, &algorithm, DER_SEQUENCE) ||
      !(is_same(&algorithm, inner) || is_algorithm(algorithm))) {
    return PV_ERR_DER_SIGNATURE_ALGORITHM;
  }
  if (!der_enter(certificate, &signature, DER_BIT_STRING) ||
      !is_bit_string(&signature)) {
    return PV_ERR_DER_SIGNATURE_VALUE;
  }
  return der_at_end(certificate) ? PV_OK : PV_ERR_DER_CERTIFICATE_END;
}

// Certificate ::= SEQUENCE { tbsCertificate TBSCertificate,
//   signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING }

// The fields up to and including the key.
PV_FLATTENED pv_status find_key(spki_walk *out, der_cursor in) {
  der_cursor certificate, tbs;
  tbs_fields fields;
  if (!der_enter(&in, &certificate, DER_SEQUENCE) || !der_at_end(&in)) {
    return PV_ERR_DER_CERTIFICATE;
  }
  if (!der_enter(&certificate, &tbs, DER_SEQUENCE)) {
    return PV_ERR_DER_TBS;
  }
  const pv_status status = read_tbs_key(&tbs, &fields);
  if (status == PV_OK) {
    *out = (spki_walk){certificate, tbs, fields};
  }
  return status;
}

// The fields after the key, and the contents of the key.
PV_FLATTENED pv_status check_rest(const spki_walk *walk) {
  const der_cursor signature = walk->fields.signature;
  der_cursor tbs = walk->tbs;
  der_cursor certificate = walk->certificate;
  pv_status status = read_tbs_tail(&tbs);
  if (status == PV_OK && !is_algorithm(signature)) {
    status = PV_ERR_DER_SIGNATURE;
  }
  if (status == PV_OK) {
    status = check_spki(walk->fields.spki_content);
  }
  if (status == PV_OK) {
    status = read_certificate_tail(&certificate, &signature);
  }
  return status;
}

PV_FLATTEN pv_status pv__spki_find(spki_walk *out, const uint8_t *cert,
                                   size_t cert_len) {
  if (cert_len > DER_ELEMENT_MAX) {
    return PV_ERR_DER_CERTIFICATE;
  }
  return find_key(out, (der_cursor){cert, 0, cert_len});
}

PV_FLATTEN pv_status pv__spki_check(const spki_walk *walk) {
  return check_rest(walk);
}

PV_FLATTEN pv_status pv_spki_from_cert(pv_span *out_spki, const uint8_t *cert,
                                       size_t cert_len) {
  spki_walk walk;
  pv_status status = PV_ERR_DER_CERTIFICATE;
  if (cert_len <= DER_ELEMENT_MAX) {
    status = find_key(&walk, (der_cursor){cert, 0, cert_len});
  }
  if (status == PV_OK) {
    status = check_rest(&walk);
  }
  *out_spki = status == PV_OK ? walk.fields.spki : (pv_span){NULL, 0};
  return status;
}
