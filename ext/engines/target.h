/* Targets: sounds that patches of any engine are scored against. */
#ifndef INVERSYNTH_TARGET_H
#define INVERSYNTH_TARGET_H

#include "dsp/spectrum.h"
#include "engines/engine.h"

/* What a sound scores against a target, over the spectrogram of `frames` frames (one for each HOP samples or part, frame
 * m of the WINDOW samples from HOP m - HOP / 2 on, zeros beyond the sound). Logs are natural ones, of what is at least
 * FLOOR of the target's largest magnitude (of 1, where the target is silent).
 * RHO_STFT: Pearson correlation of the logs; 1 where they are equal, else 0 where one has no variance.
 * LOG_L1: mean absolute difference of the logs.
 * CONVERGENCE: Frobenius norm of the difference of the magnitudes over that of the target's.
 * RESIDUAL: the same of the samples. Of a silent target, both are 0 for silence, else infinite. */
enum { RHO_STFT, LOG_L1, CONVERGENCE, RESIDUAL, SCORES };
#define FLOOR 1e-4

/* A target as sounds are compared with it: magnitudes in floors. */
struct inversynth_target {
    size_t samples, frames;
    double log_sum, log_square, square, sound_square; /* sums of logs, of their squares, of those of the rest */
    struct inversynth_spectrum spectrum;
    float *sound;             /* HOP / 2 zeros, the samples, zeros: (frames + 1) x HOP */
    float *magnitudes, *logs; /* frames x BINS; logs as in score.h */
};

/* A target, in inversynth_target_bytes of memory that is given; samples > 0, none of them NaN or infinite. It is for
 * engines of this SIMD target, and isn't written again: any number of threads may score against it. */
size_t inversynth_target_bytes(size_t samples);
void inversynth_target_prepare(struct inversynth_target *target, const struct inversynth_simd *simd, const float *sound,
                               size_t samples);

/* values: count x params, all of them played with one note. scores: count x SCORES. */
void inversynth_scores(const struct inversynth_engine *engine, const struct inversynth_target *target,
                       const double *values, size_t count, const struct inversynth_note *note, double *scores,
                       double sample_rate);

#endif
