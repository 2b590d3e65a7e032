// spki.contracts.h: the contracts of what spki.c keeps to itself.
//
// clang-format off

PV_FLATTENED bool read_serial(der_cursor *in)
    REQUIRES(IS_CURSOR(in))
    ASSIGNS(in->pos)
    ENSURES(RESULT == IS_SERIAL(in, OLD(in->pos)))
    ENSURES(IMPLIES(RESULT, in->pos == ELEMENT_END(in, OLD(in->pos))));

static bool arcs_are_minimal(const uint8_t *oid, size_t oid_len)
    REQUIRES(oid_len <= DER_ELEMENT_MAX && FRESH(oid, oid_len))
    ASSIGNS()
    ENSURES(IMPLIES(some < oid_len && RESULT, !IS_PADDED(oid, some)));

PV_FLATTENED uint64_t find_0x80(uint64_t octets)
    ASSIGNS()
    ENSURES((RESULT != 0) == spec_holds_0x80(octets));

PV_FLATTENED bool is_oid(const der_cursor *oid)
    REQUIRES(IS_CURSOR(oid))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT,
                    oid->pos < oid->end && oid->base[oid->end - 1] < 0x80))
    ENSURES(IMPLIES(some < oid->end - oid->pos && RESULT,
                    !IS_PADDED(oid->base + oid->pos, some)));

PV_FLATTENED bool is_null(const der_cursor *in)
    REQUIRES(IS_CURSOR(in))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, in->end - in->pos == 2 &&
                                IS_ELEMENT_OF(in, in->pos, DER_NULL)));

PV_FLATTENED bool is_parameters(der_cursor in)
    REQUIRES(IS_CURSOR_COPY(in))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT,
                    in.pos < in.end && MAY_BE_PARAMETERS(in.base[in.pos])));

PV_FLATTENED bool is_algorithm(der_cursor in)
    REQUIRES(IS_CURSOR_COPY(in))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, in.pos < in.end && in.base[in.pos] == DER_OID));

PV_FLATTENED bool is_same(const der_cursor *a, const der_cursor *b)
    REQUIRES(IS_CURSOR(a) && FRESH(b, sizeof *b) && INSIDE(b, a))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT, a->end - a->pos == b->end - b->pos &&
                                a->end - a->pos <= 16 && a->pos < a->end))
    ENSURES(IMPLIES(RESULT, FIRST_OF(*a) == FIRST_OF(*b)));

PV_FLATTENED bool is_bit_string(const der_cursor *bits)
    REQUIRES(IS_CURSOR(bits))
    ASSIGNS()
    ENSURES(RESULT ==
            spec_is_bits(bits->base + bits->pos, bits->end - bits->pos));

PV_FLATTENED bool read_version(der_cursor *tbs)
    REQUIRES(IS_CURSOR(tbs))
    ASSIGNS(tbs->pos)
    ENSURES(RESULT == IS_VERSION_OR_NONE(tbs, OLD(tbs->pos)))
    ENSURES(IMPLIES(RESULT, PASSED_IF(tbs, OLD(tbs->pos), DER_CONTEXT_0)));

PV_FLATTENED bool read_unique_id(der_cursor *tbs, uint8_t tag)
    REQUIRES(IS_CURSOR(tbs))
    ASSIGNS(tbs->pos)
    ENSURES(RESULT == IS_UNIQUE_ID_OR_NONE(tbs, OLD(tbs->pos), tag))
    ENSURES(IMPLIES(RESULT, PASSED_IF(tbs, OLD(tbs->pos), tag)));

PV_FLATTENED bool read_extensions(der_cursor *tbs)
    REQUIRES(IS_CURSOR(tbs))
    ASSIGNS(tbs->pos)
    ENSURES(RESULT == IS_EXTENSIONS_OR_NONE(tbs, OLD(tbs->pos)))
    ENSURES(IMPLIES(RESULT, PASSED_IF(tbs, OLD(tbs->pos), DER_CONTEXT_3)));

PV_FLATTENED pv_status read_tbs_head(der_cursor *tbs, tbs_fields *out)
    REQUIRES(IS_CURSOR(tbs) && IS_OUT(out))
    ASSIGNS(tbs->pos, *out)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_AT_KEY(tbs, OLD(tbs->pos))))
    ENSURES(IMPLIES(RESULT == PV_OK, INSIDE(&out->signature, tbs)));

PV_FLATTENED pv_status read_tbs_key(der_cursor *tbs, tbs_fields *out)
    REQUIRES(IS_CURSOR(tbs) && IS_OUT(out))
    ASSIGNS(tbs->pos, *out)
    ENSURES(IMPLIES(RESULT == PV_OK, tbs->pos <= tbs->end))
    ENSURES(IMPLIES(RESULT == PV_OK, INSIDE(&out->signature, tbs)))
    ENSURES(IMPLIES(RESULT == PV_OK, INSIDE(&out->spki_content, tbs)))
    ENSURES(IMPLIES(RESULT == PV_OK,
                    IS_KEY(&out->spki, tbs->base + OLD(tbs->pos),
                           tbs->end - OLD(tbs->pos))))
    ENSURES(IMPLIES(RESULT == PV_OK,
                    IS_CONTENT(&out->spki_content, &out->spki)));

PV_FLATTENED pv_status read_tbs_tail(der_cursor *tbs)
    REQUIRES(IS_CURSOR(tbs))
    ASSIGNS(tbs->pos)
    ENSURES(IMPLIES(RESULT == PV_OK, tbs->pos == tbs->end));

PV_FLATTENED pv_status check_spki(der_cursor spki)
    REQUIRES(IS_CURSOR_COPY(spki))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT == PV_OK,
                    spec_is_key(spki.base + spki.pos, spki.end - spki.pos)));

PV_FLATTENED pv_status read_certificate_tail(der_cursor *certificate,
                                        const der_cursor *inner)
    REQUIRES(IS_CURSOR(certificate) && FRESH(inner, sizeof *inner))
    REQUIRES(INSIDE(inner, certificate) && inner->end <= certificate->pos)
    ASSIGNS(certificate->pos)
    ENSURES(IMPLIES(RESULT == PV_OK, certificate->pos == certificate->end))
    ENSURES(IMPLIES(RESULT == PV_OK,
                    IS_CERTIFICATE_TAIL(certificate, OLD(certificate->pos),
                                        DER_OID) ||
                        (inner->pos < inner->end &&
                         IS_CERTIFICATE_TAIL(certificate,
                                             OLD(certificate->pos),
                                             FIRST_OF(*inner)))));

PV_FLATTENED pv_status find_key(spki_walk *out, der_cursor in)
    REQUIRES(IS_OUT(out) && IS_CURSOR_COPY(in) && in.pos == 0)
    ASSIGNS(*out)
    ENSURES(IMPLIES(RESULT == PV_OK, IS_WALK(out, in.base, in.end)))
    ENSURES(IMPLIES(RESULT == PV_OK,
                    IS_KEY_OF(&out->fields.spki, in.base, in.end)))
    ENSURES(IS_ANSWER(RESULT, find, in.base, in.end));

PV_FLATTENED pv_status check_rest(const spki_walk *walk)
    REQUIRES(IS_WALK_GIVEN(walk))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT == PV_OK, IS_REST(walk)))
    ENSURES(IS_ANSWER(RESULT, check, walk->certificate.base,
                      walk->certificate.end));
