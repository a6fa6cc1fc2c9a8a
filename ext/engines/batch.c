/* Engines by their names, and whole batches of sounds. */
#include "engines/engine.h"

#include <string.h>

const struct inversynth_engine *inversynth_find_engine(const struct inversynth_simd *simd, const char *name)
{
    for (size_t i = 0; i < simd->engine_count; i++)
        if (!strcmp(simd->engines[i]->name, name))
            return simd->engines[i];
    return NULL;
}

void inversynth_render(const struct inversynth_engine *engine, const double *values,
                       const struct inversynth_note *notes, size_t count, float *out, size_t samples,
                       double sample_rate)
{
    unsigned char memory[MAX_BANK_BYTES + 64];
    void *bank = memory + (64 - (uintptr_t)memory % 64);
    const struct inversynth_simd *simd = engine->simd;
    const size_t lanes = (size_t)simd->lanes;
    for (size_t i = 0; i < count; i += lanes) {
        const size_t here = count - i < lanes ? count - i : lanes;
        engine->prepare(bank, values + i * engine->params, notes + i, here, sample_rate, 0.0);
        simd->process(engine, bank, here, out + i * samples, samples, samples);
    }
}
