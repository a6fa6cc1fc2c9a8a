/* The paper's synth and the two-sine synth.
 *
 * Every sample's phase is computed from its time in closed form, so nothing drifts, and an item is the
 * same whatever stands beside it and however long it is. Work goes block by block: loops over a block
 * have no branches and no dependence from sample to sample, so compilers vectorise them; only the
 * filter is a recursion. */
#include "bank.h"

#include <math.h>

#define PI 3.14159265358979323846
#define TWO_PI (2.0 * PI)

enum { BLOCK = 128 };
enum { SIN, SAW, TRI, SQR, OSCILLATORS };
enum { FREQUENCY, MOD_FREQUENCY, AMPLITUDE, MOD_AMPLITUDE, OSCILLATOR_PARAMS };
enum {
    ATTACK = OSCILLATORS * OSCILLATOR_PARAMS,
    DECAY,
    SUSTAIN,
    RELEASE,
    CUTOFF,
    RESONANCE,
    GATE_FREQUENCY
};

/* floor for |x| < 2^51, in operations that every vector unit has: adding 1.5 * 2^52 rounds to nearest. */
static inline double floor_small(double x)
{
    const double magic = 6755399441055744.0;
    double nearest = (x + magic) - magic;
    return nearest > x ? nearest - 1.0 : nearest;
}

/* Distance of a phase (in turns) from a quarter turn, to the nearest turn: 0.25 at 0, 0 at 1/4, 0.5 at 3/4. */
static inline double from_quarter(double phase)
{
    double q = phase - 0.25;
    q -= floor_small(q + 0.5);
    return fabs(q);
}

/* sin(2 pi phase), phase in turns; the Taylor series to the 15th power on a quarter turn, error below 1e-11. */
static inline double sin_turns(double phase)
{
    double y = (0.25 - from_quarter(phase)) * TWO_PI;
    double z = y * y;
    double p = -1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return y + y * z * p;
}

static inline double wave_sin(double p) { return sin_turns(p); }
static inline double wave_saw(double p) { return 2.0 * (p - floor_small(p + 0.5)); }
static inline double wave_tri(double p) { return 1.0 - 4.0 * from_quarter(p); }
static inline double wave_sqr(double p) { return p - floor_small(p) < 0.5 ? 1.0 : -1.0; }

/* Adds amplitude * wave(f t + B / (2 pi v) (1 - cos(2 pi v t))): frequency modulation of f by B sin(2 pi v t) Hz. */
#define ADD_OSCILLATOR(wave)                                                              \
    static void add_##wave(const double *osc, const double *time, double *mix)            \
    {                                                                                     \
        const double f = osc[FREQUENCY], v = osc[MOD_FREQUENCY], a = osc[AMPLITUDE];      \
        const double turns = osc[MOD_AMPLITUDE] / (TWO_PI * v);                           \
        for (int k = 0; k < BLOCK; k++) {                                                 \
            double t = time[k];                                                           \
            double phase = f * t + turns * (1.0 - sin_turns(v * t + 0.25));               \
            mix[k] += a * wave(phase);                                                    \
        }                                                                                 \
    }
ADD_OSCILLATOR(wave_sin)
ADD_OSCILLATOR(wave_saw)
ADD_OSCILLATOR(wave_tri)
ADD_OSCILLATOR(wave_sqr)

/* Second-order low-pass of the Audio EQ Cookbook (R. Bristow-Johnson), direct form II transposed. */
struct lowpass {
    double b0, b1, a1, a2; /* b2 = b0; normalised by a0 */
    double s1, s2;
};

static void lowpass_init(struct lowpass *filter, double cutoff, double q, double sample_rate)
{
    const double w = TWO_PI * cutoff / sample_rate;
    const double alpha = sin(w) / (2.0 * q), c = cos(w), a0 = 1.0 + alpha;
    filter->b0 = (1.0 - c) / 2.0 / a0;
    filter->b1 = (1.0 - c) / a0;
    filter->a1 = -2.0 * c / a0;
    filter->a2 = (1.0 - alpha) / a0;
    filter->s1 = filter->s2 = 0.0;
}

static void lowpass_block(struct lowpass *filter, double *x)
{
    struct lowpass f = *filter;
    for (int k = 0; k < BLOCK; k++) {
        double in = x[k], y = f.b0 * in + f.s1;
        f.s1 = f.b1 * in - f.a1 * y + f.s2;
        f.s2 = f.b0 * in - f.a2 * y;
        x[k] = y;
    }
    *filter = f;
}

/* Linear ADSR: 0 -> 1 -> sustain, and from note_off on the level reached by then -> 0. */
static inline double held_level(const double *patch, double t)
{
    const double attack = patch[ATTACK], sustain = patch[SUSTAIN];
    double rise = t / attack;
    double fall = 1.0 - (1.0 - sustain) * ((t - attack) / patch[DECAY]);
    fall = fall > sustain ? fall : sustain;
    return t < attack ? rise : fall;
}

static void apply_envelope(const double *patch, const double *time, double note_off, double *x)
{
    const double held = held_level(patch, note_off), slope = 1.0 / patch[RELEASE];
    for (int k = 0; k < BLOCK; k++) {
        double t = time[k];
        double left = 1.0 - (t - note_off) * slope;
        left = left > 0.0 ? left * held : 0.0;
        double level = held_level(patch, t);
        x[k] *= t < note_off ? level : left;
    }
}

static void paper_item(const double *patch, float *out, size_t samples, double sample_rate, double note_off)
{
    double time[BLOCK], x[BLOCK];
    struct lowpass filter;
    lowpass_init(&filter, patch[CUTOFF], patch[RESONANCE], sample_rate);
    for (size_t start = 0; start < samples; start += BLOCK) {
        const size_t length = samples - start < BLOCK ? samples - start : BLOCK;
        for (int k = 0; k < BLOCK; k++) {
            time[k] = ((double)start + k) / sample_rate;
            x[k] = 0.0;
        }
        add_wave_sin(patch + SIN * OSCILLATOR_PARAMS, time, x);
        add_wave_saw(patch + SAW * OSCILLATOR_PARAMS, time, x);
        add_wave_tri(patch + TRI * OSCILLATOR_PARAMS, time, x);
        add_wave_sqr(patch + SQR * OSCILLATOR_PARAMS, time, x);
        apply_envelope(patch, time, note_off, x);
        lowpass_block(&filter, x);
        for (int k = 0; k < BLOCK; k++)
            x[k] *= 0.5 + 0.5 * sin_turns(patch[GATE_FREQUENCY] * time[k]);
        for (size_t k = 0; k < length; k++)
            out[start + k] = (float)x[k];
    }
}

void inversynth_paper(const double *values, size_t count, float *out, size_t samples, double sample_rate,
                      double note_off)
{
    for (size_t i = 0; i < count; i++)
        paper_item(values + i * PAPER_PARAMS, out + i * samples, samples, sample_rate, note_off);
}

void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate)
{
    for (size_t i = 0; i < count; i++) {
        const double *patch = values + i * SINE_PARAMS;
        float *item = out + i * samples;
        for (size_t k = 0; k < samples; k++) {
            double t = (double)k / sample_rate;
            item[k] = (float)(0.5 * (patch[1] * sin_turns(patch[0] * t) + patch[3] * sin_turns(patch[2] * t)));
        }
    }
}
