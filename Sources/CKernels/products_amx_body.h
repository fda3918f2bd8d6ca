// Products of bfloat16 on tiles of 16 rows of 64 bytes, as AMX has them. The including file defines TILE_START(),
// TILE_STOP(), and, with numbers of tiles from 0 to 7 that are written out:
//   TILE_ZERO(t)                  all numbers of tile t are 0
//   TILE_LOAD(t, from, stride)    16 rows of 64 bytes, `stride` bytes apart
//   TILE_STORE(t, to, stride)
//   TILE_MULTIPLY(c, a, b)        c[i][j] += sum over p of a[i][2p] b[p][2j] + a[i][2p + 1] b[p][2j + 1]
// so that the very same code runs on plain C where a test wants it.
//
// A tile of weights is 16 rows of the matrix where they lie; a tile of activations is 16 pairs of a column. Four tiles of
// sums, 32 outputs for 32 positions, are fed by two tiles of each.

enum { AMX_ROWS = 32, TILE_ROWS = 16 };

INLINE void product_tile(const int group, const char *weights, size_t weights_stride, const char *columns,
                         size_t column_bytes, size_t count, float *sums, size_t sums_stride, int more) {
    const size_t sums_bytes = sums_stride * sizeof(float);
    float *lower = sums + TILE_ROWS * sums_stride;
    if (more) {
        TILE_LOAD(0, sums, sums_bytes);
        TILE_LOAD(1, lower, sums_bytes);
    } else {
        TILE_ZERO(0);
        TILE_ZERO(1);
    }
    if (group > 1) {
        if (more) {
            TILE_LOAD(2, sums + CK_COLUMN, sums_bytes);
            TILE_LOAD(3, lower + CK_COLUMN, sums_bytes);
        } else {
            TILE_ZERO(2);
            TILE_ZERO(3);
        }
    }
    for (size_t i = 0; i < count; i += 32) {
        TILE_LOAD(4, weights + i * 2, weights_stride);
        TILE_LOAD(6, columns + i * CK_COLUMN * 2, 64);
        TILE_MULTIPLY(0, 4, 6);
        TILE_LOAD(5, weights + TILE_ROWS * weights_stride + i * 2, weights_stride);
        TILE_MULTIPLY(1, 5, 6);
        if (group > 1) {
            TILE_LOAD(7, columns + column_bytes + i * CK_COLUMN * 2, 64);
            TILE_MULTIPLY(2, 4, 7);
            TILE_MULTIPLY(3, 5, 7);
        }
    }
    TILE_STORE(0, sums, sums_bytes);
    TILE_STORE(1, lower, sums_bytes);
    if (group > 1) {
        TILE_STORE(2, sums + CK_COLUMN, sums_bytes);
        TILE_STORE(3, lower + CK_COLUMN, sums_bytes);
    }
}

#define PRODUCT_PAIRS 1
#define PRODUCT_ROWS AMX_ROWS
#define PRODUCT_COLUMNS 2
#include "products_body.h"

static void product_on_tiles(const ck_product_job *job) {
    TILE_START();
    product_as(job, 1);
    TILE_STOP();
}
