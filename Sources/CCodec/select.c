// Which routines this processor runs. The probe asks the processor and the system (the compiler's run-time checks that
// the system saves the registers), so that no instruction runs that either lacks.
#include "routines.h"

const ccodec_routines *ccodec_routines_for(ccodec_level level) {
    if (level == CCODEC_PORTABLE) return &ccodec_table_portable;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
    if (level == CCODEC_AVX2) return avx2 ? &ccodec_table_avx2 : NULL;
    if (level == CCODEC_AVX512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("avx512vbmi")
                   ? &ccodec_table_avx512
                   : NULL;
#endif
    return NULL;
}

const ccodec_routines *ccodec_routines_best(void) {
    const ccodec_routines *routines = ccodec_routines_for(CCODEC_AVX512);
    if (!routines) routines = ccodec_routines_for(CCODEC_AVX2);
    return routines ? routines : &ccodec_table_portable;
}
