// The tables of routines, one for each instruction set that this build knows.
#pragma once

#include "ccodec.h"

extern const ccodec_routines ccodec_table_portable;
#if defined(__x86_64__)
extern const ccodec_routines ccodec_table_avx2;
extern const ccodec_routines ccodec_table_avx512;
#endif
