/* The sounds of an engine as a stream, with values that change as it plays: the sound with the old ones fades into
 * that with the new ones over FADE_S, each going on from the same state. A change during a fade waits for its end;
 * the last one counts. All its memory, inversynth_stream_bytes at a multiple of 64, is given to it; it
 * allocates nothing. */
#ifndef INVERSYNTH_STREAM_H
#define INVERSYNTH_STREAM_H

#include "engines/engine.h"

struct inversynth_stream;

size_t inversynth_stream_bytes(const struct inversynth_engine *engine, size_t count);

/* values: count x params. notes: count. bend: semitones that all sounds are moved by. */
void inversynth_stream_prepare(struct inversynth_stream *stream, const struct inversynth_engine *engine,
                               const double *values, const struct inversynth_note *notes, size_t count,
                               double sample_rate, double bend);

/* Writes the next `samples` samples of sound i to out + i * stride. */
void inversynth_stream_process(struct inversynth_stream *stream, float *out, size_t stride, size_t samples);

/* Other values and another bend; the keys of the notes stay. */
void inversynth_stream_change(struct inversynth_stream *stream, const double *values, double bend);

/* Ends the notes that are still held. */
void inversynth_stream_release(struct inversynth_stream *stream);

/* Whether all that follows is below 1e-7. */
int inversynth_stream_silent(const struct inversynth_stream *stream);

#endif
