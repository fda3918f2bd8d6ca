// Deflate for byte planes: noise is stored, the rest gets a Huffman code and runs of one byte, no other matches. On
// planes of attention weights that is smaller than general matching, and many times faster both ways.
#include <math.h>
#include <stdlib.h>

#include "work.h"

ccodec_work *ccodec_work_create(void) { return malloc(sizeof(ccodec_work)); }
void ccodec_work_destroy(ccodec_work *work) { free(work); }

size_t ccodec_deflate_bound(size_t plane_bytes, size_t plane_count) {
    return plane_count * (plane_bytes + 5 * (plane_bytes / STORED_LIMIT + 2)) + 16;
}

int ccodec_assign_codes(const uint8_t *lengths, size_t count, uint16_t *codes) {
    uint32_t counts[16] = {0}, next[16] = {0}, code = 0;
    for (size_t i = 0; i < count; i++) counts[lengths[i]]++;
    counts[0] = 0;
    for (int bits = 1; bits < 16; bits++) {
        code = (code + counts[bits - 1]) << 1;
        next[bits] = code;
        if (code + counts[bits] > 1u << bits) return 0;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t value = next[lengths[i]]++, reversed = 0;
        for (int bit = 0; bit < lengths[i]; bit++) reversed |= (value >> bit & 1) << (lengths[i] - 1 - bit);
        codes[i] = (uint16_t)reversed;
    }
    return 1;
}

// Choosing

/// Counts bytes in four tables, so that equal neighbours do not wait for each other.
static void count_bytes(const uint8_t *bytes, size_t count, uint32_t *totals) {
    uint32_t tables[4][256] = {{0}};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t t = 0; t < 4; t++) tables[t][bytes[i + t]]++;
    for (; i < count; i++) tables[0][bytes[i]]++;
    for (size_t b = 0; b < 256; b++) totals[b] += tables[0][b] + tables[1][b] + tables[2][b] + tables[3][b];
}

/// Whether a sample of a plane says that coding would save less than a sixteenth.
static int is_noise(const uint8_t *plane, size_t bytes) {
    enum { LINE = 64, LINES = 64 };
    uint32_t totals[256] = {0};
    size_t step = bytes / LINES, sampled = 0;
    if (step <= 2 * LINE) {
        count_bytes(plane, bytes, totals);
        sampled = bytes;
    } else {
        for (size_t line = 0; line < LINES; line++) count_bytes(plane + line * step, LINE, totals);
        sampled = LINE * LINES;
    }
    float information = 0;
    for (size_t b = 0; b < 256; b++)
        if (totals[b]) information += (float)totals[b] * log2f((float)sampled / (float)totals[b]);
    // A small sample looks more orderly than its source: by 255 / (2 ln 2) bits (Miller and Madow).
    return information + 184 > 7.5f * (float)sampled;
}

/// Finds runs by looking at every fourth byte and the three that follow.
static void find_runs(ccodec_work *work, const uint8_t *bytes, size_t count) {
    work->run_count = 0;
    size_t free_from = 0;
    for (size_t at = 0; at + 4 <= count && work->run_count < RUNS; at += 4) {
        uint32_t word;
        memcpy(&word, bytes + at, sizeof word);
        if (word != (word << 8 | word >> 24)) continue;
        size_t start = at, end = at + 4;
        while (start > free_from && bytes[start - 1] == bytes[at]) start--;
        while (end < count && bytes[end] == bytes[at]) end++;
        if (end - start < SHORTEST_RUN) continue;
        work->runs[work->run_count].start = (uint32_t)start;
        work->runs[work->run_count++].count = (uint32_t)(end - start);
        free_from = end;
        at = (end - 1) & ~(size_t)3;
    }
}

static size_t length_symbol(size_t run) {
    size_t symbol = 28;
    while (length_base[symbol] > run) symbol--;
    return symbol;
}

/// The first match of several for the rest of a run, such that no rest is below 3, deflate's shortest.
static size_t next_length(size_t left) {
    if (left <= LONGEST_RUN) return left;
    return left - LONGEST_RUN < 3 ? LONGEST_RUN - 3 : LONGEST_RUN;
}

/// Lengths of an optimal code, none above CODE_BITS: Huffman's, then the longest shortened at the others' cost.
static void make_lengths(const uint32_t *frequency, uint8_t *lengths) {
    struct { uint32_t weight; uint16_t symbol; } leaves[SYMBOLS], moved;
    uint32_t weights[2 * SYMBOLS];
    uint16_t parents[2 * SYMBOLS];
    uint8_t depths[2 * SYMBOLS];
    size_t count = 0;
    memset(lengths, 0, SYMBOLS);
    for (size_t s = 0; s < SYMBOLS; s++) {
        if (!frequency[s]) continue;
        leaves[count].weight = frequency[s];
        leaves[count++].symbol = (uint16_t)s;
    }
    // Shell's sort by weight, then symbol.
    static const size_t gaps[] = {132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < 6; g++) {
        for (size_t i = gaps[g]; i < count; i++) {
            size_t j = i;
            moved = leaves[i];
            for (; j >= gaps[g] && (leaves[j - gaps[g]].weight > moved.weight ||
                                    (leaves[j - gaps[g]].weight == moved.weight &&
                                     leaves[j - gaps[g]].symbol > moved.symbol)); j -= gaps[g])
                leaves[j] = leaves[j - gaps[g]];
            leaves[j] = moved;
        }
    }
    if (count == 1) {
        lengths[leaves[0].symbol] = 1;
        return;
    }
    // Two queues, both ascending: leaves, and the pairs made of the two lightest.
    for (size_t i = 0; i < count; i++) weights[i] = leaves[i].weight;
    size_t leaf = 0, pair = count, end = count;
    while (end < 2 * count - 1) {
        weights[end] = 0;
        for (int side = 0; side < 2; side++) {
            size_t lightest = leaf < count && (pair == end || weights[leaf] <= weights[pair]) ? leaf++ : pair++;
            weights[end] += weights[lightest];
            parents[lightest] = (uint16_t)end;
        }
        end++;
    }
    depths[end - 1] = 0;
    for (size_t i = end - 1; i-- > 0;) depths[i] = (uint8_t)(depths[parents[i]] + 1);
    // Shares of the code space in units of the longest code.
    int32_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        if (depths[i] > CODE_BITS) depths[i] = CODE_BITS;
        taken += 1 << (CODE_BITS - depths[i]);
    }
    for (size_t i = 0; taken > 1 << CODE_BITS; i++) {
        while (depths[i] < CODE_BITS && taken > 1 << CODE_BITS) {
            depths[i]++;
            taken -= 1 << (CODE_BITS - depths[i]);
        }
    }
    for (size_t i = count; i-- > 0;) {
        while (taken + (1 << (CODE_BITS - depths[i])) <= 1 << CODE_BITS) {
            taken += 1 << (CODE_BITS - depths[i]);
            depths[i]--;
        }
    }
    for (size_t i = 0; i < count; i++) lengths[leaves[i].symbol] = depths[i];
}

// Writing

typedef struct {
    uint8_t *target;
    uint64_t bits;
    unsigned count;
} Writer;

/// Bits wait in `bits`, fewer than eight after each call; eight bytes are written, as many are kept as are whole.
static inline __attribute__((always_inline)) void put(Writer *writer, uint64_t bits, unsigned count) {
    writer->bits |= bits << writer->count;
    writer->count += count;
    memcpy(writer->target, &writer->bits, 8);
    writer->target += writer->count / 8;
    writer->bits >>= writer->count & ~7u;
    writer->count &= 7;
}

/// The header of a block of which all codes of code lengths take four bits, which needs no code of its own.
static void put_header(Writer *writer, const uint8_t *lengths) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    size_t count = SYMBOLS;
    while (count > 257 && !lengths[count - 1]) count--;
    put(writer, 2 << 1, 3);
    put(writer, count - 257, 5);
    put(writer, 0, 5);
    put(writer, 19 - 4, 4);
    uint8_t meta[19];
    uint16_t codes[19];
    for (size_t i = 0; i < 19; i++) meta[i] = i < 13 || i > 15 ? 4 : 0;
    ccodec_assign_codes(meta, 19, codes);
    for (size_t i = 0; i < 19; i++) put(writer, meta[order[i]], 3);
    for (size_t i = 0; i < count;) {
        size_t run = 1;
        while (i + run < count && lengths[i + run] == lengths[i]) run++;
        if (!lengths[i] && run >= 11) {
            run = run > 138 ? 138 : run;
            put(writer, codes[18], 4);
            put(writer, run - 11, 7);
        } else if (!lengths[i] && run >= 3) {
            put(writer, codes[17], 4);
            put(writer, run - 3, 3);
        } else if (run >= 4) {
            run = run > 7 ? 7 : run;
            put(writer, codes[lengths[i]], 4);
            put(writer, codes[16], 4);
            put(writer, run - 4, 2);
        } else {
            put(writer, codes[lengths[i]], 4);
            run = 1;
        }
        i += run;
    }
    // One distance code, of one bit: the byte before.
    put(writer, codes[1], 4);
}

static void put_literals(Writer *writer, const uint8_t *bytes, size_t count, const uint32_t *entries) {
    Writer w = *writer;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        uint32_t a = entries[bytes[i]], b = entries[bytes[i + 1]], c = entries[bytes[i + 2]], d = entries[bytes[i + 3]];
        unsigned ab = (a >> 16) + (b >> 16), cd = (c >> 16) + (d >> 16);
        uint64_t first = (a & 0xffff) | (uint64_t)(b & 0xffff) << (a >> 16);
        uint64_t second = (c & 0xffff) | (uint64_t)(d & 0xffff) << (c >> 16);
        put(&w, first | second << ab, ab + cd);
    }
    for (; i < count; i++) put(&w, entries[bytes[i]] & 0xffff, entries[bytes[i]] >> 16);
    *writer = w;
}

/// The bytes from `from` to `to` as one block, and an empty stored block to end on a whole byte.
static void put_piece(const ccodec_work *work, Writer *writer, const uint8_t *plane, size_t from, size_t to,
                      const uint32_t *entries, size_t *run, int is_last) {
    put_header(writer, work->lengths);
    while (from < to) {
        while (*run < work->run_count && work->runs[*run].start + work->runs[*run].count <= from) ++*run;
        size_t start = to, end = to;
        if (*run < work->run_count && work->runs[*run].start < to) {
            start = work->runs[*run].start < from ? from : work->runs[*run].start;
            end = work->runs[*run].start + work->runs[*run].count;
            if (end > to) end = to;
        }
        // The first byte of a run is a literal, and so is what a border of pieces or the longest match leaves over.
        size_t literals = start < to ? start + 1 - from : to - from;
        put_literals(writer, plane + from, literals, entries);
        from += literals;
        while (from < end && end - from >= 3) {
            size_t length = next_length(end - from), symbol = length_symbol(length);
            put(writer, work->codes[257 + symbol], work->lengths[257 + symbol]);
            // The extra bits, then the one bit of the distance.
            put(writer, length - length_base[symbol], length_extra[symbol] + 1u);
            from += length;
        }
        if (start < to && from < end) {
            put_literals(writer, plane + from, end - from, entries);
            from = end;
        }
    }
    put(writer, work->codes[END], work->lengths[END]);
    put(writer, is_last, 3);
    if (writer->count) put(writer, 0, 8 - writer->count);
    put(writer, 0xffff0000u, 32);
}

static uint8_t *store(const uint8_t *plane, size_t bytes, uint8_t *target, int is_last) {
    for (size_t from = 0; from < bytes || bytes == 0;) {
        size_t length = bytes - from > STORED_LIMIT ? STORED_LIMIT : bytes - from;
        *target++ = is_last && from + length == bytes;
        uint16_t count = (uint16_t)length, inverse = (uint16_t)~count;
        memcpy(target, &count, 2);
        memcpy(target + 2, &inverse, 2);
        memcpy(target + 4, plane + from, length);
        target += 4 + length;
        from += length;
        if (bytes == 0) break;
    }
    return target;
}

static void count_runs(ccodec_work *work, const uint8_t *plane) {
    // What runs cover is no literal, but for the first byte. Borders of pieces change a few of these counts, so every
    // symbol that could be met there is given one.
    for (size_t r = 0; r < work->run_count; r++) {
        size_t left = work->runs[r].count - 1;
        work->frequency[plane[work->runs[r].start]] -= (uint32_t)left;
        while (left) {
            size_t length = next_length(left);
            work->frequency[257 + length_symbol(length)]++;
            left -= length;
        }
    }
    if (!work->run_count) return;
    for (size_t s = 257; s < SYMBOLS; s++) work->frequency[s]++;
}

/// Writes a coded plane, or returns NULL where storing it takes no more.
static uint8_t *encode(ccodec_work *work, const uint8_t *plane, size_t bytes, uint8_t *target, int is_last) {
    memset(work->frequency, 0, sizeof work->frequency);
    find_runs(work, plane, bytes);
    count_bytes(plane, bytes, work->frequency);
    count_runs(work, plane);
    size_t pieces = (bytes + piece_bytes(bytes) - 1) / piece_bytes(bytes);
    work->frequency[END] = (uint32_t)pieces;
    make_lengths(work->frequency, work->lengths);
    if (!ccodec_assign_codes(work->lengths, SYMBOLS, work->codes)) return NULL;
    uint64_t bits = 0;
    for (size_t s = 0; s < SYMBOLS; s++)
        bits += (uint64_t)work->frequency[s] * (work->lengths[s] + (s > END ? length_extra[s - 257] + 1u : 0));
    // Headers and ends; what a border of pieces changes; eight bytes that are written and given up again.
    if (bits / 8 + pieces * (180 + 3 * 32) + 8 >= bytes) return NULL;
    uint32_t entries[256];
    for (size_t s = 0; s < 256; s++) entries[s] = work->codes[s] | (uint32_t)work->lengths[s] << 16;
    Writer writer = {target, 0, 0};
    size_t run = 0, size = piece_bytes(bytes);
    for (size_t from = 0; from < bytes; from += size) {
        size_t to = from + size < bytes ? from + size : bytes;
        put_piece(work, &writer, plane, from, to, entries, &run, is_last && to == bytes);
    }
    return writer.target;
}

size_t ccodec_deflate_planes(ccodec_work *work, const uint8_t *planes, size_t plane_bytes, size_t plane_count,
                             uint8_t *target) {
    uint8_t *at = target;
    for (size_t p = 0; p < plane_count; p++) {
        const uint8_t *plane = planes + p * plane_bytes;
        int is_last = p + 1 == plane_count;
        uint8_t *end = plane_bytes && !is_noise(plane, plane_bytes) ? encode(work, plane, plane_bytes, at, is_last) : NULL;
        at = end ? end : store(plane, plane_bytes, at, is_last);
    }
    return (size_t)(at - target);
}
