// shared.contracts.h: the contracts of functions that other files call.
//
// clang-format off
#ifndef PINVERIFY_SHARED_CONTRACTS_H
#define PINVERIFY_SHARED_CONTRACTS_H

#include "contracts.h"
#include "host.h"
#include "policy_layout.h"
#include "scan.h"
#include "spki.h"

// ---- spki_sha256.c ----------------------------------------------------------

pv_status pv_spki_sha256(uint8_t out[32], const uint8_t *cert,
                         size_t cert_len)
    REQUIRES(FRESH(out, 32))
    REQUIRES(cert_len <= PV_PROVED_LEN_MAX && FRESH(cert, cert_len))
    ASSIGNS(BYTES(out, 32))
    ENSURES(IMPLIES(RESULT == PV_OK, IS_ACCEPTED(cert, cert_len)))
    ENSURES(IMPLIES(RESULT == PV_OK, IS_ANSWER(out[some % 32], sha256,
                                               spec_key(cert), spec_key_len(cert),
                                               some % 32)))
    ENSURES(IMPLIES(RESULT != PV_OK, out[some % 32] == 0));

uint32_t pv_cert_is_pinned(pv_status *out_status, const uint8_t *packed,
                           size_t num_pins, const uint8_t *cert,
                           size_t cert_len)
    REQUIRES(out_status == NULL || IS_OUT(out_status))
    REQUIRES(IS_PACKED(packed, num_pins))
    REQUIRES(cert_len <= PV_PROVED_LEN_MAX && FRESH(cert, cert_len))
    ASSIGNS(out_status != NULL: *out_status)
    ENSURES(RESULT <= 1)
    ENSURES(IMPLIES(RESULT == 1, IS_ACCEPTED(cert, cert_len)))
    ENSURES(IMPLIES(out_status != NULL && *out_status != PV_OK, RESULT == 0));

// ---- host.c -----------------------------------------------------------------

pv_status pv_host_canonical(char *out, size_t *out_len, const char *host,
                            size_t host_len)
    REQUIRES(FRESH(out, 254) && IS_OUT(out_len))
    REQUIRES(host_len <= PV_PROVED_LEN_MAX &&
             (host_len == 0 || FRESH(host, host_len)))
    ASSIGNS(*out_len, BYTES(out, 254))
    ENSURES(*out_len <= 253 && out[253] == 0)
    ENSURES((RESULT == PV_OK) == (*out_len > 0))
    ENSURES(IMPLIES(RESULT != PV_OK, out[0] == 0));

bool pv__name_takes_shape(const char *name, size_t name_len, uint32_t shape)
    REQUIRES(name_len <= 253 && FRESH(name, name_len))
    ASSIGNS();

bool pv__name_is_canonical(const char *name, size_t name_len, uint32_t shape)
    REQUIRES(name_len <= PV_PROVED_LEN_MAX &&
             (name_len == 0 || FRESH(name, name_len)))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, name_len > 0 && name_len <= 253));

// ---- policy_hash.c ----------------------------------------------------------

void pv__digest_pieces(uint8_t digest[32], const pv_span *pieces,
                       size_t num_pieces)
    REQUIRES(FRESH(digest, 32) && num_pieces <= 256)
    REQUIRES(FRESH(pieces, 16 * num_pieces))
    ASSIGNS(BYTES(digest, 32));

void pv__digest_policy(uint8_t out[32], const uint8_t *bytes, size_t bytes_len)
    REQUIRES(IS_OUTPUT(out, 32))
    REQUIRES(bytes_len >= 128 && bytes_len <= PV_PROVED_LEN_MAX)
    REQUIRES(FRESH(bytes, bytes_len))
    ASSIGNS(BYTES(out, 32));

// ---- policy_find.c ----------------------------------------------------------

static inline const uint8_t *pins_at(const pv_policy *policy, pin_rows run)
    REQUIRES(IS_VIEW(policy))
    REQUIRES(IS_SECTION(policy->pins, PINS_LEN(policy)))
    REQUIRES(ROWS_FIT(policy, run.first_row, run.num_pins))
    ASSIGNS()
    ENSURES(IS_RUN(RESULT, run.num_pins, policy));

static inline pin_rows policy_run(const pv_policy *policy, uint32_t pinset,
                                  uint32_t list, uint32_t kind)
    REQUIRES(IS_PIN_STORE(policy) && IS_LIST(policy, pinset, list))
    REQUIRES(kind <= PV_CERTIFICATE)
    ASSIGNS()
    ENSURES(ROWS_FIT(policy, RESULT.first_row, RESULT.num_pins));

static inline rule_fields rule_of(const pv_policy *policy, uint32_t rule)
    REQUIRES(IS_VIEW(policy) && rule < policy->num_rules)
    REQUIRES(IS_SECTION(policy->rules, RULES_LEN(policy)) &&
             RULES_FIT(policy))
    ASSIGNS()
    ENSURES(PINSET_EXISTS(policy, RESULT.pinset))
    ENSURES(NAME_FITS(policy, RESULT.name_at, RESULT.name_len));

pv_status pv_policy_open(pv_policy *out, const uint8_t *bytes,
                         size_t bytes_len)
    REQUIRES(IS_OUT(out) && bytes_len == policy_len)
    REQUIRES(bytes_len <= PV_PROVED_LEN_MAX && FRESH(bytes, bytes_len))
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_OPEN(out, bytes)))
    ENSURES(IMPLIES(RESULT != PV_OK, IS_CLOSED(out)));

uint32_t pv_policy_find(const pv_policy *policy, const char *host,
                        size_t host_len)
    REQUIRES(IS_INDEX_OR_CLOSED(policy) && IS_HOST(host, host_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

uint32_t pv__policy_find_exact(const pv_policy *policy, uint64_t hash,
                               const char *host, size_t host_len)
    REQUIRES(IS_INDEX_OR_CLOSED(policy) && IS_HOST(host, host_len))
    ASSIGNS()
    ENSURES(RESULT == PV_NO_RULE || RESULT < policy->num_rules);

uint32_t pv_policy_num_rules(const pv_policy *policy)
    REQUIRES(IS_OUT(policy))
    ASSIGNS()
    ENSURES(RESULT == policy->num_rules);

uint32_t pv_policy_num_pinsets(const pv_policy *policy)
    REQUIRES(IS_OUT(policy))
    ASSIGNS()
    ENSURES(RESULT == policy->num_pinsets);

uint32_t pv_policy_has_clients(const pv_policy *policy)
    REQUIRES(IS_OUT(policy))
    ASSIGNS()
    ENSURES(RESULT == (policy->flags >> 1 & 1));

uint32_t pv_policy_rejects_unpinned(const pv_policy *policy)
    REQUIRES(IS_OUT(policy))
    ASSIGNS()
    ENSURES(RESULT == (policy->flags & 1));

uint32_t pv_policy_num_blocked(const pv_policy *policy, uint32_t kind)
    REQUIRES(IS_PIN_STORE_OR_CLOSED(policy))
    ASSIGNS()
    ENSURES(IMPLIES(policy->bytes == NULL || kind > 1, RESULT == 0));

void pv_policy_digest(uint8_t out[32], const pv_policy *policy)
    REQUIRES(FRESH(out, 32) && IS_PIN_STORE_OR_CLOSED(policy))
    ASSIGNS(BYTES(out, 32))
    ENSURES(out[some % 32] ==
            (policy->bytes == NULL ? 0 : policy->bytes[8 + some % 32]));

pv_status pv_policy_rule(pv_rule *out, const pv_policy *policy,
                         uint32_t rule)
    REQUIRES(IS_OUT(out) && IS_INDEX_OR_CLOSED(policy))
    ASSIGNS(*out)
    ENSURES((RESULT == PV_OK) == (rule < policy->num_rules))
    ENSURES(IMPLIES(RESULT == PV_OK, PINSET_EXISTS(policy, out->pinset)))
    ENSURES(out->shape <= UINT8_MAX)
    ENSURES(IMPLIES(RESULT == PV_OK, out->name_len <= UINT8_MAX &&
                                         IS_NAME((const uint8_t *)out->name,
                                                 policy, out->name_len)))
    ENSURES(IMPLIES(RESULT != PV_OK, out->name == NULL && out->name_len == 0));

pv_status pv_policy_pinset(pv_pinset *out, const pv_policy *policy,
                           uint32_t pinset)
    REQUIRES(IS_OUT(out) && IS_PIN_STORE_OR_CLOSED(policy))
    ASSIGNS(*out)
    ENSURES((RESULT == PV_OK) == (pinset < policy->num_pinsets));

pv_status pv_policy_pin(uint8_t out[32], const pv_policy *policy,
                        uint32_t pinset, uint32_t list, uint32_t kind,
                        uint32_t i)
    REQUIRES(FRESH(out, 32) && IS_PIN_STORE_OR_CLOSED(policy))
    ASSIGNS(BYTES(out, 32));

// ---- scan.c -----------------------------------------------------------------

uint32_t pv_pins_contain(const uint8_t *pins, size_t num_pins,
                         const uint8_t digest[32])
    REQUIRES(IS_ROWS(pins, num_pins) && FRESH(digest, 32))
    ASSIGNS()
    ENSURES(RESULT <= 1);

uint64_t pv__packed_num_rows(uint64_t num_pins)
    REQUIRES(num_pins <= PV_PROVED_LEN_MAX)
    ASSIGNS()
    ENSURES(RESULT == PACKED_ROWS(num_pins));

size_t pv_pins_packed_len(size_t num_pins)
    ASSIGNS()
    ENSURES(IMPLIES(num_pins <= PV_PROVED_LEN_MAX / 32,
                    RESULT == 32 * PACKED_ROWS(num_pins)));

void pv_pins_pack(uint8_t *out, const uint8_t *pins, size_t num_pins)
    REQUIRES(num_pins <= PV_PROVED_LEN_MAX / 32)
    REQUIRES(FRESH(out, 32 * PACKED_ROWS(num_pins)))
    REQUIRES(FRESH(pins, 32 * num_pins))
    ASSIGNS(WHOLE(out));

void pv_pins_unpack(uint8_t out[32], const uint8_t *packed, size_t num_pins,
                    size_t i)
    REQUIRES(FRESH(out, 32) && num_pins <= PV_PROVED_LEN_MAX / 32)
    REQUIRES(i < PACKED_ROWS(num_pins))
    REQUIRES(FRESH(packed, 32 * PACKED_ROWS(num_pins)))
    ASSIGNS(BYTES(out, 32));

uint32_t pv_packed_contain(const uint8_t *packed, size_t num_pins,
                           const uint8_t digest[32])
    REQUIRES(IS_PACKED(packed, num_pins) && FRESH(digest, 32))
    ASSIGNS()
    ENSURES(RESULT <= 1);

void pv_packed_contain_many(uint8_t *out_found, const uint8_t *packed,
                            size_t num_pins, const uint8_t *digests,
                            size_t num_digests)
    REQUIRES(IS_PACKED(packed, num_pins))
    REQUIRES(num_digests <= PV_PROVED_LEN_MAX / 32)
    REQUIRES(FRESH(out_found, num_digests))
    REQUIRES(FRESH(digests, 32 * num_digests))
    ASSIGNS(BYTES(out_found, num_digests));

// ---- spki.c -----------------------------------------------------------------

PV_FLATTEN pv_status pv__spki_find(spki_walk *out, const uint8_t *cert,
                            size_t cert_len)
    REQUIRES(IS_OUT(out))
    REQUIRES(cert_len <= PV_PROVED_LEN_MAX && FRESH(cert, cert_len))
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_WALK(out, cert, cert_len)))
    ENSURES(IMPLIES(RESULT == PV_OK,
                    IS_KEY_OF(&out->fields.spki, cert, cert_len)))
    ENSURES(IMPLIES(RESULT == PV_OK, cert_len <= DER_ELEMENT_MAX))
    ENSURES(IMPLIES(cert_len <= DER_ELEMENT_MAX,
                    IS_ANSWER(RESULT, find, cert, cert_len)));

PV_FLATTEN pv_status pv__spki_check(const spki_walk *walk)
    REQUIRES(IS_WALK_GIVEN(walk))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT == PV_OK, IS_REST(walk)))
    ENSURES(IS_ANSWER(RESULT, check, walk->certificate.base,
                      walk->certificate.end));

PV_FLATTEN pv_status pv_spki_from_cert(pv_span *out_spki, const uint8_t *cert,
                                    size_t cert_len)
    REQUIRES(IS_OUT(out_spki))
    REQUIRES(cert_len <= PV_PROVED_LEN_MAX && FRESH(cert, cert_len))
    ASSIGNS(*out_spki)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_KEY_OF(out_spki, cert, cert_len)))
    ENSURES(IMPLIES(RESULT == PV_OK, IS_ACCEPTED(cert, cert_len)))
    ENSURES(IMPLIES(RESULT != PV_OK,
                    out_spki->data == NULL && out_spki->len == 0));

#endif  // PINVERIFY_SHARED_CONTRACTS_H
