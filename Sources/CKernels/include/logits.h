// What samplers compute of a row of logits over the whole vocabulary.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The place of the largest of `count` numbers, the lowest among equals; -1 where one is NaN, and for none.
ptrdiff_t ck_largest(const float *x, size_t count);

/// Sums over a row, with d = x - top.
typedef struct {
    double weights;  ///< of e^d
    double weighted; ///< of d e^d; 0 for a number of minus infinity
} ck_softmax_sums;

/// Sums up a row none of whose numbers is above `top`, in double, in sixteen interleaved sums, so that every machine gets
/// the same bits. A weight below e^-700 counts as 0; the others are right to 1e-15.
ck_softmax_sums ck_softmax_sum(const float *x, size_t count, double top);

/// out = e^x for numbers that are not above 0, right to 1e-15; 0 below e^-700.
void ck_exponentials(const double *x, size_t count, double *out);

#ifdef __cplusplus
}
#endif
