// What files about rows of attention start with: vectors of sixteen floats, which the compiler cuts to what the
// instruction set has, so that the order of every addition is the same everywhere.
#pragma once

#include <stdint.h>
#include <string.h>

// A product and a sum fused on one machine and not on another would give different bits.
#pragma clang fp contract(off)

enum { LANES = 16 };

typedef float V __attribute__((ext_vector_type(LANES)));
typedef float V_unaligned __attribute__((ext_vector_type(LANES), aligned(4)));
typedef int32_t I __attribute__((ext_vector_type(LANES)));
typedef uint8_t B_unaligned __attribute__((ext_vector_type(LANES), aligned(1)));

#define INLINE static inline __attribute__((always_inline))

/// w ln w of sixteen weights into `out`; 0 for weights below the smallest normal number, whose share is below 1e-36.
/// The logarithm is Cephes' polynomial for logf, relative error 1e-7.
INLINE void weighted_log(const float *weights, V *out, V *largest) {
    const V w = *(const V_unaligned *)weights;
    *largest = __builtin_elementwise_max(*largest, w);
    const I bits = (I)w;
    // Exponent and mantissa such that the mantissa lies in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
    const I exponent = (bits - 0x3f3504f3) >> 23;
    const V x = (V)(bits - (exponent << 23)) - (V)1.0f;
    const V e = __builtin_convertvector(exponent, V);
    const V z = x * x;
    V p = (V)7.0376836292e-2f;
    p = p * x + (V)-1.1514610310e-1f;
    p = p * x + (V)1.1676998740e-1f;
    p = p * x + (V)-1.2420140846e-1f;
    p = p * x + (V)1.4249322787e-1f;
    p = p * x + (V)-1.6668057665e-1f;
    p = p * x + (V)2.0000714765e-1f;
    p = p * x + (V)-2.4999993993e-1f;
    p = p * x + (V)3.3333331174e-1f;
    V y = p * x * z;
    y = y + e * (V)-2.12194440e-4f;
    y = y - (V)0.5f * z;
    const V logarithm = (x + y) + e * (V)0.693359375f;
    const I is_normal = bits >= 0x00800000;
    *out = (V)((I)(w * logarithm) & is_normal);
}
