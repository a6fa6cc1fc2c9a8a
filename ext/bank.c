/* Which path to take, whole batches, and the two-sine synth. */
#include "bank.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(X86_64) && defined(_MSC_VER)
#include <intrin.h>
#endif

extern const struct inversynth_path inversynth_portable;
#ifdef X86_64
extern const struct inversynth_path inversynth_avx2, inversynth_avx512;

#ifdef _MSC_VER
/* Bits of CPUID leaf 7, and that the system saves the registers, as the Intel manual, volume 1, chapters 14 and 15 say. */
static int has(int which)
{
    int info[4];
    __cpuid(info, 1);
    if (!(info[2] & 1 << 27) || !(info[2] & 1 << 12))
        return 0;
    const unsigned long long saved = _xgetbv(0), wanted = which == 512 ? 0xe6 : 0x06;
    if ((saved & wanted) != wanted)
        return 0;
    __cpuidex(info, 7, 0);
    const unsigned bits = which == 512 ? 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31 | 1u << 5 : 1u << 5;
    return ((unsigned)info[1] & bits) == bits;
}
#else
static int has(int which)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    return which != 512 || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"));
}
#endif
#endif

size_t inversynth_paths(const struct inversynth_path *paths[3])
{
    size_t count = 0;
    paths[count++] = &inversynth_portable;
#ifdef X86_64
    if (has(2))
        paths[count++] = &inversynth_avx2;
    if (has(512))
        paths[count++] = &inversynth_avx512;
#endif
    return count;
}

void inversynth_paper(const struct inversynth_path *path, const double *values, size_t count, float *out,
                      size_t samples, double sample_rate, double note_off)
{
    unsigned char memory[BANK_BYTES + 64];
    void *bank = memory + (64 - (uintptr_t)memory % 64);
    const size_t lanes = (size_t)path->lanes;
    for (size_t i = 0; i < count; i += lanes) {
        path->prepare(bank, values + i * PAPER_PARAMS, count - i < lanes ? count - i : lanes, sample_rate, note_off);
        path->process(bank, out + i * samples, samples, samples);
    }
}

enum { PIECE = 64 }; /* samples that fade at a time */

struct inversynth_stream {
    const struct inversynth_path *path;
    size_t count, groups;
    size_t fade, left;   /* samples: length of a fade, and what is left of the one going on */
    int waiting;         /* is there a change that waits for the end of the fade? */
    double *values;      /* those that wait: count x PAPER_PARAMS */
    unsigned char *bank; /* groups banks, then the same as they were before the change */
    float old[MAX_LANES * PIECE];
};

static size_t groups_of(const struct inversynth_path *path, size_t count)
{
    return (count + (size_t)path->lanes - 1) / (size_t)path->lanes;
}

static size_t at_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t inversynth_stream_bytes(const struct inversynth_path *path, size_t count)
{
    const size_t banks = 2 * groups_of(path, count) * BANK_BYTES;
    return at_64(sizeof(struct inversynth_stream)) + banks + count * PAPER_PARAMS * sizeof(double);
}

void inversynth_stream_prepare(struct inversynth_stream *stream, const struct inversynth_path *path,
                               const double *values, size_t count, double sample_rate, double note_off)
{
    const size_t lanes = (size_t)path->lanes;
    memset(stream, 0, sizeof *stream);
    stream->path = path;
    stream->count = count;
    stream->groups = groups_of(path, count);
    stream->fade = (size_t)ceil(FADE_S * sample_rate);
    stream->bank = (unsigned char *)stream + at_64(sizeof *stream);
    stream->values = (double *)(void *)(stream->bank + 2 * stream->groups * BANK_BYTES);
    for (size_t g = 0; g < stream->groups; g++) {
        const size_t first = g * lanes, here = count - first < lanes ? count - first : lanes;
        path->prepare(stream->bank + g * BANK_BYTES, values + first * PAPER_PARAMS, here, sample_rate, note_off);
    }
}

static void begin_fade(struct inversynth_stream *stream, const double *values)
{
    memcpy(stream->bank + stream->groups * BANK_BYTES, stream->bank, stream->groups * BANK_BYTES);
    for (size_t g = 0; g < stream->groups; g++)
        stream->path->change(stream->bank + g * BANK_BYTES, values + g * (size_t)stream->path->lanes * PAPER_PARAMS);
    stream->left = stream->fade;
    stream->waiting = 0;
}

void inversynth_stream_change(struct inversynth_stream *stream, const double *values)
{
    if (!stream->left) {
        begin_fade(stream, values);
    } else {
        memcpy(stream->values, values, stream->count * PAPER_PARAMS * sizeof *values);
        stream->waiting = 1;
    }
}

void inversynth_stream_release(struct inversynth_stream *stream)
{
    const size_t banks = stream->left ? 2 * stream->groups : stream->groups;
    for (size_t g = 0; g < banks; g++)
        stream->path->release(stream->bank + g * BANK_BYTES);
}

int inversynth_stream_silent(const struct inversynth_stream *stream)
{
    size_t silent = 0;
    while (silent < stream->groups && stream->path->silent(stream->bank + silent * BANK_BYTES))
        silent++;
    return !stream->left && silent == stream->groups;
}

void inversynth_stream_process(struct inversynth_stream *stream, float *out, size_t stride, size_t samples)
{
    const size_t lanes = (size_t)stream->path->lanes;
    while (samples) {
        size_t length = samples;
        if (stream->left && length > stream->left)
            length = stream->left;
        if (stream->left && length > PIECE)
            length = PIECE;
        for (size_t g = 0; g < stream->groups; g++) {
            unsigned char *bank = stream->bank + g * BANK_BYTES;
            float *rows = out + g * lanes * stride;
            stream->path->process(bank, rows, stride, length);
            if (!stream->left)
                continue;
            stream->path->process(bank + stream->groups * BANK_BYTES, stream->old, PIECE, length);
            for (size_t i = 0; i < lanes && g * lanes + i < stream->count; i++)
                for (size_t n = 0; n < length; n++) {
                    const float share = (float)(stream->left - n) / (float)stream->fade;
                    rows[i * stride + n] += share * (stream->old[i * PIECE + n] - rows[i * stride + n]);
                }
        }
        out += length;
        samples -= length;
        if (stream->left && !(stream->left -= length) && stream->waiting)
            begin_fade(stream, stream->values);
    }
}

/* sin(2 pi phase), phase in turns below 2^51; the Taylor series to the 15th power on a quarter turn, error below 1e-11. */
static double sin_turns(double phase)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to the nearest whole number */
    double q = phase - 0.25;
    q -= (q + magic) - magic;
    const double y = (0.25 - fabs(q)) * 6.28318530717958647693, z = y * y;
    double p = -1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return y + y * z * p;
}

void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate)
{
    for (size_t i = 0; i < count; i++) {
        const double *patch = values + i * SINE_PARAMS;
        float *item = out + i * samples;
        for (size_t k = 0; k < samples; k++) {
            double t = (double)k / sample_rate;
            item[k] = (float)(0.5 * (patch[1] * sin_turns(patch[0] * t) + patch[3] * sin_turns(patch[2] * t)));
        }
    }
}
