// Between half and single precision.
#include "ccodec.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static float half_to_float_one(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) {
        // Infinity, or a NaN made quiet as the processor's own conversion does.
        bits = sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa == 0) {
        bits = sign;
    } else {
        // Subnormal: bring the leading one to its place.
        int shift = __builtin_clz(mantissa) - 21;
        bits = sign | ((uint32_t)(113 - shift) << 23) | ((mantissa << (shift + 13)) & 0x7fffffu);
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t float_to_half_one(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) {
        uint32_t rebased = magnitude - 0x38000000u;
        uint32_t rounded = rebased + 0xfffu + ((rebased >> 13) & 1u);
        return (uint16_t)(sign | (rounded >> 13));
    }
    if (magnitude < 0x33000000u) return sign;
    uint32_t exponent = magnitude >> 23;
    uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    uint32_t shift = 126 - exponent;
    uint32_t half = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1);
    uint32_t middle = 1u << (shift - 1);
    if (rest > middle || (rest == middle && (half & 1))) half++;
    return (uint16_t)(sign | half);
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c")))
static void half_to_float_f16c(const uint16_t *source, float *target, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i halves = _mm_loadu_si128((const __m128i *)(source + i));
        _mm256_storeu_ps(target + i, _mm256_cvtph_ps(halves));
    }
    for (; i < count; i++) target[i] = half_to_float_one(source[i]);
}

__attribute__((target("avx,f16c")))
static void float_to_half_f16c(const float *source, uint16_t *target, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(target + i), halves);
    }
    for (; i < count; i++) target[i] = float_to_half_one(source[i]);
}

static int has_f16c(void) { return __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c"); }
#endif

void ccodec_half_to_float(const uint16_t *source, float *target, size_t count) {
#if defined(__x86_64__)
    if (has_f16c()) { half_to_float_f16c(source, target, count); return; }
#endif
    for (size_t i = 0; i < count; i++) target[i] = half_to_float_one(source[i]);
}

void ccodec_float_to_half(const float *source, uint16_t *target, size_t count) {
#if defined(__x86_64__)
    if (has_f16c()) { float_to_half_f16c(source, target, count); return; }
#endif
    for (size_t i = 0; i < count; i++) target[i] = float_to_half_one(source[i]);
}
