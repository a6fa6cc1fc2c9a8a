/* The blocks of any engine as rows, a sound each, for each SIMD target. */
#include "engines/engine.h"
#include "simd/lanes.h"

/* From a vector a sample to a row a sound. */
static void to_rows(const float *wave, size_t samples, float *out, size_t stride, size_t count)
{
    size_t n = 0;
    for (; n + LANES <= samples; n += LANES) {
        vf tile[LANES];
        for (int i = 0; i < LANES; i++)
            tile[i] = f_load(wave + (n + i) * LANES);
        transpose(tile);
        for (size_t i = 0; i < LANES; i++)
            if (i < count)
                f_store_row(out + i * stride + n, tile[i]);
    }
    for (; n < samples; n++)
        for (size_t i = 0; i < count; i++)
            out[i * stride + n] = wave[n * LANES + i];
}

static void process(const struct inversynth_engine *engine, void *bank, size_t count, float *out, size_t stride,
                    size_t samples)
{
    ALIGNED float wave[MAX_BLOCK * LANES];
    while (samples) {
        const size_t length = engine->block(bank, wave, samples < MAX_BLOCK ? samples : MAX_BLOCK);
        to_rows(wave, length, out, stride, count);
        out += length;
        samples -= length;
    }
}
