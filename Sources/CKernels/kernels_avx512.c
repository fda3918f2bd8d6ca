// The kernels for x86-64 with AVX-512 F, BW, DQ and VL.
#include "kernels.h"

#if defined(__x86_64__)
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <float.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)

#define CK_WIDTH 16
#define CK_ROWS 8
#define CK_VECTORS 3
#define CK_FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#define CK_ISA CK_AVX512
#define CK_LABEL "avx512"
#define CK_TABLE ck_table_avx512

#include "kernels_body.h"

// The same kernels, but for the products of bfloat16.
const ck_kernels ck_table_avx512_bf16 = CK_TABLE_OF(CK_AVX512_BF16, "avx512_bf16", &ck_products_avx512_bf16);
#if defined(__linux__)
const ck_kernels ck_table_amx = CK_TABLE_OF(CK_AMX, "amx", &ck_products_amx);
#endif

#pragma clang attribute pop
#endif
