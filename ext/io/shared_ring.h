/* Blocks of samples from an audio callback to another process: a ring in memory that both share.
 *
 * One thread writes, another takes; neither waits for the other, and there is no lock. The memory holds no pointer,
 * so each process may have it at an address of its own; that an atomic counter takes no lock holds between processes,
 * too. */
#ifndef INVERSYNTH_SHARED_RING_H
#define INVERSYNTH_SHARED_RING_H

#include <stddef.h>
#include <stdint.h>

struct inversynth_shared_ring;

/* The bytes of memory of a ring of `samples`, at a multiple of 8; `prepare` sets up an empty ring in it. */
size_t inversynth_ring_bytes(size_t samples);
void inversynth_ring_prepare(struct inversynth_shared_ring *ring, size_t samples);

/* Who writes. data_ready: the semaphore that is posted when enough has come, a sem_t * or, on Windows, its handle. */
struct inversynth_ring_writer {
    struct inversynth_shared_ring *ring;
    void *data_ready;
};

/* Copies a block that has just come; without room for it, it is lost, and counted as an overflow. As a PaStreamCallback
 * of PortAudio (portaudio.h), of an input of one channel, with an inversynth_ring_writer as its user data. */
int inversynth_ring_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                             void *writer);

/* Who takes. `waiting`: the samples of the next block, -1 without any. `take` copies that block, and gives when it
 * came, in seconds of the system's steady clock (that of Python's time.perf_counter). */
int64_t inversynth_ring_waiting(struct inversynth_shared_ring *ring);
double inversynth_ring_take(struct inversynth_shared_ring *ring, float *out);

/* From now on data_ready is posted at a block with which `samples` or more wait, at least one; gives whether they do
 * now. */
int inversynth_ring_want(struct inversynth_shared_ring *ring, uint64_t samples);

/* How many blocks were lost, by the ring or, as it said, by the device. */
uint64_t inversynth_ring_overflows(struct inversynth_shared_ring *ring);

#endif
