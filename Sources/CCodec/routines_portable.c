// The routines for any processor.
#include "routines.h"

#define CC_TABLE ccodec_table_portable
// Moving the bits into place leaves an exponent that is 112 too small, which an exact product by 2^112 mends,
// subnormals included. Infinities and NaN get the largest exponent back.
#define CC_ADD(halves, sum) \
    do { \
        Words wide = __builtin_convertvector(halves, Words), rest = wide & 0x7fff; \
        Words magnitude = (Words)((Floats)(rest << 13) * (Floats)0x1p112f); \
        magnitude |= (Words)(rest >= 0x7c00) & 0x7f800000; \
        sum += (Floats)(magnitude | (wide & 0x8000) << 16); \
    } while (0)

#include "routines_body.h"
