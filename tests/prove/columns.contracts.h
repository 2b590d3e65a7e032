// columns.contracts.h: the contracts of the functions of columns.h, and of those
// of bytes.h that have one.
//
// clang-format off
#ifndef PINVERIFY_COLUMNS_CONTRACTS_H
#define PINVERIFY_COLUMNS_CONTRACTS_H

#include "bytes.h"
#include "columns.h"
#include "contracts.h"

static inline uint64_t load_le64(const uint8_t *p)
    REQUIRES(FRESH(p, 8))
    ASSIGNS()
    ENSURES(RESULT == LE64(p));

static inline uint64_t offset_at(const pv_offsets *offsets, size_t i)
    REQUIRES(FRESH(offsets, sizeof *offsets) && IS_OFFSETS(offsets))
    REQUIRES(i <= offsets->num)
    ASSIGNS()
    ENSURES(RESULT == POSITION_OF(offsets, i));

static inline bool offsets_fit(const pv_offsets *offsets, size_t end)
    REQUIRES(FRESH(offsets, sizeof *offsets) && IS_OFFSETS(offsets))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT && offsets->num > 0, POSITIONS_FIT(offsets, end)));

static inline bool column_fits(const pv_column *column)
    REQUIRES(FRESH(column, sizeof *column))
    REQUIRES(IS_OFFSETS(&column->offsets))
    ASSIGNS()
    ENSURES(IMPLIES(RESULT && column->offsets.num > 0,
                    POSITIONS_FIT(&column->offsets, column->data_len)));

static inline pv_span column_item(const pv_column *column, size_t i)
    REQUIRES(IS_COLUMN(column) && i < column->offsets.num)
    ASSIGNS()
    ENSURES(IS_SLICE(RESULT, column));

#endif  // PINVERIFY_COLUMNS_CONTRACTS_H
