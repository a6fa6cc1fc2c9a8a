/* Blocks of samples between two processes. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE
#include "line.h"

#include <stdatomic.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <semaphore.h>
#include <time.h>
#endif

enum { BLOCKS = 1 << 14 }; /* that may wait */
#define PA_INPUT_OVERFLOW 2ul /* paInputOverflow of portaudio.h */

/* Samples and blocks are counted from the first, and kept at their counts modulo the size of their ring. */
struct inversynth_line {
    uint64_t size; /* samples */
    atomic_ullong written, taken, overflows; /* blocks */
    atomic_ullong end, begin, wanted;        /* samples: of those written, of those not taken, the end that is news */
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

size_t inversynth_line_bytes(size_t samples) { return sizeof(struct inversynth_line) + samples * sizeof(float); }

void inversynth_line_prepare(struct inversynth_line *line, size_t samples)
{
    memset(line, 0, inversynth_line_bytes(samples));
    line->size = samples;
}

int inversynth_line_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                             void *writer)
{
    struct inversynth_line *line = ((struct inversynth_writer *)writer)->line;
    const double at_s = now_s();
    const uint64_t written = atomic_load_explicit(&line->written, memory_order_relaxed);
    const uint64_t end = atomic_load_explicit(&line->end, memory_order_relaxed), next = end + samples;
    const size_t at = end % line->size, after = line->size - at, first = samples < after ? samples : after;
    (void)out;
    (void)times;
    if (flags & PA_INPUT_OVERFLOW)
        atomic_fetch_add_explicit(&line->overflows, 1, memory_order_relaxed);
    if (next - atomic_load_explicit(&line->begin, memory_order_acquire) > line->size ||
        written - atomic_load_explicit(&line->taken, memory_order_acquire) == BLOCKS) {
        atomic_fetch_add_explicit(&line->overflows, 1, memory_order_relaxed);
        return 0; /* paContinue */
    }
    memcpy(line->sample + at, in, first * sizeof(float));
    memcpy(line->sample, (const float *)in + first, (samples - first) * sizeof(float));
    line->block[written % BLOCKS].end = next;
    line->block[written % BLOCKS].at_s = at_s;
    atomic_store_explicit(&line->written, written + 1, memory_order_release);
    /* Of this and `inversynth_line_want` at once, the one or the other sees what the other has stored. */
    atomic_store(&line->end, next);
    if (next >= atomic_load(&line->wanted))
        post(((struct inversynth_writer *)writer)->news);
    return 0;
}

int64_t inversynth_line_waiting(struct inversynth_line *line)
{
    const uint64_t taken = atomic_load_explicit(&line->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&line->written, memory_order_acquire))
        return -1;
    return (int64_t)(line->block[taken % BLOCKS].end - atomic_load_explicit(&line->begin, memory_order_relaxed));
}

double inversynth_line_take(struct inversynth_line *line, float *out)
{
    const uint64_t taken = atomic_load_explicit(&line->taken, memory_order_relaxed);
    const uint64_t begin = atomic_load_explicit(&line->begin, memory_order_relaxed);
    const uint64_t end = line->block[taken % BLOCKS].end;
    const double at_s = line->block[taken % BLOCKS].at_s;
    const size_t at = begin % line->size, after = line->size - at, samples = end - begin;
    const size_t first = samples < after ? samples : after;
    memcpy(out, line->sample + at, first * sizeof(float));
    memcpy(out + first, line->sample, (samples - first) * sizeof(float));
    atomic_store_explicit(&line->begin, end, memory_order_release);
    atomic_store_explicit(&line->taken, taken + 1, memory_order_release);
    return at_s;
}

int inversynth_line_want(struct inversynth_line *line, uint64_t samples)
{
    const uint64_t wanted = atomic_load_explicit(&line->begin, memory_order_relaxed) + (samples ? samples : 1);
    atomic_store(&line->wanted, wanted);
    return atomic_load(&line->end) >= wanted;
}

uint64_t inversynth_line_overflows(struct inversynth_line *line)
{
    return atomic_load_explicit(&line->overflows, memory_order_relaxed);
}
