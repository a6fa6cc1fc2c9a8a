/* Renderers of whole batches, and the same as a stream. No globals that are written, no allocation: safe from any thread. */
#ifndef INVERSYNTH_BANK_H
#define INVERSYNTH_BANK_H

#include <stddef.h>
#include <stdint.h>

/* Processors with paths of their own; with PLAIN, none, and no vectors either. */
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(PLAIN)
#define X86_64
#elif (defined(__aarch64__) || defined(_M_ARM64)) && !defined(PLAIN)
#define ARM_64
#endif

/* Columns of a patch, in the order of the parameter space of each synth. */
enum { PAPER_PARAMS = 23, SINE_PARAMS = 4 };

/* The kernel of the paper's synth, for one kind of processor. A bank holds the state of up to `lanes` sounds, in
 * BANK_BYTES of memory at a multiple of 64; lanes that are not used cost as much as those that are.
 * Values are rows of PAPER_PARAMS, in units, times in seconds; 2 * cutoff < sample_rate, sample_rate > 7680.
 * What a sound is depends on its own row and its own position alone. */
enum { BANK_BYTES = 16384, MAX_LANES = 16 };

struct inversynth_path {
    const char *name;
    int lanes;
    const char *arithmetic; /* paths of the same arithmetic give the same bits */
    /* Puts `count` sounds at their beginning. */
    void (*prepare)(void *bank, const double *values, size_t count, double sample_rate, double note_off);
    /* Writes the next `samples` samples of sound i to out + i * stride. */
    void (*process)(void *bank, float *out, size_t stride, size_t samples);
    /* Other values from the next sample on; phases, filter and position stay. */
    void (*change)(void *bank, const double *values);

    /* Samples as they are stored: half precision, or 32767ths of a row's peak. The same bits on every path, but for NaN. */
    void (*to_half)(const float *in, uint16_t *out, size_t count);
    void (*to_int16)(const float *in, int16_t *out, float *peaks, size_t count, size_t samples);
};

/* The paths that this processor can run, slowest first; always at least one. */
size_t inversynth_paths(const struct inversynth_path *paths[3]);

/* values: count x PAPER_PARAMS. out: count x samples. */
void inversynth_paper(const struct inversynth_path *path, const double *values, size_t count, float *out,
                      size_t samples, double sample_rate, double note_off);

/* The same as a stream, with values that change as it plays: the sound with the old ones fades into that with the new
 * ones over FADE_S, each going on from the same state. A change during a fade waits for its end; the last one counts.
 * All its memory, inversynth_stream_bytes at a multiple of 64, is given to it; nothing else is ever taken. */
#define FADE_S 0.010

struct inversynth_stream;

size_t inversynth_stream_bytes(const struct inversynth_path *path, size_t count);
void inversynth_stream_prepare(struct inversynth_stream *stream, const struct inversynth_path *path,
                               const double *values, size_t count, double sample_rate, double note_off);
void inversynth_stream_process(struct inversynth_stream *stream, float *out, size_t stride, size_t samples);
void inversynth_stream_change(struct inversynth_stream *stream, const double *values);

/* values: count x SINE_PARAMS. out: count x samples. */
void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate);

#endif
