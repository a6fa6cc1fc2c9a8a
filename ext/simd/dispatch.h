/* SIMD targets: the same code compiled for several kinds of vectors. The processor decides at run time which it can
 * run. */
#ifndef INVERSYNTH_DISPATCH_H
#define INVERSYNTH_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

struct inversynth_atoms;
struct inversynth_engine;
struct inversynth_filter;
struct inversynth_target;

struct inversynth_simd {
    const char *name;
    int lanes;              /* sounds side by side */
    const char *arithmetic; /* targets of the same arithmetic give the same bits */

    /* The engines as this target computes them, and how many there are: see engines/engine.h. */
    const struct inversynth_engine *const *engines;
    size_t engine_count;

    /* Writes the next `samples` samples of the `count` sounds of a bank: of sound i to out + i * stride. */
    void (*process)(const struct inversynth_engine *engine, void *bank, size_t count, float *out, size_t stride,
                    size_t samples);

    /* See engines/target.h. measure: fills magnitudes and logs of a target from its sound, by its window.
     * score: plays a bank that is at its beginning to the end of the target; scores: count x SCORES. */
    void (*measure)(struct inversynth_target *target);
    void (*score)(const struct inversynth_engine *engine, void *bank, size_t count,
                  const struct inversynth_target *target, double *scores);

    /* Samples as they are stored: half precision, or 32767ths of a row's peak. The same bits on every target, except
     * for NaN. */
    void (*to_half)(const float *in, uint16_t *out, size_t count);
    void (*to_int16)(const float *in, int16_t *out, float *peaks, size_t count, size_t samples);

    /* The first `count` outputs of a filter (dsp/filter.h), of `length` samples with silence around them. */
    void (*resample)(const struct inversynth_filter *filter, const float *in, size_t length, float *out, size_t count);

    /* See inversynth_atoms_infer in nets/atoms.h. */
    void (*atoms_infer)(struct inversynth_atoms *atoms, const float *audio, float *probabilities);
};

/* The targets that this processor can run, slowest first; always at least one. */
size_t inversynth_simd_targets(const struct inversynth_simd *targets[3]);

#endif
