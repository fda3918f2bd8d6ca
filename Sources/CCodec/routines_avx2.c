// The routines for x86-64 with AVX2 and F16C.
#include "routines.h"

#if defined(__x86_64__)
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)

#define CC_TABLE ccodec_table_avx2
typedef _Float16 Half16 __attribute__((ext_vector_type(16)));
#define CC_ADD(halves, sum) sum += __builtin_convertvector((Half16)(halves), Floats)

#include "routines_body.h"

#pragma clang attribute pop
#endif
