/* What an engine is: a synth that renders banks of sounds, one in each lane. No globals that are written, no
 * allocation: safe from any thread. */
#ifndef INVERSYNTH_ENGINE_H
#define INVERSYNTH_ENGINE_H

#include "simd/dispatch.h"
#include "simd/processor.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* The note that a patch plays. key: in semitones as MIDI counts them, fractions allowed; an engine plays a patch as
 * it is at REFERENCE_KEY. velocity: 0 to 127. hold_s: when the note ends, 0 or more; INFINITY: when it is released. */
struct inversynth_note {
    double key, velocity, hold_s;
};
enum { REFERENCE_KEY = 69 };

/* The most samples of a block, and the most bytes of a bank, which lies at a multiple of 64. */
enum { MAX_BLOCK = 128, MAX_BANK_BYTES = 16384 };

/* How long a fade takes: from old values to new ones, of a voice that is taken away, after the end of a note of an
 * engine that has no release. */
#define FADE_S 0.010

/* The table of functions that every engine fills, for every SIMD target. A bank holds the state of up to `lanes`
 * sounds; lanes that are not used may cost as much as those that are. A sound depends on its own values and its own
 * note alone, not on the other lanes nor on how it is cut into calls. */
struct inversynth_engine {
    const char *name;
    const struct inversynth_simd *simd; /* the target that this is compiled for */
    size_t params, bank_bytes;

    /* Puts `count` sounds at their beginning. values: count x params, in the order of the synth's parameter space, in
     * units, times in seconds. notes: count. bend: semitones that all sounds are moved by. */
    void (*prepare)(void *bank, const double *values, const struct inversynth_note *notes, size_t count,
                    double sample_rate, double bend);
    /* Writes the next samples into wave (most x lanes, at a multiple of 64), a vector each; gives how many: at least
     * one, at most `most` > 0, and at most MAX_BLOCK. Lanes that are not used hold anything. */
    size_t (*block)(void *bank, float *wave, size_t most);
    /* Other values and another bend from the next sample on; the note, phases, filters and the position stay. */
    void (*change)(void *bank, const double *values, double bend);
    /* Ends the notes that are still held. */
    void (*release)(void *bank);
    /* Whether all that follows is below 1e-7. */
    int (*silent)(const void *bank);
};

/* What the frequencies of a patch are multiplied by at a key; 1 at REFERENCE_KEY without a bend. */
static inline double inversynth_key_ratio(double key, double bend) { return exp2((key - REFERENCE_KEY + bend) / 12.0); }

/* The first sample that is not before a time, given in samples; SIZE_MAX, which no note reaches, for never. */
static inline size_t inversynth_first_sample(double samples)
{
    return samples < (double)SIZE_MAX ? (size_t)ceil(samples) : SIZE_MAX;
}

/* The engine of a name for a SIMD target; NULL if there is none. */
const struct inversynth_engine *inversynth_find_engine(const struct inversynth_simd *simd, const char *name);

/* Whole sounds. values: count x params. notes: count. out: count x samples. */
void inversynth_render(const struct inversynth_engine *engine, const double *values,
                       const struct inversynth_note *notes, size_t count, float *out, size_t samples,
                       double sample_rate);

#endif
