/* Reads a patch and events from standard input, plays them with the voices of ext/voices.h, writes the samples.
 * Arguments: path, samples, sample_rate, block, voices, threads (1: the events are pushed by another thread as it plays). */
#include "voices.h"

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
    if (argc != 7)
        return 2;
    const struct inversynth_path *paths[3], *path = NULL;
    for (size_t i = inversynth_paths(paths); i-- && !path;)
        path = strcmp(argv[1], paths[i]->name) ? NULL : paths[i];
    const size_t samples = strtoul(argv[2], NULL, 10), block = strtoul(argv[4], NULL, 10);
    const size_t voices_count = strtoul(argv[5], NULL, 10);
    const int threads = argv[6][0] == '1';
    double values[PAPER_PARAMS];
    if (!path || fread(values, sizeof *values, PAPER_PARAMS, stdin) != PAPER_PARAMS)
        return 2;
    while (count < 1 << 16 && fread(&events[count], sizeof *events, 1, stdin) == 1)
        count++;
    unsigned char *memory = malloc(inversynth_voices_bytes(path, voices_count) + 64);
    float *out = malloc(samples * sizeof *out);
    if (!memory || !out)
        return 1;
    struct inversynth_voices *voices = (void *)(memory + (64 - (uintptr_t)memory % 64));
    inversynth_voices_prepare(voices, path, voices_count, values, 69, strtod(argv[3], NULL), 0.25, 1);
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
    free(memory);
    free(out);
    return failed;
}
