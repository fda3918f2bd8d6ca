// What every file of kernels starts with: vectors of CK_WIDTH floats, and functions of them. The including file
// defines CK_WIDTH and CK_FMA(a, b, c), which is a * b + c, and sets the target of the functions.
#pragma once

#include <float.h>
#include <math.h>
#include <string.h>

#include "ckernels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float V __attribute__((ext_vector_type(CK_WIDTH)));
typedef float V_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(4)));
typedef double D_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(8)));
typedef int32_t I __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint32_t U __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint16_t H_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(2)));

INLINE V load(const float *p) { return *(const V_unaligned *)p; }
INLINE void store(float *p, V x) { *(V_unaligned *)p = x; }

/// Loads a vector of weights. bfloat16 is the upper half of a float32, so widening is a shift.
INLINE V load_weights(const int brain, const void *base, size_t at) {
    if (brain) return (V)(__builtin_convertvector(*(const H_unaligned *)((const uint16_t *)base + at), U) << 16);
    return load((const float *)base + at);
}

INLINE float sum_lanes(V x) {
    float lanes[CK_WIDTH], sum = 0;
    store(lanes, x);
    for (int i = 0; i < CK_WIDTH; i++) sum += lanes[i];
    return sum;
}

/// e^x for x <= 88, relative error 2e-7; 0 below -87.3. Cephes' polynomial for expf.
INLINE V exponential(V x) {
    const V magic = (V)12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    I keep = x > (V)-87.3f;
    V shifted = CK_FMA(x, (V)1.44269504088896341f, magic);
    V n = shifted - magic;
    V r = CK_FMA(n, (V)-0.693359375f, x);
    r = CK_FMA(n, (V)2.12194440e-4f, r);
    V p = (V)1.9875691500e-4f;
    p = CK_FMA(p, r, (V)1.3981999507e-3f);
    p = CK_FMA(p, r, (V)8.3334519073e-3f);
    p = CK_FMA(p, r, (V)4.1665795894e-2f);
    p = CK_FMA(p, r, (V)1.6666665459e-1f);
    p = CK_FMA(p, r, (V)5.0000001201e-1f);
    p = CK_FMA(p, r * r, r + (V)1.0f);
    // The low bits of `shifted` are n; its exponent and leading bits vanish in the shift.
    I power = ((I)shifted << 23) + (I)(127 << 23);
    V y = p * (V)power;
    return (V)((I)y & keep);
}

/// silu(x) * y.
INLINE V gated(V x, V y) {
    // e^88 is finite; beyond it silu(x) is below 1e-36 in magnitude anyway.
    V negated = __builtin_elementwise_min(-x, (V)88.0f);
    return x / ((V)1.0f + exponential(negated)) * y;
}
