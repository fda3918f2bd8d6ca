// Summaries of attention rows. Written with clang's vector types of a fixed width, which the compiler cuts to what the
// instruction set has: the order of every addition is the same everywhere.
#include "recorder.h"
#include "row_vectors.h"

enum {
    /// Rows whose weights are added up before a sum in memory is touched.
    BLOCK = 4,
    /// Elements after which the float sums along a row are emptied into a double: bounds their error to 32 additions.
    SPAN = 32 * LANES
};

INLINE float sum_lanes(const V *lanes) {
    float each[LANES], sum = 0;
    *(V_unaligned *)each = *lanes;
    for (int i = 0; i < LANES; i++) sum += each[i];
    return sum;
}

INLINE void entropy_of_row(const float *row, size_t keys, float *entropy, float *max_weight) {
    V largest = (V)0.0f;
    double sum = 0;
    for (size_t start = 0; start < keys; start += SPAN) {
        const size_t end = keys - start < SPAN ? keys : start + SPAN;
        V lanes = (V)0.0f, term;
        size_t k = start;
        for (; k + LANES <= end; k += LANES) {
            weighted_log(row + k, &term, &largest);
            lanes += term;
        }
        if (k < end) {
            float tail[LANES] = {0};
            memcpy(tail, row + k, (end - k) * sizeof(float));
            weighted_log(tail, &term, &largest);
            lanes += term;
        }
        float partial[LANES];
        *(V_unaligned *)partial = lanes;
        for (int i = 0; i < LANES; i++) sum += partial[i];
    }
    float peaks[LANES];
    *(V_unaligned *)peaks = largest;
    float peak = 0;
    for (int i = 0; i < LANES; i++) peak = peaks[i] > peak ? peaks[i] : peak;
    // A row that holds a single 1 gives -0, and rounding may leave a hair below 0.
    *entropy = sum < 0 ? (float)-sum : 0.0f;
    *max_weight = peak;
}

/// Adds sixteen weights times their distance from the query, and those of them that are on masked keys.
INLINE void weigh(const float *weights, const uint8_t *is_masked, int32_t offset, V *distance, V *mass) {
    const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const V w = *(const V_unaligned *)weights;
    *distance += w * __builtin_convertvector(__builtin_elementwise_abs(lane + offset), V);
    *mass += w * __builtin_convertvector(*(const B_unaligned *)is_masked, V);
}

INLINE void distance_of_row(const float *row, size_t keys, size_t query, const uint8_t *is_masked, float *distance,
                            float *mask_mass) {
    double distances = 0, masses = 0;
    for (size_t start = 0; start < keys; start += SPAN) {
        const size_t end = keys - start < SPAN ? keys : start + SPAN;
        V far = (V)0.0f, mass = (V)0.0f;
        size_t k = start;
        for (; k + LANES <= end; k += LANES) weigh(row + k, is_masked + k, (int32_t)k - (int32_t)query, &far, &mass);
        if (k < end) {
            float tail[LANES] = {0};
            uint8_t flags[LANES] = {0};
            memcpy(tail, row + k, (end - k) * sizeof(float));
            memcpy(flags, is_masked + k, end - k);
            weigh(tail, flags, (int32_t)k - (int32_t)query, &far, &mass);
        }
        distances += sum_lanes(&far);
        masses += sum_lanes(&mass);
    }
    *distance = (float)distances;
    *mask_mass = (float)masses;
}

INLINE void summarise(const ck_summary_job *job) {
    const size_t keys = job->keys;
    if (job->received) memset(job->sums, 0, job->class_count * keys * sizeof(double));
    for (size_t first = 0; first < job->rows;) {
        size_t count = 1;
        while (count < BLOCK && first + count < job->rows && job->classes[first + count] == job->classes[first])
            count++;
        const float *rows = job->weights + first * keys;
        for (size_t i = 0; i < count && (job->entropy || job->distance); i++) {
            const int32_t place = job->places[first + i];
            if (place < 0) continue;
            if (job->entropy) entropy_of_row(rows + i * keys, keys, job->entropy + place, job->max_weight + place);
            if (job->distance)
                distance_of_row(rows + i * keys, keys, job->first_query + first + i, job->is_masked,
                                job->distance + place, job->mask_mass + place);
        }
        if (job->received) {
            double *restrict sums = job->sums + job->classes[first] * keys;
            if (count == BLOCK) {
                const float *a = rows, *b = a + keys, *c = b + keys, *d = c + keys;
                for (size_t k = 0; k < keys; k++) sums[k] += ((double)a[k] + b[k]) + ((double)c[k] + d[k]);
            } else {
                for (size_t i = 0; i < count; i++)
                    for (size_t k = 0; k < keys; k++) sums[k] += rows[i * keys + k];
            }
        }
        first += count;
    }
    if (!job->received) return;
    for (size_t class = 0; class < job->class_count; class++) {
        const double *sums = job->sums + class * keys;
        float *out = job->received + class * job->received_stride;
        for (size_t k = 0; k < keys; k++) out[k] = (float)sums[k];
        memset(out + keys, 0, (job->received_stride - keys) * sizeof(float));
    }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void summarise_avx512(const ck_summary_job *job) { summarise(job); }
__attribute__((target("avx2"))) static void summarise_avx2(const ck_summary_job *job) { summarise(job); }
#endif

void ck_summarise(const ck_summary_job *job) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return summarise_avx512(job);
    if (__builtin_cpu_supports("avx2")) return summarise_avx2(job);
#endif
    summarise(job);
}
