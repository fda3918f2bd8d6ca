// The routines, written once in loops and vector types that clang cuts to an instruction set, and compiled once for
// each. The including file defines:
//   CC_TABLE          the table's name
//   CC_ADD(halves, sum)  adds sixteen half-precision values to sixteen floats
// and sets the target of the functions by `#pragma clang attribute`.

#include <string.h>

#include "ccodec.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, BLOCK = 16 };

typedef uint8_t Bytes __attribute__((ext_vector_type(LANES), aligned(1)));
typedef uint16_t Halves __attribute__((ext_vector_type(LANES)));
typedef uint32_t Words __attribute__((ext_vector_type(LANES)));
typedef float Floats __attribute__((ext_vector_type(LANES)));
typedef double Doubles __attribute__((ext_vector_type(LANES)));
typedef double Doubles_unaligned __attribute__((ext_vector_type(LANES), aligned(8)));

INLINE void spread(const uint8_t *restrict source, uint8_t *restrict target, size_t count, const size_t size) {
    for (size_t byte = 0; byte < size; byte++)
        for (size_t i = 0; i < count; i++) target[byte * count + i] = source[i * size + byte];
}

INLINE void spread_pairs(const uint8_t *restrict source, uint8_t *restrict low, uint8_t *restrict high, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, source + 2 * i, sizeof value);
        low[i] = (uint8_t)value;
        high[i] = (uint8_t)(value >> 8);
    }
}

INLINE void gather_pairs(const uint8_t *restrict low, const uint8_t *restrict high, uint8_t *restrict target, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint16_t value = (uint16_t)(low[i] | high[i] << 8);
        memcpy(target + 2 * i, &value, sizeof value);
    }
}

INLINE void gather(const uint8_t *restrict source, uint8_t *restrict target, size_t count, const size_t size) {
    for (size_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < size; byte++) target[i * size + byte] = source[byte * count + i];
}

static void shuffle(const uint8_t *source, uint8_t *target, size_t count, size_t element_size) {
    if (element_size == 2) spread_pairs(source, target, target + count, count);
    else if (element_size == 4) spread(source, target, count, 4);
    else spread(source, target, count, element_size);
}

static void unshuffle(const uint8_t *source, uint8_t *target, size_t count, size_t element_size) {
    if (element_size == 2) gather_pairs(source, source + count, target, count);
    else if (element_size == 4) gather(source, target, count, 4);
    else gather(source, target, count, element_size);
}

/// A block of N big-endian words w adds sum(w) to the first sum, and N times the first sum before it plus
/// sum((N - i) w_i) to the second. Both count modulo 65535,
/// where 65536 and its powers are 1.
static uint32_t fletcher32(const uint8_t *bytes, size_t count) {
    enum { N = 64 };
    uint64_t sum1 = 0, sum2 = 0;
    size_t words = count / 2, at = 0;
    for (; at + N <= words; at += N) {
        uint32_t plain = 0, weighted = 0;
        for (uint32_t i = 0; i < N; i++) {
            uint16_t word;
            memcpy(&word, bytes + 2 * (at + i), sizeof word);
            word = (uint16_t)(word >> 8 | word << 8);
            plain += word;
            weighted += word * (N - i);
        }
        sum2 += N * sum1 + weighted;
        sum1 += plain;
        sum1 = (sum1 & 0xffff) + (sum1 >> 16);
        sum2 = (sum2 & 0xffffffff) + (sum2 >> 32);
    }
    for (; at < words; at++) {
        sum1 += (uint32_t)bytes[2 * at] << 8 | bytes[2 * at + 1];
        sum2 += sum1;
    }
    if (count % 2) {
        sum1 += (uint32_t)bytes[count - 1] << 8;
        sum2 += sum1;
    }
    // HDF5 folds and never subtracts: what is not 0 but a multiple of 65535 stays 65535.
    uint32_t first = sum1 ? (uint32_t)((sum1 - 1) % 65535 + 1) : 0;
    uint32_t second = sum2 ? (uint32_t)((sum2 - 1) % 65535 + 1) : 0;
    return second << 16 | first;
}

INLINE void add_values(const uint8_t *low, const uint8_t *high, Floats *sum) {
    Halves bits = __builtin_convertvector(*(const Bytes *)low, Halves);
    bits |= __builtin_convertvector(*(const Bytes *)high, Halves) << 8;
    CC_ADD(bits, *sum);
}

/// Sums of `vectors` vectors of columns over at most BLOCK rows, added to `sums`.
INLINE void block(const uint8_t *low, const uint8_t *high, size_t rows, size_t stride, const int vectors,
                  size_t columns, double *sums) {
    Floats sum[4];
    for (int v = 0; v < vectors; v++) sum[v] = (Floats)0.0f;
    for (size_t r = 0; r < rows; r++, low += stride, high += stride)
        for (int v = 0; v < vectors; v++) add_values(low + v * LANES, high + v * LANES, sum + v);
    for (int v = 0; v < vectors; v++) {
        Doubles wide = __builtin_convertvector(sum[v], Doubles);
        if (columns >= LANES) {
            *(Doubles_unaligned *)(sums + v * LANES) += wide;
        } else {
            for (size_t i = 0; i < columns; i++) sums[i] += wide[i];
        }
    }
}

static void column_sums(const uint8_t *low, const uint8_t *high, size_t rows, size_t columns, size_t stride,
                        double *sums) {
    for (size_t row = 0; row < rows; row += BLOCK) {
        size_t some = rows - row < BLOCK ? rows - row : BLOCK, at = 0;
        const uint8_t *l = low + row * stride, *h = high + row * stride;
        for (; at + 4 * LANES <= columns; at += 4 * LANES) block(l + at, h + at, some, stride, 4, 4 * LANES, sums + at);
        for (; at + LANES <= columns; at += LANES) block(l + at, h + at, some, stride, 1, LANES, sums + at);
        if (at < columns) block(l + at, h + at, some, stride, 1, columns - at, sums + at);
    }
}

const ccodec_routines CC_TABLE = {shuffle, unshuffle, fletcher32, column_sums};
