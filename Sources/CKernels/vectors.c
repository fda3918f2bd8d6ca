// Sizes of vectors. As in recorder.c, clang's vector types of a fixed width keep the order of every addition the same
// on every instruction set.
#include "vectors.h"

#include <math.h>
#include <string.h>

// A product and a sum fused on one machine and not on another would give different bits.
#pragma clang fp contract(off)

enum { LANES = 8 };

typedef float V_unaligned __attribute__((ext_vector_type(LANES), aligned(4)));
typedef double D __attribute__((ext_vector_type(LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE double dot(const float *a, const float *b, size_t count) {
    D sums = (D)0.0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const D x = __builtin_convertvector(*(const V_unaligned *)(a + i), D);
        const D y = __builtin_convertvector(*(const V_unaligned *)(b + i), D);
        sums += x * y;
    }
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    for (; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}

INLINE float norm(const float *x, size_t count) { return (float)sqrt(dot(x, x, count)); }

INLINE float cosine(const float *a, const float *b, size_t count) {
    const double lengths = sqrt(dot(a, a, count)) * sqrt(dot(b, b, count));
    // Rounding must not leave the range of a cosine.
    return lengths > 0 ? (float)fmax(-1, fmin(1, dot(a, b, count) / lengths)) : NAN;
}

INLINE float largest_difference(const float *a, const float *b, size_t count) {
    float largest = 0;
    int is_undefined = 0;
    for (size_t i = 0; i < count; i++) {
        const float difference = fabsf(a[i] - b[i]);
        largest = difference > largest ? difference : largest;
        is_undefined |= difference != difference;
    }
    return is_undefined ? INFINITY : largest;
}

/// The number of rank (count - 1) / 2 among absolute values, given as bits: without the sign they order as the values
/// do. Keeps, digit by digit, those that share the digits found so far.
INLINE uint32_t lower_median(uint32_t *bits, size_t count) {
    static const int shifts[] = {23, 15, 7, 0};
    size_t rank = (count - 1) / 2;
    for (int pass = 0; pass < 4 && count > 1; pass++) {
        uint32_t counts[256] = {0};
        const int shift = shifts[pass];
        for (size_t i = 0; i < count; i++) counts[bits[i] >> shift & 255]++;
        uint32_t digit = 0;
        while (rank >= counts[digit]) rank -= counts[digit++];
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
            // Written whatever it is: a branch that nobody can foresee costs more.
            const uint32_t each = bits[i];
            bits[kept] = each;
            kept += (each >> shift & 255) == digit;
        }
        count = kept;
    }
    return bits[0];
}

INLINE float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE ck_size measure(const float *x, size_t count, uint32_t *scratch) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        scratch[i] = bits;
        largest = bits > largest ? bits : largest;
    }
    size_t channel = 0;
    while (scratch[channel] != largest) channel++;
    ck_size size;
    size.norm = norm(x, count);
    size.largest = from_bits(largest);
    size.channel = (int32_t)channel;
    size.median = from_bits(lower_median(scratch, count));
    return size;
}

#if defined(__x86_64__)
#define FOR(isa) __attribute__((target(isa))) static
FOR("avx512f") float norm_512(const float *x, size_t n) { return norm(x, n); }
FOR("avx2") float norm_256(const float *x, size_t n) { return norm(x, n); }
FOR("avx512f") float cosine_512(const float *a, const float *b, size_t n) { return cosine(a, b, n); }
FOR("avx2") float cosine_256(const float *a, const float *b, size_t n) { return cosine(a, b, n); }
FOR("avx512f") float difference_512(const float *a, const float *b, size_t n) { return largest_difference(a, b, n); }
FOR("avx2") float difference_256(const float *a, const float *b, size_t n) { return largest_difference(a, b, n); }
FOR("avx512f") ck_size measure_512(const float *x, size_t n, uint32_t *scratch) { return measure(x, n, scratch); }
FOR("avx2") ck_size measure_256(const float *x, size_t n, uint32_t *scratch) { return measure(x, n, scratch); }
#define DISPATCH(name, ...) \
    if (__builtin_cpu_supports("avx512f")) return name##_512(__VA_ARGS__); \
    if (__builtin_cpu_supports("avx2")) return name##_256(__VA_ARGS__);
#else
#define DISPATCH(name, ...)
#endif

float ck_norm(const float *x, size_t count) {
    DISPATCH(norm, x, count)
    return norm(x, count);
}

float ck_cosine(const float *a, const float *b, size_t count) {
    DISPATCH(cosine, a, b, count)
    return cosine(a, b, count);
}

float ck_largest_difference(const float *a, const float *b, size_t count) {
    DISPATCH(difference, a, b, count)
    return largest_difference(a, b, count);
}

ck_size ck_measure(const float *x, size_t count, uint32_t *scratch) {
    DISPATCH(measure, x, count, scratch)
    return measure(x, count, scratch);
}
