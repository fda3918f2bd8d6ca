// Which kernels this processor runs. The probe asks the processor and the system (the compiler's run-time checks
// that the system saves the registers), so that no instruction runs that either lacks.
#include "kernels.h"

const ck_kernels *ck_kernels_for(ck_isa isa) {
    if (isa == CK_PORTABLE) return &ck_table_portable;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (isa == CK_AVX2) return avx2 ? &ck_table_avx2 : NULL;
    if (isa == CK_AVX512) return avx512 ? &ck_table_avx512 : NULL;
    if (isa == CK_AVX512_BF16) return avx512 && __builtin_cpu_supports("avx512bf16") ? &ck_table_avx512_bf16 : NULL;
#if defined(__linux__)
    if (isa == CK_AMX) return avx512 && ck_amx_runs() ? &ck_table_amx : NULL;
#endif
#endif
    return NULL;
}

const ck_kernels *ck_kernels_best(void) {
    const ck_kernels *kernels = ck_kernels_for(CK_AVX512);
    if (!kernels) kernels = ck_kernels_for(CK_AVX2);
    return kernels ? kernels : &ck_table_portable;
}
