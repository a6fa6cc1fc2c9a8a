/* Blocks of samples from an audio callback to another process: a ring in memory that both share.
 *
 * One thread writes, another takes; neither waits for the other, and there is no lock. The memory holds no pointer, so
 * each process may have it at an address of its own; that an atomic counter takes no lock holds between processes, too. */
#ifndef INVERSYNTH_LINE_H
#define INVERSYNTH_LINE_H

#include <stddef.h>
#include <stdint.h>

struct inversynth_line;

/* The memory of a line of so many samples, at a multiple of 8; `prepare` makes an empty one of it. */
size_t inversynth_line_bytes(size_t samples);
void inversynth_line_prepare(struct inversynth_line *line, size_t samples);

/* Who writes: `news` is the semaphore that is posted when enough has come, a sem_t * or, on Windows, its handle. */
struct inversynth_writer {
    struct inversynth_line *line;
    void *news;
};

/* Copies a block that has just come; without room for it, it is lost, and counted as an overflow. As a PaStreamCallback
 * of PortAudio (portaudio.h), of an input of one channel, with an inversynth_writer as its user data. */
int inversynth_line_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                             void *writer);

/* Who takes. `waiting`: the samples of the next block, -1 without any. `take` copies that block, and gives when it came, in
 * seconds of the system's steady clock (that of Python's time.perf_counter). */
int64_t inversynth_line_waiting(struct inversynth_line *line);
double inversynth_line_take(struct inversynth_line *line, float *out);

/* From now on news are posted of a block with which `samples` or more wait, at least one; gives whether they do already. */
int inversynth_line_want(struct inversynth_line *line, uint64_t samples);

/* How many blocks were lost, by the ring or, as it said, by the device. */
uint64_t inversynth_line_overflows(struct inversynth_line *line);

#endif
