// Products of bfloat16 for x86-64 with AVX512_BF16: one instruction multiplies 32 pairs and adds them up in float32.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), \
                             apply_to = function)

#define CK_WIDTH 16
#define CK_FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#include "vector_body.h"

enum { ROWS = 8, COLUMNS = 3 };

INLINE void product_tile(const int group, const char *weights, size_t weights_stride, const char *columns,
                         size_t column_bytes, size_t count, float *sums, size_t sums_stride, int more) {
    __m512 sum[ROWS][COLUMNS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int c = 0; c < group; c++)
            sum[r][c] = more ? _mm512_loadu_ps(sums + r * sums_stride + c * CK_COLUMN) : _mm512_setzero_ps();
    }
    for (size_t i = 0; i < count; i += 2) {
        __m512bh inputs[COLUMNS];
        UNROLL for (int c = 0; c < group; c++)
            inputs[c] = (__m512bh)_mm512_loadu_si512(columns + c * column_bytes + i * CK_COLUMN * 2);
        UNROLL for (int r = 0; r < ROWS; r++) {
            int32_t pair;
            memcpy(&pair, weights + r * weights_stride + i * 2, sizeof pair);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            UNROLL for (int c = 0; c < group; c++) sum[r][c] = _mm512_dpbf16_ps(sum[r][c], x, inputs[c]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int c = 0; c < group; c++) _mm512_storeu_ps(sums + r * sums_stride + c * CK_COLUMN, sum[r][c]);
    }
}

#define PRODUCT_PAIRS 1
#define PRODUCT_ROWS ROWS
#define PRODUCT_COLUMNS 3
#include "products_body.h"

/// Sums of one row of activations, [outputs]: what a step through a key-value cache asks for. Memory bounds it, so the
/// weights are turned over on their way, in squares of 16 rows by 16 pairs, and no lane is idle. The same bits: each sum
/// adds the same pairs in the same order.
static void one_row_sums(const ck_product_job *job, const char *weights, float *sums) {
    enum { SQUARES = 2, HEIGHT = 16 * SQUARES, AHEAD = 256 };
    const size_t row_bytes = job->k * 2;
    for (size_t output = 0; output < job->outputs; output += HEIGHT) {
        const size_t rows = job->outputs - output < HEIGHT ? job->outputs - output : HEIGHT;
        __m512 sum[SQUARES] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        for (size_t i = 0; i < job->k; i += 32) {
            const char *from = weights + output * row_bytes + i * 2;
            size_t stride = row_bytes;
            char staged[HEIGHT][64];
            if (rows < HEIGHT || job->k - i < 32) {
                memset(staged, 0, sizeof staged);
                for (size_t r = 0; r < rows; r++)
                    memcpy(staged[r], from + r * row_bytes, job->k - i < 32 ? (job->k - i) * 2 : 64);
                from = staged[0];
                stride = 64;
            }
            U16 square[SQUARES][16];
            for (int s = 0; s < SQUARES; s++) {
                UNROLL for (int r = 0; r < 16; r++) {
                    const char *row = from + (s * 16 + r) * stride;
                    square[s][r] = *(const U16_unaligned *)row;
                    __builtin_prefetch(row + AHEAD, 0, 2);
                }
                turn_over(square[s]);
            }
            const char *pairs = (const char *)job->columns + i * CK_COLUMN * 2;
            UNROLL for (int j = 0; j < 16; j++) {
                int32_t pair;
                memcpy(&pair, pairs + j * CK_COLUMN * 4, sizeof pair);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                UNROLL for (int s = 0; s < SQUARES; s++)
                    sum[s] = _mm512_dpbf16_ps(sum[s], (__m512bh)square[s][j], x);
            }
        }
        UNROLL for (int s = 0; s < SQUARES; s++) _mm512_storeu_ps(sums + output + s * 16, sum[s]);
    }
}

static void product(const ck_product_job *job) {
    if (job->rows > 1 || job->type != CK_BFLOAT16) {
        product_as(job, 1);
        return;
    }
    float sums[CK_OUTPUTS], ups[CK_OUTPUTS];
    one_row_sums(job, job->weights, sums);
    if (job->up) {
        one_row_sums(job, job->up, ups);
        for (size_t i = 0; i < (job->outputs + 15) / 16 * 16; i += CK_WIDTH)
            store(sums + i, gated(load(sums + i), load(ups + i)));
    }
    for (size_t j = 0; j < job->outputs; j++) job->c[j] = job->add ? job->c[j] + sums[j] : sums[j];
}

const ck_products ck_products_avx512_bf16 = {2, arrange_pairs, product};

#pragma clang attribute pop
#endif
