// Byte-level work of the file: float16, byte shuffle, checksum. Each routine has a portable form; where the processor
// offers F16C, a faster one with the same results is chosen at run time.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Widens `count` IEEE 754 half-precision values.
void ccodec_half_to_float(const uint16_t *source, float *target, size_t count);
/// Narrows `count` values to half precision, to the nearest, ties to even.
void ccodec_float_to_half(const float *source, uint16_t *target, size_t count);

/// HDF5's shuffle filter: byte k of every element, then byte k + 1, ...
void ccodec_shuffle(const uint8_t *source, uint8_t *target, size_t count, size_t element_size);
/// Undoes `ccodec_shuffle`.
void ccodec_unshuffle(const uint8_t *source, uint8_t *target, size_t count, size_t element_size);

/// The checksum of HDF5's fletcher32 filter.
uint32_t ccodec_fletcher32(const uint8_t *bytes, size_t count);
