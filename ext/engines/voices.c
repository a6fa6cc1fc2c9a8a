/* Notes as they are played: which voice takes which, when one ends, and their sum. */
#include "engines/voices.h"

#include "engines/stream.h"

#include <stdatomic.h>
#include <string.h>

enum { MIX_BLOCK = 64, RING = 4096 }; /* samples at a time; events that may wait */
enum { FULL_VELOCITY = 127 };
#define PA_OUTPUT_UNDERFLOW 4ul /* paOutputUnderflow of portaudio.h */

struct voice {
    struct inversynth_stream *stream;
    int note, sounding, held;
    float level;
    uint64_t born;          /* how many notes began before */
    size_t age, rest, left; /* samples: since it began, to its late release, of its fading out; 0 where there is none */
};

struct inversynth_voices {
    const struct inversynth_engine *engine;
    double sample_rate;
    float gain;
    size_t count, channels, fade, least; /* samples: of fading out, of a note */
    uint64_t position, notes;
    double bend;                        /* semitones */
    double *values;                     /* params */
    struct voice voice[2 * MAX_VOICES]; /* as many again as may sound: for those that fade out */

    struct inversynth_event ring[RING];
    atomic_size_t pushed, taken;
    atomic_ullong samples, blocks, underflows, sounding;
};

#define EACH(voice_, voices_) \
    for (struct voice *voice_ = (voices_)->voice; voice_ < (voices_)->voice + 2 * (voices_)->count; voice_++)

static size_t at_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t patch_bytes(const struct inversynth_engine *engine) { return at_64(engine->params * sizeof(double)); }

size_t inversynth_voices_bytes(const struct inversynth_engine *engine, size_t count)
{
    const size_t streams = 2 * count * at_64(inversynth_stream_bytes(engine, 1));
    return at_64(sizeof(struct inversynth_voices)) + patch_bytes(engine) + streams;
}

void inversynth_voices_prepare(struct inversynth_voices *voices, const struct inversynth_engine *engine, size_t count,
                               const double *values, double sample_rate, double gain, size_t channels)
{
    memset(voices, 0, inversynth_voices_bytes(engine, count));
    voices->engine = engine;
    voices->sample_rate = sample_rate;
    voices->gain = (float)gain;
    voices->count = count;
    voices->channels = channels;
    voices->fade = (size_t)ceil(FADE_S * sample_rate);
    voices->least = (size_t)ceil(LEAST_S * sample_rate);
    unsigned char *room = (unsigned char *)voices + at_64(sizeof *voices);
    voices->values = (double *)(void *)room;
    memcpy(voices->values, values, engine->params * sizeof *values);
    room += patch_bytes(engine);
    EACH (voice, voices) {
        voice->stream = (void *)room;
        room += at_64(inversynth_stream_bytes(engine, 1));
    }
}

int inversynth_voices_push(struct inversynth_voices *voices, struct inversynth_event event)
{
    const size_t pushed = atomic_load_explicit(&voices->pushed, memory_order_relaxed);
    if (pushed - atomic_load_explicit(&voices->taken, memory_order_acquire) == RING)
        return 0;
    voices->ring[pushed % RING] = event;
    atomic_store_explicit(&voices->pushed, pushed + 1, memory_order_release);
    return 1;
}

/* The next event, if one has been pushed. */
static const struct inversynth_event *next_event(struct inversynth_voices *voices)
{
    const size_t taken = atomic_load_explicit(&voices->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&voices->pushed, memory_order_acquire))
        return NULL;
    return &voices->ring[taken % RING];
}

static void begin(struct inversynth_voices *voices, struct voice *voice)
{
    const struct inversynth_note note = {voice->note, FULL_VELOCITY, INFINITY};
    inversynth_stream_prepare(voice->stream, voices->engine, voices->values, &note, 1, voices->sample_rate,
                              voices->bend);
}

static void release(const struct inversynth_voices *voices, struct voice *voice)
{
    if (!voice->held)
        return;
    voice->held = 0;
    if (voice->age < voices->least)
        voice->rest = voices->least - voice->age;
    else
        inversynth_stream_release(voice->stream);
}

static void fade_out(struct inversynth_voices *voices, struct voice *voice)
{
    voice->held = 0;
    if (!voice->age)
        voice->sounding = 0;
    if (voice->sounding && !voice->left)
        voice->left = voices->fade;
}

/* Begins a note; gives 0 if all room is taken by what fades out. */
static int note_on(struct inversynth_voices *voices, int note, double level)
{
    struct voice *room = NULL, *first = NULL;
    size_t sounding = 0;
    EACH (voice, voices) {
        if (voice->held && voice->note == note)
            fade_out(voices, voice);
        if (!voice->sounding) {
            room = voice;
        } else if (!voice->left) {
            sounding++;
            if (!first || voice->held < first->held || (voice->held == first->held && voice->born < first->born))
                first = voice;
        }
    }
    if (sounding == voices->count) {
        fade_out(voices, first);
        room = first->sounding ? room : first;
    }
    if (!room)
        return 0;
    *room = (struct voice){
        .stream = room->stream, .note = note, .sounding = 1, .held = 1, .level = (float)level, .born = voices->notes++};
    begin(voices, room);
    return 1;
}

/* Does what is due; gives whether a note waits for room. */
static int events(struct inversynth_voices *voices)
{
    int set = 0, waits = 0;
    const struct inversynth_event *event;
    while (!waits && (event = next_event(voices)) && event->at <= voices->position) {
        if (event->kind == EVENT_NOTE_ON) {
            waits = !note_on(voices, event->index, event->value);
        } else if (event->kind == EVENT_SET) {
            voices->values[event->index] = event->value;
            set = 1;
        } else if (event->kind == EVENT_BEND) {
            voices->bend = event->value;
            set = 1;
        } else {
            EACH (voice, voices) {
                if (event->kind == EVENT_SOUND_OFF)
                    fade_out(voices, voice);
                else if (event->kind == EVENT_NOTES_OFF || voice->note == event->index)
                    release(voices, voice);
            }
        }
        if (!waits)
            atomic_fetch_add_explicit(&voices->taken, 1, memory_order_release);
    }
    if (set)
        EACH (voice, voices) {
            if (!voice->sounding)
                continue;
            if (voice->age)
                inversynth_stream_change(voice->stream, voices->values, voices->bend);
            else
                begin(voices, voice);
        }
    return waits;
}

/* Adds the next samples of a voice, and ends it where there are no more. */
static void add(const struct inversynth_voices *voices, struct voice *voice, float *mix, size_t samples)
{
    float sound[MIX_BLOCK];
    const size_t faded = voice->left;
    size_t length = faded && faded < samples ? faded : samples;
    inversynth_stream_process(voice->stream, sound, 0, length);
    for (size_t n = 0; n < length; n++)
        mix[n] += sound[n] * (faded ? voice->level * (float)(faded - n) / (float)voices->fade : voice->level);
    voice->age += length;
    voice->left -= faded ? length : 0;
    if (voice->rest && !(voice->rest -= length))
        inversynth_stream_release(voice->stream);
    voice->sounding = faded ? voice->left > 0 : !inversynth_stream_silent(voice->stream);
}

static float limited(float x)
{
    const float size = fabsf(x);
    return size <= 0.5f ? x : copysignf(1.0f - 0.25f / size, x);
}

void inversynth_voices_process(struct inversynth_voices *voices, float *out, size_t samples)
{
    size_t sounding = 0;
    while (samples) {
        float mix[MIX_BLOCK] = {0};
        size_t length = samples < MIX_BLOCK ? samples : MIX_BLOCK;
        const int waits = events(voices);
        const struct inversynth_event *event = waits ? NULL : next_event(voices);
        if (event && event->at - voices->position < length)
            length = event->at - voices->position;
        EACH (voice, voices) {
            if (voice->rest && voice->rest < length)
                length = voice->rest;
            if (waits && voice->left && voice->left < length)
                length = voice->left;
        }
        sounding = 0;
        EACH (voice, voices)
            if (voice->sounding) {
                add(voices, voice, mix, length);
                sounding += (size_t)voice->sounding;
            }
        for (size_t n = 0; n < length; n++)
            for (size_t c = 0; c < voices->channels; c++)
                *out++ = limited(voices->gain * mix[n]);
        voices->position += length;
        samples -= length;
    }
    atomic_store_explicit(&voices->samples, voices->position, memory_order_relaxed);
    atomic_store_explicit(&voices->sounding, sounding, memory_order_relaxed);
}

int inversynth_voices_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                               void *voices)
{
    struct inversynth_voices *played = voices;
    (void)in;
    (void)times;
    atomic_fetch_add_explicit(&played->blocks, 1, memory_order_relaxed);
    if (flags & PA_OUTPUT_UNDERFLOW)
        atomic_fetch_add_explicit(&played->underflows, 1, memory_order_relaxed);
    inversynth_voices_process(played, out, samples);
    return 0; /* paContinue */
}

struct inversynth_played inversynth_voices_played(struct inversynth_voices *voices)
{
    return (struct inversynth_played){
        atomic_load_explicit(&voices->samples, memory_order_relaxed),
        atomic_load_explicit(&voices->blocks, memory_order_relaxed),
        atomic_load_explicit(&voices->underflows, memory_order_relaxed),
        atomic_load_explicit(&voices->sounding, memory_order_relaxed),
    };
}
