/* One thread writes blocks into a ring of io/shared_ring.h while another takes them: first as fast as both can, then
 * each block only when the one before was taken. Gives 0 if nothing was lost uncounted, torn or late.
 * Arguments: blocks, rounds. */
#define _POSIX_C_SOURCE 200809L
#include "io/shared_ring.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES = 1000, LONGEST = 300, OVERFLOW_FLAG = 2, PATIENCE_S = 20 };

static struct inversynth_ring_writer writer;
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
    inversynth_ring_callback(block, NULL, count, NULL, flags, &writer);
}

static void *write_all(void *unused)
{
    for (unsigned long i = 0; i < blocks; i++)
        write_block(i);
    sem_post(writer.data_ready);
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
    for (int64_t samples; (samples = inversynth_ring_waiting(writer.ring)) >= 0; ++*count) {
        const double at_s = inversynth_ring_take(writer.ring, block);
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
    if (inversynth_ring_want(writer.ring, samples))
        return 1;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    return !sem_timedwait(writer.data_ready, &end);
}

int main(int argc, char **argv)
{
    sem_t data_ready;
    pthread_t other;
    unsigned long count = 0;
    double last = -1.0, last_s = 0.0;
    if (argc != 3 || sem_init(&data_ready, 0, 0))
        return 2;
    blocks = strtoul(argv[1], NULL, 10);
    rounds = strtoul(argv[2], NULL, 10);
    writer = (struct inversynth_ring_writer){malloc(inversynth_ring_bytes(SAMPLES)), &data_ready};
    if (!writer.ring)
        return 2;
    inversynth_ring_prepare(writer.ring, SAMPLES);
    if (pthread_create(&other, NULL, write_all, NULL))
        return 2;
    for (uint64_t samples = 0; last < (double)(blocks - 1) || count < 1; samples = (samples + 13) % SAMPLES) {
        if (!wait_for(samples) || !take_all(&count, &last, &last_s))
            return 1;
        /* The last may be lost: then nothing more comes, and all that were written are counted. */
        if (count + inversynth_ring_overflows(writer.ring) == blocks + (blocks + 4) / 5)
            break;
    }
    const unsigned long lost = blocks - count;
    atomic_store(&taken, blocks);
    for (unsigned long i = blocks; i < blocks + rounds; i++) {
        while (count < i + 1 - lost)
            if (!wait_for(1) || !take_all(&count, &last, &last_s))
                return 1;
        /* data_ready is posted at no block, until the next one is waited for. */
        inversynth_ring_want(writer.ring, SAMPLES);
        atomic_store(&taken, i + 1);
    }
    pthread_join(other, NULL);
    const uint64_t counted = inversynth_ring_overflows(writer.ring);
    free(writer.ring);
    printf("%lu %lu\n", count, lost);
    return counted != lost + flagged;
}
