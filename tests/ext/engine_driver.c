/* Reads patches and their notes from standard input, renders them into memory of exactly their size, writes the
 * samples; or scores them, played with the first note, against the sound of the last of them, and writes the scores
 * (double).
 * Arguments: render|scores, engine, SIMD target ("" is the best), count, samples, sample_rate, block (0: all at once,
 * else as a stream of blocks of that size).
 * Or reads the rows of a filter and a sound, and writes what it makes of that.
 * Arguments: resample, SIMD target, up, down, taps, before, length, count.
 * Or reads the arrays and phasors of a network and sounds, and writes the probabilities for each.
 * Arguments: atoms, SIMD target, count. */
#include "dsp/filter.h"
#include "engines/stream.h"
#include "engines/target.h"
#include "io/spin.h" /* to be compiled as strictly; tests/system/test_realtime.py runs it */
#include "nets/atoms.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct inversynth_simd *find(const char *name)
{
    const struct inversynth_simd *targets[3];
    const size_t count = inversynth_simd_targets(targets);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, targets[i]->name))
            return targets[i];
#ifdef EMULATED
    extern const struct inversynth_simd inversynth_avx512;
    if (!strcmp(name, "avx512"))
        return &inversynth_avx512;
#endif
    return *name ? NULL : targets[count - 1];
}

static int stream(const struct inversynth_engine *engine, const double *values, const struct inversynth_note *notes,
                  size_t count, float *out, size_t samples, double sample_rate, size_t block)
{
    unsigned char *memory = malloc(inversynth_stream_bytes(engine, count) + 64);
    if (!memory)
        return 1;
    struct inversynth_stream *stream = (void *)(memory + (64 - (uintptr_t)memory % 64));
    inversynth_stream_prepare(stream, engine, values, notes, count, sample_rate, 0.0);
    for (size_t n = 0; n < samples; n += block)
        inversynth_stream_process(stream, out + n, samples, samples - n < block ? samples - n : block);
    free(memory);
    return 0;
}

static int scores(const struct inversynth_engine *engine, const double *values, const struct inversynth_note *note,
                  size_t count, float *sound, size_t samples, double sample_rate)
{
    struct inversynth_target *target = malloc(inversynth_target_bytes(samples));
    double *out = malloc(count * SCORES * sizeof *out);
    int failed = !target || !out;
    if (!failed) {
        inversynth_render(engine, values + (count - 1) * engine->params, note, 1, sound, samples, sample_rate);
        inversynth_target_prepare(target, engine->simd, sound, samples);
        inversynth_scores(engine, target, values, count, note, out, sample_rate);
        failed = fwrite(out, sizeof *out, count * SCORES, stdout) != count * SCORES;
    }
    free(target);
    free(out);
    return failed;
}

static int play(char **argv)
{
    const struct inversynth_simd *simd = find(argv[3]);
    const struct inversynth_engine *engine = simd ? inversynth_find_engine(simd, argv[2]) : NULL;
    if (!engine)
        return 2;
    const size_t count = strtoul(argv[4], NULL, 10), samples = strtoul(argv[5], NULL, 10);
    const double sample_rate = strtod(argv[6], NULL);
    const size_t block = strtoul(argv[7], NULL, 10), size = count * engine->params;
    double *values = malloc(size * sizeof *values);
    struct inversynth_note *notes = malloc(count * sizeof *notes);
    float *out = malloc(count * samples * sizeof *out);
    int failed = !values || !notes || !out;
    failed = failed || fread(values, sizeof *values, size, stdin) != size;
    failed = failed || fread(notes, sizeof *notes, count, stdin) != count;
    if (!failed && !strcmp(argv[1], "scores")) {
        failed = scores(engine, values, notes, count, out, samples, sample_rate);
    } else if (!failed) {
        if (!block)
            inversynth_render(engine, values, notes, count, out, samples, sample_rate);
        else
            failed = stream(engine, values, notes, count, out, samples, sample_rate, block);
        failed = failed || fwrite(out, sizeof *out, count * samples, stdout) != count * samples;
    }
    free(values);
    free(notes);
    free(out);
    return failed;
}

static int resample(char **argv)
{
    const struct inversynth_simd *simd = find(argv[2]);
    const size_t up = strtoul(argv[3], NULL, 10), down = strtoul(argv[4], NULL, 10), taps = strtoul(argv[5], NULL, 10);
    const size_t before = strtoul(argv[6], NULL, 10), length = strtoul(argv[7], NULL, 10);
    const size_t count = strtoul(argv[8], NULL, 10), size = (up + MAX_LANES - 1) / MAX_LANES * MAX_LANES * taps;
    float *rows = malloc(size * sizeof *rows), *sound = malloc(length * sizeof *sound);
    float *out = malloc(count * sizeof *out);
    int failed = !simd || !rows || (length && !sound) || (count && !out);
    failed = failed || fread(rows, sizeof *rows, size, stdin) != size;
    failed = failed || fread(sound, sizeof *sound, length, stdin) != length;
    if (!failed) {
        const struct inversynth_filter filter = {rows, up, down, taps, before};
        simd->resample(&filter, sound, length, out, count);
        failed = fwrite(out, sizeof *out, count, stdout) != count;
    }
    free(rows);
    free(sound);
    free(out);
    return failed;
}

static int atoms(char **argv)
{
    const struct inversynth_simd *simd = find(argv[2]);
    const struct inversynth_array *arrays;
    const size_t kinds = inversynth_atoms_arrays(&arrays), count = strtoul(argv[3], NULL, 10);
    unsigned char *memory = malloc(inversynth_atoms_bytes() + 64);
    uint8_t *phasors = malloc(PHASORS);
    float *audio = malloc(ATOMS_SAMPLES * sizeof *audio), out[PARAMETERS * LEVELS];
    int failed = !simd || !memory || !phasors || !audio;
    if (!failed) {
        struct inversynth_atoms *network = (void *)(memory + (64 - (uintptr_t)memory % 64));
        inversynth_atoms_clear(network);
        for (size_t i = 0; i < kinds && !failed; i++) {
            const size_t size = arrays[i].rows * arrays[i].columns;
            float *values = malloc(size * sizeof *values);
            failed = !values || fread(values, sizeof *values, size, stdin) != size;
            if (!failed)
                inversynth_atoms_set(network, i, values);
            free(values);
        }
        failed = failed || fread(phasors, 1, PHASORS, stdin) != PHASORS;
        if (!failed)
            inversynth_atoms_set_phasors(network, phasors);
        for (size_t i = 0; i < count && !failed; i++) {
            failed = fread(audio, sizeof *audio, ATOMS_SAMPLES, stdin) != ATOMS_SAMPLES;
            if (!failed) {
                inversynth_atoms_infer(simd, network, audio, out);
                failed = fwrite(out, sizeof *out, PARAMETERS * LEVELS, stdout) != PARAMETERS * LEVELS;
            }
        }
    }
    free(memory);
    free(phasors);
    free(audio);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "atoms"))
        return atoms(argv);
    if (argc == 9 && !strcmp(argv[1], "resample"))
        return resample(argv);
    return argc == 8 ? play(argv) : 2;
}
