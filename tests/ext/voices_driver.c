/* Reads a patch and events from standard input, plays them with the voices of engines/voices.h, writes the samples.
 * Arguments: engine, SIMD target, samples, sample_rate, block, voices, threads (1: the events are pushed by another
 * thread as it plays). */
#include "engines/voices.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct inversynth_event events[1 << 16];
static size_t count;
static atomic_int pushing;

static void *push(void *voices)
{
    for (size_t i = 0; i < count; i++)
        while (!inversynth_voices_push(voices, events[i]))
            ;
    pushing = 0;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    const struct inversynth_simd *targets[3], *simd = NULL;
    for (size_t i = inversynth_simd_targets(targets); i-- && !simd;)
        simd = strcmp(argv[2], targets[i]->name) ? NULL : targets[i];
    const struct inversynth_engine *engine = simd ? inversynth_find_engine(simd, argv[1]) : NULL;
    const size_t samples = strtoul(argv[3], NULL, 10), block = strtoul(argv[5], NULL, 10);
    const size_t voices_count = strtoul(argv[6], NULL, 10);
    const int threads = argv[7][0] == '1';
    double *values = engine ? malloc(engine->params * sizeof *values) : NULL;
    if (!values || fread(values, sizeof *values, engine->params, stdin) != engine->params)
        return 2;
    while (count < 1 << 16 && fread(&events[count], sizeof *events, 1, stdin) == 1)
        count++;
    unsigned char *memory = malloc(inversynth_voices_bytes(engine, voices_count) + 64);
    float *out = malloc(samples * sizeof *out);
    if (!memory || !out)
        return 1;
    struct inversynth_voices *voices = (void *)(memory + (64 - (uintptr_t)memory % 64));
    inversynth_voices_prepare(voices, engine, voices_count, values, strtod(argv[4], NULL), 0.25, 1);
    pthread_t other;
    pushing = threads;
    if (threads && pthread_create(&other, NULL, push, voices))
        return 1;
    while (pushing)
        inversynth_voices_callback(NULL, out, block, NULL, 0, voices);
    for (size_t n = 0, next = 0; n < samples; n += block) {
        const size_t length = samples - n < block ? samples - n : block;
        while (!threads && next < count && events[next].at < n + length && inversynth_voices_push(voices, events[next]))
            next++;
        inversynth_voices_callback(NULL, out + n, length, NULL, 0, voices);
    }
    if (threads)
        pthread_join(other, NULL);
    const int failed = fwrite(out, sizeof *out, samples, stdout) != samples;
    free(values);
    free(memory);
    free(out);
    return failed;
}
