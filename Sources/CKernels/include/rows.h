// What an analysis sums up of rows of attention that were stored or rebuilt.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The most largest weights of a row that are looked for.
#define CK_TOP_LIMIT 64

/// Rows of one map.
typedef struct {
    const float *weights;     ///< rows x keys, row-major
    size_t rows;
    size_t keys;
    const ptrdiff_t *queries; ///< position of each row's query
    int is_causal;            ///< not 0: a row sees the keys up to its own position, the others are 0
    const int32_t *groups;    ///< where each row is added; negative: nowhere. Not for `ck_top_keys`
} ck_rows;

/// Sums over rows of what each row comes to.
typedef struct {
    double rows;      ///< their number
    double sum;       ///< of all weights of the row
    double entropy;   ///< -sum w ln w in nats, 0 ln 0 = 0
    double distance;  ///< sum w |query - key|
    double mask_mass; ///< sum of w over masked keys
    double first;     ///< sum of the first keys' weights
    double top;       ///< sum of the largest weights
    double largest;   ///< the largest weight
} ck_row_totals;

/// Adds up rows by group in one sweep: `first` keys count as the first, `top` weights (1 ... CK_TOP_LIMIT) as the largest.
/// `is_masked` has a 0 or 1 for each key; NULL: none is. Sums along a row run in sixteen interleaved sums, whatever the
/// instruction set, so that every machine gets the same bits.
void ck_add_rows(const ck_rows *rows, const uint8_t *is_masked, size_t first, size_t top, ck_row_totals *totals);

/// Adds up columns by group of the row, (group, key), in double, in order of rows.
void ck_add_columns(const ck_rows *rows, double *sums);

/// The keys of each row's `top` largest weights (1 ... CK_TOP_LIMIT, at most `keys`), (row, rank), the largest first, ties
/// to the lower key. A row that sees fewer is filled up with -1.
void ck_top_keys(const ck_rows *rows, size_t top, int32_t *keys);

/// How many entries of one list also are in another, added up over `rows` pairs of lists of `count`.
size_t ck_shared_entries(const int32_t *a, const int32_t *b, size_t rows, size_t count);

#ifdef __cplusplus
}
#endif
