// The tables of kernels, one for each instruction set that this build knows.
#pragma once

#include "ckernels.h"

extern const ck_kernels ck_table_portable;
#if defined(__x86_64__)
extern const ck_kernels ck_table_avx2;
extern const ck_kernels ck_table_avx512;
extern const ck_kernels ck_table_avx512_bf16;
extern const ck_products ck_products_avx512_bf16;
#if defined(__linux__)
extern const ck_kernels ck_table_amx;
extern const ck_products ck_products_amx;

/// Whether AMX is there and usable. The first call asks for the system's leave, and tries.
int ck_amx_runs(void);
#endif
#endif
