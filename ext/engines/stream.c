/* The sounds of an engine as a stream. */
#include "engines/stream.h"

#include <string.h>

enum { FADE_BLOCK = 64 }; /* samples that fade at a time */

struct inversynth_stream {
    const struct inversynth_engine *engine;
    size_t count, groups, bytes; /* sounds; banks; from one bank to the next */
    size_t fade, left;           /* samples: length of a fade, and what is left of the one going on */
    int waiting;                 /* is there a change that waits for the end of the fade? */
    double bend;                 /* that waits, semitones */
    double *values;              /* those that wait: count x params */
    unsigned char *bank;         /* groups banks, then the same as they were before the change */
    float old[MAX_LANES * FADE_BLOCK];
};

static size_t at_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t groups_of(const struct inversynth_engine *engine, size_t count)
{
    const size_t lanes = (size_t)engine->simd->lanes;
    return (count + lanes - 1) / lanes;
}

size_t inversynth_stream_bytes(const struct inversynth_engine *engine, size_t count)
{
    const size_t banks = 2 * groups_of(engine, count) * at_64(engine->bank_bytes);
    return at_64(sizeof(struct inversynth_stream)) + banks + count * engine->params * sizeof(double);
}

void inversynth_stream_prepare(struct inversynth_stream *stream, const struct inversynth_engine *engine,
                               const double *values, const struct inversynth_note *notes, size_t count,
                               double sample_rate, double bend)
{
    const size_t lanes = (size_t)engine->simd->lanes;
    memset(stream, 0, sizeof *stream);
    stream->engine = engine;
    stream->count = count;
    stream->groups = groups_of(engine, count);
    stream->bytes = at_64(engine->bank_bytes);
    stream->fade = (size_t)ceil(FADE_S * sample_rate);
    stream->bank = (unsigned char *)stream + at_64(sizeof *stream);
    stream->values = (double *)(void *)(stream->bank + 2 * stream->groups * stream->bytes);
    for (size_t g = 0; g < stream->groups; g++) {
        const size_t first = g * lanes, here = count - first < lanes ? count - first : lanes;
        engine->prepare(stream->bank + g * stream->bytes, values + first * engine->params, notes + first, here,
                        sample_rate, bend);
    }
}

static void begin_fade(struct inversynth_stream *stream, const double *values, double bend)
{
    const struct inversynth_engine *engine = stream->engine;
    const size_t row = (size_t)engine->simd->lanes * engine->params; /* from the values of one bank to the next */
    memcpy(stream->bank + stream->groups * stream->bytes, stream->bank, stream->groups * stream->bytes);
    for (size_t g = 0; g < stream->groups; g++)
        engine->change(stream->bank + g * stream->bytes, values + g * row, bend);
    stream->left = stream->fade;
    stream->waiting = 0;
}

void inversynth_stream_change(struct inversynth_stream *stream, const double *values, double bend)
{
    if (!stream->left) {
        begin_fade(stream, values, bend);
    } else {
        memcpy(stream->values, values, stream->count * stream->engine->params * sizeof *values);
        stream->bend = bend;
        stream->waiting = 1;
    }
}

void inversynth_stream_release(struct inversynth_stream *stream)
{
    const size_t banks = stream->left ? 2 * stream->groups : stream->groups;
    for (size_t g = 0; g < banks; g++)
        stream->engine->release(stream->bank + g * stream->bytes);
}

int inversynth_stream_silent(const struct inversynth_stream *stream)
{
    size_t silent = 0;
    while (silent < stream->groups && stream->engine->silent(stream->bank + silent * stream->bytes))
        silent++;
    return !stream->left && silent == stream->groups;
}

void inversynth_stream_process(struct inversynth_stream *stream, float *out, size_t stride, size_t samples)
{
    const struct inversynth_engine *engine = stream->engine;
    const struct inversynth_simd *simd = engine->simd;
    const size_t lanes = (size_t)simd->lanes;
    while (samples) {
        size_t length = samples;
        if (stream->left && length > stream->left)
            length = stream->left;
        if (stream->left && length > FADE_BLOCK)
            length = FADE_BLOCK;
        for (size_t g = 0; g < stream->groups; g++) {
            const size_t first = g * lanes, here = stream->count - first < lanes ? stream->count - first : lanes;
            unsigned char *bank = stream->bank + g * stream->bytes;
            float *rows = out + first * stride;
            simd->process(engine, bank, here, rows, stride, length);
            if (!stream->left)
                continue;
            simd->process(engine, bank + stream->groups * stream->bytes, here, stream->old, FADE_BLOCK, length);
            for (size_t i = 0; i < here; i++)
                for (size_t n = 0; n < length; n++) {
                    const float share = (float)(stream->left - n) / (float)stream->fade;
                    rows[i * stride + n] += share * (stream->old[i * FADE_BLOCK + n] - rows[i * stride + n]);
                }
        }
        out += length;
        samples -= length;
        if (stream->left && !(stream->left -= length) && stream->waiting)
            begin_fade(stream, stream->values, stream->bend);
    }
}
