/* One thread writes blocks into a line of ext/line.h while another takes them: first as fast as both can, then each block
 * only when the one before was taken. Gives 0 if nothing was lost uncounted, torn or late.
 * Arguments: blocks, rounds. */
#define _POSIX_C_SOURCE 200809L
#include "line.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES = 1000, LONGEST = 300, OVERFLOW_FLAG = 2, PATIENCE_S = 20 };

static struct inversynth_writer writer;
static unsigned long blocks, rounds;
static uint64_t flagged;
static atomic_ulong taken;

/* Block i: its number, again and again; the first 2^24 numbers are whole in a float. */
static void write_block(unsigned long i)
{
    float block[LONGEST];
    const unsigned long count = 1 + i * 7 % LONGEST, flags = i % 5 ? 0 : OVERFLOW_FLAG;
    for (unsigned long n = 0; n < count; n++)
        block[n] = (float)i;
    flagged += flags != 0;
    inversynth_line_callback(block, NULL, count, NULL, flags, &writer);
}

static void *write_all(void *unused)
{
    for (unsigned long i = 0; i < blocks; i++)
        write_block(i);
    sem_post(writer.news);
    while (atomic_load(&taken) < blocks)
        ;
    for (unsigned long i = blocks; i < blocks + rounds; i++) {
        write_block(i);
        while (atomic_load(&taken) <= i)
            ;
    }
    return unused;
}

/* Takes what waits: gives 0 if it isn't whole blocks, each later than the one before. */
static int take_all(unsigned long *count, double *last, double *last_s)
{
    float block[LONGEST];
    for (int64_t samples; (samples = inversynth_line_waiting(writer.line)) >= 0; ++*count) {
        const double at_s = inversynth_line_take(writer.line, block);
        if (block[0] <= *last || at_s < *last_s || samples != 1 + (long)block[0] * 7 % LONGEST)
            return 0;
        for (int64_t n = 0; n < samples; n++)
            if (block[n] != block[0])
                return 0;
        *last = block[0];
        *last_s = at_s;
    }
    return 1;
}

/* Waits for more; gives 0 if none comes. */
static int wait_for(uint64_t samples)
{
    struct timespec end;
    if (inversynth_line_want(writer.line, samples))
        return 1;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    return !sem_timedwait(writer.news, &end);
}

int main(int argc, char **argv)
{
    sem_t news;
    pthread_t other;
    unsigned long count = 0;
    double last = -1.0, last_s = 0.0;
    if (argc != 3 || sem_init(&news, 0, 0))
        return 2;
    blocks = strtoul(argv[1], NULL, 10);
    rounds = strtoul(argv[2], NULL, 10);
    writer = (struct inversynth_writer){malloc(inversynth_line_bytes(SAMPLES)), &news};
    if (!writer.line)
        return 2;
    inversynth_line_prepare(writer.line, SAMPLES);
    if (pthread_create(&other, NULL, write_all, NULL))
        return 2;
    for (uint64_t samples = 0; last < (double)(blocks - 1) || count < 1; samples = (samples + 13) % SAMPLES) {
        if (!wait_for(samples) || !take_all(&count, &last, &last_s))
            return 1;
        /* The last may be lost: then nothing more comes, and all that were written are counted. */
        if (count + inversynth_line_overflows(writer.line) == blocks + (blocks + 4) / 5)
            break;
    }
    const unsigned long lost = blocks - count;
    atomic_store(&taken, blocks);
    for (unsigned long i = blocks; i < blocks + rounds; i++) {
        while (count < i + 1 - lost)
            if (!wait_for(1) || !take_all(&count, &last, &last_s))
                return 1;
        inversynth_line_want(writer.line, SAMPLES); /* no block is news, until the next one is waited for */
        atomic_store(&taken, i + 1);
    }
    pthread_join(other, NULL);
    const uint64_t counted = inversynth_line_overflows(writer.line);
    free(writer.line);
    printf("%lu %lu\n", count, lost);
    return counted != lost + flagged;
}
