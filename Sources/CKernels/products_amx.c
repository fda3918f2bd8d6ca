// Products of bfloat16 for x86-64 with AMX, and whether this machine really runs them.
#define _GNU_SOURCE // for pipe2
#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,xsave"))), \
    apply_to = function)

#define CK_WIDTH 16
#define CK_FMA(a, b, c) __builtin_elementwise_fma((a), (b), (c))
#include "vector_body.h"

/// Eight tiles of 16 rows of 64 bytes. Palette 1 is written down, not looked up: some machines have AMX and report no
/// palette.
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_configuration;

static const tile_configuration all_tiles = {
    1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

#define TILE_START() _tile_loadconfig(&all_tiles)
#define TILE_STOP() _tile_release()
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
#include "products_amx_body.h"

const ck_products ck_products_amx = {2, arrange_pairs, product_on_tiles};

/// Multiplies on the tiles; whether the result is right.
static int multiplies_right(void) {
    enum { K = 32 };
    uint16_t weights[AMX_ROWS * K];
    float activations[CK_COLUMN * K], c[CK_COLUMN * AMX_ROWS];
    static uint32_t column[K * CK_COLUMN / 2];
    static char scratch[CK_OUTPUTS * (2 * CK_COLUMN * sizeof(float) + CK_PRODUCT_BLOCK)];
    for (int i = 0; i < AMX_ROWS * K; i++) weights[i] = i % 3 == 0 ? 0x3f80 : 0; // 1 or 0
    for (int i = 0; i < CK_COLUMN * K; i++) activations[i] = (float)(i % 7);
    arrange_pairs(activations, K, CK_COLUMN, K, column);
    const ck_product_job job = {
        weights, NULL, CK_BFLOAT16, AMX_ROWS, K, column, CK_COLUMN, scratch, c, AMX_ROWS, 0};
    product_on_tiles(&job);
    for (int row = 0; row < CK_COLUMN; row++) {
        for (int output = 0; output < AMX_ROWS; output++) {
            float sum = 0;
            for (int i = 0; i < K; i++)
                if ((output * K + i) % 3 == 0) sum += (float)((row * K + i) % 7);
            if (c[row * AMX_ROWS + output] != sum) return 0;
        }
    }
    return 1;
}

#pragma clang attribute pop

static void cpuid(unsigned leaf, unsigned subleaf, unsigned *out) {
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}

/// The processor's word, the system's word, its leave, and then an attempt: in a child, since where all of them are wrong
/// it dies.
static int asks_and_tries(void) {
    enum { GET_LEAVE = 0x1023, TILE_DATA = 18, TILES_SAVED = 3 << 17, TILE_FEATURES = 1 << 22 | 1 << 24 };
    unsigned r[4];
    cpuid(0, 0, r);
    if (r[0] < 7) return 0;
    cpuid(1, 0, r);
    if (!(r[2] & 1u << 27)) return 0; // the system uses XSAVE
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & TILES_SAVED) != TILES_SAVED) return 0;
    cpuid(7, 0, r);
    if ((r[3] & TILE_FEATURES) != TILE_FEATURES) return 0;
    if (syscall(SYS_arch_prctl, GET_LEAVE, TILE_DATA) != 0) return 0;

    // Through a pipe: where whoever started this process ignores SIGCHLD, there is no exit status to wait for.
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return 0;
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGILL, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        const char right = multiplies_right() ? 1 : 0;
        _exit(write(ends[1], &right, 1) == 1 ? 0 : 1);
    }
    close(ends[1]);
    char right = 0;
    ssize_t length = -1;
    // A child that died has closed its end: there is nothing to read.
    if (child > 0)
        while ((length = read(ends[0], &right, 1)) < 0 && errno == EINTR) {}
    close(ends[0]);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    return length == 1 && right == 1;
}

static int answer;
static void ask(void) { answer = asks_and_tries(); }

int ck_amx_runs(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask);
    return answer;
}
#endif
