// Reads what deflate.c writes. The blocks of a plane are found by the markers between them and read side by side, so
// that the processor works on one while it waits for another. That is only a guess until each block has ended where
// the next begins; then it is what any inflate would have read.
#include "work.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef struct {
    const uint8_t *at, *end;
    uint64_t bits;
    unsigned count;
    uint8_t *begin, *target, *target_end;
} Reader;

INLINE void refill(Reader *reader) {
    uint64_t word;
    memcpy(&word, reader->at, 8);
    reader->bits |= word << reader->count;
    reader->at += (63 - reader->count) >> 3;
    reader->count |= 56;
}

/// Forgets what `refill` put above the count, as `fill` wants it.
INLINE void trim(Reader *reader) { reader->bits &= ((uint64_t)1 << reader->count) - 1; }

/// `refill` where fewer than eight bytes may be left: 0 where there are not as many bits as asked for.
static int fill(Reader *reader, unsigned wanted) {
    while (reader->count <= 56 && reader->at < reader->end) {
        reader->bits |= (uint64_t)*reader->at++ << reader->count;
        reader->count += 8;
    }
    return reader->count >= wanted;
}

INLINE uint32_t take(Reader *reader, unsigned bits) {
    uint32_t value = (uint32_t)(reader->bits & ((1u << bits) - 1));
    reader->bits >>= bits;
    reader->count -= bits;
    return value;
}

// Tables

/// An entry of the table: the bits that one or two literals take, the literals, how many they are. Where no literal
/// comes: the symbol alone, above the bits.
enum { LITERALS_AT = 8, COUNT_AT = 24 };

static int make_table(ccodec_work *work) {
    static const size_t size = 1 << CODE_BITS;
    memset(work->table, 0, sizeof work->table);
    if (!ccodec_assign_codes(work->lengths, SYMBOLS, work->codes)) return 0;
    for (uint32_t s = 0; s < SYMBOLS; s++) {
        uint32_t length = work->lengths[s], entry = s << LITERALS_AT | (s < END ? length | 1u << COUNT_AT : 0);
        for (size_t i = work->codes[s]; length && i < size; i += (size_t)1 << length) work->table[i] = entry;
    }
    // Two literals where both fit. From the top down, for an entry is made of one with a smaller index.
    for (size_t i = size; i-- > 1;) {
        uint32_t first = work->table[i], length = first & 0xff;
        uint32_t second = work->table[i >> length], bits = length + (second & 0xff);
        if (!(first >> COUNT_AT) || !(second >> COUNT_AT) || bits > CODE_BITS) continue;
        // The second still stands alone, for its index is smaller or, for i = 0, the same.
        work->table[i] = bits | (first & 0xff00) | (second & 0xff00) << 8 | 2u << COUNT_AT;
    }
    return 1;
}

/// Reads the header of a block with dynamic codes, of the one form that deflate.c writes.
static int read_header(Reader *reader, uint8_t *lengths) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    if (!fill(reader, 17) || take(reader, 3) != 2 << 1) return 0;
    size_t count = 257 + take(reader, 5);
    if (count > SYMBOLS || take(reader, 5) != 0 || take(reader, 4) != 15) return 0;
    for (size_t i = 0; i < 19; i++) {
        if (!fill(reader, 3) || take(reader, 3) != (order[i] < 13 || order[i] > 15 ? 4u : 0u)) return 0;
    }
    memset(lengths, 0, SYMBOLS);
    size_t i = 0;
    while (i < count + 1) {
        if (!fill(reader, 11)) return 0;
        uint32_t reversed = take(reader, 4);
        uint32_t symbol = (reversed & 1) << 3 | (reversed & 2) << 1 | (reversed & 4) >> 1 | reversed >> 3;
        size_t run = 1;
        uint8_t value = (uint8_t)symbol;
        if (symbol > 12) {
            if (symbol == 13) run = 3 + take(reader, 2);
            else if (symbol == 14) run = 3 + take(reader, 3);
            else run = 11 + take(reader, 7);
            if (symbol == 13 && i == 0) return 0;
            value = symbol == 13 ? lengths[i - 1] : 0;
        }
        // The last is the code of the only distance, and stands alone.
        if (i == count) return symbol == 1;
        if (i + run > count) return 0;
        memset(lengths + i, value, run);
        i += run;
    }
    return 0;
}

// Blocks

INLINE uint32_t next_entry(const Reader *reader, const uint32_t *table) {
    return table[reader->bits & ((1 << CODE_BITS) - 1)];
}

typedef enum { GOES_ON, ENDS, DAMAGED } State;

/// Reads one symbol with care for both ends. The bits are trimmed.
static State one_symbol(Reader *reader, const ccodec_work *work) {
    fill(reader, 0);
    uint32_t entry = next_entry(reader, work->table);
    uint32_t symbol = entry >> COUNT_AT ? entry >> LITERALS_AT & 0xff : entry >> LITERALS_AT;
    unsigned length = work->lengths[symbol];
    // An entry that no code fills is 0, and so is one that stands for a literal 0 and takes bits.
    if (!entry || length > reader->count) return DAMAGED;
    take(reader, length);
    if (symbol == END) return ENDS;
    if (symbol < END) {
        if (reader->target == reader->target_end) return DAMAGED;
        *reader->target++ = (uint8_t)symbol;
        return GOES_ON;
    }
    unsigned extra = length_extra[symbol - 257];
    if (!fill(reader, extra + 1)) return DAMAGED;
    size_t run = length_base[symbol - 257] + take(reader, extra);
    if (take(reader, 1) || reader->target == reader->begin) return DAMAGED;
    if (run > (size_t)(reader->target_end - reader->target)) return DAMAGED;
    memset(reader->target, reader->target[-1], run);
    reader->target += run;
    return GOES_ON;
}

/// Reads one symbol that is no literal, fast where there is plenty of both ends, else with care.
static State other_symbol(Reader *reader, const ccodec_work *work) {
    enum { PLENTY = LONGEST_RUN + 32 };
    uint32_t symbol = next_entry(reader, work->table) >> LITERALS_AT;
    if (symbol <= END || reader->end - reader->at < 8 || reader->target_end - reader->target < PLENTY ||
        reader->target == reader->begin) {
        trim(reader);
        return one_symbol(reader, work);
    }
    refill(reader);
    unsigned length = work->lengths[symbol], extra = length_extra[symbol - 257];
    size_t run = length_base[symbol - 257] + (reader->bits >> length & ((1u << extra) - 1));
    unsigned bits = length + extra;
    // Only one distance has a code, 0.
    if (reader->bits >> bits & 1) return DAMAGED;
    reader->bits >>= bits + 1;
    reader->count -= bits + 1;
    // Mostly short: blocks of a fixed size beat a call, and what is too much is written over.
    for (size_t at = 0; at < run; at += 32) memset(reader->target + at, reader->target[-1], 32);
    reader->target += run;
    return GOES_ON;
}

/// Rounds for which a block surely has bytes and room: each takes at most seven bytes more, and gives at most eight.
INLINE size_t rounds(const Reader *reader) {
    size_t bytes = (size_t)(reader->end - reader->at) / 8, room = (size_t)(reader->target_end - reader->target) / 8;
    return bytes < room ? bytes : room;
}

/// Reads blocks side by side until one ends, or comes near the end of its bytes or of its room.
INLINE int advance_body(Reader *readers, const int count, const ccodec_work *work, int *has_ended) {
    const uint32_t *table = work->table;
    for (int state = GOES_ON; state != DAMAGED;) {
        size_t some = SIZE_MAX;
        for (int i = 0; i < count; i++) some = rounds(readers + i) < some ? rounds(readers + i) : some;
        if (state == ENDS || some == 0) {
            for (int i = 0; i < count; i++) trim(readers + i);
            return 1;
        }
        // Apart from the readers, so that they may stay in registers.
        uint64_t bits[PIECES];
        uint32_t left[PIECES];
        const uint8_t *at[PIECES];
        uint8_t *target[PIECES];
        UNROLL for (int i = 0; i < count; i++) {
            bits[i] = readers[i].bits;
            left[i] = readers[i].count;
            at[i] = readers[i].at;
            target[i] = readers[i].target;
        }
        // What is no literal takes no bits and gives no bytes: the turns that follow meet it again, the last at least.
        uint32_t last = UINT32_MAX;
        for (; some && last >> COUNT_AT; some--) {
            UNROLL for (int i = 0; i < count; i++) {
                uint64_t word;
                memcpy(&word, at[i], 8);
                bits[i] |= word << left[i];
                at[i] += (63 - left[i]) >> 3;
                left[i] |= 56;
            }
            UNROLL for (int turn = 0; turn < 4; turn++) {
                UNROLL for (int i = 0; i < count; i++) {
                    uint32_t entry = table[bits[i] & ((1 << CODE_BITS) - 1)];
                    uint16_t pair = (uint16_t)(entry >> LITERALS_AT);
                    memcpy(target[i], &pair, 2);
                    bits[i] >>= entry & 63;
                    left[i] -= entry & 63;
                    target[i] += entry >> COUNT_AT;
                    if (turn == 3) last = entry < last ? entry : last;
                }
            }
        }
        UNROLL for (int i = 0; i < count; i++) {
            readers[i].bits = bits[i];
            readers[i].count = left[i];
            readers[i].at = at[i];
            readers[i].target = target[i];
        }
        for (int i = 0; !(last >> COUNT_AT) && i < count; i++) {
            if (next_entry(readers + i, table) >> COUNT_AT) continue;
            State one = other_symbol(readers + i, work);
            if (one == ENDS) has_ended[i] = 1;
            if (one > (State)state) state = (int)one;
        }
    }
    return 0;
}

static int advance_any(Reader *readers, int count, const ccodec_work *work, int *has_ended) {
    return count == 1 ? advance_body(readers, 1, work, has_ended) : advance_body(readers, PIECES, work, has_ended);
}

#if defined(__x86_64__)
/// Shifts by any register, without a copy into the one that all others fight for.
__attribute__((target("bmi2")))
static int advance_bmi2(Reader *readers, int count, const ccodec_work *work, int *has_ended) {
    return count == 1 ? advance_body(readers, 1, work, has_ended) : advance_body(readers, PIECES, work, has_ended);
}
#endif

static int advance(Reader *readers, int count, const ccodec_work *work, int *has_ended) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("bmi2")) return advance_bmi2(readers, count, work, has_ended);
#endif
    return advance_any(readers, count, work, has_ended);
}

/// Reads the rest of one block.
static int finish(Reader *reader, const ccodec_work *work) {
    int has_ended = 0;
    if (!advance(reader, 1, work, &has_ended)) return 0;
    State state = has_ended ? ENDS : GOES_ON;
    while (state == GOES_ON) state = one_symbol(reader, work);
    return state == ENDS;
}

/// Reads the empty stored block that follows a block, to the next whole byte.
static int read_marker(Reader *reader, int *is_last) {
    if (!fill(reader, 3)) return 0;
    *is_last = (int)take(reader, 1);
    if (take(reader, 2) != 0) return 0;
    reader->at -= reader->count / 8;
    if (reader->end - reader->at < MARKER || memcmp(reader->at, "\0\0\xff\xff", MARKER)) return 0;
    reader->at += MARKER;
    return 1;
}

/// Where the next marker ends, from `at` on; NULL where there is none.
static const uint8_t *after_marker(const uint8_t *at, const uint8_t *end) {
    while (end - at >= MARKER) {
        const uint8_t *one = memchr(at + 2, 0xff, (size_t)(end - at) - 3);
        if (!one) return NULL;
        if (one[1] == 0xff && one[-1] == 0 && one[-2] == 0) return one + 2;
        at = one - 1;
    }
    return NULL;
}

// Planes

static const uint8_t *read_coded(ccodec_work *work, const uint8_t *at, const uint8_t *end, uint8_t *plane,
                                 size_t bytes, int *is_last) {
    Reader readers[PIECES];
    const uint8_t *starts[PIECES];
    const size_t size = piece_bytes(bytes), count = PIECES;
    for (size_t i = 0; i < count; i++) {
        uint8_t *begin = plane + i * size, lengths[SYMBOLS];
        readers[i] = (Reader){at, end, 0, 0, begin, begin, i + 1 < count ? begin + size : plane + bytes};
        starts[i] = at;
        if (!read_header(readers + i, i ? lengths : work->lengths)) return NULL;
        // One code for all blocks of a plane.
        if (i && memcmp(lengths, work->lengths, SYMBOLS)) return NULL;
        if (i + 1 < count && !(at = after_marker(readers[i].at, end))) return NULL;
    }
    if (!make_table(work)) return NULL;
    int has_ended[PIECES] = {0};
    if (!advance(readers, PIECES, work, has_ended)) return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!has_ended[i] && !finish(readers + i, work)) return NULL;
        if (readers[i].target != readers[i].target_end || !read_marker(readers + i, is_last)) return NULL;
        if (i + 1 < count && (*is_last || readers[i].at != starts[i + 1])) return NULL;
    }
    return readers[count - 1].at;
}

static const uint8_t *read_stored(const uint8_t *at, const uint8_t *end, uint8_t *plane, size_t bytes, int *is_last) {
    while (bytes) {
        if (*is_last || end - at < 5 || (at[0] & 6)) return NULL;
        size_t length = at[1] | (size_t)at[2] << 8;
        if ((at[1] ^ at[3]) != 0xff || (at[2] ^ at[4]) != 0xff) return NULL;
        if (!length || length > bytes || length > (size_t)(end - at) - 5) return NULL;
        *is_last = at[0] & 1;
        memcpy(plane, at + 5, length);
        at += 5 + length;
        plane += length;
        bytes -= length;
    }
    return at;
}

size_t ccodec_inflate_planes(ccodec_work *work, const uint8_t *stream, size_t count, uint8_t *planes,
                             size_t plane_bytes, size_t plane_count) {
    const uint8_t *at = stream, *end = stream + count;
    // Making the table would take longer than it saves.
    if (plane_bytes < PIECES_FROM) return 0;
    int is_last = 0;
    for (size_t p = 0; p < plane_count; p++, planes += plane_bytes) {
        if (is_last || at == end) return 0;
        at = *at & 6 ? read_coded(work, at, end, planes, plane_bytes, &is_last)
                     : read_stored(at, end, planes, plane_bytes, &is_last);
        if (!at) return 0;
    }
    return is_last ? (size_t)(at - stream) : 0;
}
