// What the recorder measures of vectors: norms, angles, the residual stream, the error of rebuilt attention.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// L2 norm, summed in double in eight interleaved sums, so that every machine gets the same bits.
float ck_norm(const float *x, size_t count);

/// Cosine of the angle between two vectors, summed in the same way; NaN where one of them is 0.
float ck_cosine(const float *a, const float *b, size_t count);

/// The largest |a - b|; infinity where a difference is NaN; 0 for none.
float ck_largest_difference(const float *a, const float *b, size_t count);

/// How large the numbers of one row of the residual stream are.
typedef struct {
    float norm;          ///< L2
    float largest;       ///< the largest absolute value
    float median;        ///< the median absolute value, the lower of two
    int32_t channel;     ///< of `largest`, the lowest of equals
} ck_size;

/// Measures a row of `count` numbers, one at least; `scratch` has room for as many.
ck_size ck_measure(const float *x, size_t count, uint32_t *scratch);

#ifdef __cplusplus
}
#endif
