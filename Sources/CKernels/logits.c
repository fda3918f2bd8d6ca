// Rows of logits. Written with clang's vector types of a fixed width, which the compiler cuts to what the instruction set
// has: the order of every addition is the same everywhere.
#include "logits.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// A product and a sum fused on one machine and not on another would give different bits.
#pragma clang fp contract(off)

enum { LANES = 16 };

typedef float V __attribute__((ext_vector_type(LANES)));
typedef float V_unaligned __attribute__((ext_vector_type(LANES), aligned(4)));
typedef int32_t I __attribute__((ext_vector_type(LANES)));
typedef double D __attribute__((ext_vector_type(LANES)));
typedef int64_t L __attribute__((ext_vector_type(LANES)));

#define INLINE static inline __attribute__((always_inline))

/// e^x for x <= 0, 0 below -700: 2^n e^r with |r| <= ln 2 / 2, and the power series of e^r to the 13th, whose rest is below
/// 1e-17.
INLINE void exponential(const D *x, D *out) {
    const D magic = (D)0x1.8p52; // adding it rounds to an integer
    const L keeps = *x > (D)-700.0;
    const D clamped = __builtin_elementwise_max(*x, (D)-700.0);
    const D shifted = clamped * (D)1.4426950408889634 + magic;
    const D n = shifted - magic;
    const D r = (clamped - n * (D)0x1.62e42feep-1) - n * (D)0x1.a39ef35793c76p-33; // ln 2 in two parts
    static const double factors[] = {1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0,
                                     1 / 5040.0, 1 / 720.0, 1 / 120.0, 1 / 24.0, 1 / 6.0, 0.5, 1, 1};
    D p = (D)(1 / 6227020800.0);
    for (int i = 0; i < 13; i++) p = p * r + (D)factors[i];
    // The low bits of `shifted` are n; its exponent and leading bits vanish in the shift.
    const L power = ((L)shifted << 52) + (L)((int64_t)1023 << 52);
    *out = (D)((L)(p * (D)power) & keeps);
}

INLINE void sum_lanes(const D *lanes, double *sum) {
    double each[LANES];
    memcpy(each, lanes, sizeof each);
    for (int i = 0; i < LANES; i++) *sum += each[i];
}

INLINE void add(const float *x, double top, D *weights, D *weighted) {
    const V some = *(const V_unaligned *)x;
    const D distance = __builtin_convertvector(some, D) - (D)top;
    D weight;
    exponential(&distance, &weight);
    *weights += weight;
    // Minus infinity times 0 would be NaN.
    *weighted += weight * __builtin_elementwise_max(distance, (D)-700.0);
}

INLINE void softmax_sum(const float *x, size_t count, double top, ck_softmax_sums *out) {
    D weights = (D)0.0, weighted = (D)0.0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) add(x + i, top, &weights, &weighted);
    if (i < count) {
        float tail[LANES];
        for (int lane = 0; lane < LANES; lane++) tail[lane] = -INFINITY;
        memcpy(tail, x + i, (count - i) * sizeof(float));
        add(tail, top, &weights, &weighted);
    }
    *out = (ck_softmax_sums){0, 0};
    sum_lanes(&weights, &out->weights);
    sum_lanes(&weighted, &out->weighted);
}

INLINE void largest(const float *x, size_t count, ptrdiff_t *out) {
    *out = -1;
    if (count == 0) return;
    V most = (V)-INFINITY;
    I odd = (I)0;
    float top = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const V some = *(const V_unaligned *)(x + i);
        odd |= some != some;
        most = some > most ? some : most;
    }
    for (; i < count; i++) {
        if (x[i] != x[i]) return;
        top = x[i] > top ? x[i] : top;
    }
    for (int lane = 0; lane < LANES; lane++) {
        if (odd[lane]) return;
        top = most[lane] > top ? most[lane] : top;
    }
    for (i = 0; x[i] != top;) i++;
    *out = (ptrdiff_t)i;
}

INLINE void exponentials(const double *x, size_t count, double *out) {
    size_t i = 0;
    D some, powers;
    for (; i + LANES <= count; i += LANES) {
        memcpy(&some, x + i, sizeof some);
        exponential(&some, &powers);
        memcpy(out + i, &powers, sizeof powers);
    }
    if (i == count) return;
    some = (D)0.0;
    memcpy(&some, x + i, (count - i) * sizeof(double));
    exponential(&some, &powers);
    memcpy(out + i, &powers, (count - i) * sizeof(double));
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512dq"))) static void softmax_sum_avx512(
    const float *x, size_t count, double top, ck_softmax_sums *out) {
    softmax_sum(x, count, top, out);
}
__attribute__((target("avx2"))) static void softmax_sum_avx2(
    const float *x, size_t count, double top, ck_softmax_sums *out) {
    softmax_sum(x, count, top, out);
}
__attribute__((target("avx512f,avx512dq"))) static void largest_avx512(const float *x, size_t count, ptrdiff_t *out) {
    largest(x, count, out);
}
__attribute__((target("avx2"))) static void largest_avx2(const float *x, size_t count, ptrdiff_t *out) {
    largest(x, count, out);
}
__attribute__((target("avx512f,avx512dq"))) static void exponentials_avx512(
    const double *x, size_t count, double *out) {
    exponentials(x, count, out);
}
__attribute__((target("avx2"))) static void exponentials_avx2(const double *x, size_t count, double *out) {
    exponentials(x, count, out);
}
#endif

ck_softmax_sums ck_softmax_sum(const float *x, size_t count, double top) {
    ck_softmax_sums sums;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512dq")) return softmax_sum_avx512(x, count, top, &sums), sums;
    if (__builtin_cpu_supports("avx2")) return softmax_sum_avx2(x, count, top, &sums), sums;
#endif
    softmax_sum(x, count, top, &sums);
    return sums;
}

ptrdiff_t ck_largest(const float *x, size_t count) {
    ptrdiff_t place;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512dq")) return largest_avx512(x, count, &place), place;
    if (__builtin_cpu_supports("avx2")) return largest_avx2(x, count, &place), place;
#endif
    largest(x, count, &place);
    return place;
}

void ck_exponentials(const double *x, size_t count, double *out) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512dq")) return exponentials_avx512(x, count, out);
    if (__builtin_cpu_supports("avx2")) return exponentials_avx2(x, count, out);
#endif
    exponentials(x, count, out);
}
