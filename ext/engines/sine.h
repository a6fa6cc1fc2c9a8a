/* Two sine oscillators, the smallest example of an engine: each sound by itself, in double precision.
 *
 * The note's key moves both frequencies; its velocity does nothing. When it ends, the sound fades out over FADE_S. */
#include "engines/engine.h"
#include "simd/lanes.h"

/* Columns of a patch: frequency and amplitude of each oscillator. */
enum { SINES = 2, SINE_PARAMS = 2 * SINES };

struct sine_bank {
    double sample_rate;
    size_t position, count, fade; /* samples since the note began; sounds; samples of the fade */
    struct sine_voice {
        struct inversynth_note note;
        double frequency[SINES], amplitude[SINES], turns[SINES]; /* turns: of the phase, besides frequency * time */
        size_t end;                                              /* the first sample of the fade */
    } voice[LANES];
};

_Static_assert(sizeof(struct sine_bank) <= MAX_BANK_BYTES, "a bank has no room");

/* Without its whole turns, a number of them below 2^51. */
static inline double sine_wrapped(double turns)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to the nearest whole number */
    return turns - ((turns + magic) - magic);
}

/* sin(2 pi phase), phase in turns; the Taylor series to the 15th power on a quarter turn, error below 1e-11. */
static inline double sine_of(double phase)
{
    const double q = sine_wrapped(phase - 0.25), y = (0.25 - fabs(q)) * 6.28318530717958647693, z = y * y;
    double p = -1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return y + y * z * p;
}

static void sine_patch(struct sine_bank *b, const double *values, double bend)
{
    for (size_t l = 0; l < b->count; l++) {
        const double ratio = inversynth_key_ratio(b->voice[l].note.key, bend);
        for (int i = 0; i < SINES; i++) {
            b->voice[l].frequency[i] = values[l * SINE_PARAMS + 2 * (size_t)i] * ratio;
            b->voice[l].amplitude[i] = values[l * SINE_PARAMS + 2 * (size_t)i + 1];
        }
    }
}

static void sine_note_off(struct sine_bank *b)
{
    for (size_t l = 0; l < b->count; l++)
        b->voice[l].end = inversynth_first_sample(b->voice[l].note.hold_s * b->sample_rate);
}

static void sine_prepare(void *bank, const double *values, const struct inversynth_note *notes, size_t count,
                         double sample_rate, double bend)
{
    struct sine_bank *b = bank;
    memset(b, 0, sizeof *b);
    b->sample_rate = sample_rate;
    b->count = count;
    b->fade = (size_t)ceil(FADE_S * sample_rate);
    for (size_t l = 0; l < count; l++)
        b->voice[l].note = notes[l];
    sine_patch(b, values, bend);
    sine_note_off(b);
}

/* Fades what lies at and after the end of the note. */
static void sine_fade(const struct sine_bank *b, const struct sine_voice *v, float *sound, size_t samples)
{
    for (size_t n = v->end > b->position ? v->end - b->position : 0; n < samples; n++) {
        const size_t faded = b->position + n - v->end;
        sound[n] *= faded < b->fade ? (float)(b->fade - faded) / (float)b->fade : 0.0f;
    }
}

static size_t sine_block(void *bank, float *wave, size_t most)
{
    struct sine_bank *b = bank;
    const size_t length = most < MAX_BLOCK ? most : MAX_BLOCK;
    for (size_t l = 0; l < b->count; l++) {
        const struct sine_voice *v = &b->voice[l];
        const double first_sample = (double)b->position;
        float sound[MAX_BLOCK];
        for (int n = 0; n < (int)length; n++) {
            const double t = (first_sample + n) / b->sample_rate;
            const double first = v->amplitude[0] * sine_of(v->turns[0] + v->frequency[0] * t);
            const double second = v->amplitude[1] * sine_of(v->turns[1] + v->frequency[1] * t);
            sound[n] = (float)(0.5 * (first + second));
        }
        sine_fade(b, v, sound, length);
        for (size_t n = 0; n < length; n++)
            wave[n * LANES + l] = sound[n];
    }
    b->position += length;
    return length;
}

/* The phases go on from where they are. */
static void sine_change(void *bank, const double *values, double bend)
{
    struct sine_bank *b = bank;
    const double t = (double)b->position / b->sample_rate;
    for (size_t l = 0; l < b->count; l++)
        for (int i = 0; i < SINES; i++)
            b->voice[l].turns[i] += b->voice[l].frequency[i] * t;
    sine_patch(b, values, bend);
    for (size_t l = 0; l < b->count; l++)
        for (int i = 0; i < SINES; i++)
            b->voice[l].turns[i] = sine_wrapped(b->voice[l].turns[i] - b->voice[l].frequency[i] * t);
}

static void sine_release(void *bank)
{
    struct sine_bank *b = bank;
    const double now = (double)b->position / b->sample_rate;
    for (size_t l = 0; l < b->count; l++)
        b->voice[l].note.hold_s = now < b->voice[l].note.hold_s ? now : b->voice[l].note.hold_s;
    sine_note_off(b);
}

static int sine_silent(const void *bank)
{
    const struct sine_bank *b = bank;
    for (size_t l = 0; l < b->count; l++)
        if (b->position < b->voice[l].end || b->position - b->voice[l].end < b->fade)
            return 0;
    return 1;
}

static const struct inversynth_engine sine_engine = {
    .name = "sine",
    .simd = &SIMD_TARGET,
    .params = SINE_PARAMS,
    .bank_bytes = sizeof(struct sine_bank),
    .prepare = sine_prepare,
    .block = sine_block,
    .change = sine_change,
    .release = sine_release,
    .silent = sine_silent,
};
