/* An engine as an instrument: notes, each a voice with a stream of its own, and a patch that changes as they sound.
 *
 * One thread pushes events, another plays; they share a ring of events and some counters, no lock. All memory is given
 * beforehand. A voice is a stream of one sound, at its own place in its own note: a note that is released after hold_s
 * seconds is to the bit the sound that inversynth_render makes of the patch with that note.
 *
 * Every voice goes through its own level; their sum through the gain and a limiter: x up to a half, and beyond it
 * 1 - 1 / (4 x), which goes on at the same slope and never exceeds 1. */
#ifndef INVERSYNTH_VOICES_H
#define INVERSYNTH_VOICES_H

#include "engines/engine.h"

enum { MAX_VOICES = 64 };
#define LEAST_S 0.001 /* no note is shorter: one that begins and ends within a block is played, too */

/* EVENT_NOTE_ON: the note `index` begins at the level `value`. Held already, it begins again; with all voices
 * sounding, it takes that of the oldest note that is released, or of the oldest. What is taken fades out over FADE_S.
 * EVENT_NOTE_OFF: the note `index` is released. EVENT_SET: column `index` of the patch is `value` from now on; what
 * sounds fades over to it, as streams do. EVENT_BEND: all notes, also those to come, are `value` semitones higher.
 * EVENT_NOTES_OFF releases all notes, EVENT_SOUND_OFF fades them out. */
enum { EVENT_NOTE_OFF, EVENT_NOTE_ON, EVENT_SET, EVENT_NOTES_OFF, EVENT_SOUND_OFF, EVENT_BEND };

/* `at`: the sample at which it happens, counted from the first that is played; a late event happens at once. */
struct inversynth_event {
    uint64_t at;
    double value;
    int kind, index;
};

struct inversynth_voices;

/* count: 1..MAX_VOICES. values: params, the patch; an event's note is the key that the engine plays it at, at full
 * velocity. channels: how many the output has, all the same. At a multiple of 64. */
size_t inversynth_voices_bytes(const struct inversynth_engine *engine, size_t count);
void inversynth_voices_prepare(struct inversynth_voices *voices, const struct inversynth_engine *engine, size_t count,
                               const double *values, double sample_rate, double gain, size_t channels);

/* Events happen in the order in which they are pushed. Gives 0, and does nothing, if the ring is full. */
int inversynth_voices_push(struct inversynth_voices *voices, struct inversynth_event event);

/* Writes the next `samples` samples, channels interleaved. */
void inversynth_voices_process(struct inversynth_voices *voices, float *out, size_t samples);

/* The same as a PaStreamCallback of PortAudio (portaudio.h), with the voices as its user data. */
int inversynth_voices_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                               void *voices);

/* For any thread. `underflows` counts the callbacks that PortAudio calls with the flag of one; `sounding` the
 * voices. */
struct inversynth_played {
    uint64_t samples, blocks, underflows, sounding;
};
struct inversynth_played inversynth_voices_played(struct inversynth_voices *voices);

#endif
