/* The paper's synth, LANES sounds at a time, all stages in one loop over the samples.
 *
 * A note goes by in blocks. Where a block begins, the state of every oscillator is computed in double precision, from
 * rotations by whole blocks, so nothing drifts; within it the recurrences below are exact but for float32 rounding.
 * Blocks lie at multiples of BLOCK of the note's own time, however it is cut into calls, so a sample doesn't
 * depend on the calls before and after it, nor on the other lanes.
 *
 * Frequency modulation of f by B sin(2 pi v t) Hz makes the phase, in turns,
 *     p(t) = f t + D (1 - cos(2 pi v t)),  D = B / (2 pi v).
 * With x = 2 pi v / sample_rate its second difference is e[n] = D k cos(x n), k = 4 sin^2(x / 2), and e itself obeys
 * e[n+1] = e[n] + g[n], g[n+1] = g[n] - k e[n+1]. Phases are 32-bit integers, 2^32 to the turn, that wrap for free.
 *
 * The note's key moves the frequencies of the oscillators, not those of their modulators; its velocity does nothing.
 * The gater can't be switched off, and at its slowest it would silence a note that is held for seconds. So in a note that
 * is held until it is released it stays, at its slowest, where it first comes down to its middle: after a second.
 * 2 * cutoff < sample_rate, and sample_rate > 7680. */
#include "engines/engine.h"
#include "simd/lanes.h"

#define PI 3.14159265358979323846
#define TURN 4294967296.0
#define TO_WHOLE 6755399441055744.0 /* 1.5 * 2^52: adding it rounds what is below 2^51 to the nearest whole number */

/* Columns of a patch: those of the oscillators, one after another, the frequency first, and the rest. */
enum { OSCILLATORS = 4, OSCILLATOR_PARAMS = 4 };
enum { FREQUENCY, MOD_FREQUENCY, AMPLITUDE, MOD_AMPLITUDE };
enum {
    ATTACK = OSCILLATORS * OSCILLATOR_PARAMS,
    DECAY,
    SUSTAIN,
    RELEASE,
    CUTOFF,
    RESONANCE,
    GATE_FREQUENCY,
    PAPER_PARAMS
};

#define SLOWEST_GATE_HZ 0.5

enum { BLOCK = MAX_BLOCK };
enum { SIN, SAW, TRI, SQR, GATE = OSCILLATORS, ROTORS };
enum { TO_DECAY, TO_SUSTAIN, TO_RELEASE, TO_SILENCE, CORNERS };

struct paper_bank {
    ALIGNED double cosine[ROTORS][LANES]; /* of modulators and gater, where the block begins */
    doubles sine[ROTORS];
    doubles angle[ROTORS];                                /* x, of the rotation by a sample */
    doubles block_cosine[ROTORS], block_sine[ROTORS];     /* rotation by a block */
    doubles turns[OSCILLATORS], block_turns[OSCILLATORS]; /* f t, and its growth in a block */
    doubles step[OSCILLATORS], swing[OSCILLATORS];        /* turns: f / sample_rate, D */
    doubles lag[ROTORS], lead[ROTORS];                    /* D (1 - cos x), D sin x; of the gater, D = 1 */
    doubles attack, decay, sustain, release, held;        /* s, level; the level where the note ends */
    doubles start, growth;                                /* of the envelope's line: level, 1/s */

    /* The state of the loop, and what it takes from the patch. */
    ALIGNED int32_t phase[OSCILLATORS][LANES];
    ints speed[OSCILLATORS];
    floats bend[OSCILLATORS], turn[OSCILLATORS], stiffness[ROTORS]; /* e, g, k */
    floats amplitude[OSCILLATORS], triangle_slope;
    floats level, slope;
    floats band, low, damping, band_gain, low_gain;
    floats gate, gate_turn;

    double sample_rate;
    size_t position, count;              /* samples since the note began; sounds */
    size_t corner[CORNERS][LANES], next; /* first samples of decay, sustain, release and silence; the next of them */
    doubles key, hold;                   /* of the note: semitones, s */
    int gate_may_stay[LANES], gate_stays[LANES];
};

_Static_assert(sizeof(struct paper_bank) <= MAX_BANK_BYTES, "a bank has no room");

/* sin and cos of 0 <= x <= pi / 2 by their series, to double precision, in operations that are the same everywhere. */
static void sine_cosine(const double *x, double *sine, double *cosine)
{
    enum { TERMS = 12 };
    double inverse[2 * TERMS] = {1.0}; /* 1 / n! */
    for (int n = 1; n < 2 * TERMS; n++)
        inverse[n] = inverse[n - 1] / n;
    EACH_LANE
    {
        double z = x[l] * x[l], s = 0.0, c = 0.0;
        for (int n = 2 * TERMS - 2; n >= 0; n -= 2) {
            c = inverse[n] - c * z;
            s = inverse[n + 1] - s * z;
        }
        sine[l] = s * x[l];
        cosine[l] = c;
    }
}

/* The low 32 bits of the nearest whole number. */
static void low_bits(const double *x, int32_t *bits)
{
    double sum[LANES];
    uint64_t words[LANES];
    EACH_LANE sum[l] = x[l] + TO_WHOLE;
    memcpy(words, sum, sizeof words);
    EACH_LANE bits[l] = (int32_t)(uint32_t)words[l];
}

static void paper_at_block(struct paper_bank *b)
{
    for (int i = 0; i < OSCILLATORS; i++) {
        doubles phase, speed;
        /* Sine and triangle are folded about a quarter turn. An edge that falls on a sample comes before it, in spite
         * of the rounding within a block. */
        const double fold = i == SIN || i == TRI ? 0.25 : -1.0 / 4194304.0;
        EACH_LANE
        {
            double c = b->cosine[i][l], s = b->sine[i][l];
            double swerve = b->lag[i][l] * c + b->lead[i][l] * s;
            phase[l] = (b->turns[i][l] + b->swing[i][l] * (1.0 - c) - fold) * TURN;
            speed[l] = (b->step[i][l] + swerve) * TURN;
            b->bend[i][l] = (float)(2.0 * b->lag[i][l] * c * TURN);
            b->turn[i][l] = (float)(-(double)b->stiffness[i][l] * swerve * TURN);
        }
        low_bits(phase, b->phase[i]);
        low_bits(speed, b->speed[i]);
    }
    const double t = (double)b->position / b->sample_rate;
    EACH_LANE
    {
        b->level[l] = (float)(b->start[l] + b->growth[l] * t);
        b->gate[l] = (float)b->sine[GATE][l];
        b->gate_turn[l] = (float)(b->lead[GATE][l] * b->cosine[GATE][l] - b->lag[GATE][l] * b->sine[GATE][l]);
    }
}

/* The line that the envelope of one lane is on from the position on: its level is start + growth * t. */
static void paper_at_envelope(struct paper_bank *b, int l)
{
    double start = b->sustain[l], growth = 0.0;
    if (b->position >= b->corner[TO_SILENCE][l]) {
        start = 0.0;
    } else if (b->position >= b->corner[TO_RELEASE][l]) {
        growth = -b->held[l] / b->release[l];
        start = b->held[l] - growth * b->hold[l];
    } else if (b->position < b->corner[TO_DECAY][l]) {
        growth = 1.0 / b->attack[l];
        start = 0.0;
    } else if (b->position < b->corner[TO_SUSTAIN][l]) {
        growth = (b->sustain[l] - 1.0) / b->decay[l];
        start = 1.0 - growth * b->attack[l];
    }
    b->start[l] = start;
    b->growth[l] = growth;
    b->slope[l] = (float)(growth / b->sample_rate);
}

/* Takes round its corner every lane that has one here, or all; finds the next corner of any. */
static void paper_at_corner(struct paper_bank *b, int all)
{
    const double t = (double)b->position / b->sample_rate;
    b->next = SIZE_MAX;
    EACH_LANE
    {
        int here = all;
        for (int i = 0; i < CORNERS; i++) {
            const size_t corner = b->corner[i][l];
            here |= corner == b->position;
            if (corner > b->position && corner < b->next)
                b->next = corner;
        }
        if (here) {
            paper_at_envelope(b, l);
            b->level[l] = (float)(b->start[l] + b->growth[l] * t);
        }
    }
}

/* From here on the gater of a lane stands still. */
static void paper_stay(struct paper_bank *b, int l)
{
    b->gate_stays[l] = 1;
    b->angle[GATE][l] = b->block_sine[GATE][l] = b->lag[GATE][l] = b->lead[GATE][l] = 0.0;
    b->block_cosine[GATE][l] = 1.0;
    b->stiffness[GATE][l] = 0.0f;
}

/* A block has ended: turns every rotor by a block, and silences what no float32 can hold. */
static void paper_next_block(struct paper_bank *b)
{
    for (int i = 0; i < ROTORS; i++)
        EACH_LANE
        {
            double c = b->cosine[i][l], s = b->sine[i][l];
            b->cosine[i][l] = c * b->block_cosine[i][l] - s * b->block_sine[i][l];
            b->sine[i][l] = s * b->block_cosine[i][l] + c * b->block_sine[i][l];
        }
    for (int i = 0; i < OSCILLATORS; i++)
        EACH_LANE
        {
            double turns = b->turns[i][l] + b->block_turns[i][l];
            b->turns[i][l] = turns - ((turns + TO_WHOLE) - TO_WHOLE);
        }
    EACH_LANE
    {
        const double s = b->sine[GATE][l];
        if (b->gate_may_stay[l] && b->cosine[GATE][l] < 0.0 && s <= 0.0 && s > -b->block_sine[GATE][l])
            paper_stay(b, l);
        b->band[l] = fabsf(b->band[l]) > 1e-25f ? b->band[l] : 0.0f;
        b->low[l] = fabsf(b->low[l]) > 1e-25f ? b->low[l] : 0.0f;
    }
}

/* sin(2 pi y) / y in z = y^2, for |y| <= 1/4: the least largest error of sin(2 pi y) at this degree, 6e-7. */
static inline vf sine_over(vf z)
{
    vf p = f_mul_add(z, f_all(-70.99343f), f_all(81.34077f));
    p = f_mul_add(z, p, f_all(-41.337143f));
    return f_mul_add(z, p, f_all(6.283164f));
}

/* The state of one oscillator, in registers. */
struct paper_oscillator {
    vi phase, speed;
    vf bend, turn;
};

static inline struct paper_oscillator paper_load(const struct paper_bank *b, int i)
{
    return (struct paper_oscillator){i_load(b->phase[i]), i_load(b->speed[i]), f_load(b->bend[i]), f_load(b->turn[i])};
}

static inline void paper_store(struct paper_bank *b, int i, struct paper_oscillator o)
{
    i_store(b->phase[i], o.phase);
    i_store(b->speed[i], o.speed);
    f_store(b->bend[i], o.bend);
    f_store(b->turn[i], o.turn);
}

static inline struct paper_oscillator paper_next(struct paper_oscillator o, vf stiffness)
{
    o.phase = i_add(o.phase, o.speed);
    o.bend = f_add(o.bend, o.turn);
    o.speed = i_add(o.speed, i_of(o.bend));
    o.turn = f_sub_mul_once(stiffness, o.bend, o.turn);
    return o;
}

/* `samples` samples of sine, triangle and saw into wave, a vector each. Two loops, here and in `finish`, and not one:
 * so the state stays in 16 registers, and each has work enough to hide the latency of its recursions. */
static void paper_begin(struct paper_bank *restrict b, float *restrict wave, size_t samples)
{
    struct paper_oscillator sine = paper_load(b, SIN), triangle = paper_load(b, TRI), saw = paper_load(b, SAW);
    for (size_t n = 0; n < samples; n++) {
        vf y = f_sub_mul(f_abs(f_of(sine.phase)), f_all(1.0f / (float)TURN), f_all(0.25f));
        vf mix = f_mul_add(f_abs(f_of(triangle.phase)), f_load(b->triangle_slope), f_load(b->amplitude[TRI]));
        mix = f_mul_add(f_of(saw.phase), f_load(b->amplitude[SAW]), mix);
        f_store(wave + n * LANES, f_mul_add(f_mul(y, f_load(b->amplitude[SIN])), sine_over(f_mul(y, y)), mix));
        sine = paper_next(sine, f_load(b->stiffness[SIN]));
        triangle = paper_next(triangle, f_load(b->stiffness[TRI]));
        saw = paper_next(saw, f_load(b->stiffness[SAW]));
    }
    paper_store(b, SIN, sine);
    paper_store(b, TRI, triangle);
    paper_store(b, SAW, saw);
}

/* Adds the square, and takes the sum through envelope, low-pass and gater. */
static void paper_finish(struct paper_bank *restrict b, float *restrict wave, size_t samples)
{
    struct paper_oscillator square = paper_load(b, SQR);
    vf level = f_load(b->level);
    vf band = f_load(b->band), low = f_load(b->low), gate = f_load(b->gate), gate_turn = f_load(b->gate_turn);
    for (size_t n = 0; n < samples; n++) {
        vf mix = f_add(f_signed(f_load(b->amplitude[SQR]), square.phase), f_load(wave + n * LANES));
        square = paper_next(square, f_load(b->stiffness[SQR]));
        /* Trapezoidal integrators; the low-pass is the sum of the second's old and new state. */
        vf in = f_sub(f_mul(mix, level), low);
        level = f_add(level, f_load(b->slope));
        vf new_low = f_mul_add(f_load(b->low_gain), in, f_mul_add(f_load(b->band_gain), band, low));
        band = f_mul_add(f_load(b->band_gain), in, f_mul(f_load(b->damping), band));
        vf out = f_add(low, new_low);
        low = new_low;
        f_store(wave + n * LANES, f_mul_add(out, gate, out));
        gate = f_add(gate, gate_turn);
        gate_turn = f_sub_mul(f_load(b->stiffness[GATE]), gate, gate_turn);
    }
    paper_store(b, SQR, square);
    f_store(b->level, level);
    f_store(b->band, band);
    f_store(b->low, low);
    f_store(b->gate, gate);
    f_store(b->gate_turn, gate_turn);
}

/* Writes the next samples into wave, a vector each: up to `most`, and as far as the block and the line of the envelope
 * go. Gives how many. */
static size_t paper_block(void *bank, float *restrict wave, size_t most)
{
    struct paper_bank *restrict b = bank;
    const size_t left = BLOCK - b->position % BLOCK;
    size_t length = left < most ? left : most;
    if (left == BLOCK)
        paper_at_block(b);
    if (b->position == b->next)
        paper_at_corner(b, 0);
    if (b->next - b->position < length)
        length = b->next - b->position;
    paper_begin(b, wave, length);
    paper_finish(b, wave, length);
    b->position += length;
    if (length == left)
        paper_next_block(b);
    return length;
}

/* The corners of the release, and the level that it begins from. */
static void paper_at_note_off(struct paper_bank *b)
{
    EACH_LANE
    {
        double rise = b->hold[l] / b->attack[l];
        double fall = 1.0 - (1.0 - b->sustain[l]) * (b->hold[l] - b->attack[l]) / b->decay[l];
        fall = fall > b->sustain[l] ? fall : b->sustain[l];
        b->held[l] = rise < fall ? rise : fall;
        b->corner[TO_RELEASE][l] = inversynth_first_sample(b->hold[l] * b->sample_rate);
        b->corner[TO_SILENCE][l] = inversynth_first_sample((b->hold[l] + b->release[l]) * b->sample_rate);
    }
}

static void paper_patch(struct paper_bank *b, const double *values, double bend)
{
    doubles value[PAPER_PARAMS], ratio, angle, s, c;
    const double dt = 1.0 / b->sample_rate, first_ratio = inversynth_key_ratio(b->key[0], bend);
    EACH_LANE
    {
        const double *row = values + ((size_t)l < b->count ? (size_t)l : 0) * PAPER_PARAMS;
        for (int p = 0; p < PAPER_PARAMS; p++)
            value[p][l] = row[p];
        ratio[l] = b->key[l] == b->key[0] ? first_ratio : inversynth_key_ratio(b->key[l], bend);
    }
    for (int i = 0; i < ROTORS; i++) {
        const double *v = i == GATE ? value[GATE_FREQUENCY] : value[i * OSCILLATOR_PARAMS + MOD_FREQUENCY];
        EACH_LANE b->angle[i][l] = 2.0 * PI * dt * v[l];
        EACH_LANE angle[l] = BLOCK * b->angle[i][l];
        sine_cosine(angle, b->block_sine[i], b->block_cosine[i]);
        EACH_LANE angle[l] = 0.5 * b->angle[i][l];
        sine_cosine(angle, s, c);
        EACH_LANE
        {
            double swing = i == GATE ? 1.0 : value[i * OSCILLATOR_PARAMS + MOD_AMPLITUDE][l] / (2.0 * PI * v[l]);
            b->lag[i][l] = swing * 2.0 * s[l] * s[l];
            b->lead[i][l] = swing * 2.0 * s[l] * c[l];
            b->stiffness[i][l] = (float)(4.0 * s[l] * s[l]);
            if (i != GATE)
                b->swing[i][l] = swing;
        }
    }
    EACH_LANE
    {
        b->gate_may_stay[l] = isinf(b->hold[l]) && value[GATE_FREQUENCY][l] <= SLOWEST_GATE_HZ;
        if (b->gate_may_stay[l] && b->gate_stays[l])
            paper_stay(b, l);
        else
            b->gate_stays[l] = 0;
    }
    for (int i = 0; i < OSCILLATORS; i++)
        EACH_LANE
        {
            b->step[i][l] = value[i * OSCILLATOR_PARAMS + FREQUENCY][l] * ratio[l] * dt;
            b->block_turns[i][l] = BLOCK * b->step[i][l];
        }
    EACH_LANE
    {
        /* A quarter: the low-pass is the sum of two states, the gater 1 + sin. In units of the phases. */
        b->amplitude[SIN][l] = (float)(0.25 * value[SIN * OSCILLATOR_PARAMS + AMPLITUDE][l]);
        b->amplitude[SAW][l] = (float)(0.25 * value[SAW * OSCILLATOR_PARAMS + AMPLITUDE][l] * 2.0 / TURN);
        b->amplitude[TRI][l] = (float)(0.25 * value[TRI * OSCILLATOR_PARAMS + AMPLITUDE][l]);
        b->triangle_slope[l] = (float)(-0.25 * value[TRI * OSCILLATOR_PARAMS + AMPLITUDE][l] * 4.0 / TURN);
        b->amplitude[SQR][l] = (float)(0.25 * value[SQR * OSCILLATOR_PARAMS + AMPLITUDE][l]);
        b->attack[l] = value[ATTACK][l];
        b->decay[l] = value[DECAY][l];
        b->sustain[l] = value[SUSTAIN][l];
        b->release[l] = value[RELEASE][l];
        b->corner[TO_DECAY][l] = inversynth_first_sample(b->attack[l] * b->sample_rate);
        b->corner[TO_SUSTAIN][l] = inversynth_first_sample((b->attack[l] + b->decay[l]) * b->sample_rate);
        angle[l] = PI * dt * value[CUTOFF][l];
    }
    paper_at_note_off(b);
    sine_cosine(angle, s, c);
    EACH_LANE
    {
        double g = s[l] / c[l], a = 1.0 / (1.0 + g * (g + 1.0 / value[RESONANCE][l]));
        b->damping[l] = (float)(2.0 * a - 1.0);
        b->band_gain[l] = (float)(2.0 * g * a);
        b->low_gain[l] = (float)(2.0 * g * g * a);
    }
}

/* Turns every rotor by n times its angle of a sample, forward or back; |n| <= BLOCK. */
static void paper_rotate(struct paper_bank *b, double n)
{
    doubles x, s, c;
    const double sign = n < 0.0 ? -1.0 : 1.0;
    for (int i = 0; i < ROTORS; i++) {
        EACH_LANE x[l] = b->angle[i][l] * n * sign;
        sine_cosine(x, s, c);
        EACH_LANE
        {
            double c0 = b->cosine[i][l], s0 = b->sine[i][l];
            b->cosine[i][l] = c0 * c[l] - s0 * s[l] * sign;
            b->sine[i][l] = s0 * c[l] + c0 * s[l] * sign;
        }
    }
}

/* The bank plays other values from here on: as if its block had started with them, at phases that are continuous
 * here. */
static void paper_change(void *bank, const double *values, double bend)
{
    struct paper_bank *b = bank;
    const size_t inside = b->position % BLOCK;
    doubles turns[OSCILLATORS];
    paper_rotate(b, (double)inside);
    for (int i = 0; i < OSCILLATORS; i++)
        EACH_LANE turns[i][l] = b->turns[i][l] + inside * b->step[i][l] + b->swing[i][l] * (1.0 - b->cosine[i][l]);
    paper_patch(b, values, bend);
    for (int i = 0; i < OSCILLATORS; i++)
        EACH_LANE b->turns[i][l] = turns[i][l] - b->swing[i][l] * (1.0 - b->cosine[i][l]);
    paper_at_corner(b, 1);
    paper_at_block(b);
    paper_rotate(b, -(double)inside);
    for (int i = 0; i < OSCILLATORS; i++)
        EACH_LANE b->turns[i][l] -= inside * b->step[i][l];
}

static void paper_release(void *bank)
{
    struct paper_bank *b = bank;
    const double now = (double)b->position / b->sample_rate;
    EACH_LANE b->hold[l] = now < b->hold[l] ? now : b->hold[l];
    paper_at_note_off(b);
    b->next = b->position;
}

static int paper_silent(const void *bank)
{
    const struct paper_bank *b = bank;
    for (size_t l = 0; l < b->count; l++)
        if (b->position < b->corner[TO_SILENCE][l] || fabsf(b->band[l]) + fabsf(b->low[l]) > 1e-7f)
            return 0;
    return 1;
}

static void paper_prepare(void *bank, const double *values, const struct inversynth_note *notes, size_t count,
                          double sample_rate, double bend)
{
    struct paper_bank *b = bank;
    memset(b, 0, sizeof *b);
    b->sample_rate = sample_rate;
    b->count = count;
    EACH_LANE
    {
        const struct inversynth_note *note = notes + ((size_t)l < count ? l : 0);
        b->key[l] = note->key;
        b->hold[l] = note->hold_s;
    }
    for (int i = 0; i < ROTORS; i++)
        EACH_LANE b->cosine[i][l] = 1.0;
    paper_patch(b, values, bend);
    paper_at_corner(b, 1);
}

static const struct inversynth_engine paper_engine = {
    .name = "paper",
    .simd = &SIMD_TARGET,
    .params = PAPER_PARAMS,
    .bank_bytes = sizeof(struct paper_bank),
    .prepare = paper_prepare,
    .block = paper_block,
    .change = paper_change,
    .release = paper_release,
    .silent = paper_silent,
};
