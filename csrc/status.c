// status.c: a phrase for each status.
#include "pinverify.h"

const char *pv_status_text(pv_status status) {
  switch (status) {
    case PV_OK:
      return "no error";
    case PV_ERR_ARGUMENT:
      return "an argument is out of range";
    case PV_ERR_DER_CERTIFICATE:
      return "Certificate is not one SEQUENCE that ends with the input";
    case PV_ERR_DER_TBS:
      return "tbsCertificate is not a SEQUENCE";
    case PV_ERR_DER_VERSION:
      return "version is not v1, v2 or v3";
    case PV_ERR_DER_SERIAL:
      return "serialNumber is not a minimal INTEGER";
    case PV_ERR_DER_SIGNATURE:
      return "tbsCertificate.signature is not an AlgorithmIdentifier";
    case PV_ERR_DER_ISSUER:
      return "issuer is not a SEQUENCE";
    case PV_ERR_DER_VALIDITY:
      return "validity is not a SEQUENCE";
    case PV_ERR_DER_SUBJECT:
      return "subject is not a SEQUENCE";
    case PV_ERR_DER_SPKI:
      return "subjectPublicKeyInfo is not a SEQUENCE of two elements";
    case PV_ERR_DER_SPKI_ALGORITHM:
      return "subjectPublicKeyInfo.algorithm is not an AlgorithmIdentifier";
    case PV_ERR_DER_SPKI_KEY:
      return "subjectPublicKeyInfo.subjectPublicKey is not a BIT STRING of "
             "whole octets";
    case PV_ERR_DER_UNIQUE_ID:
      return "issuerUniqueID or subjectUniqueID is not a BIT STRING";
    case PV_ERR_DER_EXTENSIONS:
      return "extensions is not one SEQUENCE";
    case PV_ERR_DER_TBS_END:
      return "tbsCertificate has an element too many or out of order";
    case PV_ERR_DER_SIGNATURE_ALGORITHM:
      return "signatureAlgorithm is not an AlgorithmIdentifier";
    case PV_ERR_DER_SIGNATURE_VALUE:
      return "signatureValue is not a BIT STRING";
    case PV_ERR_DER_CERTIFICATE_END:
      return "Certificate has an element too many";
    case PV_ERR_HOST_EMPTY:
      return "it is empty";
    case PV_ERR_HOST_TOO_LONG:
      return "it has more than 253 bytes";
    case PV_ERR_HOST_LABEL_EMPTY:
      return "it has an empty label";
    case PV_ERR_HOST_LABEL_TOO_LONG:
      return "it has a label of more than 63 bytes";
    case PV_ERR_HOST_CHARACTER:
      return "it has a character other than letters, digits, '-', '_' and '.'";
    case PV_ERR_HOST_IPV4:
      return "it ends in a number and is not four decimal numbers from 0 to "
             "255 without leading zeros";
    case PV_ERR_HOST_IPV6:
      return "it has a colon and is not an IPv6 address without zone, port or "
             "brackets";
    case PV_ERR_POLICY_MAGIC:
      return "it does not begin like one of this version; compile it again";
    case PV_ERR_POLICY_SIZE:
      return "it is truncated, or bytes were appended";
    case PV_ERR_POLICY_DIGEST:
      return "its bytes changed since it was compiled";
    case PV_ERR_POLICY_HEADER:
      return "its header has an unknown flag or a field out of range";
    case PV_ERR_POLICY_PINSET:
      return "a PinSet in it is out of range";
    case PV_ERR_POLICY_RULE:
      return "a rule in it is out of range or out of order";
    case PV_ERR_POLICY_BUCKETS:
      return "its index is out of order, or a bucket of it is too long";
    case PV_ERR_POLICY_PATTERN:
      return "a pattern is not canonical";
    case PV_ERR_POLICY_ORDER:
      return "the patterns do not ascend, or one is there twice";
  }
  return "unknown status";
}
