// What the recorder sums up of a head's attention, in one visit of its rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The attention of one head and where its summaries go.
typedef struct {
    const float *weights;   ///< rows x keys, row-major
    size_t rows;
    size_t keys;
    const uint8_t *classes; ///< the class of each row, below class_count
    size_t class_count;
    double *sums;           ///< scratch, class_count x keys; used when `received` is not NULL
    float *received;        ///< out, [class][key] with stride received_stride; NULL: not wanted
    size_t received_stride; ///< floats from a class to the next, at least `keys`; the rest is set to 0
    const int32_t *places;  ///< of each row in the arrays below; negative: none of its numbers is wanted
    float *entropy;         ///< out: -sum w ln w in nats, 0 ln 0 = 0; NULL: neither this nor max_weight is wanted
    float *max_weight;      ///< out
    float *distance;        ///< out: sum w |query - key|; NULL: neither this nor mask_mass is wanted
    float *mask_mass;       ///< out: sum of w over masked keys
    size_t first_query;     ///< position of the first row, for `distance`
    const uint8_t *is_masked; ///< keys, 0 or 1, for `mask_mass`
} ck_summary_job;

/// Sums up a head. Sums over rows run in double, in order of rows; those along a row in sixteen interleaved sums,
/// whatever the instruction set, so that every machine gets the same bits.
void ck_summarise(const ck_summary_job *job);

#ifdef __cplusplus
}
#endif
