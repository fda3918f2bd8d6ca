// The kernels, written once with clang's vector types and compiled once for each instruction set. The including
// file defines:
//   CK_WIDTH    floats in a vector
//   CK_ROWS     rows of a tile: CK_ROWS x CK_VECTORS accumulators, CK_VECTORS + 1 more registers
//   CK_VECTORS  vectors of a tile's row; divides CK_PANEL / CK_WIDTH
//   CK_FMA(a, b, c)  a * b + c
//   CK_ISA, CK_LABEL, CK_TABLE  the table's fields and its name
// and sets the target of the functions by `#pragma clang attribute`.

#include <string.h>

#include "vector_body.h"

/// c[rows, vectors * CK_WIDTH] = a times b, b having `b_stride` numbers a row.
INLINE void tile(const int rows, const int vectors, const int brain, const float *a, size_t a_stride,
                 const void *b, size_t b_stride, size_t k, float *c, size_t c_stride, const int add) {
    V sum[CK_ROWS][CK_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (V)0.0f;
    }
    for (size_t i = 0; i < k; i++) {
        V weights[CK_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) weights[v] = load_weights(brain, b, i * b_stride + v * CK_WIDTH);
        UNROLL for (int r = 0; r < rows; r++) {
            V x = (V)a[r * a_stride + i];
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = CK_FMA(x, weights[v], sum[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            float *p = c + r * c_stride + v * CK_WIDTH;
            store(p, add ? load(p) + sum[r][v] : sum[r][v]);
        }
    }
}

/// `tile` for a number of rows known only now.
INLINE void tile_rows(size_t rows, const int vectors, const int brain, const float *a, size_t a_stride,
                      const void *b, size_t b_stride, size_t k, float *c, size_t c_stride, const int add) {
#define CASE(n) \
    case n: tile(n, vectors, brain, a, a_stride, b, b_stride, k, c, c_stride, add); break;
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
#if CK_ROWS > 4
        CASE(5)
        CASE(6)
#endif
#if CK_ROWS > 6
        CASE(7)
        CASE(8)
#endif
    }
#undef CASE
}

/// Up to CK_ROWS rows of a times a whole panel.
INLINE void panel_rows(size_t rows, const int brain, const float *a, size_t a_stride, const void *panel, size_t k,
                       float *c, size_t c_stride, const int add) {
    const size_t bytes = brain ? 2 : 4;
    for (size_t at = 0; at < CK_PANEL; at += CK_VECTORS * CK_WIDTH)
        tile_rows(rows, CK_VECTORS, brain, a, a_stride, (const char *)panel + at * bytes, CK_PANEL, k, c + at,
                  c_stride, add);
}

INLINE void multiply_as(const int brain, const float *a, size_t a_stride, const void *panel, size_t k, float *c,
                        size_t c_stride, size_t rows, size_t columns, const int add) {
    for (size_t row = 0; row < rows; row += CK_ROWS) {
        size_t some = rows - row < CK_ROWS ? rows - row : CK_ROWS;
        if (columns == CK_PANEL) {
            panel_rows(some, brain, a + row * a_stride, a_stride, panel, k, c + row * c_stride, c_stride, add);
            continue;
        }
        float whole[CK_ROWS * CK_PANEL];
        panel_rows(some, brain, a + row * a_stride, a_stride, panel, k, whole, CK_PANEL, 0);
        for (size_t r = 0; r < some; r++) {
            float *out = c + (row + r) * c_stride;
            for (size_t j = 0; j < columns; j++) out[j] = (add ? out[j] : 0.0f) + whole[r * CK_PANEL + j];
        }
    }
}

static void multiply(const float *a, size_t a_stride, const void *panel, ck_type type, size_t k, float *c,
                     size_t c_stride, size_t rows, size_t columns, int add) {
    if (type == CK_BFLOAT16) {
        if (add) multiply_as(1, a, a_stride, panel, k, c, c_stride, rows, columns, 1);
        else multiply_as(1, a, a_stride, panel, k, c, c_stride, rows, columns, 0);
    } else {
        if (add) multiply_as(0, a, a_stride, panel, k, c, c_stride, rows, columns, 1);
        else multiply_as(0, a, a_stride, panel, k, c, c_stride, rows, columns, 0);
    }
}

INLINE void swiglu_as(const int brain, const float *a, size_t a_stride, const void *gate, const void *up, size_t k,
                      float *c, size_t c_stride, size_t rows, size_t columns) {
    float g[CK_ROWS * CK_PANEL], u[CK_ROWS * CK_PANEL];
    for (size_t row = 0; row < rows; row += CK_ROWS) {
        size_t some = rows - row < CK_ROWS ? rows - row : CK_ROWS;
        panel_rows(some, brain, a + row * a_stride, a_stride, gate, k, g, CK_PANEL, 0);
        panel_rows(some, brain, a + row * a_stride, a_stride, up, k, u, CK_PANEL, 0);
        for (size_t r = 0; r < some; r++) {
            float *out = c + (row + r) * c_stride;
            for (size_t j = 0; j < CK_PANEL; j += CK_WIDTH) {
                V y = gated(load(g + r * CK_PANEL + j), load(u + r * CK_PANEL + j));
                if (j + CK_WIDTH <= columns) {
                    store(out + j, y);
                } else {
                    float lanes[CK_WIDTH];
                    store(lanes, y);
                    for (size_t i = 0; j + i < columns && i < CK_WIDTH; i++) out[j + i] = lanes[i];
                }
            }
        }
    }
}

static void swiglu(const float *a, size_t a_stride, const void *gate, const void *up, ck_type type, size_t k,
                   float *c, size_t c_stride, size_t rows, size_t columns) {
    if (type == CK_BFLOAT16) swiglu_as(1, a, a_stride, gate, up, k, c, c_stride, rows, columns);
    else swiglu_as(0, a, a_stride, gate, up, k, c, c_stride, rows, columns);
}

/// Turns a row of raw scores, `padded` long, into exponentials of scale * score - max, 0 from `visible` on.
/// Returns what to divide them by, and the log of the sum.
INLINE float soften(float *row, size_t visible, size_t padded, float scale, float *log_sum_exp) {
    for (size_t i = visible; i < padded; i++) row[i] = -INFINITY;
    V high = (V)-INFINITY;
    for (size_t i = 0; i < padded; i += CK_WIDTH) {
        V x = load(row + i) * (V)scale;
        store(row + i, x);
        high = __builtin_elementwise_max(high, x);
    }
    float lanes[CK_WIDTH], max = -INFINITY;
    store(lanes, high);
    for (int i = 0; i < CK_WIDTH; i++) max = lanes[i] > max ? lanes[i] : max;
    V sum = (V)0.0f;
    for (size_t i = 0; i < padded; i += CK_WIDTH) {
        V y = exponential(load(row + i) - (V)max);
        store(row + i, y);
        sum += y;
    }
    float total = sum_lanes(sum);
    *log_sum_exp = max + logf(total);
    return total;
}

INLINE int is_suppressed(uint8_t how, size_t key, size_t own) {
    return how == CK_SUPPRESSED || (how == CK_SUPPRESSED_FOR_OTHERS && key != own);
}

/// Takes suppressed keys out of a row of scores, unless none would be left; `own` is the row's position.
INLINE void suppress(float *scores, const uint8_t *how, size_t visible, size_t own) {
    size_t key = 0;
    while (key < visible && is_suppressed(how[key], key, own)) key++;
    if (key == visible) return;
    for (key = 0; key < visible; key++)
        if (is_suppressed(how[key], key, own)) scores[key] = -INFINITY;
}

static void attention(const ck_attention_job *job) {
    const size_t stride = (job->keys + CK_PANEL - 1) / CK_PANEL * CK_PANEL;
    for (size_t row = 0; row < job->rows; row += CK_ROWS) {
        size_t some = job->rows - row < CK_ROWS ? job->rows - row : CK_ROWS;
        // What the last of these rows sees; the others' further keys are set to 0.
        size_t seen = job->visible + (row + some - 1) * job->visible_step;
        size_t panels = (seen + CK_PANEL - 1) / CK_PANEL;
        size_t padded = panels * CK_PANEL;
        float *scores = job->scratch;
        for (size_t p = 0; p < panels; p++)
            panel_rows(some, 0, job->query + row * job->query_stride, job->query_stride,
                       job->key_panels + p * job->channels * CK_PANEL, job->channels, scores + p * CK_PANEL, stride,
                       0);
        for (size_t r = 0; r < some; r++) {
            float *from = scores + r * stride;
            size_t visible = job->visible + (row + r) * job->visible_step;
            if (job->suppressed) suppress(from, job->suppressed, visible, job->position + row + r);
            float total = soften(from, visible, padded, job->scale, job->log_sum_exp + row + r);
            V factor = (V)(1.0f / total);
            for (size_t i = 0; i < padded; i += CK_WIDTH) store(from + i, load(from + i) * factor);
            if (job->weights) {
                float *out = job->weights + (row + r) * job->keys;
                memcpy(out, from, visible * sizeof(float));
                memset(out + visible, 0, (job->keys - visible) * sizeof(float));
            }
        }
        if (!job->output) continue;
        size_t at = 0;
        float *out = job->output + row * job->output_stride;
        for (; at + 2 * CK_WIDTH <= job->channels; at += 2 * CK_WIDTH)
            tile_rows(some, 2, 0, scores, stride, job->value + at, job->value_stride, seen, out + at,
                      job->output_stride, 0);
        for (; at < job->channels; at += CK_WIDTH) {
            if (at + CK_WIDTH <= job->channels) {
                tile_rows(some, 1, 0, scores, stride, job->value + at, job->value_stride, seen, out + at,
                          job->output_stride, 0);
                continue;
            }
            float whole[CK_ROWS * CK_WIDTH];
            tile_rows(some, 1, 0, scores, stride, job->value + at, job->value_stride, seen, whole, CK_WIDTH, 0);
            for (size_t r = 0; r < some; r++)
                for (size_t j = 0; at + j < job->channels; j++)
                    out[r * job->output_stride + at + j] = whole[r * CK_WIDTH + j];
        }
    }
}

/// Adds the columns of at most CK_ROWS rows, in single precision among themselves, to sums in double.
INLINE void add_columns(const float *rows, size_t stride, size_t count, size_t keys, double *sums) {
    for (size_t i = 0; i < keys; i += CK_WIDTH) {
        V sum = load(rows + i);
        for (size_t r = 1; r < count; r++) sum += load(rows + r * stride + i);
        if (i + CK_WIDTH <= keys) {
            *(D_unaligned *)(sums + i) += __builtin_convertvector(sum, D_unaligned);
            continue;
        }
        float lanes[CK_WIDTH];
        store(lanes, sum);
        for (size_t j = 0; i + j < keys; j++) sums[i + j] += lanes[j];
    }
}

static void rebuild(const ck_rebuild_job *job) {
    const size_t stride = (job->keys + CK_PANEL - 1) / CK_PANEL * CK_PANEL;
    for (size_t row = 0; row < job->rows; row += CK_ROWS) {
        size_t some = job->rows - row < CK_ROWS ? job->rows - row : CK_ROWS, seen = 0;
        for (size_t r = 0; r < some; r++) seen = job->visible[row + r] > seen ? job->visible[row + r] : seen;
        size_t panels = (seen + CK_PANEL - 1) / CK_PANEL, padded = panels * CK_PANEL;
        float *scores = job->scratch;
        for (size_t p = 0; p < panels; p++)
            panel_rows(some, 0, job->query + row * job->channels, job->channels,
                       job->key_panels + p * job->channels * CK_PANEL, job->channels, scores + p * CK_PANEL, stride,
                       0);
        for (size_t r = 0; r < some; r++) {
            float *from = scores + r * stride, log_sum_exp;
            size_t visible = job->visible[row + r];
            if (job->suppressed)
                suppress(from, job->suppressed, visible, job->positions ? job->positions[row + r] : job->keys);
            V factor = (V)(1.0f / soften(from, visible, padded, job->scale, &log_sum_exp));
            for (size_t i = 0; i < padded; i += CK_WIDTH) store(from + i, load(from + i) * factor);
            if (!job->weights) continue;
            float *out = job->weights + (row + r) * job->keys;
            memcpy(out, from, visible * sizeof(float));
            memset(out + visible, 0, (job->keys - visible) * sizeof(float));
        }
        // Beyond what a row sees its weights are 0, up to the last panel that any of them sees.
        if (job->sums) add_columns(scores, stride, some, seen, job->sums);
    }
}

static void rms_norm(const float *x, size_t x_stride, const float *weight, float epsilon, size_t width, float *out,
                     size_t out_stride, size_t rows) {
    for (size_t r = 0; r < rows; r++, x += x_stride, out += out_stride) {
        V squares[2] = {(V)0.0f, (V)0.0f};
        size_t i = 0;
        for (; i + 2 * CK_WIDTH <= width; i += 2 * CK_WIDTH) {
            V p = load(x + i), q = load(x + i + CK_WIDTH);
            squares[0] = CK_FMA(p, p, squares[0]);
            squares[1] = CK_FMA(q, q, squares[1]);
        }
        float sum = sum_lanes(squares[0] + squares[1]);
        for (; i < width; i++) sum += x[i] * x[i];
        float factor = 1.0f / sqrtf(sum / (float)width + epsilon);
        i = 0;
        for (; i + CK_WIDTH <= width; i += CK_WIDTH)
            store(out + i, load(x + i) * (V)factor * load(weight + i));
        for (; i < width; i++) out[i] = x[i] * factor * weight[i];
    }
}

static void rotate(float *x, size_t x_stride, const float *cosine, const float *sine, size_t channels,
                   size_t rows) {
    const size_t half = channels / 2;
    for (size_t r = 0; r < rows; r++, x += x_stride, cosine += half, sine += half) {
        size_t i = 0;
        for (; i + CK_WIDTH <= half; i += CK_WIDTH) {
            V a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i);
            store(x + i, a * c - b * s);
            store(x + half + i, b * c + a * s);
        }
        for (; i < half; i++) {
            float a = x[i], b = x[half + i];
            x[i] = a * cosine[i] - b * sine[i];
            x[half + i] = b * cosine[i] + a * sine[i];
        }
    }
}

/// Up to CK_VECTORS vectors of a tile of the products below.
INLINE void product_vectors(const int vectors, const int first, const char *weights, size_t weights_stride,
                            const char *columns, size_t column_bytes, size_t count, float *sums, size_t sums_stride,
                            int more) {
    V sum[CK_ROWS][CK_VECTORS];
    const float *from[CK_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) {
        const int lane = (first + v) * CK_WIDTH;
        from[v] = (const float *)(columns + lane / CK_COLUMN * column_bytes) + lane % CK_COLUMN;
    }
    UNROLL for (int r = 0; r < CK_ROWS; r++) {
        UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = more ? load(sums + r * sums_stride + (first + v) * CK_WIDTH) : (V)0.0f;
    }
    for (size_t i = 0; i < count; i++) {
        V inputs[CK_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) inputs[v] = load(from[v] + i * CK_COLUMN);
        UNROLL for (int r = 0; r < CK_ROWS; r++) {
            V x = (V)((const float *)(weights + r * weights_stride))[i];
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = CK_FMA(x, inputs[v], sum[r][v]);
        }
    }
    UNROLL for (int r = 0; r < CK_ROWS; r++) {
        UNROLL for (int v = 0; v < vectors; v++)
            store(sums + r * sums_stride + (first + v) * CK_WIDTH, sum[r][v]);
    }
}

INLINE void product_tile(const int group, const char *weights, size_t weights_stride, const char *columns,
                         size_t column_bytes, size_t count, float *sums, size_t sums_stride, int more) {
    const int vectors = group * (CK_COLUMN / CK_WIDTH);
    UNROLL for (int v = 0; v < vectors; v += CK_VECTORS)
        product_vectors(vectors - v < CK_VECTORS ? vectors - v : CK_VECTORS, v, weights, weights_stride, columns,
                        column_bytes, count, sums, sums_stride, more);
}

#define PRODUCT_PAIRS 0
#define PRODUCT_ROWS CK_ROWS
#define PRODUCT_COLUMNS (CK_WIDTH == CK_COLUMN ? CK_VECTORS : 1)
#define PRODUCT_ADD(sum, weights, x) CK_FMA((weights), (x), (sum))
#include "products_body.h"

/// Columns of float32.
static void arrange_exactly(const float *a, size_t a_stride, size_t rows, size_t k, void *column) {
    arrange_floats(0, a, a_stride, rows, k, column);
}

/// Columns of float32 that were rounded to bfloat16, for sets without products of it.
static void arrange_rounded(const float *a, size_t a_stride, size_t rows, size_t k, void *column) {
    arrange_floats(1, a, a_stride, rows, k, column);
}

static void product_exactly(const ck_product_job *job) {
    if (!product_of_few(job, 0)) product_as(job, 0);
}

static void product_rounded(const ck_product_job *job) {
    if (!product_of_few(job, 1)) product_as(job, 1);
}

static const ck_products products_float32 = {4, arrange_exactly, product_exactly};
static const ck_products products_rounded = {4, arrange_rounded, product_rounded};

#define CK_TABLE_OF(isa, label, brain_products)                                                              \
    {isa, label, multiply, swiglu, attention, rms_norm, rotate, rebuild, &products_float32, brain_products}

const ck_kernels CK_TABLE = CK_TABLE_OF(CK_ISA, CK_LABEL, &products_rounded);
