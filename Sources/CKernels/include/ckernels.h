// The forward pass's arithmetic in C: matrix products with packed weights, attention, norms, and the threads
// that run them. README.md in this folder explains the layouts. Every function is free of global state; the
// caller splits the work.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Columns of a packed panel: three AVX-512 vectors, six AVX2 vectors, twelve of four floats.
#define CK_PANEL 48

/// Rows of activations that lie side by side in a column, for products with weights in place.
#define CK_COLUMN 16

/// The most outputs of one such product.
#define CK_OUTPUTS 96

/// Bytes of each row of weights that such a product works on at a time: its part of a few columns of activations then
/// stays in the first-level cache.
#define CK_PRODUCT_BLOCK 1024

/// The most rows that one block of the attention kernel holds at once, on any instruction set.
#define CK_ATTENTION_ROWS 8

/// How the numbers of a weight are stored.
typedef enum { CK_FLOAT32 = 0, CK_FLOAT16 = 1, CK_BFLOAT16 = 2 } ck_type;

/// Instruction sets, from the one that runs everywhere to the fastest.
typedef enum { CK_PORTABLE = 0, CK_AVX2 = 1, CK_AVX512 = 2, CK_AVX512_BF16 = 3, CK_AMX = 4 } ck_isa;

/// How attention treats a key: part of the softmax; taken out of it; taken out for every query but the key's own. A query
/// that would be left without a key keeps all that it sees.
enum { CK_KEPT = 0, CK_SUPPRESSED = 1, CK_SUPPRESSED_FOR_OTHERS = 2 };

/// Attention of consecutive query rows of one head.
typedef struct {
    const float *query;      ///< rows x channels, rotated
    size_t query_stride;     ///< floats from a row to the next
    const float *key_panels; ///< [ceil(keys / CK_PANEL)][channels][CK_PANEL], rotated
    const float *value;      ///< keys x channels
    size_t value_stride;     ///< floats from a key's values to the next; a multiple of 16, the padding being 0
    size_t rows;
    size_t channels;
    size_t keys;
    size_t visible;     ///< keys the first row sees
    size_t visible_step; ///< how many more each further row sees: 1 causal, 0 bidirectional
    const uint8_t *suppressed; ///< of each key, as above; NULL: every key is kept
    size_t position;    ///< of the first row, for `suppressed`
    float scale;        ///< of the scores, before the softmax
    float *scratch;     ///< CK_ATTENTION_ROWS x round_up(keys, CK_PANEL) floats
    float *weights;     ///< out, rows x keys with stride keys; may be NULL
    float *log_sum_exp; ///< out, rows
    float *output;      ///< out, rows x channels; NULL: weights and log-sums only, no value is read
    size_t output_stride;
} ck_attention_job;

/// Rows of attention weights of one head, rebuilt from queries and keys: what `attention` makes, to the last bit, without
/// values.
typedef struct {
    const float *query;      ///< rows x channels, rotated
    const float *key_panels; ///< [ceil(keys / CK_PANEL)][channels][CK_PANEL], rotated
    size_t rows;
    size_t channels;
    size_t keys;
    const uint32_t *visible;    ///< how many keys each row sees, 1 at least
    const uint8_t *suppressed;  ///< of each key, as above; NULL: every key is kept
    const uint32_t *positions;  ///< of each row, for CK_SUPPRESSED_FOR_OTHERS; may be NULL where there is none
    float scale;    ///< of the scores, before the softmax
    float *scratch; ///< CK_ATTENTION_ROWS x round_up(keys, CK_PANEL) floats
    float *weights; ///< out, rows x keys; may be NULL
    double *sums;   ///< each column's sum is added, keys long; may be NULL
} ck_rebuild_job;

/// Outputs of a matrix whose rows stay where they lie, for rows of activations in columns.
typedef struct {
    const void *weights; ///< outputs x k, row-major; no alignment needed
    const void *up;      ///< NULL, or a second matrix of that shape: c = silu(weights a) * (up a)
    ck_type type;        ///< of the weights
    size_t outputs;      ///< at most CK_OUTPUTS
    size_t k;
    const void *columns; ///< ceil(rows / CK_COLUMN) columns, `ck_column_bytes` each, as `arrange` makes them
    size_t rows;
    void *scratch;       ///< `ck_product_scratch` bytes
    float *c;            ///< out, rows x outputs
    size_t c_stride;
    int add;             ///< not 0: added to c
} ck_product_job;

/// Products with weights in place, in one arithmetic.
typedef struct {
    /// Bytes of an arranged number.
    size_t number_bytes;
    /// Puts up to CK_COLUMN rows of activations, k numbers each, into a column.
    void (*arrange)(const float *a, size_t a_stride, size_t rows, size_t k, void *column);
    void (*multiply)(const ck_product_job *job);
} ck_products;

/// One instruction set's kernels. Sums over k run in order of k in every one of them, so that an element's bits
/// do not depend on how rows and panels were shared out.
typedef struct {
    ck_isa isa;
    const char *name;
    /// c[rows, columns] = a[rows, k] times one packed panel; added to c when `add` is not 0. columns <= CK_PANEL.
    void (*multiply)(const float *a, size_t a_stride, const void *panel, ck_type type, size_t k, float *c,
                     size_t c_stride, size_t rows, size_t columns, int add);
    /// c = silu(a times gate panel) * (a times up panel).
    void (*swiglu)(const float *a, size_t a_stride, const void *gate, const void *up, ck_type type, size_t k,
                   float *c, size_t c_stride, size_t rows, size_t columns);
    /// softmax(scale * q k^T) and its product with v.
    void (*attention)(const ck_attention_job *job);
    /// out = x / sqrt(mean(x^2) + epsilon) * weight, a row at a time.
    void (*rms_norm)(const float *x, size_t x_stride, const float *weight, float epsilon, size_t width, float *out,
                     size_t out_stride, size_t rows);
    /// Rotates channel i with channel i + channels / 2 in place. The tables hold channels / 2 numbers a row.
    void (*rotate)(float *x, size_t x_stride, const float *cosine, const float *sine, size_t channels,
                   size_t rows);
    /// softmax(scale * q k^T) alone.
    void (*rebuild)(const ck_rebuild_job *job);
    /// Numbers widened to float32, which is exact, and multiplied so: the sums of `multiply` to the last bit.
    const ck_products *products_float32;
    /// Both sides rounded to bfloat16, sums in float32.
    const ck_products *products_bfloat16;
} ck_kernels;

/// Bytes of a column of activations of width k.
static inline size_t ck_column_bytes(size_t k, size_t number_bytes) {
    return (k + 31) / 32 * 32 * CK_COLUMN * number_bytes;
}

/// Bytes of scratch that a product of `rows` rows works in: two sets of sums, and a block of weights.
static inline size_t ck_product_scratch(size_t rows) {
    return 2 * CK_OUTPUTS * ((rows + CK_COLUMN - 1) / CK_COLUMN * CK_COLUMN) * sizeof(float) +
           CK_OUTPUTS * CK_PRODUCT_BLOCK;
}

/// The kernels of an instruction set, or NULL where this processor or system lacks it.
const ck_kernels *ck_kernels_for(ck_isa isa);

/// The fastest kernels of float32 that this processor runs.
const ck_kernels *ck_kernels_best(void);

/// Bytes that `ck_pack_panel` writes.
size_t ck_panel_bytes(size_t k, ck_type type);

/// Packs `rows` (at most CK_PANEL) rows of a [n, k] matrix as one panel [k][CK_PANEL], zeros beyond `rows`.
/// `source` needs no alignment. A BF16 source stays BF16 (the kernels widen it exactly); others become F32.
void ck_pack_panel(const void *source, ck_type source_type, size_t k, size_t rows, void *panel, ck_type type);

/// Widens `count` numbers to float32; `source` needs no alignment.
void ck_widen(const void *source, ck_type type, size_t count, float *out);

/// Puts `rows` rows of rotated keys into panels [panel][channels][CK_PANEL], the first at position `first`.
void ck_pack_keys(const float *keys, size_t stride, size_t channels, size_t first, size_t rows, float *panels);

/// Threads that wait for loops to share.
typedef struct ck_pool ck_pool;

/// Starts threads - 1 threads; the caller of `ck_pool_run` is the last one. NULL when memory or threads are short.
ck_pool *ck_pool_create(int threads);

/// Stops and joins the threads.
void ck_pool_destroy(ck_pool *pool);

/// Binds each thread to one of `count` processors, the calling thread, which is to start the loops, to the first, before
/// any loop is run. 0, or an error's number.
int ck_pool_pin(ck_pool *pool, const int *processors, int count);

/// Lets the calling thread, bound to one processor or not, run on any of `count` ones. 0, or an error's number.
int ck_thread_bind(const int *processors, int count);

/// Threads, the caller's included.
int ck_pool_threads(const ck_pool *pool);

/// Calls body(context, i, worker) once for each i in 0 ..< count, on several threads, and returns when all calls
/// have. worker is in 0 ..< threads and no two calls at a time share it. From inside a body of the same pool the
/// loop runs on the calling thread, with its worker number; while another thread's loop runs, it waits for that.
void ck_pool_run(ck_pool *pool, size_t count, void (*body)(void *context, size_t index, int worker),
                 void *context);

#ifdef __cplusplus
}
#endif
