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
#define PRODUCT_ADD(sum, weights, x) _mm512_dpbf16_ps((sum), (__m512bh)(weights), (__m512bh)(x))
#include "products_body.h"

static void product(const ck_product_job *job) {
    if (!product_of_few(job, 1)) product_as(job, 1);
}

const ck_products ck_products_avx512_bf16 = {2, arrange_pairs, product};

#pragma clang attribute pop
#endif
