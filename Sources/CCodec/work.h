// What the two halves of the deflate for planes agree on.
#pragma once

#include <string.h>

#include "ccodec.h"

enum {
    /// Bits of the longest code that is written, and of the one table that reads them.
    CODE_BITS = 12,
    /// Literals 0 ... 255, the end of a block, and lengths.
    SYMBOLS = 286,
    END = 256,
    /// A plane of at least PIECES_FROM bytes is written as PIECES blocks, which are read side by side.
    PIECES = 4,
    PIECES_FROM = 32768,
    /// Bytes of an empty stored block after the padding of its three bits.
    MARKER = 4,
    STORED_LIMIT = 65535,
    SHORTEST_RUN = 8,
    LONGEST_RUN = 258,
    /// Runs that are kept of a plane; what follows goes as literals.
    RUNS = 8192,
};

struct ccodec_work {
    /// Reading: two literals, the bits that they take, and how many there are.
    uint32_t table[1 << CODE_BITS];
    /// Writing: where bytes repeat.
    struct { uint32_t start, count; } runs[RUNS];
    size_t run_count;
    uint32_t frequency[SYMBOLS];
    uint8_t lengths[SYMBOLS];
    uint16_t codes[SYMBOLS];
};

/// Bytes of a plane's pieces: all but the last are as long as this.
static inline size_t piece_bytes(size_t plane_bytes) {
    return plane_bytes < PIECES_FROM ? plane_bytes : (plane_bytes + PIECES - 1) / PIECES;
}

/// Deflate's length symbols: the first length of each, and the bits that follow.
static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

/// The codes of a canonical Huffman code, bits reversed as deflate sends them. 0 where the lengths are not of a code.
int ccodec_assign_codes(const uint8_t *lengths, size_t count, uint16_t *codes);
