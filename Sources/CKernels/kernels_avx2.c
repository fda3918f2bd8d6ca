// The kernels for x86-64 with AVX2 and FMA.
#include "kernels.h"

#if defined(__x86_64__)
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <float.h>

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

#define CK_WIDTH 8
#define CK_ROWS 6
#define CK_VECTORS 2
#define CK_FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#define CK_ISA CK_AVX2
#define CK_LABEL "avx2"
#define CK_TABLE ck_table_avx2

#include "kernels_body.h"

#pragma clang attribute pop
#endif
