// Byte-level work of the file: float16, byte planes, checksums, and a deflate made for planes. README.md in this folder
// explains the last. Each routine has a portable form; where the processor offers more, a faster one with the same
// results is chosen at run time.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Widens `count` IEEE 754 half-precision values.
void ccodec_half_to_float(const uint16_t *source, float *target, size_t count);
/// Narrows `count` values to half precision, to the nearest, ties to even.
void ccodec_float_to_half(const float *source, uint16_t *target, size_t count);

/// Bytes beyond the end of its planes that `column_sums` may read, and ignores.
#define CCODEC_SLACK 64

/// Instruction sets, from the one that runs everywhere to the fastest.
typedef enum { CCODEC_PORTABLE = 0, CCODEC_AVX2 = 1, CCODEC_AVX512 = 2 } ccodec_level;

/// One instruction set's routines. All give the same bytes, and sums in the same order.
typedef struct {
    /// HDF5's shuffle filter: byte k of every element, then byte k + 1, ...
    void (*shuffle)(const uint8_t *source, uint8_t *target, size_t count, size_t element_size);
    /// Undoes `shuffle`.
    void (*unshuffle)(const uint8_t *source, uint8_t *target, size_t count, size_t element_size);
    /// The checksum of HDF5's fletcher32 filter.
    uint32_t (*fletcher32)(const uint8_t *bytes, size_t count);
    /// Adds each column of a matrix of half-precision values, given as its low and its high bytes, to `sums`.
    /// Rows are `stride` values apart. Sixteen rows at a time are added in single precision, then in double.
    void (*column_sums)(const uint8_t *low, const uint8_t *high, size_t rows, size_t columns, size_t stride,
                        double *sums);
} ccodec_routines;

/// The routines of an instruction set, or NULL where this processor or system lacks it.
const ccodec_routines *ccodec_routines_for(ccodec_level level);
/// The fastest routines that this processor runs.
const ccodec_routines *ccodec_routines_best(void);

/// Room for the tables of `ccodec_deflate_planes` and `ccodec_inflate_planes`; one thread at a time uses it.
typedef struct ccodec_work ccodec_work;
ccodec_work *ccodec_work_create(void);
void ccodec_work_destroy(ccodec_work *work);

/// The most bytes that `ccodec_deflate_planes` writes.
size_t ccodec_deflate_bound(size_t plane_bytes, size_t plane_count);
/// Writes byte planes as one deflate stream (no zlib header, no checksum) and returns its bytes.
size_t ccodec_deflate_planes(ccodec_work *work, const uint8_t *planes, size_t plane_bytes, size_t plane_count,
                             uint8_t *target);
/// Reads a deflate stream of the form that `ccodec_deflate_planes` writes. Returns its bytes; 0 where it is of another
/// form, or damaged: a general inflate knows more. Reads and writes within the counts given, whatever the bytes.
size_t ccodec_inflate_planes(ccodec_work *work, const uint8_t *stream, size_t count, uint8_t *planes,
                             size_t plane_bytes, size_t plane_count);
