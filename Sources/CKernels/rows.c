// What rows of attention come to, for analyses.
#include "rows.h"
#include "row_vectors.h"

enum {
    /// Rows whose weights are added up before a sum in memory is touched.
    BLOCK = 4,
    /// Elements after which the float sums along a row are emptied into a double: bounds their error to 8 additions.
    SPAN = 8 * LANES,
    /// Weights among which the largest are found at once.
    FEW = 2 * LANES
};

/// A bit for each of sixteen numbers.
typedef _Bool Flags __attribute__((ext_vector_type(LANES)));

/// The largest weights of a row so far, descending, -1 where there are none; and their keys.
typedef struct {
    float weights[CK_TOP_LIMIT];
    int32_t keys[CK_TOP_LIMIT];
} Largest;

INLINE size_t visible_keys(const ck_rows *rows, size_t row) {
    if (!rows->is_causal) return rows->keys;
    const size_t visible = (size_t)rows->queries[row] + 1;
    return visible < rows->keys ? visible : rows->keys;
}

/// Takes in sixteen weights, those of keys `key` and on. Few of them are among the largest so far.
INLINE void take_largest(Largest *largest, size_t top, const float *weights, size_t key) {
    float lowest = largest->weights[top - 1];
    const Flags larger = __builtin_convertvector(*(const V_unaligned *)weights > (V)lowest, Flags);
    uint16_t lanes;
    memcpy(&lanes, &larger, sizeof lanes);
    for (; lanes != 0; lanes &= lanes - 1) {
        const int lane = __builtin_ctz(lanes);
        const float each = weights[lane];
        if (!(each > lowest)) continue;
        size_t place = top - 1;
        for (; place > 0 && each > largest->weights[place - 1]; place--) {
            largest->weights[place] = largest->weights[place - 1];
            largest->keys[place] = largest->keys[place - 1];
        }
        largest->weights[place] = each;
        largest->keys[place] = (int32_t)key + lane;
        lowest = largest->weights[top - 1];
    }
}

/// The last weights of a row, filled up with what is no weight.
INLINE void fill(float *filled, const float *weights, size_t count, float filler) {
    for (size_t i = 0; i < LANES; i++) filled[i] = i < count ? weights[i] : filler;
}

/// A bit for each of sixteen weights that is not below a bound.
INLINE uint64_t at_least(const float *weights, float bound) {
    const Flags found = __builtin_convertvector(*(const V_unaligned *)weights >= (V)bound, Flags);
    uint16_t lanes;
    memcpy(&lanes, &found, sizeof lanes);
    return lanes;
}

/// How many of `count` numbers are larger than each of sixteen, of which the first is at `place` among them; equal ones
/// count where they come before.
INLINE void rank_lanes(const float *all, int count, const float *numbers, int place, int32_t *ranks) {
    const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const V x = *(const V_unaligned *)numbers;
    I rank = (I)0;
    for (int i = 0; i < count; i++) rank -= ((V)all[i] > x) | (((V)all[i] == x) & (lane + place > i));
    memcpy(ranks, &rank, sizeof rank);
}

/// Of the largest weights of sixteen parts of a row, the one of rank `top`: the row has as many that are not below it.
INLINE float bound_of_largest(const float *row, size_t keys, size_t top) {
    V parts = *(const V_unaligned *)row;
    for (size_t k = LANES; k + LANES <= keys; k += LANES)
        parts = __builtin_elementwise_max(parts, *(const V_unaligned *)(row + k));
    float each[LANES];
    int32_t ranks[LANES];
    *(V_unaligned *)each = parts;
    rank_lanes(each, LANES, each, 0, ranks);
    for (int i = 0; i < LANES; i++)
        if (ranks[i] == (int32_t)top - 1) return each[i];
    return 0;
}

/// Finds the largest weights among those that are not below a bound; 0 where these are many, for they are equal.
INLINE int find_among_few(Largest *largest, const float *row, size_t keys, float bound) {
    float weights[FEW] = {0};
    int32_t places[FEW], ranks[FEW];
    int count = 0;
    for (size_t k = 0; k < keys; k += 4 * LANES) {
        uint64_t found = 0;
        for (size_t part = 0; part < 4 && k + part * LANES < keys; part++) {
            const size_t first = k + part * LANES;
            float filled[LANES];
            if (keys - first < LANES) fill(filled, row + first, keys - first, -1);
            found |= at_least(keys - first < LANES ? filled : row + first, bound) << (part * LANES);
        }
        if (count + __builtin_popcountll(found) > FEW) return 0;
        for (; found != 0; found &= found - 1) {
            places[count] = (int32_t)k + __builtin_ctzll(found);
            weights[count] = row[places[count]];
            count++;
        }
    }
    for (int first = 0; first < count; first += LANES) rank_lanes(weights, count, weights + first, first, ranks + first);
    for (int i = 0; i < count; i++) {
        largest->weights[ranks[i]] = weights[i];
        largest->keys[ranks[i]] = places[i];
    }
    return 1;
}

/// The `top` largest of a row's weights, ties to the lower key.
INLINE void find_largest(Largest *largest, size_t top, const float *row, size_t keys) {
    if (top <= LANES && keys >= 2 * LANES) {
        const float bound = bound_of_largest(row, keys, top);
        if (bound > 0 && find_among_few(largest, row, keys, bound)) return;
    }
    for (size_t i = 0; i < top; i++) {
        largest->weights[i] = -1;
        largest->keys[i] = -1;
    }
    size_t k = 0;
    for (; k + LANES <= keys; k += LANES) take_largest(largest, top, row + k, k);
    if (k < keys) {
        float filled[LANES];
        fill(filled, row + k, keys - k, -1);
        take_largest(largest, top, filled, k);
    }
}

INLINE double added(const V *lanes) {
    float each[LANES];
    *(V_unaligned *)each = *lanes;
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += each[i];
    return sum;
}

INLINE void add_row(const float *row, size_t keys, ptrdiff_t query, const uint8_t *is_masked, size_t first, size_t top,
                    ck_row_totals *total) {
    const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Largest largest;
    find_largest(&largest, top, row, keys);
    V ignored = (V)0.0f;
    double sum = 0, entropy = 0, distance = 0, mask_mass = 0, first_mass = 0, top_mass = 0;
    for (size_t start = 0; start < keys; start += SPAN) {
        const size_t end = keys - start < SPAN ? keys : start + SPAN;
        V sums = (V)0.0f, logs = (V)0.0f, far = (V)0.0f, masses = (V)0.0f;
        for (size_t k = start; k < end; k += LANES) {
            const float *weights = row + k;
            float filled[LANES], flags[LANES];
            if (end - k >= LANES) {
                if (is_masked)
                    masses += *(const V_unaligned *)weights *
                              __builtin_convertvector(*(const B_unaligned *)(is_masked + k), V);
            } else {
                fill(filled, weights, end - k, 0);
                weights = filled;
                for (size_t i = 0; i < LANES; i++) flags[i] = is_masked && i < end - k ? is_masked[k + i] : 0;
                masses += *(V_unaligned *)filled * *(V_unaligned *)flags;
            }
            const V w = *(const V_unaligned *)weights;
            V term;
            weighted_log(weights, &term, &ignored);
            sums += w;
            logs += term;
            far += w * __builtin_convertvector(__builtin_elementwise_abs(lane + (int32_t)((ptrdiff_t)k - query)), V);
        }
        sum += added(&sums);
        entropy -= added(&logs);
        distance += added(&far);
        if (is_masked) mask_mass += added(&masses);
    }
    for (size_t k = 0; k < first && k < keys; k++) first_mass += row[k];
    for (size_t i = 0; i < top && largest.weights[i] > 0; i++) top_mass += largest.weights[i];
    total->rows += 1;
    total->sum += sum;
    // Rounding may leave the entropy of a row that holds a single 1 a hair below 0.
    total->entropy += entropy > 0 ? entropy : 0;
    total->distance += distance;
    total->mask_mass += mask_mass;
    total->first += first_mass;
    total->top += top_mass;
    total->largest += largest.weights[0] > 0 ? largest.weights[0] : 0;
}

INLINE void add_rows(const ck_rows *rows, const uint8_t *is_masked, size_t first, size_t top, ck_row_totals *totals) {
    for (size_t row = 0; row < rows->rows; row++) {
        if (rows->groups[row] < 0) continue;
        add_row(rows->weights + row * rows->keys, visible_keys(rows, row), rows->queries[row], is_masked, first, top,
                totals + rows->groups[row]);
    }
}

INLINE void add_columns(const ck_rows *rows, double *sums) {
    const size_t keys = rows->keys;
    for (size_t first = 0; first < rows->rows;) {
        const int32_t group = rows->groups[first];
        size_t count = 1;
        while (count < BLOCK && first + count < rows->rows && rows->groups[first + count] == group) count++;
        const float *a = rows->weights + first * keys;
        double *restrict to = sums + (group < 0 ? 0 : group) * keys;
        if (group >= 0 && count == BLOCK) {
            const float *b = a + keys, *c = b + keys, *d = c + keys;
            for (size_t k = 0; k < keys; k++) to[k] += ((double)a[k] + b[k]) + ((double)c[k] + d[k]);
        } else if (group >= 0) {
            for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < keys; k++) to[k] += a[i * keys + k];
        }
        first += count;
    }
}

INLINE void top_keys(const ck_rows *rows, size_t top, int32_t *keys) {
    for (size_t row = 0; row < rows->rows; row++) {
        const float *weights = rows->weights + row * rows->keys;
        Largest largest;
        find_largest(&largest, top, weights, visible_keys(rows, row));
        memcpy(keys + row * top, largest.keys, top * sizeof(int32_t));
    }
}

INLINE size_t shared_entries(const int32_t *a, const int32_t *b, size_t rows, size_t count) {
    size_t shared = 0;
    for (size_t row = 0; row < rows; row++, a += count, b += count)
        for (size_t i = 0; i < count; i++) {
            int32_t found = 0;
            for (size_t j = 0; j < count; j++) found |= a[i] == b[j];
            shared += found;
        }
    return shared;
}

#if defined(__x86_64__)
#define FOR(isa) __attribute__((target(isa))) static
FOR("avx512f") void add_rows_512(const ck_rows *r, const uint8_t *m, size_t f, size_t t, ck_row_totals *o) {
    add_rows(r, m, f, t, o);
}
FOR("avx2") void add_rows_256(const ck_rows *r, const uint8_t *m, size_t f, size_t t, ck_row_totals *o) {
    add_rows(r, m, f, t, o);
}
FOR("avx512f") void add_columns_512(const ck_rows *r, double *o) { add_columns(r, o); }
FOR("avx2") void add_columns_256(const ck_rows *r, double *o) { add_columns(r, o); }
FOR("avx512f") void top_keys_512(const ck_rows *r, size_t t, int32_t *o) { top_keys(r, t, o); }
FOR("avx2") void top_keys_256(const ck_rows *r, size_t t, int32_t *o) { top_keys(r, t, o); }
#define DISPATCH(name, ...) \
    if (__builtin_cpu_supports("avx512f")) return name##_512(__VA_ARGS__); \
    if (__builtin_cpu_supports("avx2")) return name##_256(__VA_ARGS__);
#else
#define DISPATCH(name, ...)
#endif

void ck_add_rows(const ck_rows *rows, const uint8_t *is_masked, size_t first, size_t top, ck_row_totals *totals) {
    DISPATCH(add_rows, rows, is_masked, first, top, totals)
    add_rows(rows, is_masked, first, top, totals);
}

void ck_add_columns(const ck_rows *rows, double *sums) {
    DISPATCH(add_columns, rows, sums)
    add_columns(rows, sums);
}

void ck_top_keys(const ck_rows *rows, size_t top, int32_t *keys) {
    DISPATCH(top_keys, rows, top, keys)
    top_keys(rows, top, keys);
}

size_t ck_shared_entries(const int32_t *a, const int32_t *b, size_t rows, size_t count) {
    return shared_entries(a, b, rows, count);
}
