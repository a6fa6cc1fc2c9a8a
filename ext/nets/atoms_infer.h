/* The network `Atoms` for one sound, for each SIMD target. See inversynth.synths.paper.atoms for what it does and
 * why; its names are these. */
#include "simd/matmul.h"

#define FLOOR_TIME 1e-4f
#define FLOOR_FREQUENCY 1e-3f
#define SILENCE 1e-9f
#define LOG_FLOOR_SQUARED 1e-6f
#define WHOLE_STEP 0.002f                                      /* of the demodulated sound, in whole numbers */
#define LARGEST 63                                             /* part of a phasor */
#define SCALE (WHOLE_STEP * DECIMATION / LARGEST / 78.383672f) /* of their correlations: the root of the samples used */
#define LEAST_POWER 1e-12f
#define LEAST_SHARE 1e-9f
#define EPSILON 1e-3f
#define FEATURE_LIMIT 8.0f

/* -- whitened ----------------------------------------------------------------------------------- */

/* The transforms of all frames, up to where the sound ends. */
static void transform_frames(struct inversynth_atoms *a, const float *audio)
{
    size_t length = ATOMS_SAMPLES;
    while (length && audio[length - 1] == 0.0f)
        length--;
    a->frames = (length + STRIDE - 2) / STRIDE < FRAMES ? (length + STRIDE - 2) / STRIDE : FRAMES;
    for (size_t m = 0; m < a->frames; m++) {
        const float *x = audio + m * STRIDE;
        for (size_t i = 0; i < STRIDE; i++) {
            a->rising[m * STRIDE + i] = x[1 + i] + x[FRAME - 1 - i];
            a->falling[m * STRIDE + i] = x[1 + i] - x[FRAME - 1 - i];
        }
    }
    const struct factor cosines = FACTOR(a->whitened_cosines, STRIDE, LINES),
                        sines = FACTOR(a->whitened_sines, STRIDE, LINES);
    product(a->rising, STRIDE, a->frames, cosines, as_is, a->spectrum, 2 * LINES);
    product(a->falling, STRIDE, a->frames, sines, as_is, a->spectrum + LINES, 2 * LINES);
}

/* Powers: of lines, in bands, in time and in frequency; spectra divided by the roots of the last two. */
static void whiten(struct inversynth_atoms *a)
{
    float most = 0.0f;
    memset(a->in_time, 0, sizeof a->in_time);
    memset(a->in_frequency, 0, sizeof a->in_frequency);
    memset(a->logs, 0, sizeof a->logs);
    for (size_t m = 0; m < a->frames; m++) {
        const float *re = a->spectrum + m * 2 * LINES, *im = re + LINES;
        float *power = a->power + m * LINES;
        for (size_t k = 0; k < LINES; k += LANES) {
            const vf x = f_load_row(re + k), y = f_load_row(im + k);
            f_store_row(power + k, f_mul_add(x, x, f_mul(y, y)));
        }
        a->in_time[m] = sum(power, LINES) / (2 * LINES);
        most = a->in_time[m] > most ? a->in_time[m] : most;
    }
    product(a->power, LINES, a->frames, FACTOR(a->whitened_bands, LINES, BANDS), as_is, a->logs, BANDS);
    for (size_t i = 0; i < FRAMES * BANDS; i += LANES) {
        const vf log = f_log(f_add(f_load_row(a->logs + i), f_all(LOG_FLOOR_SQUARED)));
        f_store_row(a->logs + i, f_mul_add(f_all(0.125f), log, f_all(1.0f)));
    }
    for (size_t m = 0; m < FRAMES; m++)
        a->in_time[m] += FLOOR_TIME * most + SILENCE;
    for (size_t m = 0; m < a->frames; m++) {
        const vf weight = f_all(1.0f / a->in_time[m]);
        for (size_t k = 0; k < LINES; k += LANES)
            f_store_row(a->in_frequency + k,
                        f_mul_add(weight, f_load_row(a->power + m * LINES + k), f_load_row(a->in_frequency + k)));
    }
    product_of_one(a->in_frequency, FACTOR(a->whitened_smoothed, LINES, LINES), as_is, a->line);
    const vf mean = f_all(sum(a->line, LINES) / LINES + SILENCE);
    for (size_t k = 0; k < LINES; k += LANES)
        f_store_row(a->in_frequency + k, f_add(f_div(f_load_row(a->line + k), mean), f_all(FLOOR_FREQUENCY)));
    for (size_t m = 0; m < a->frames && m < BEGIN; m++)
        for (size_t k = 0; k < LINES; k += LANES) {
            const vf root = f_sqrt(f_mul(f_all(a->in_time[m]), f_load_row(a->in_frequency + k)));
            float *re = a->spectrum + m * 2 * LINES + k, *im = re + LINES;
            f_store_row(re, f_div(f_load_row(re), root));
            f_store_row(im, f_div(f_load_row(im), root));
        }
    /* From here on their logarithms are what is asked for. */
    for (size_t m = 0; m < IN_PANELS(FRAMES); m += LANES)
        f_store_row(a->in_time + m, f_log(f_max(f_load_row(a->in_time + m), f_all(SILENCE))));
    for (size_t m = FRAMES; m < IN_PANELS(FRAMES); m++)
        a->in_time[m] = 0.0f;
    for (size_t k = 0; k < LINES; k += LANES)
        f_store_row(a->in_frequency + k, f_log(f_load_row(a->in_frequency + k)));
}

/* Turned back: a frame is the sum of its even and odd parts, and backwards their difference; frames that overlap add
 * up. */
static void turn_back(struct inversynth_atoms *a)
{
    enum { PART = IN_PANELS(STRIDE + 1) };
    const size_t frames = a->frames < BEGIN ? a->frames : BEGIN, hops = a->frames < BEGIN - 1 ? a->frames : BEGIN - 1;
    product(a->spectrum, 2 * LINES, frames, FACTOR(a->inverse_cosines, LINES, STRIDE + 1), as_is, a->even, PART);
    product(a->spectrum + LINES, 2 * LINES, frames, FACTOR(a->inverse_sines, LINES, STRIDE + 1), as_is, a->odd, PART);
    if (frames < BEGIN) {
        memset(a->even + frames * PART, 0, PART * sizeof *a->even);
        memset(a->odd + frames * PART, 0, PART * sizeof *a->odd);
    }
    for (size_t m = 0; m < hops; m++) {
        const float *even = a->even + m * PART, *odd = a->odd + m * PART;
        for (size_t i = 0; i < STRIDE; i++)
            a->whitened[m * STRIDE + i] = even[PART + i] + odd[PART + i] + (even[STRIDE - i] - odd[STRIDE - i]);
    }
    memset(a->whitened + hops * STRIDE, 0, sizeof a->whitened - hops * STRIDE * sizeof *a->whitened);
    const size_t rows = hops * STRIDE / ROW_SAMPLES;
    a->moments = MOMENTS * (rows < ROWS_USED ? rows : ROWS_USED);
}

/* -- correlations ------------------------------------------------------------------------------- */

/* Sounds and offsets lie in groups of LANES notes: of each two moments what gives real parts, and imaginary ones. */
#define SOUND(a, group, pair, part) ((a)->sound + (((group) * (STEPS / 2) + (pair)) * 2 + (part)) * LANES)
#define OFFSETS(a, segment, group, part) ((a)->offsets + ((segment) * 2 + (part)) * NOTES + (group) * LANES)
enum { NOTE_GROUPS = NOTES / LANES, PAIRS_A_SEGMENT = STEPS_A_SEGMENT / 2, SWINGS_AT_ONCE = 4 };

static INLINE vi whole(vf x)
{
    const vf most = f_all(127.0f);
    return i_of(f_max(f_min(f_mul(x, f_all(1.0f / WHOLE_STEP)), most), f_sub(f_all(0.0f), most)));
}

static INLINE vi bytes(vi a, vi b, vi c, vi d)
{
    const vi byte = i_all(0xff);
    const vi low = i_or(i_and(a, byte), i_shift(i_and(b, byte), 8));
    return i_or(low, i_or(i_shift(i_and(c, byte), 16), i_shift(d, 24)));
}

/* The sound brought down by each note, as whole numbers. */
static void demodulate(struct inversynth_atoms *a)
{
    const struct factor lowpass = FACTOR(a->demodulated_lowpass, 2 * ROW_SAMPLES, MOMENTS * 2 * NOTES);
    product(a->whitened, ROW_SAMPLES, a->moments / MOMENTS, lowpass, as_is, a->demodulated, MOMENTS * 2 * NOTES);
    memset(a->offsets, 0, sizeof a->offsets);
    for (size_t g = 0; g < NOTE_GROUPS; g++)
        for (size_t pair = 0; pair < a->moments / 2; pair++) {
            vi re[2], im[2];
            for (size_t i = 0; i < 2; i++) {
                const size_t at = (2 * pair + i) * NOTES + g * LANES;
                const float *moment = a->demodulated + (2 * pair + i) * 2 * NOTES + g * LANES;
                const vf x = f_load_row(moment), y = f_load_row(moment + NOTES);
                const vf c = f_load_row(a->demodulated_cosines + at), s = f_load_row(a->demodulated_sines + at);
                re[i] = whole(f_mul_add(x, c, f_mul(y, s)));
                im[i] = whole(f_sub_mul(x, s, f_mul(y, c)));
            }
            const vi zero = i_all(0), offset = i_all(0x01010101 * PHASOR_ZERO);
            const vi real = bytes(re[0], i_sub(zero, im[0]), re[1], i_sub(zero, im[1]));
            const vi imaginary = bytes(im[0], re[0], im[1], re[1]);
            i_store(SOUND(a, g, pair, 0), real);
            i_store(SOUND(a, g, pair, 1), imaginary);
            int32_t *offsets = OFFSETS(a, pair / PAIRS_A_SEGMENT, g, 0);
            i_store(offsets, i_dot(offset, real, i_load(offsets)));
            i_store(offsets + NOTES, i_dot(offset, imaginary, i_load(offsets + NOTES)));
        }
}

/* Two moments of a phasor, in all lanes. */
static INLINE vi two_moments(const uint8_t *phasor, size_t pair)
{
    int32_t four;
    memcpy(&four, phasor + 4 * pair, sizeof four);
    return i_all(four);
}

/* How strongly the sound correlates with each atom. */
static void correlate(struct inversynth_atoms *a)
{
    for (size_t swing = 0; swing < SWINGS; swing += SWINGS_AT_ONCE)
        for (size_t g = 0; g < NOTE_GROUPS; g++) {
            const uint8_t *phasors = a->phasors + swing * 2 * STEPS;
            vi sums[SWINGS_AT_ONCE][2], offset[2] = {i_all(0), i_all(0)};
            UNROLL
            for (int i = 0; i < SWINGS_AT_ONCE; i++)
                sums[i][0] = sums[i][1] = i_all(0);
            for (size_t pair = 0; pair < a->moments / 2; pair++) {
                const vi real = i_load(SOUND(a, g, pair, 0)), imaginary = i_load(SOUND(a, g, pair, 1));
                UNROLL
                for (int i = 0; i < SWINGS_AT_ONCE; i++) {
                    const vi phasor = two_moments(phasors + i * 2 * STEPS, pair);
                    sums[i][0] = i_dot(phasor, real, sums[i][0]);
                    sums[i][1] = i_dot(phasor, imaginary, sums[i][1]);
                }
            }
            for (size_t segment = 0; segment < SEGMENTS; segment++)
                for (size_t part = 0; part < 2; part++)
                    offset[part] = i_add(offset[part], i_load(OFFSETS(a, segment, g, part)));
            UNROLL
            for (int i = 0; i < SWINGS_AT_ONCE; i++) {
                const vf x = f_mul(f_of(i_sub(sums[i][0], offset[0])), f_all(SCALE));
                const vf y = f_mul(f_of(i_sub(sums[i][1], offset[1])), f_all(SCALE));
                f_store_row(a->strength + (swing + (size_t)i) * NOTES + g * LANES, f_mul_add(x, x, f_mul(y, y)));
            }
        }
}

/* The strongest atoms, the first of equals first. Without a swing all its frequencies are one: only the first
 * counts. */
static void choose(struct inversynth_atoms *a)
{
    float strength[TOKENS];
    size_t count = 0;
    for (int32_t i = 0; i < SWINGS * NOTES; i++) {
        if (i >= LEVELS * NOTES && i / NOTES % LEVELS == 0)
            continue;
        const float x = a->strength[i];
        if (count == TOKENS && !(x > strength[TOKENS - 1]))
            continue;
        size_t at = count < TOKENS ? count++ : TOKENS - 1;
        for (; at && x > strength[at - 1]; at--) {
            strength[at] = strength[at - 1];
            a->atom[at] = a->atom[at - 1];
        }
        strength[at] = x;
        a->atom[at] = i;
    }
}

/* Real and imaginary parts of each segment's correlation with an atom, 8 and 8, in whole numbers. */
static void correlate_segments(const struct inversynth_atoms *a, size_t swing, size_t note, float *re, float *im)
{
    const uint8_t *phasor = a->phasors + swing * 2 * STEPS;
    const size_t g = note / LANES, lane = note % LANES;
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        const size_t begin = segment * PAIRS_A_SEGMENT, end = begin + PAIRS_A_SEGMENT;
        vi x = i_all(0), y = i_all(0);
        for (size_t pair = begin; pair < end && pair < a->moments / 2; pair++) {
            const vi two = two_moments(phasor, pair);
            x = i_dot(two, i_load(SOUND(a, g, pair, 0)), x);
            y = i_dot(two, i_load(SOUND(a, g, pair, 1)), y);
        }
        _Alignas(64) float lanes[LANES];
        f_store(lanes, f_of(i_sub(x, i_load(OFFSETS(a, segment, g, 0)))));
        re[segment] = lanes[lane];
        f_store(lanes, f_of(i_sub(y, i_load(OFFSETS(a, segment, g, 1)))));
        im[segment] = lanes[lane];
    }
}

/* The correlation of an atom's harmonics: real and imaginary part of each. */
static void correlate_harmonics(const struct inversynth_atoms *a, size_t swing, size_t note, float *out)
{
    for (size_t h = 0; h < HARMONICS; h++) {
        const float *carrier = a->candidates_carriers + (note * HARMONICS + h) * 2 * HARMONICS_LENGTH;
        const float *phasor = a->candidates_swings + (swing * HARMONICS + h) * 2 * HARMONICS_LENGTH;
        vf re[VECTORS], im[VECTORS];
        zeros(re, VECTORS);
        zeros(im, VECTORS);
        for (size_t n = 0; n < HARMONICS_LENGTH; n += PANEL) {
            UNROLL
            for (int v = 0; v < VECTORS; v++) {
                const size_t at = n + (size_t)v * LANES;
                const vf sound = f_load_row(a->decimated + at);
                const vf x = f_mul(sound, f_load_row(carrier + at)), c = f_load_row(phasor + at);
                const vf y = f_mul(sound, f_load_row(carrier + HARMONICS_LENGTH + at));
                const vf s = f_load_row(phasor + HARMONICS_LENGTH + at);
                re[v] = f_sub_mul(y, s, f_mul_add(x, c, re[v]));
                im[v] = f_mul_add(y, c, f_mul_add(x, s, im[v]));
            }
        }
        out[2 * h] = total(re);
        out[2 * h + 1] = total(im);
    }
}

/* x + i y times the conjugate of c + i s. */
static INLINE void turn_by(float *x, float *y, float c, float s)
{
    const float re = *x * c + *y * s;
    *y = *y * c - *x * s;
    *x = re;
}

/* What there is to say of each atom, and which it is: rows of IN_PANELS(FEATURES + ATOM). */
static void describe(struct inversynth_atoms *a)
{
    enum { ROW_LENGTH = IN_PANELS(FEATURES + ATOM) };
    product_of_one(a->in_time, FACTOR(a->candidates_parts, FRAMES, SEGMENTS), as_is, a->taken_off);
    product_of_one(a->in_frequency, FACTOR(a->candidates_swept, LINES, SWINGS), as_is, a->swept_power);
    for (size_t n = 0; n < HARMONICS_LENGTH; n++)
        a->decimated[n] = a->whitened[HARMONICS_START + HARMONICS_STEP * n];
    memset(a->features, 0, sizeof a->features);
    for (size_t i = 0; i < TOKENS; i++) {
        const size_t atom = (size_t)a->atom[i], swing = atom / NOTES, note = atom % NOTES, width = swing % LEVELS;
        float *phase = a->features + i * ROW_LENGTH, *re = phase + 2, *im = re + SEGMENTS, *harmonics = im + SEGMENTS;
        float *level = harmonics + 2 * HARMONICS, *logs = level + 1, x = a->strength[atom], power[PANEL] = {0};
        *level = sqrtf(x > LEAST_POWER ? x : LEAST_POWER);
        correlate_segments(a, swing, note, re, im);
        for (size_t s = 0; s < SEGMENTS; s++) {
            re[s] *= SCALE / *level, im[s] *= SCALE / *level;
            phase[0] += re[s], phase[1] += im[s];
        }
        for (size_t s = 0; s < SEGMENTS; s++) {
            re[s] *= SEGMENTS, im[s] *= SEGMENTS;
            turn_by(re + s, im + s, phase[0], phase[1]);
            power[s] = re[s] * re[s] + im[s] * im[s] + 1e-2f;
        }
        correlate_harmonics(a, swing, note, harmonics);
        for (size_t h = 0; h < HARMONICS; h++) {
            const float size = sqrtf(HARMONICS_LENGTH) * *level;
            for (size_t times = 0; times < h + 2; times++)
                turn_by(harmonics + 2 * h, harmonics + 2 * h + 1, phase[0], phase[1]);
            harmonics[2 * h] /= size, harmonics[2 * h + 1] /= size;
            power[SEGMENTS + h] =
                harmonics[2 * h] * harmonics[2 * h] + harmonics[2 * h + 1] * harmonics[2 * h + 1] + 1e-3f;
        }
        power[LOGS - 1] = *level * *level + 1e-6f;
        for (size_t k = LOGS; k < PANEL; k++)
            power[k] = 1.0f;
        for (size_t k = 0; k < PANEL; k += LANES)
            f_store_row(power + k, f_log(f_load_row(power + k)));
        for (size_t k = 0; k < LOGS; k++)
            logs[k] = (k + 1 < LOGS ? 0.25f : 0.5f) * power[k] + (k < SEGMENTS ? a->taken_off[k] : 0.0f);
        logs[LOGS] = a->swept_power[note * LEVELS + width];
        for (size_t k = 0; k < FEATURES; k++)
            phase[k] = phase[k] > FEATURE_LIMIT ? FEATURE_LIMIT : phase[k] < -FEATURE_LIMIT ? -FEATURE_LIMIT : phase[k];
        float *levels = phase + FEATURES;
        levels[note] = levels[LEVELS + swing / LEVELS] = levels[2 * LEVELS + width] = 1.0f;
    }
}

/* -- what is trained ---------------------------------------------------------------------------- */

static struct ending ends_with(const float *bias) { return (struct ending){bias, 0}; }
static struct ending ends_at_0(const float *bias) { return (struct ending){bias, 1}; }

static void normalise(const float *x, size_t stride, const float *gamma, const float *beta, float *out,
                      size_t out_stride)
{
    for (size_t r = 0; r < ALL_TOKENS; r++, x += stride, out += out_stride) {
        const vf mean = f_all(sum(x, WIDTH) / WIDTH);
        float squares[WIDTH];
        for (size_t k = 0; k < WIDTH; k += LANES) {
            const vf away = f_sub(f_load_row(x + k), mean);
            f_store_row(out + k, away);
            f_store_row(squares + k, f_mul(away, away));
        }
        const vf size = f_all(1.0f / sqrtf(sum(squares, WIDTH) / WIDTH + EPSILON));
        for (size_t k = 0; k < WIDTH; k += LANES)
            f_store_row(out + k,
                        f_mul_add(f_mul(f_load_row(out + k), size), f_load_row(gamma + k), f_load_row(beta + k)));
    }
}

static void add_rows(float *to, size_t stride, const float *rows, size_t rows_stride)
{
    for (size_t r = 0; r < ALL_TOKENS; r++)
        for (size_t k = 0; k < WIDTH; k += LANES)
            f_store_row(to + r * stride + k,
                        f_add(f_load_row(to + r * stride + k), f_load_row(rows + r * rows_stride + k)));
}

/* What envelope and filter are inferred from: UNITS numbers, at the beginning of `last_of`. */
static void summarise(struct inversynth_atoms *a)
{
    enum { GROUP = GROUP_FRAMES * BAND_UNITS, POWERS_AT = GROUPS * GROUP_UNITS };
    const struct factor bands = FACTOR(a->bands_kernel, BANDS, BAND_UNITS);
    const struct factor groups = FACTOR(a->groups_kernel, GROUP, GROUP_UNITS);
    product(a->logs, BANDS, FRAMES, bands, ends_at_0(a->bands_bias), a->grouped, BAND_UNITS);
    product(a->grouped, GROUP, GROUPS, groups, ends_at_0(a->groups_bias), a->summary_of, GROUP_UNITS);
    float *powers = a->summary_of + POWERS_AT;
    for (size_t m = 0; m < FRAMES; m++)
        powers[m] = 0.125f * a->in_time[m];
    for (size_t k = 0; k < LINES; k++)
        powers[FRAMES + k] = powers[FRAMES + LINES + k] = 0.125f * a->in_frequency[k];
    product_of_one(a->summary_of, FACTOR(a->summary_kernel, SUMMARY, UNITS), ends_at_0(a->summary_bias), a->last_of);
}

/* Tokens: what is said of each atom, and which it is; the last ones what is said of the whole. */
static void begin_tokens(struct inversynth_atoms *a)
{
    enum { ROW_LENGTH = IN_PANELS(FEATURES + ATOM) };
    const struct factor features = FACTOR(a->features_kernel, FEATURES + ATOM, WIDTH);
    product(a->features, ROW_LENGTH, TOKENS, features, ends_at_0(a->features_bias), a->y, WIDTH);
    product(a->y, WIDTH, TOKENS, FACTOR(a->tokens_kernel, WIDTH, WIDTH), ends_with(a->tokens_bias), a->tokens, TOKEN);
    for (size_t i = 0; i < TOKENS; i++)
        memcpy(a->tokens + i * TOKEN + WIDTH, a->features + i * ROW_LENGTH + FEATURES, ATOM * sizeof(float));
    product_of_one(a->last_of, FACTOR(a->global_tokens_kernel, UNITS, GLOBALS * TOKEN),
                   ends_with(a->global_tokens_bias), a->tokens + TOKENS * TOKEN);
}

/* Of `asked`, rows of 3 WIDTH, the answers, rows of WIDTH + PANEL. What fills up keys and values stays 0. */
static void attend(struct inversynth_atoms *a, const float *asked)
{
    enum { ROW_LENGTH = 2 * PANEL, ASKED = 3 * WIDTH, DEEP = IN_FOURS(ALL_TOKENS) };
    for (size_t head = 0; head < HEADS; head++) {
        const float *query = asked + head * HEAD, *key = query + WIDTH, *value = key + WIDTH;
        for (size_t r = 0; r < ALL_TOKENS; r++)
            for (size_t k = 0; k < HEAD; k++) {
                a->keys[(r / PANEL * HEAD + k) * PANEL + r % PANEL] = key[r * ASKED + k];
                a->values[(k / PANEL * DEEP + r) * PANEL + k % PANEL] = value[r * ASKED + k];
            }
        product(query, ASKED, ALL_TOKENS, FACTOR(a->keys, HEAD, ALL_TOKENS), as_is, a->scores, ROW_LENGTH);
        const vf scale = f_all(1.0f / sqrtf(HEAD));
        for (size_t r = 0; r < ALL_TOKENS; r++) {
            float *scores = a->scores + r * ROW_LENGTH;
            for (size_t k = 0; k < ROW_LENGTH; k += LANES)
                f_store_row(scores + k, f_mul(f_load_row(scores + k), scale));
            for (size_t k = ALL_TOKENS; k < ROW_LENGTH; k++)
                scores[k] = -1e30f;
            softmax(scores, ROW_LENGTH);
        }
        product(a->scores, ROW_LENGTH, ALL_TOKENS, FACTOR(a->values, ALL_TOKENS, HEAD), as_is, a->answers + head * HEAD,
                WIDTH + PANEL);
    }
}

struct layer {
    const float *kernel, *bias;
};
struct block {
    const float *attention_gamma, *attention_beta;
    struct layer asked, answered;
    const float *dense_gamma, *dense_beta;
    struct layer wide, narrow;
};
#define BLOCK_OF(a, n)                                                                                                 \
    {                                                                                                                  \
        (a)->before_attention_##n##_gamma, (a)->before_attention_##n##_beta,                                           \
            {(a)->attention_##n##_asked_kernel, (a)->attention_##n##_asked_bias},                                      \
            {(a)->attention_##n##_answered_kernel, (a)->attention_##n##_answered_bias}, (a)->before_dense_##n##_gamma, \
            (a)->before_dense_##n##_beta, {(a)->wide_##n##_kernel, (a)->wide_##n##_bias},                              \
        {                                                                                                              \
            (a)->narrow_##n##_kernel, (a)->narrow_##n##_bias                                                           \
        }                                                                                                              \
    }

static void pass(struct inversynth_atoms *a, const struct block *by)
{
    const struct factor asked = FACTOR(by->asked.kernel, WIDTH, 3 * WIDTH);
    const struct factor answered = FACTOR(by->answered.kernel, WIDTH, WIDTH);
    const struct factor wide = FACTOR(by->wide.kernel, WIDTH, 2 * WIDTH),
                        narrow = FACTOR(by->narrow.kernel, 2 * WIDTH, WIDTH);
    normalise(a->tokens, TOKEN, by->attention_gamma, by->attention_beta, a->x, WIDTH);
    product(a->x, WIDTH, ALL_TOKENS, asked, ends_with(by->asked.bias), a->y, 3 * WIDTH);
    attend(a, a->y);
    product(a->answers, WIDTH + PANEL, ALL_TOKENS, answered, ends_with(by->answered.bias), a->x, WIDTH);
    add_rows(a->tokens, TOKEN, a->x, WIDTH);
    normalise(a->tokens, TOKEN, by->dense_gamma, by->dense_beta, a->x, WIDTH);
    product(a->x, WIDTH, ALL_TOKENS, wide, ends_at_0(by->wide.bias), a->z, 2 * WIDTH);
    product(a->z, 2 * WIDTH, ALL_TOKENS, narrow, ends_with(by->narrow.bias), a->x, WIDTH);
    add_rows(a->tokens, TOKEN, a->x, WIDTH);
}

/* Whose the atoms are: `mixed`, the log probabilities of f, v and B of each waveform, and `owned`, its mean token. */
static void share_out(struct inversynth_atoms *a)
{
    enum { ROW_LENGTH = IN_PANELS(SAID), OWNERS = IN_PANELS(ALL_TOKENS) };
    const struct factor all = FACTOR(a->owners_said_kernel, TOKEN, SAID);
    product(a->x, TOKEN, ALL_TOKENS, all, ends_with(a->owners_said_bias), a->said, ROW_LENGTH);
    for (size_t r = 0; r < ALL_TOKENS; r++) {
        for (size_t k = 0; k < WAVEFORMS * ATOM; k += LEVELS)
            softmax(a->said + r * ROW_LENGTH + k, LEVELS);
        for (size_t w = 0; w < WAVEFORMS; w++)
            a->owner[w * OWNERS + r] = a->said[r * ROW_LENGTH + WAVEFORMS * ATOM + w];
    }
    memset(a->mixed, 0, sizeof a->mixed);
    memset(a->owned, 0, sizeof a->owned);
    for (size_t w = 0; w < WAVEFORMS; w++) {
        float *owner = a->owner + w * OWNERS, *mixed = a->mixed + w * ATOM, *owned = a->owned + w * TOKEN;
        for (size_t r = ALL_TOKENS; r < OWNERS; r++)
            owner[r] = -1e30f;
        softmax(owner, OWNERS);
        for (size_t r = 0; r < ALL_TOKENS; r++) {
            const vf share = f_all(owner[r]);
            const float *said = a->said + r * ROW_LENGTH + w * ATOM, *token = a->x + r * TOKEN;
            for (size_t k = 0; k < ATOM; k += LANES)
                f_store_row(mixed + k, f_mul_add(share, f_load_row(said + k), f_load_row(mixed + k)));
            for (size_t k = 0; k < TOKEN; k += LANES)
                f_store_row(owned + k, f_mul_add(share, f_load_row(token + k), f_load_row(owned + k)));
        }
        for (size_t k = 0; k < ATOM; k += LANES)
            f_store_row(mixed + k, f_log(f_add(f_load_row(mixed + k), f_all(LEAST_SHARE))));
    }
}

/* Logits of all parameters, in the order of the space. */
static void conclude_patch(struct inversynth_atoms *a)
{
    enum { GLOBALS_AT = UNITS, OWNED_AT = UNITS + GLOBALS * WIDTH };
    for (size_t i = 0; i < GLOBALS; i++)
        memcpy(a->last_of + GLOBALS_AT + i * WIDTH, a->x + (TOKENS + i) * TOKEN, WIDTH * sizeof(float));
    product(a->owned, TOKEN, WAVEFORMS, FACTOR(a->owned_kernel, TOKEN, OWNED_UNITS), ends_at_0(a->owned_bias),
            a->last_of + OWNED_AT, OWNED_UNITS);
    product_of_one(a->last_of, FACTOR(a->last_kernel, LAST, LAST_UNITS), ends_at_0(a->last_bias), a->last);
    product_of_one(a->last, FACTOR(a->amplitudes_kernel, LAST_UNITS, WAVEFORMS * LEVELS), ends_with(a->amplitudes_bias),
                   a->amplitudes);
    product_of_one(a->last, FACTOR(a->others_kernel, LAST_UNITS, OTHERS), ends_with(a->others_bias),
                   a->logits + WAVEFORMS * 4 * LEVELS);
    for (size_t w = 0; w < WAVEFORMS; w++) {
        float *logits = a->logits + w * 4 * LEVELS;
        const float *mixed = a->mixed + w * ATOM;
        memcpy(logits, mixed, 2 * LEVELS * sizeof *logits);
        memcpy(logits + 2 * LEVELS, a->amplitudes + w * LEVELS, LEVELS * sizeof *logits);
        memcpy(logits + 3 * LEVELS, mixed + 2 * LEVELS, LEVELS * sizeof *logits);
    }
}

/* Their softmax, at the temperature that its entropy asks for. */
static void calibrate(const struct inversynth_atoms *a, float *probabilities)
{
    for (size_t i = 0; i < PARAMETERS; i++) {
        const float *logits = a->logits + i * LEVELS;
        float shares[LEVELS], information[LEVELS];
        memcpy(shares, logits, sizeof shares);
        softmax(shares, LEVELS);
        for (size_t k = 0; k < LEVELS; k += LANES) {
            const vf share = f_load_row(shares + k);
            f_store_row(information + k, f_mul(share, f_log(f_max(share, f_all(1e-30f)))));
        }
        _Alignas(64) float temperature[LANES];
        f_store(temperature,
                f_exp(f_all(a->temperatures[2 * i] - a->temperatures[2 * i + 1] * sum(information, LEVELS))));
        float *row = probabilities + i * LEVELS;
        for (size_t k = 0; k < LEVELS; k += LANES)
            f_store_row(row + k, f_div(f_load_row(logits + k), f_all(temperature[0])));
        softmax(row, LEVELS);
    }
}

static void infer(struct inversynth_atoms *a, const float *audio, float *probabilities)
{
    transform_frames(a, audio);
    whiten(a);
    turn_back(a);
    demodulate(a);
    correlate(a);
    choose(a);
    describe(a);
    summarise(a);
    begin_tokens(a);
    const struct block blocks[BLOCKS] = {BLOCK_OF(a, 0), BLOCK_OF(a, 1)};
    for (size_t i = 0; i < BLOCKS; i++)
        pass(a, blocks + i);
    normalise(a->tokens, TOKEN, a->normalised_gamma, a->normalised_beta, a->x, TOKEN);
    for (size_t r = 0; r < ALL_TOKENS; r++)
        memcpy(a->x + r * TOKEN + WIDTH, a->tokens + r * TOKEN + WIDTH, ATOM * sizeof(float));
    share_out(a);
    conclude_patch(a);
    calibrate(a, probabilities);
}
