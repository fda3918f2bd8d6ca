// Layouts: weights into panels, keys into panels, half precision into single.
#include <string.h>

#include "ckernels.h"

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/// IEEE half to single, exactly, subnormals included.
static float widen_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    // Moving the bits into place leaves an exponent that is 112 too small, which a product by 2^112 mends. The
    // product is exact, and it normalises subnormals.
    float magnitude = from_bits(rest << 13) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    return from_bits(sign | bits);
}

static size_t size_of(ck_type type) { return type == CK_FLOAT32 ? 4 : 2; }

void ck_widen(const void *source, ck_type type, size_t count, float *out) {
    if (type == CK_FLOAT32) {
        memcpy(out, source, count * sizeof(float));
        return;
    }
    const char *from = source;
    for (size_t i = 0; i < count; i++) {
        uint16_t h;
        memcpy(&h, from + 2 * i, sizeof h);
        out[i] = type == CK_BFLOAT16 ? from_bits((uint32_t)h << 16) : widen_half(h);
    }
}

size_t ck_panel_bytes(size_t k, ck_type type) { return k * CK_PANEL * size_of(type); }

void ck_pack_panel(const void *source, ck_type source_type, size_t k, size_t rows, void *panel, ck_type type) {
    enum { STRIP = 64 };
    const size_t size = size_of(source_type);
    if (rows < CK_PANEL) memset(panel, 0, ck_panel_bytes(k, type));
    for (size_t first = 0; first < k; first += STRIP) {
        size_t count = k - first < STRIP ? k - first : STRIP;
        for (size_t r = 0; r < rows; r++) {
            const char *from = (const char *)source + (r * k + first) * size;
            if (type == CK_BFLOAT16) {
                uint16_t strip[STRIP], *to = (uint16_t *)panel + first * CK_PANEL + r;
                memcpy(strip, from, count * sizeof *strip);
                for (size_t i = 0; i < count; i++) to[i * CK_PANEL] = strip[i];
            } else {
                float strip[STRIP], *to = (float *)panel + first * CK_PANEL + r;
                ck_widen(from, source_type, count, strip);
                for (size_t i = 0; i < count; i++) to[i * CK_PANEL] = strip[i];
            }
        }
    }
}

void ck_pack_keys(const float *keys, size_t stride, size_t channels, size_t first, size_t rows, float *panels) {
    for (size_t r = 0; r < rows; r++) {
        size_t position = first + r;
        float *to = panels + position / CK_PANEL * CK_PANEL * channels + position % CK_PANEL;
        const float *from = keys + r * stride;
        for (size_t i = 0; i < channels; i++) to[i * CK_PANEL] = from[i];
    }
}
