// The same body as Sources/CKernels/products_amx.c, on tiles that are arrays.
#include <float.h>
#include <math.h>
#include <string.h>

#include "AMXEmulation.h"

#define CK_WIDTH 4
#define CK_FMA(a, b, c) ((a) * (b) + (c))
#include "../../Sources/CKernels/vector_body.h"

static _Thread_local union {
    float sums[16][16];
    uint16_t numbers[16][32];
} tiles[8];

static float widen(uint16_t number) {
    const uint32_t bits = (uint32_t)number << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void tile_load(int t, const void *from, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy(tiles[t].numbers[row], (const char *)from + row * stride, 64);
}

static void tile_store(int t, void *to, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy((char *)to + row * stride, tiles[t].numbers[row], 64);
}

static void tile_multiply(int c, int a, int b) {
    for (int i = 0; i < 16; i++) {
        for (int p = 0; p < 16; p++) {
            for (int j = 0; j < 16; j++) {
                float sum = tiles[c].sums[i][j];
                for (int half = 0; half < 2; half++)
                    sum += widen(tiles[a].numbers[i][2 * p + half]) * widen(tiles[b].numbers[p][2 * j + half]);
                tiles[c].sums[i][j] = sum;
            }
        }
    }
}

#define TILE_START() memset(tiles, 0, sizeof tiles)
#define TILE_STOP()
#define TILE_ZERO(t) memset(&tiles[t], 0, sizeof tiles[t])
#define TILE_LOAD(t, from, stride) tile_load(t, from, stride)
#define TILE_STORE(t, to, stride) tile_store(t, to, stride)
#define TILE_MULTIPLY(c, a, b) tile_multiply(c, a, b)
#include "../../Sources/CKernels/products_amx_body.h"

static const ck_products products = {2, arrange_pairs, product_on_tiles};

const ck_products *emulated_amx_products(void) { return &products; }
