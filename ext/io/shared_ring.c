/* Blocks of samples between two processes. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE
#include "io/shared_ring.h"

#include <stdatomic.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <semaphore.h>
#include <time.h>
#endif

enum { BLOCKS = 1 << 14 };    /* that may wait */
#define PA_INPUT_OVERFLOW 2ul /* paInputOverflow of portaudio.h */

/* Samples and blocks are counted from the first, and kept at their counts modulo the size of their ring. */
struct inversynth_shared_ring {
    uint64_t size;                           /* samples */
    atomic_ullong written, taken, overflows; /* blocks */
    atomic_ullong end, begin, wanted; /* samples: of those written, of those not taken, the end that is waited for */
    struct {
        uint64_t end;
        double at_s;
    } block[BLOCKS];
    float sample[];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would be one process's alone");

static double now_s(void)
{
#ifdef _WIN32
    LARGE_INTEGER count, rate;
    QueryPerformanceFrequency(&rate);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart / (double)rate.QuadPart;
#elif defined(__APPLE__)
    return (double)clock_gettime_nsec_np(CLOCK_UPTIME_RAW) * 1e-9;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#endif
}

static void post(void *semaphore)
{
#ifdef _WIN32
    ReleaseSemaphore(semaphore, 1, NULL);
#else
    sem_post(semaphore);
#endif
}

size_t inversynth_ring_bytes(size_t samples) { return sizeof(struct inversynth_shared_ring) + samples * sizeof(float); }

void inversynth_ring_prepare(struct inversynth_shared_ring *ring, size_t samples)
{
    memset(ring, 0, inversynth_ring_bytes(samples));
    ring->size = samples;
}

int inversynth_ring_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                             void *writer)
{
    struct inversynth_shared_ring *ring = ((struct inversynth_ring_writer *)writer)->ring;
    const double at_s = now_s();
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    const uint64_t end = atomic_load_explicit(&ring->end, memory_order_relaxed), next = end + samples;
    const size_t at = end % ring->size, after = ring->size - at, first = samples < after ? samples : after;
    (void)out;
    (void)times;
    if (flags & PA_INPUT_OVERFLOW)
        atomic_fetch_add_explicit(&ring->overflows, 1, memory_order_relaxed);
    if (next - atomic_load_explicit(&ring->begin, memory_order_acquire) > ring->size ||
        written - atomic_load_explicit(&ring->taken, memory_order_acquire) == BLOCKS) {
        atomic_fetch_add_explicit(&ring->overflows, 1, memory_order_relaxed);
        return 0; /* paContinue */
    }
    memcpy(ring->sample + at, in, first * sizeof(float));
    memcpy(ring->sample, (const float *)in + first, (samples - first) * sizeof(float));
    ring->block[written % BLOCKS].end = next;
    ring->block[written % BLOCKS].at_s = at_s;
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
    /* Of this and `inversynth_ring_want` at once, the one or the other sees what the other has stored. */
    atomic_store(&ring->end, next);
    if (next >= atomic_load(&ring->wanted))
        post(((struct inversynth_ring_writer *)writer)->data_ready);
    return 0;
}

int64_t inversynth_ring_waiting(struct inversynth_shared_ring *ring)
{
    const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&ring->written, memory_order_acquire))
        return -1;
    return (int64_t)(ring->block[taken % BLOCKS].end - atomic_load_explicit(&ring->begin, memory_order_relaxed));
}

double inversynth_ring_take(struct inversynth_shared_ring *ring, float *out)
{
    const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    const uint64_t begin = atomic_load_explicit(&ring->begin, memory_order_relaxed);
    const uint64_t end = ring->block[taken % BLOCKS].end;
    const double at_s = ring->block[taken % BLOCKS].at_s;
    const size_t at = begin % ring->size, after = ring->size - at, samples = end - begin;
    const size_t first = samples < after ? samples : after;
    memcpy(out, ring->sample + at, first * sizeof(float));
    memcpy(out + first, ring->sample, (samples - first) * sizeof(float));
    atomic_store_explicit(&ring->begin, end, memory_order_release);
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
    return at_s;
}

int inversynth_ring_want(struct inversynth_shared_ring *ring, uint64_t samples)
{
    const uint64_t wanted = atomic_load_explicit(&ring->begin, memory_order_relaxed) + (samples ? samples : 1);
    atomic_store(&ring->wanted, wanted);
    return atomic_load(&ring->end) >= wanted;
}

uint64_t inversynth_ring_overflows(struct inversynth_shared_ring *ring)
{
    return atomic_load_explicit(&ring->overflows, memory_order_relaxed);
}
