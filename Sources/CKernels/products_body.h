// Products with weights that are used where they lie: rows of the checkpoint's file, mapped. Written once, included
// once for each way to multiply. The including file defines, after vector_body.h:
//   PRODUCT_PAIRS    1 where both sides are pairs of bfloat16, 0 where they are float32
//   PRODUCT_ROWS     rows of weights of a tile; divides CK_OUTPUTS
//   PRODUCT_COLUMNS  columns of activations of a tile, at most
//   product_tile(columns, weights, weights_stride, column, column_bytes, count, sums, sums_stride, more)
//                    sums[PRODUCT_ROWS][columns * CK_COLUMN] = (more ? themselves : 0) + weights times columns, over
//                    `count` numbers (a multiple of 32 for pairs)
//   PRODUCT_ADD(sum, weights, x)
//                    sixteen sums, each with a weight (or pair) times x added, as the tile adds it; without it there is
//                    no `product_of_few`
//
// The roles are swapped against `multiply`: the weights' rows are read number by number, the activations lie in vectors.
// So the weights need no packing. What comes out is turned over at the end, once for all of k.

#include "ckernels.h"

// Wide vectors are arguments of functions that are always inlined alone, where no calling convention matters.
#pragma clang diagnostic ignored "-Wpsabi"

enum {
    /// Bytes of a row of weights that are worked on at a time, so that a tile's columns stay in the first-level cache.
    PRODUCT_BLOCK_BYTES = CK_PRODUCT_BLOCK,
    PRODUCT_NUMBER = PRODUCT_PAIRS ? 2 : 4,
    PRODUCT_BLOCK = PRODUCT_BLOCK_BYTES / PRODUCT_NUMBER
};

typedef float F16 __attribute__((ext_vector_type(16)));
typedef uint32_t U16 __attribute__((ext_vector_type(16)));
typedef int32_t I16 __attribute__((ext_vector_type(16)));
typedef uint16_t H16_unaligned __attribute__((ext_vector_type(16), aligned(2)));
typedef float F16_unaligned __attribute__((ext_vector_type(16), aligned(4)));
typedef uint32_t U16_unaligned __attribute__((ext_vector_type(16), aligned(4)));

/// Rounds to bfloat16, the nearest one, the even one of two; a NaN stays one.
INLINE U16 round_brain(F16 x) {
    const U16 bits = (U16)x, nan = (U16)(x != x);
    const U16 rounded = (bits + (U16)0x7fff + ((bits >> 16) & (U16)1)) >> 16;
    return (nan & (bits >> 16 | (U16)0x40)) | (~nan & rounded);
}

/// Turns a square over: first the quarters of rows four apart, whole, then numbers within a quarter, for which processors
/// have cheap instructions.
INLINE void turn_over(U16 *rows) {
    U16 quarters[4][4]; // [quarter][row modulo 4], of all four such rows
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define LOWER_HALVES(a, b) SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define UPPER_HALVES(a, b) SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define EVEN_QUARTERS(a, b) SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#define LOW_NUMBERS(a, b) SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_NUMBERS(a, b) SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW_PAIRS(a, b) SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_PAIRS(a, b) SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
    UNROLL for (int i = 0; i < 4; i++) {
        const U16 first = LOWER_HALVES(rows[i], rows[i + 4]), second = LOWER_HALVES(rows[i + 8], rows[i + 12]);
        const U16 third = UPPER_HALVES(rows[i], rows[i + 4]), fourth = UPPER_HALVES(rows[i + 8], rows[i + 12]);
        quarters[0][i] = EVEN_QUARTERS(first, second);
        quarters[1][i] = ODD_QUARTERS(first, second);
        quarters[2][i] = EVEN_QUARTERS(third, fourth);
        quarters[3][i] = ODD_QUARTERS(third, fourth);
    }
    UNROLL for (int q = 0; q < 4; q++) {
        const U16 *from = quarters[q];
        const U16 first = LOW_NUMBERS(from[0], from[1]), second = LOW_NUMBERS(from[2], from[3]);
        const U16 third = HIGH_NUMBERS(from[0], from[1]), fourth = HIGH_NUMBERS(from[2], from[3]);
        rows[4 * q] = LOW_PAIRS(first, second);
        rows[4 * q + 1] = HIGH_PAIRS(first, second);
        rows[4 * q + 2] = LOW_PAIRS(third, fourth);
        rows[4 * q + 3] = HIGH_PAIRS(third, fourth);
    }
#undef SHUFFLE
#undef LOWER_HALVES
#undef UPPER_HALVES
#undef EVEN_QUARTERS
#undef ODD_QUARTERS
#undef LOW_NUMBERS
#undef HIGH_NUMBERS
#undef LOW_PAIRS
#undef HIGH_PAIRS
}

/// `count` numbers from `from`, zeros behind them.
INLINE F16 load_some(const float *from, size_t count) {
    if (count >= 16) return *(const F16_unaligned *)from;
    float some[16] = {0};
    memcpy(some, from, count * sizeof *some);
    return *(const F16_unaligned *)some;
}

#if PRODUCT_PAIRS
/// Numbers as pairs of bfloat16.
INLINE U16 pair_up(F16 low, F16 high) {
    const U16 a = round_brain(low), b = round_brain(high);
    const U16 even =
        __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const U16 odd =
        __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return even | odd << 16;
}

/// CK_COLUMN rows, or fewer, of activations: [k / 2][CK_COLUMN][2], zeros beyond the rows and up to a multiple of 32.
static void arrange_pairs(const float *a, size_t a_stride, size_t rows, size_t k, void *column) {
    uint32_t *out = column;
    for (size_t i = 0; i < k; i += 32, out += 16 * CK_COLUMN) {
        U16 square[16];
        const size_t some = k - i, more = some > 16 ? some - 16 : 0;
        for (size_t r = 0; r < 16; r++) {
            square[r] = (U16)0;
            if (r >= rows) continue;
            const float *from = a + r * a_stride + i;
            square[r] = pair_up(load_some(from, some), more ? load_some(from + 16, more) : (F16)0.0f);
        }
        turn_over(square);
        for (size_t j = 0; j < 16; j++) *(U16_unaligned *)(out + j * CK_COLUMN) = square[j];
    }
}
#else
/// CK_COLUMN rows, or fewer, of activations: [k][CK_COLUMN], zeros beyond the rows.
INLINE void arrange_floats(const int rounds, const float *a, size_t a_stride, size_t rows, size_t k, float *column) {
    for (size_t i = 0; i < k; i += 16) {
        U16 square[16];
        for (size_t r = 0; r < 16; r++) {
            const F16 x = r < rows ? load_some(a + r * a_stride + i, k - i) : (F16)0.0f;
            square[r] = rounds ? round_brain(x) << 16 : (U16)x;
        }
        turn_over(square);
        for (size_t j = 0; j < 16; j++) *(U16_unaligned *)(column + (i + j) * CK_COLUMN) = square[j];
    }
}
#endif

/// A block of weights in the numbers that the tile multiplies, zeros beyond the rows that there are and up to a multiple
/// of 32. With `rounds` they are bfloat16, also where the tile multiplies float32.
static void stage(const char *from, ck_type type, size_t k, size_t rows, size_t count, int rounds, char *out) {
    const size_t size = type == CK_FLOAT32 ? 4 : 2;
    memset(out, 0, PRODUCT_ROWS * PRODUCT_BLOCK_BYTES);
    for (size_t r = 0; r < rows; r++, from += k * size, out += PRODUCT_BLOCK_BYTES) {
#if PRODUCT_PAIRS
        (void)rounds;
        if (type == CK_BFLOAT16) {
            memcpy(out, from, count * 2);
            continue;
        }
        float wide[PRODUCT_BLOCK + 32] = {0};
        ck_widen(from, type, count, wide);
        for (size_t i = 0; i < count; i += 32)
            *(U16_unaligned *)(out + 2 * i) = pair_up(load_some(wide + i, 16), load_some(wide + i + 16, 16));
#else
        size_t i = 0;
        if (type == CK_BFLOAT16)
            for (; i + CK_WIDTH <= count; i += CK_WIDTH) store((float *)out + i, load_weights(1, from, i));
        ck_widen(from + i * size, type, count - i, (float *)out + i);
        if (!rounds || type == CK_BFLOAT16) continue;
        for (float *x = (float *)out; x < (float *)out + count; x += 16)
            *(U16_unaligned *)x = round_brain(*(const F16_unaligned *)x) << 16;
#endif
    }
}

/// Sums of all outputs and rows, [outputs][columns * CK_COLUMN].
static void product_sums(const ck_product_job *job, const char *weights, int rounds, float *sums, char *staged) {
    const size_t size = job->type == CK_FLOAT32 ? 4 : 2, k = job->k;
    const size_t columns = (job->rows + CK_COLUMN - 1) / CK_COLUMN, sums_stride = columns * CK_COLUMN;
    const size_t tiles = (job->outputs + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    const size_t column_bytes = ck_column_bytes(k, PRODUCT_NUMBER);
    for (size_t first = 0; first < k; first += PRODUCT_BLOCK) {
        const size_t count = k - first < PRODUCT_BLOCK ? k - first : PRODUCT_BLOCK;
        const size_t whole = PRODUCT_PAIRS ? (count + 31) / 32 * 32 : count;
        const int in_place = PRODUCT_PAIRS && job->type == CK_BFLOAT16 && count == whole;
        const char *source[CK_OUTPUTS / PRODUCT_ROWS];
        size_t stride[CK_OUTPUTS / PRODUCT_ROWS];
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = t * PRODUCT_ROWS, rows = job->outputs - row;
            const char *from = weights + (row * k + first) * size;
            source[t] = from;
            stride[t] = k * size;
            if (in_place && rows >= PRODUCT_ROWS) continue;
            source[t] = staged + row * PRODUCT_BLOCK_BYTES;
            stride[t] = PRODUCT_BLOCK_BYTES;
            stage(from, job->type, k, rows < PRODUCT_ROWS ? rows : PRODUCT_ROWS, count, rounds,
                  staged + row * PRODUCT_BLOCK_BYTES);
        }
        for (size_t column = 0, group; column < columns; column += group) {
            const size_t left = columns - column;
            // A single column left over keeps a tile's registers busy badly, two pairs do not.
            group = left == PRODUCT_COLUMNS + 1 && PRODUCT_COLUMNS > 2 ? PRODUCT_COLUMNS - 1
                    : left < PRODUCT_COLUMNS                           ? left
                                                                       : PRODUCT_COLUMNS;
            const char *from = (const char *)job->columns + column * column_bytes + first * CK_COLUMN * PRODUCT_NUMBER;
            for (size_t t = 0; t < tiles; t++) {
                if (column == 0 && first + count < k) {
                    const size_t row = t * PRODUCT_ROWS;
                    for (size_t r = 0; r < PRODUCT_ROWS && row + r < job->outputs; r++)
                        for (size_t byte = 0; byte < PRODUCT_BLOCK * size; byte += 64)
                            __builtin_prefetch(weights + ((row + r) * k + first + count) * size + byte, 0, 2);
                }
                float *out = sums + t * PRODUCT_ROWS * sums_stride + column * CK_COLUMN;
#define GROUP(n) \
    case n: \
        product_tile(n, source[t], stride[t], from, column_bytes, whole, out, sums_stride, first > 0); \
        break;
                switch (group) {
                    GROUP(1)
#if PRODUCT_COLUMNS > 1
                    GROUP(2)
#endif
#if PRODUCT_COLUMNS > 2
                    GROUP(3)
#endif
                }
#undef GROUP
            }
        }
    }
}

/// A square of sums, turned over: [row][output].
INLINE void take_square(const float *sums, size_t sums_stride, float *out) {
    U16 square[16];
    for (size_t o = 0; o < 16; o++) square[o] = *(const U16_unaligned *)(sums + o * sums_stride);
    turn_over(square);
    for (size_t r = 0; r < 16; r++) *(U16_unaligned *)(out + r * 16) = square[r];
}

static void product_as(const ck_product_job *job, int rounds) {
    const size_t columns = (job->rows + CK_COLUMN - 1) / CK_COLUMN, sums_stride = columns * CK_COLUMN;
    float *sums = job->scratch, *ups = sums + CK_OUTPUTS * sums_stride;
    char *staged = (char *)(ups + CK_OUTPUTS * sums_stride);
    product_sums(job, job->weights, rounds, sums, staged);
    if (job->up) product_sums(job, job->up, rounds, ups, staged);
    for (size_t row = 0; row < job->rows; row += CK_COLUMN) {
        for (size_t output = 0; output < job->outputs; output += 16) {
            float square[256], second[256];
            take_square(sums + output * sums_stride + row, sums_stride, square);
            if (job->up) {
                take_square(ups + output * sums_stride + row, sums_stride, second);
                for (size_t i = 0; i < 256; i += CK_WIDTH)
                    store(square + i, gated(load(square + i), load(second + i)));
            }
            const size_t rows = job->rows - row < 16 ? job->rows - row : 16;
            const size_t outputs = job->outputs - output < 16 ? job->outputs - output : 16;
            for (size_t r = 0; r < rows; r++) {
                float *to = job->c + (row + r) * job->c_stride + output;
                const float *from = square + r * 16;
                for (size_t j = 0; j < outputs; j++) to[j] = job->add ? to[j] + from[j] : from[j];
            }
        }
    }
}

#ifdef PRODUCT_ADD
/// The most rows of activations that `product_of_few` takes.
enum { PRODUCT_FEW = 4 };

/// Sixteen numbers (or pairs) of each of sixteen rows of weights, `stride` bytes apart, turned over.
INLINE void load_square(const ck_type type, const char *from, size_t stride, int rounds, U16 *square) {
    enum { AHEAD = 512 };
    UNROLL for (size_t r = 0; r < 16; r++, from += stride) {
        // The processor does not see sixteen rows coming.
        __builtin_prefetch(from + AHEAD, 0, 2);
#if PRODUCT_PAIRS
        square[r] = *(const U16_unaligned *)from;
#else
        if (type == CK_BFLOAT16) {
            square[r] = __builtin_convertvector(*(const H16_unaligned *)from, U16) << 16;
            continue;
        }
        square[r] = *(const U16_unaligned *)from;
        if (rounds) square[r] = round_brain((F16)square[r]) << 16;
#endif
    }
    (void)type, (void)rounds;
    turn_over(square);
}

/// Sums of a few rows of activations, [rows][outputs]: what a step through a key-value cache asks for. Memory bounds it,
/// so the weights are turned over on their way, and no lane is idle. The same bits as of many rows: each sum adds the
/// same numbers in the same order. One square at a time, since two leave too few registers to turn over in.
INLINE void few_sums(const int rows, const ck_type type, const ck_product_job *job, const char *weights, int rounds,
                     float *sums) {
    enum { HEIGHT = 16, STEP = PRODUCT_PAIRS ? 32 : 16 };
    const size_t size = type == CK_FLOAT32 ? 4 : 2, k = job->k;
    for (size_t output = 0; output < job->outputs; output += HEIGHT) {
        const size_t some = job->outputs - output < HEIGHT ? job->outputs - output : HEIGHT;
        F16 sum[PRODUCT_FEW];
        UNROLL for (int r = 0; r < rows; r++) sum[r] = (F16)0.0f;
        for (size_t i = 0; i < k; i += STEP) {
            const size_t count = k - i < STEP ? k - i : STEP;
            const char *from = weights + (output * k + i) * size;
            const char *x = (const char *)job->columns + i * CK_COLUMN * PRODUCT_NUMBER;
            U16 square[16];
            if (some == HEIGHT && count == STEP) {
                load_square(type, from, k * size, rounds, square);
            } else {
                char staged[HEIGHT][64] = {{0}};
                for (size_t r = 0; r < some; r++) memcpy(staged[r], from + r * k * size, count * size);
                load_square(type, staged[0], sizeof staged[0], rounds, square);
            }
            // A tile ends its pairs at a multiple of 32 numbers, its numbers at the last one.
            const size_t last = PRODUCT_PAIRS ? 16 : count;
#define ADD(j) \
    UNROLL for (int r = 0; r < rows; r++) { \
        uint32_t one; \
        memcpy(&one, x + ((j) * CK_COLUMN + r) * 4, sizeof one); \
        sum[r] = (F16)PRODUCT_ADD(sum[r], (F16)square[j], (F16)(U16)one); \
    }
            if (last == 16) {
                UNROLL for (size_t j = 0; j < 16; j++) ADD(j)
            } else {
                for (size_t j = 0; j < last; j++) ADD(j)
            }
#undef ADD
        }
        UNROLL for (int r = 0; r < rows; r++) *(F16_unaligned *)(sums + r * CK_OUTPUTS + output) = sum[r];
    }
}

/// `few_sums` for a number of rows and a type known only now; 0 where it does not take them.
static int few_sums_of(const ck_product_job *job, const char *weights, int rounds, float *sums) {
#define ROWS_OF(type) \
    switch (job->rows) { \
        case 1: few_sums(1, type, job, weights, rounds, sums); return 1; \
        case 2: few_sums(2, type, job, weights, rounds, sums); return 1; \
        case 3: few_sums(3, type, job, weights, rounds, sums); return 1; \
        case 4: few_sums(4, type, job, weights, rounds, sums); return 1; \
        default: return 0; \
    }
    if (job->type == CK_BFLOAT16) ROWS_OF(CK_BFLOAT16)
#if !PRODUCT_PAIRS
    if (job->type == CK_FLOAT32) ROWS_OF(CK_FLOAT32)
#endif
#undef ROWS_OF
    return 0;
}

/// A product with a few rows of activations; 0 where it is left to `product_as`.
static int product_of_few(const ck_product_job *job, int rounds) {
    float sums[PRODUCT_FEW * CK_OUTPUTS], ups[PRODUCT_FEW * CK_OUTPUTS];
    if (!few_sums_of(job, job->weights, rounds, sums)) return 0;
    if (job->up) few_sums_of(job, job->up, rounds, ups);
    for (size_t row = 0; row < job->rows; row++) {
        float *from = sums + row * CK_OUTPUTS, *to = job->c + row * job->c_stride;
        if (job->up)
            for (size_t i = 0; i < (job->outputs + 15) / 16 * 16; i += CK_WIDTH)
                store(from + i, gated(load(from + i), load(ups + row * CK_OUTPUTS + i)));
        for (size_t j = 0; j < job->outputs; j++) to[j] = job->add ? to[j] + from[j] : from[j];
    }
    return 1;
}
#endif
