/* Reads patches from standard input, renders them into memory of exactly their size, writes the samples; or scores them
 * against the sound of the last of them, and writes the scores (double).
 * Arguments: paper|sine|scores, path ("" is the best), count, samples, sample_rate, block (0: all at once, else as a
 * stream of blocks of that size).
 * Or reads the rows of a filter and a sound, and writes what it makes of that.
 * Arguments: resample, path, up, down, taps, before, length, count.
 * Or reads the arrays and phasors of a network and sounds, and writes what it hears in each.
 * Arguments: atoms, path, count. */
#include "atoms.h"
#include "bank.h"
#include "spin.h" /* to be compiled as strictly; tests/test_realtime.py runs it */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct inversynth_path *find(const char *name)
{
    const struct inversynth_path *paths[3];
    const size_t count = inversynth_paths(paths);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, paths[i]->name))
            return paths[i];
#ifdef EMULATED
    extern const struct inversynth_path inversynth_avx512;
    if (!strcmp(name, "avx512"))
        return &inversynth_avx512;
#endif
    return *name ? NULL : paths[count - 1];
}

static int stream(const struct inversynth_path *path, const double *values, size_t count, float *out, size_t samples,
                  double sample_rate, size_t block)
{
    unsigned char *memory = malloc(inversynth_stream_bytes(path, count) + 64);
    if (!memory)
        return 1;
    struct inversynth_stream *stream = (void *)(memory + (64 - (uintptr_t)memory % 64));
    inversynth_stream_prepare(stream, path, values, count, sample_rate, 0.75);
    for (size_t n = 0; n < samples; n += block)
        inversynth_stream_process(stream, out + n, samples, samples - n < block ? samples - n : block);
    free(memory);
    return 0;
}

static int scores(const struct inversynth_path *path, const double *values, size_t count, float *sound, size_t samples,
                  double sample_rate)
{
    struct inversynth_target *target = malloc(inversynth_target_bytes(samples));
    double *out = malloc(count * SCORES * sizeof *out);
    int failed = !target || !out;
    if (!failed) {
        inversynth_paper(path, values + (count - 1) * PAPER_PARAMS, 1, sound, samples, sample_rate, 0.75);
        inversynth_target_prepare(target, path, sound, samples);
        inversynth_scores(path, target, values, count, out, sample_rate, 0.75);
        failed = fwrite(out, sizeof *out, count * SCORES, stdout) != count * SCORES;
    }
    free(target);
    free(out);
    return failed;
}

static int resample(char **argv)
{
    const struct inversynth_path *path = find(argv[2]);
    const size_t up = strtoul(argv[3], NULL, 10), down = strtoul(argv[4], NULL, 10), taps = strtoul(argv[5], NULL, 10);
    const size_t before = strtoul(argv[6], NULL, 10), length = strtoul(argv[7], NULL, 10);
    const size_t count = strtoul(argv[8], NULL, 10), size = (up + MAX_LANES - 1) / MAX_LANES * MAX_LANES * taps;
    float *rows = malloc(size * sizeof *rows), *sound = malloc(length * sizeof *sound), *out = malloc(count * sizeof *out);
    int failed = !path || !rows || (length && !sound) || (count && !out);
    failed = failed || fread(rows, sizeof *rows, size, stdin) != size;
    failed = failed || fread(sound, sizeof *sound, length, stdin) != length;
    if (!failed) {
        const struct inversynth_filter filter = {rows, up, down, taps, before};
        path->resample(&filter, sound, length, out, count);
        failed = fwrite(out, sizeof *out, count, stdout) != count;
    }
    free(rows);
    free(sound);
    free(out);
    return failed;
}

static int atoms(char **argv)
{
    const struct inversynth_path *path = find(argv[2]);
    const struct inversynth_array *arrays;
    const size_t kinds = inversynth_atoms_arrays(&arrays), count = strtoul(argv[3], NULL, 10);
    unsigned char *memory = malloc(inversynth_atoms_bytes() + 64);
    uint8_t *phasors = malloc(PHASORS);
    float *audio = malloc(ATOMS_SAMPLES * sizeof *audio), out[PARAMETERS * LEVELS];
    int failed = !path || !memory || !phasors || !audio;
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
                inversynth_atoms_hear(path, network, audio, out);
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
    if (argc != 7)
        return 2;
    const int sine = strcmp(argv[1], "sine") == 0, scored = strcmp(argv[1], "scores") == 0;
    const struct inversynth_path *path = find(argv[2]);
    const size_t params = sine ? SINE_PARAMS : PAPER_PARAMS;
    const size_t count = strtoul(argv[3], NULL, 10), samples = strtoul(argv[4], NULL, 10);
    const double sample_rate = strtod(argv[5], NULL);
    const size_t block = strtoul(argv[6], NULL, 10);
    double *values = malloc(count * params * sizeof *values);
    float *out = malloc(count * samples * sizeof *out);
    int failed = !path || !values || !out || fread(values, sizeof *values, count * params, stdin) != count * params;
    if (!failed && scored) {
        failed = scores(path, values, count, out, samples, sample_rate);
    } else if (!failed) {
        if (sine)
            inversynth_sine(values, count, out, samples, sample_rate);
        else if (!block)
            inversynth_paper(path, values, count, out, samples, sample_rate, 0.75);
        else
            failed = stream(path, values, count, out, samples, sample_rate, block);
        failed = failed || fwrite(out, sizeof *out, count * samples, stdout) != count * samples;
    }
    free(values);
    free(out);
    return failed;
}
