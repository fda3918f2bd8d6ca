// Times one matrix product, C[M,N] = A[M,K] * W[N,K] transposed in float32, by each library that Debian ships and by
// our own kernels. One candidate a process, because OpenMP, OpenBLAS and oneDNN read their settings only once.
//
//   matrix CANDIDATE THREADS M N K      prints GFLOP/s: best and median of the rounds
//
// CANDIDATE: own, own-bf16, own-attention, onednn-sgemm, onednn-packed, openblas, blis. run.py sets the environment each
// one needs. own-bf16 keeps W in bfloat16; own-attention times M queries, N keys and K channels of one head: both
// products and the softmax between them, of which only the products count as work. On one thread the clock is the
// process's processor time, so that a busy machine does not hide what the code does; on more it is the wall's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <oneapi/dnnl/dnnl.h>

#include "ckernels.h"

static int threads, M, N, K;
static float *a, *w, *c;

static double now(void) {
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void check(int bad, const char *what) {
    if (!bad) return;
    fprintf(stderr, "matrix: %s failed\n", what);
    exit(1);
}

// --- ours: panels of CK_PANEL columns, shared out by our pool.

static const ck_kernels *kernels;
static ck_pool *pool;
static char *panels;
static size_t panel_count, chunk, chunks;
static ck_type own_type = CK_FLOAT32;

static void own_task(void *context, size_t task, int worker) {
    (void)context, (void)worker;
    size_t panel = task / chunks, row = task % chunks * chunk;
    size_t rows = M - row < chunk ? M - row : chunk, column = panel * CK_PANEL;
    size_t columns = N - column < CK_PANEL ? N - column : CK_PANEL;
    kernels->multiply(a + row * K, K, panels + panel * ck_panel_bytes(K, own_type), own_type, K,
                      c + row * N + column, N, rows, columns, 0);
}

static void own_prepare(void) {
    kernels = ck_kernels_best();
    if (getenv("CK_ISA")) kernels = ck_kernels_for(atoi(getenv("CK_ISA")));
    check(!kernels, "the probe");
    pool = ck_pool_create(threads);
    panel_count = (N + CK_PANEL - 1) / CK_PANEL;
    chunks = 1;
    while (panel_count * chunks < 4u * threads && M / (chunks * 2) >= 8) chunks *= 2;
    chunk = ((M + chunks - 1) / chunks + 7) / 8 * 8;
    chunks = (M + chunk - 1) / chunk;
    panels = aligned_alloc(64, panel_count * ck_panel_bytes(K, own_type));
    uint16_t *halves = malloc(sizeof *halves * N * K);
    if (own_type == CK_BFLOAT16)
        for (long i = 0; i < (long)N * K; i++) {
            uint32_t bits;
            memcpy(&bits, w + i, sizeof bits);
            halves[i] = bits >> 16;
            bits &= 0xffff0000;
            memcpy(w + i, &bits, sizeof bits);
        }
    for (size_t p = 0; p < panel_count; p++) {
        size_t rows = N - p * CK_PANEL < CK_PANEL ? N - p * CK_PANEL : CK_PANEL, at = p * CK_PANEL * K;
        ck_pack_panel(own_type == CK_BFLOAT16 ? (void *)(halves + at) : w + at, own_type, K, rows,
                      panels + p * ck_panel_bytes(K, own_type), own_type);
    }
}

static void own_run(void) { ck_pool_run(pool, panel_count * chunks, own_task, NULL); }

// --- our attention of one head, without the pool.

static ck_attention_job job;

static void attention_prepare(void) {
    kernels = ck_kernels_best();
    size_t padded = (N + CK_PANEL - 1) / CK_PANEL * CK_PANEL;
    float *key_panels = calloc(padded * K, sizeof *key_panels);
    ck_pack_keys(w, K, K, 0, N, key_panels);
    job = (ck_attention_job){.query = a, .query_stride = K, .key_panels = key_panels, .value = w, .value_stride = K,
                             .rows = M, .channels = K, .keys = N, .visible = N, .scale = 0.1f,
                             .scratch = malloc(sizeof(float) * CK_ATTENTION_ROWS * padded),
                             .weights = malloc(sizeof(float) * M * N), .log_sum_exp = malloc(sizeof(float) * M),
                             .output = malloc(sizeof(float) * M * K), .output_stride = K};
}

static void attention_run(void) { kernels->attention(&job); }

// --- the cblas interface of OpenBLAS and BLIS.

static void (*cblas_sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float,
                           float *, int);

static void blas_prepare(const char *library) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fprintf(stderr, "matrix: %s\n", dlerror());
    check(!handle, library);
    cblas_sgemm = (void *)dlsym(handle, "cblas_sgemm");
    check(!cblas_sgemm, "cblas_sgemm");
    void (*set)(int) = (void *)dlsym(handle, "openblas_set_num_threads");
    if (set) set(threads);
    char *(*name)(void) = (void *)dlsym(handle, "openblas_get_corename");
    if (name && getenv("SHOW")) fprintf(stderr, "OpenBLAS takes this processor for %s\n", name());
}

static void blas_run(void) { cblas_sgemm(101, 111, 112, M, N, K, 1, a, K, w, K, 0, c, N); }

// --- oneDNN: plain sgemm, and a matmul primitive whose weights are packed ahead.

static void onednn_sgemm_run(void) { check(dnnl_sgemm('N', 'T', M, N, K, 1, a, K, w, K, 0, c, N), "dnnl_sgemm"); }

static dnnl_primitive_t matmul;
static dnnl_stream_t stream;
static dnnl_exec_arg_t arguments[3];

static void onednn_prepare(void) {
    dnnl_engine_t engine;
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    dnnl_dims_t da = {M, K}, dw = {K, N}, dc = {M, N};
    dnnl_memory_desc_t ma, mw, mc, mplain;
    dnnl_memory_desc_init_by_tag(&ma, 2, da, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_init_by_tag(&mw, 2, dw, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&mplain, 2, dw, dnnl_f32, dnnl_ba);
    dnnl_memory_desc_init_by_tag(&mc, 2, dc, dnnl_f32, dnnl_ab);
    dnnl_matmul_desc_t desc;
    check(dnnl_matmul_desc_init(&desc, &ma, &mw, NULL, &mc), "matmul desc");
    dnnl_primitive_desc_t pd;
    check(dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL), "matmul primitive desc");
    check(dnnl_primitive_create(&matmul, pd), "matmul");
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_memory_t a_memory, plain, weights, c_memory;
    dnnl_memory_create(&a_memory, &ma, engine, a);
    dnnl_memory_create(&plain, &mplain, engine, w);
    dnnl_memory_create(&weights, packed, engine, DNNL_MEMORY_ALLOCATE);
    dnnl_memory_create(&c_memory, &mc, engine, c);
    dnnl_primitive_desc_t reorder_pd;
    dnnl_primitive_t reorder;
    check(dnnl_reorder_primitive_desc_create(&reorder_pd, &mplain, engine, packed, engine, NULL), "reorder");
    check(dnnl_primitive_create(&reorder, reorder_pd), "reorder");
    dnnl_exec_arg_t reorder_arguments[2] = {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, weights}};
    check(dnnl_primitive_execute(reorder, stream, 2, reorder_arguments), "reorder");
    dnnl_stream_wait(stream);
    arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, a_memory};
    arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, weights};
    arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, c_memory};
    if (getenv("SHOW")) {
        const char *implementation;
        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &implementation);
        fprintf(stderr, "oneDNN runs %s\n", implementation);
    }
}

static void onednn_run(void) {
    check(dnnl_primitive_execute(matmul, stream, 3, arguments), "execute");
    dnnl_stream_wait(stream);
}

static int ascending(const void *x, const void *y) {
    double d = *(const double *)x - *(const double *)y;
    return (d > 0) - (d < 0);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: matrix CANDIDATE THREADS M N K\n");
        return 2;
    }
    threads = atoi(argv[2]), M = atoi(argv[3]), N = atoi(argv[4]), K = atoi(argv[5]);
    a = aligned_alloc(64, sizeof(float) * M * K + 64);
    w = aligned_alloc(64, sizeof(float) * N * K + 64);
    c = aligned_alloc(64, sizeof(float) * M * N + 64);
    uint32_t seed = 1;
    for (long i = 0; i < (long)M * K; i++) a[i] = (int)((seed = seed * 1664525u + 1013904223u) >> 16) / 65536.0f - 0.5f;
    for (long i = 0; i < (long)N * K; i++) w[i] = (int)((seed = seed * 1664525u + 1013904223u) >> 16) / 65536.0f - 0.5f;
    void (*run)(void);
    int attention = !strcmp(argv[1], "own-attention");
    if (!strcmp(argv[1], "own-bf16")) own_type = CK_BFLOAT16;
    if (!strcmp(argv[1], "own") || own_type == CK_BFLOAT16) own_prepare(), run = own_run;
    else if (attention) attention_prepare(), run = attention_run;
    else if (!strcmp(argv[1], "onednn-sgemm")) run = onednn_sgemm_run;
    else if (!strcmp(argv[1], "onednn-packed")) onednn_prepare(), run = onednn_run;
    else if (!strcmp(argv[1], "openblas")) blas_prepare("libopenblas.so.0"), run = blas_run;
    else if (!strcmp(argv[1], "blis")) blas_prepare("libblis.so.4"), run = blas_run;
    else return check(1, argv[1]), 2;
    run();
    double worst = 0;
    for (int i = 0; i < 64 && !attention; i++) {
        int row = (i * 37) % M, column = (i * 101) % N;
        double sum = 0;
        for (int j = 0; j < K; j++) sum += (double)a[(long)row * K + j] * w[(long)column * K + j];
        worst = fmax(worst, fabs(sum - c[(long)row * N + column]));
    }
    check(worst > 1e-3, "the product's check");
    double flops = (attention ? 4.0 : 2.0) * M * N * K, once = now();
    run();
    once = now() - once;
    int repeats = 0.002 / once + 1, rounds = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : 60;
    double *times = malloc(sizeof(double) * rounds);
    for (int i = 0; i < rounds; i++) {
        double start = now();
        for (int j = 0; j < repeats; j++) run();
        times[i] = (now() - start) / repeats;
    }
    qsort(times, rounds, sizeof *times, ascending);
    printf("%.1f %.1f\n", flops / times[0] * 1e-9, flops / times[rounds / 2] * 1e-9);
    return 0;
}
