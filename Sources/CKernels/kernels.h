// The tables of kernels, one for each instruction set that this build knows.
#pragma once

#include "ckernels.h"

extern const ck_kernels ck_table_portable;
#if defined(__x86_64__)
extern const ck_kernels ck_table_avx2;
extern const ck_kernels ck_table_avx512;
#endif
