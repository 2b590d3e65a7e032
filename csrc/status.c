// status.c: a phrase for each status.
#include <stdbool.h>

#include "pinverify.h"

static const char *const texts[] = {
    [PV_OK] = "no error",
    [PV_ERR_ARGUMENT] = "an argument is out of range",
    [PV_ERR_DER_CERTIFICATE] =
        "Certificate is not one SEQUENCE that ends with the input",
    [PV_ERR_DER_TBS] = "tbsCertificate is not a SEQUENCE",
    [PV_ERR_DER_VERSION] = "version is not v1, v2 or v3",
    [PV_ERR_DER_SERIAL] = "serialNumber is not a minimal INTEGER",
    [PV_ERR_DER_SIGNATURE] =
        "tbsCertificate.signature is not an AlgorithmIdentifier",
    [PV_ERR_DER_ISSUER] = "issuer is not a SEQUENCE",
    [PV_ERR_DER_VALIDITY] = "validity is not a SEQUENCE",
    [PV_ERR_DER_SUBJECT] = "subject is not a SEQUENCE",
    [PV_ERR_DER_SPKI] =
        "subjectPublicKeyInfo is not a SEQUENCE of two elements",
    [PV_ERR_DER_SPKI_ALGORITHM] =
        "subjectPublicKeyInfo.algorithm is not an AlgorithmIdentifier",
    [PV_ERR_DER_SPKI_KEY] =
        "subjectPublicKeyInfo.subjectPublicKey is not a BIT STRING of whole "
        "octets",
    [PV_ERR_DER_UNIQUE_ID] =
        "issuerUniqueID or subjectUniqueID is not a BIT STRING",
    [PV_ERR_DER_EXTENSIONS] = "extensions is not one SEQUENCE",
    [PV_ERR_DER_TBS_END] =
        "tbsCertificate has an element too many or out of order",
    [PV_ERR_DER_SIGNATURE_ALGORITHM] =
        "signatureAlgorithm is not an AlgorithmIdentifier",
    [PV_ERR_DER_SIGNATURE_VALUE] = "signatureValue is not a BIT STRING",
    [PV_ERR_DER_CERTIFICATE_END] = "Certificate has an element too many",
    [PV_ERR_HOST_EMPTY] = "it is empty",
    [PV_ERR_HOST_TOO_LONG] = "it has more than 253 bytes",
    [PV_ERR_HOST_LABEL_EMPTY] = "it has an empty label",
    [PV_ERR_HOST_LABEL_TOO_LONG] = "it has a label of more than 63 bytes",
    [PV_ERR_HOST_CHARACTER] =
        "it has a character other than letters, digits, '-', '_' and '.'",
    [PV_ERR_HOST_IPV4] =
        "it ends in a number and is not four decimal numbers from 0 to 255 "
        "without leading zeros",
    [PV_ERR_HOST_IPV6] =
        "it has a colon, which only a bare IPv6 address may have (no zone, "
        "port or brackets)",
    [PV_ERR_POLICY_MAGIC] =
        "it does not begin like one of this version; compile it again",
    [PV_ERR_POLICY_SIZE] = "it is truncated, or bytes were appended",
    [PV_ERR_POLICY_DIGEST] = "its bytes changed since it was compiled",
    [PV_ERR_POLICY_HEADER] =
        "its header has an unknown flag or a field out of range",
    [PV_ERR_POLICY_PINSET] = "a PinSet in it is out of range",
    [PV_ERR_POLICY_RULE] =
        "a rule in it is out of range, out of order, or too deep for **.",
    [PV_ERR_POLICY_BUCKETS] =
        "its index is out of order, or a bucket of it is too long",
    [PV_ERR_POLICY_PATTERN] =
        "a pattern is not canonical, or has too many labels behind **.",
    [PV_ERR_POLICY_ORDER] = "the patterns do not ascend, or one is there twice",
};

const char *pv_status_text(pv_status status) {
  const size_t i = (size_t)status;
  const bool known = i < sizeof texts / sizeof *texts && texts[i] != NULL;
  return known ? texts[i] : "unknown status";
}
