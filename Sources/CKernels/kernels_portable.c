// The kernels for any processor: vectors of four floats, which clang maps to SSE2, NEON or plain code.
#include "kernels.h"

#define CK_WIDTH 4
#define CK_ROWS 4
#define CK_VECTORS 2
// A fused multiply-add that the processor may lack would be a library call.
#define CK_FMA(a, b, c) ((a) * (b) + (c))
#define CK_ISA CK_PORTABLE
#define CK_LABEL "portable"
#define CK_TABLE ck_table_portable

#include "kernels_body.h"
