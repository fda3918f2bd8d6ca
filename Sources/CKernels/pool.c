// Threads that share loops. A loop on the embedded model's matrices lasts some ten microseconds, less than waking a
// thread does, so a thread that runs out of work looks for more for a while before it sleeps. Indices are handed
// out one at a time: a thread that the system has put aside holds up one index, not its share of the loop.
#ifdef __linux__
#define _GNU_SOURCE // for affinity
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "ckernels.h"

/// How often an idle thread looks for work before it sleeps: 50 to 100 microseconds.
enum { SPINS = 4000 };

typedef struct {
    ck_pool *pool;
    int number;
} member;

struct ck_pool {
    /// The running loop: how many indices it has (upper half), and the next one to hand out (lower half).
    _Atomic uint64_t ticket;
    char gap1[64 - sizeof(uint64_t)];
    /// Indices that are done. The loop's fields below may change only when all are.
    _Atomic size_t done;
    char gap2[64 - sizeof(size_t)];
    void (*body)(void *, size_t, int);
    void *context;
    int threads;
    int started;
    _Atomic int spins;
    _Atomic int sleepers;
    _Atomic int stopping;
    pthread_mutex_t sleep_lock;
    pthread_cond_t work;
    /// Held by the thread whose loop is running.
    pthread_mutex_t loop_lock;
    pthread_t *handles;
    member *members;
};

/// The pool whose body runs on this thread, and the thread's number in it.
static _Thread_local ck_pool *inside;
static _Thread_local int inside_number;

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int has_work(uint64_t ticket) { return (uint32_t)ticket < (uint32_t)(ticket >> 32); }

/// Runs one index if there is one. Once the index is taken the loop cannot end before it is done, so that the loop's
/// fields are read only while they stand.
static int run_one(ck_pool *pool, int number) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while (has_work(ticket)) {
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        pool->body(pool->context, (uint32_t)ticket, number);
        atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
        return 1;
    }
    return 0;
}

static void *work(void *argument) {
    ck_pool *pool = ((member *)argument)->pool;
    int number = ((member *)argument)->number;
    inside = pool;
    inside_number = number;
    int spins = 0;
    for (;;) {
        if (run_one(pool, number)) {
            spins = 0;
            continue;
        }
        if (atomic_load_explicit(&pool->stopping, memory_order_acquire)) return NULL;
        if (++spins < pool->spins) {
            relax();
            continue;
        }
        // The starter of a loop publishes the ticket, then looks for sleepers; a sleeper counts itself, then looks at
        // the ticket. Both orders are sequentially consistent, so one of the two sees the other.
        pthread_mutex_lock(&pool->sleep_lock);
        atomic_fetch_add(&pool->sleepers, 1);
        while (!has_work(atomic_load(&pool->ticket)) && !atomic_load(&pool->stopping))
            pthread_cond_wait(&pool->work, &pool->sleep_lock);
        atomic_fetch_sub(&pool->sleepers, 1);
        pthread_mutex_unlock(&pool->sleep_lock);
        spins = 0;
    }
}

ck_pool *ck_pool_create(int threads) {
    if (threads < 1) threads = 1;
    ck_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->handles = calloc((size_t)threads, sizeof *pool->handles);
    pool->members = calloc((size_t)threads, sizeof *pool->members);
    if (!pool->handles || !pool->members) {
        free(pool->handles);
        free(pool->members);
        free(pool);
        return NULL;
    }
    pool->threads = threads;
    // With more threads than processors a spinning thread keeps a working one from running.
    pool->spins = threads <= sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : 1;
    pthread_mutex_init(&pool->sleep_lock, NULL);
    pthread_mutex_init(&pool->loop_lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    for (int i = 1; i < threads; i++) {
        pool->members[i] = (member){pool, i};
        if (pthread_create(&pool->handles[i], NULL, work, &pool->members[i]) != 0) {
            ck_pool_destroy(pool);
            return NULL;
        }
        pool->started = i;
    }
    return pool;
}

void ck_pool_destroy(ck_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->sleep_lock);
    atomic_store(&pool->stopping, 1);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->sleep_lock);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->handles[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->loop_lock);
    pthread_mutex_destroy(&pool->sleep_lock);
    free(pool->handles);
    free(pool->members);
    free(pool);
}

int ck_pool_pin(ck_pool *pool, const int *processors, int count) {
#ifdef __linux__
    for (int i = 0; i < pool->threads; i++) {
        const int processor = processors[i % count];
        cpu_set_t set;
        CPU_ZERO(&set);
        if (processor < 0 || processor >= CPU_SETSIZE) return EINVAL;
        CPU_SET(processor, &set);
        const int failure = pthread_setaffinity_np(i == 0 ? pthread_self() : pool->handles[i], sizeof set, &set);
        if (failure) return failure;
    }
    // Threads that share a processor would keep each other from it by looking for work. No loop runs yet.
    if (pool->threads > count) pool->spins = 1;
    return 0;
#else
    (void)pool, (void)processors, (void)count;
    return ENOTSUP;
#endif
}

int ck_thread_bind(const int *processors, int count) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (processors[i] < 0 || processors[i] >= CPU_SETSIZE) return EINVAL;
        CPU_SET(processors[i], &set);
    }
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#else
    (void)processors, (void)count;
    return ENOTSUP;
#endif
}

int ck_pool_threads(const ck_pool *pool) { return pool->threads; }

void ck_pool_run(ck_pool *pool, size_t count, void (*body)(void *context, size_t index, int worker),
                 void *context) {
    if (inside == pool) {
        for (size_t i = 0; i < count; i++) body(context, i, inside_number);
        return;
    }
    ck_pool *outer = inside;
    int outer_number = inside_number;
    pthread_mutex_lock(&pool->loop_lock);
    inside = pool;
    inside_number = 0;
    if (pool->threads == 1 || count <= 1 || count > UINT32_MAX) {
        for (size_t i = 0; i < count; i++) body(context, i, 0);
    } else {
        pool->body = body;
        pool->context = context;
        atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
        atomic_store(&pool->ticket, (uint64_t)count << 32);
        if (atomic_load(&pool->sleepers) > 0) {
            pthread_mutex_lock(&pool->sleep_lock);
            pthread_cond_broadcast(&pool->work);
            pthread_mutex_unlock(&pool->sleep_lock);
        }
        while (run_one(pool, 0)) {}
        int spins = 0;
        while (atomic_load_explicit(&pool->done, memory_order_acquire) < count) {
            if (++spins < pool->spins) relax();
            else sched_yield();
        }
    }
    inside = outer;
    inside_number = outer_number;
    pthread_mutex_unlock(&pool->loop_lock);
}
