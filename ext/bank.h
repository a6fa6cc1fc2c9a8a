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

/* Columns of a patch, in the order of the parameter space of each synth. The paper's begins with those of its
 * oscillators, one after another, the frequency first. */
enum { PAPER_PARAMS = 23, SINE_PARAMS = 4 };
enum { OSCILLATORS = 4, OSCILLATOR_PARAMS = 4 };

/* The kernel of the paper's synth, for one kind of processor. A bank holds the state of up to `lanes` sounds, in
 * BANK_BYTES of memory at a multiple of 64; lanes that are not used cost as much as those that are.
 * Values are rows of PAPER_PARAMS, in units, times in seconds; 2 * cutoff < sample_rate, sample_rate > 7680.
 * What a sound is depends on its own row and its own position alone. */
enum { BANK_BYTES = 16384, MAX_LANES = 16 };

/* What a sound scores against a target, over the spectrogram of `frames` frames (one for each HOP samples begun, frame
 * m of the WINDOW samples from HOP m - HOP / 2 on, zeros beyond the sound) and BINS magnitudes, Hann window. Logs are
 * natural ones, of what is at least FLOOR of the target's largest magnitude (of 1, where the target is silent).
 * RHO_STFT: Pearson correlation of the logs; 1 where they are equal, else 0 where one has no variance.
 * LOG_L1: mean absolute difference of the logs.
 * CONVERGENCE: Frobenius norm of the difference of the magnitudes over that of the target's.
 * RESIDUAL: the same of the samples. Of a silent target, both are 0 for silence, else infinite. */
enum { RHO_STFT, LOG_L1, CONVERGENCE, RESIDUAL, SCORES };
enum { WINDOW = 512, HOP = WINDOW / 2, BINS = WINDOW / 2 + 1, RADIX = 16 };
#define FLOOR 1e-4

/* A target as the paths compare with it: magnitudes in floors. */
struct inversynth_target {
    size_t samples, frames;
    double log_sum, log_square, square, sound_square; /* sums of logs, of their squares, of those of the rest */
    float window[WINDOW];                 /* over two floors: a bin is the sum of two halves */
    float twiddle[RADIX + 1][RADIX][2];   /* exp(-2 pi i j k / WINDOW) */
    float *sound;                         /* HOP / 2 zeros, the samples, zeros: (frames + 1) x HOP */
    float *magnitudes, *logs;             /* frames x BINS; logs as in analysis.h */
};

/* A filter that takes a sound to `up` / `down` of its sample rate: output n is that of row n % up. The taps of TOGETHER
 * rows, of which m is the first, go over the same samples, from m * down / up (rounded down) - before on, and each row's
 * own are among them. rows: up x taps, and zeros up to a multiple of MAX_LANES rows; taps is a multiple of PARTIALS. */
enum { TOGETHER = 4, PARTIALS = 16 };

struct inversynth_filter {
    const float *rows;
    size_t up, down, taps, before;
};

struct inversynth_atoms;

struct inversynth_path {
    const char *name;
    int lanes;
    const char *arithmetic; /* paths of the same arithmetic give the same bits */
    /* Puts `count` sounds at their beginning; their notes end after note_off, INFINITY for those that are released. */
    void (*prepare)(void *bank, const double *values, size_t count, double sample_rate, double note_off);
    /* Writes the next `samples` samples of sound i to out + i * stride. */
    void (*process)(void *bank, float *out, size_t stride, size_t samples);
    /* Other values from the next sample on; phases, filter and position stay. */
    void (*change)(void *bank, const double *values);
    /* Ends the notes here: their release begins from where the envelope is. */
    void (*release)(void *bank);
    /* Is there nothing more to come, but for less than 1e-7 in the filter? */
    int (*silent)(const void *bank);

    /* Fills magnitudes and logs of a target from its sound, by its window. */
    void (*measure)(struct inversynth_target *target);
    /* Plays a bank that is at its beginning to the end of the target; scores: a row of SCORES for each sound. */
    void (*score)(void *bank, const struct inversynth_target *target, double *scores);

    /* Samples as they are stored: half precision, or 32767ths of a row's peak. The same bits on every path, but for NaN. */
    void (*to_half)(const float *in, uint16_t *out, size_t count);
    void (*to_int16)(const float *in, int16_t *out, float *peaks, size_t count, size_t samples);

    /* The first `count` outputs of a filter, of `length` samples with silence around them. */
    void (*resample)(const struct inversynth_filter *filter, const float *in, size_t length, float *out, size_t count);

    /* See inversynth_atoms_hear. */
    void (*hear)(struct inversynth_atoms *atoms, const float *audio, float *probabilities);
};

/* The paths that this processor can run, slowest first; always at least one. */
size_t inversynth_paths(const struct inversynth_path *paths[3]);

/* values: count x PAPER_PARAMS. out: count x samples. */
void inversynth_paper(const struct inversynth_path *path, const double *values, size_t count, float *out,
                      size_t samples, double sample_rate, double note_off);

/* A target, in inversynth_target_bytes of memory that is given; samples > 0, none of them NaN or infinite. It is for this
 * path, and isn't written again: any number of threads may score against it. */
size_t inversynth_target_bytes(size_t samples);
void inversynth_target_prepare(struct inversynth_target *target, const struct inversynth_path *path, const float *sound,
                               size_t samples);

/* values: count x PAPER_PARAMS. scores: count x SCORES. */
void inversynth_scores(const struct inversynth_path *path, const struct inversynth_target *target, const double *values,
                       size_t count, double *scores, double sample_rate, double note_off);

/* The sounds as a stream, with values that change as it plays: the sound with the old ones fades into that with the new
 * ones over FADE_S, each going on from the same state. A change during a fade waits for its end; the last one counts.
 * All its memory, inversynth_stream_bytes at a multiple of 64, is given to it; nothing else is ever taken. */
#define FADE_S 0.010

struct inversynth_stream;

size_t inversynth_stream_bytes(const struct inversynth_path *path, size_t count);
void inversynth_stream_prepare(struct inversynth_stream *stream, const struct inversynth_path *path,
                               const double *values, size_t count, double sample_rate, double note_off);
void inversynth_stream_process(struct inversynth_stream *stream, float *out, size_t stride, size_t samples);
void inversynth_stream_change(struct inversynth_stream *stream, const double *values);
void inversynth_stream_release(struct inversynth_stream *stream);
int inversynth_stream_silent(const struct inversynth_stream *stream);

/* values: count x SINE_PARAMS. out: count x samples. */
void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate);

#endif
