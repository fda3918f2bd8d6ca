// The kernels, written once with clang's vector types and compiled once for each instruction set. The including
// file defines:
//   CK_WIDTH    floats in a vector
//   CK_ROWS     rows of a tile: CK_ROWS x CK_VECTORS accumulators, CK_VECTORS + 1 more registers
//   CK_VECTORS  vectors of a tile's row; divides CK_PANEL / CK_WIDTH
//   CK_FMA(a, b, c)  a * b + c
//   CK_ISA, CK_LABEL, CK_TABLE  the table's fields and its name
// and sets the target of the functions by `#pragma clang attribute`.

#include <float.h>
#include <math.h>
#include <string.h>

#include "ckernels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float V __attribute__((ext_vector_type(CK_WIDTH)));
typedef float V_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(4)));
typedef double D_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(8)));
typedef int32_t I __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint32_t U __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint16_t H_unaligned __attribute__((ext_vector_type(CK_WIDTH), aligned(2)));

INLINE V load(const float *p) { return *(const V_unaligned *)p; }
INLINE void store(float *p, V x) { *(V_unaligned *)p = x; }

/// Loads a vector of weights. bfloat16 is the upper half of a float32, so widening is a shift.
INLINE V load_weights(const int brain, const void *base, size_t at) {
    if (brain) return (V)(__builtin_convertvector(*(const H_unaligned *)((const uint16_t *)base + at), U) << 16);
    return load((const float *)base + at);
}

INLINE float sum_lanes(V x) {
    float lanes[CK_WIDTH], sum = 0;
    store(lanes, x);
    for (int i = 0; i < CK_WIDTH; i++) sum += lanes[i];
    return sum;
}

/// e^x for x <= 88, relative error 2e-7; 0 below -87.3. Cephes' polynomial for expf.
INLINE V exponential(V x) {
    const V magic = (V)12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    I keep = x > (V)-87.3f;
    V shifted = CK_FMA(x, (V)1.44269504088896341f, magic);
    V n = shifted - magic;
    V r = CK_FMA(n, (V)-0.693359375f, x);
    r = CK_FMA(n, (V)2.12194440e-4f, r);
    V p = (V)1.9875691500e-4f;
    p = CK_FMA(p, r, (V)1.3981999507e-3f);
    p = CK_FMA(p, r, (V)8.3334519073e-3f);
    p = CK_FMA(p, r, (V)4.1665795894e-2f);
    p = CK_FMA(p, r, (V)1.6666665459e-1f);
    p = CK_FMA(p, r, (V)5.0000001201e-1f);
    p = CK_FMA(p, r * r, r + (V)1.0f);
    // The low bits of `shifted` are n; its exponent and leading bits vanish in the shift.
    I power = ((I)shifted << 23) + (I)(127 << 23);
    V y = p * (V)power;
    return (V)((I)y & keep);
}

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
                V x = load(g + r * CK_PANEL + j);
                // e^88 is finite; beyond it silu(x) is below 1e-36 in magnitude anyway.
                V negated = __builtin_elementwise_min(-x, (V)88.0f);
                V y = x / ((V)1.0f + exponential(negated)) * load(u + r * CK_PANEL + j);
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

const ck_kernels CK_TABLE = {CK_ISA, CK_LABEL, multiply, swiglu, attention, rms_norm, rotate, rebuild};
