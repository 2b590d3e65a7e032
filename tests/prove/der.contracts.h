// der.contracts.h: the contracts of the functions of der.h.
//
// clang-format off
#ifndef PINVERIFY_DER_CONTRACTS_H
#define PINVERIFY_DER_CONTRACTS_H

#include "contracts.h"
#include "der.h"

PV_FLATTENED bool der_at_end(const der_cursor *in)
    REQUIRES(IS_CURSOR(in))
    ASSIGNS()
    ENSURES(RESULT == (in->pos == in->end));

PV_FLATTENED bool der_next_is(const der_cursor *in, uint8_t tag)
    REQUIRES(IS_CURSOR(in))
    ASSIGNS()
    ENSURES(RESULT == NEXT_IS(in, in->pos, tag));

PV_FLATTENED size_t long_length(const der_cursor *in, size_t first,
                           size_t *pos)
    REQUIRES(IS_CURSOR(in))
    REQUIRES(IS_OUT(pos) && 0 < *pos && *pos <= in->end)
    REQUIRES(first >= 0x80 && first == in->base[*pos - 1])
    ASSIGNS(*pos)
    ENSURES((RESULT != DER_NO_LENGTH) == IS_LENGTH(in, OLD(*pos) - 1))
    ENSURES(RESULT == DER_NO_LENGTH || RESULT == LENGTH(in, OLD(*pos) - 1))
    ENSURES(OLD(*pos) <= *pos && *pos <= OLD(*pos) + 3)
    ENSURES(RESULT == DER_NO_LENGTH ||
            *pos == OLD(*pos) - 1 + LENGTH_LEN(in, OLD(*pos) - 1));

PV_FLATTENED bool read_element(der_cursor *in, der_cursor *out_content)
    REQUIRES(IS_CURSOR(in))
    REQUIRES(IS_OUT(out_content))
    ASSIGNS(in->pos, *out_content)
    ENSURES(RESULT == IS_ELEMENT(in, OLD(in->pos)))
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos)));

PV_FLATTENED bool der_enter(der_cursor *in, der_cursor *out_content,
                       uint8_t tag)
    REQUIRES(IS_CURSOR(in))
    REQUIRES(IS_OUT(out_content))
    ASSIGNS(in->pos, *out_content)
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos)));

PV_FLATTENED bool der_skip(der_cursor *in, uint8_t tag)
    REQUIRES(IS_CURSOR(in))
    ASSIGNS(in->pos)
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))
    ENSURES(IMPLIES(RESULT, in->pos == ELEMENT_END(in, OLD(in->pos))))
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos)));

PV_FLATTENED bool der_take(der_cursor *in, pv_span *out_element,
                      uint8_t tag)
    REQUIRES(IS_CURSOR(in))
    REQUIRES(IS_OUT(out_element))
    ASSIGNS(in->pos, *out_element)
    ENSURES(RESULT == IS_ELEMENT_OF(in, OLD(in->pos), tag))
    ENSURES(IMPLIES(RESULT, in->pos == ELEMENT_END(in, OLD(in->pos))))
    ENSURES(IMPLIES(RESULT,
                    SAME(out_element->data, in->base + OLD(in->pos))))
    ENSURES(IMPLIES(RESULT, out_element->len == in->pos - OLD(in->pos)))
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos)));

PV_FLATTENED bool der_enter_any(der_cursor *in, der_cursor *out_content,
                           uint8_t *out_tag)
    REQUIRES(IS_CURSOR(in))
    REQUIRES(IS_OUT(out_content) && IS_OUT(out_tag))
    ASSIGNS(in->pos, *out_content, *out_tag)
    ENSURES(IMPLIES(RESULT, IS_ELEMENT_OF(in, OLD(in->pos), *out_tag)))
    ENSURES(IMPLIES(RESULT, (*out_tag & 0x1f) != 0x1f))
    ENSURES(IMPLIES(RESULT, ENTERED(in, OLD(in->pos), out_content)))
    ENSURES(IMPLIES(!RESULT, in->pos == OLD(in->pos)));

#endif  // PINVERIFY_DER_CONTRACTS_H
