/* Scores of LANES sounds of any engine at a time, straight from its blocks, for each SIMD target. */
#include "dsp/stft.h"
#include "engines/target.h"

enum { LOG_SUM, LOG_SQUARE, LOG_PRODUCT, LOG_DISTANCE, DISTANCE, SOUND_DISTANCE, SUMS };

struct analysis {
    ALIGNED float half[2][HOP * LANES]; /* of a frame's samples; the frames overlap by half */
    ALIGNED float z[RADIX * ROW * LANES];
    ALIGNED float power[BINS * LANES];
    double sums[SUMS][LANES];
};

/* The log2 of a power in units of an exponent's last bit, OCTAVE, but no less than 0: the exponent, and a polynomial
 * from sqrt(1/2) to sqrt(2) of the least largest error, 2e-6 octaves; 0 at 1. */
#define OCTAVE 8388608.0
static inline vf log_of(vf power)
{
    vi exponent;
    const vf y = split(f_max(power, f_all(1.0f)), &exponent);
    vf p = f_mul_add(y, f_all(-1733016.2f), f_all(2702429.8f));
    p = f_mul_add(y, p, f_all(-3082729.5f));
    p = f_mul_add(y, p, f_all(4021062.8f));
    p = f_mul_add(y, p, f_all(-6049292.5f));
    p = f_mul_add(y, p, f_all(12102358.0f));
    return f_mul_add(y, p, f_of(exponent));
}

/* Sums of a frame are floats, those of the frames doubles. */
static inline void add(double *sum, vf frame)
{
    ALIGNED float lanes[LANES];
    f_store(lanes, frame);
    EACH_LANE sum[l] += (double)lanes[l];
}

static void compare_sounds(struct analysis *a, const float *sound, const float *target)
{
    vf even = f_all(0.0f), odd = even; /* one would wait for itself */
    for (int n = 0; n < HOP; n += 2) {
        const vf x = f_sub(f_load(sound + n * LANES), f_all(target[n]));
        const vf y = f_sub(f_load(sound + (n + 1) * LANES), f_all(target[n + 1]));
        even = f_mul_add(x, x, even);
        odd = f_mul_add(y, y, odd);
    }
    add(a->sums[SOUND_DISTANCE], f_add(even, odd));
}

static void compare_frames(struct analysis *a, const float *magnitudes, const float *logs)
{
    vf sum = f_all(0.0f), square = sum, product = sum, log_distance = sum, distance = sum;
    for (int k = 0; k < BINS; k++) {
        const vf power = f_load(a->power + k * LANES), x = log_of(power), y = f_all(logs[k]);
        const vf d = f_sub(f_sqrt(power), f_all(magnitudes[k]));
        sum = f_add(sum, x);
        square = f_mul_add(x, x, square);
        product = f_mul_add(x, y, product);
        log_distance = f_add(log_distance, f_abs(f_sub(x, y)));
        distance = f_mul_add(d, d, distance);
    }
    add(a->sums[LOG_SUM], sum);
    add(a->sums[LOG_SQUARE], square);
    add(a->sums[LOG_PRODUCT], product);
    add(a->sums[LOG_DISTANCE], log_distance);
    add(a->sums[DISTANCE], distance);
}

static double relative(double square, double of)
{
    return of > 0.0 ? sqrt(square / of) : square > 0.0 ? INFINITY : 0.0;
}

static void conclude(const struct analysis *a, const struct inversynth_target *t, int l, double *scores)
{
    const double count = (double)t->frames * BINS, sum = a->sums[LOG_SUM][l];
    const double own = a->sums[LOG_SQUARE][l] - sum * sum / count;
    const double its = t->log_square - t->log_sum * t->log_sum / count;
    const double both = a->sums[LOG_PRODUCT][l] - sum * t->log_sum / count;
    const double rho = own > 0.0 && its > 0.0 ? both / sqrt(own * its) : 0.0;
    scores[RHO_STFT] = a->sums[LOG_DISTANCE][l] == 0.0 ? 1.0 : rho > 1.0 ? 1.0 : rho < -1.0 ? -1.0 : rho;
    scores[LOG_L1] = a->sums[LOG_DISTANCE][l] / count / OCTAVE * 0.34657359027997264; /* ln 2 / 2 */
    scores[CONVERGENCE] = relative(a->sums[DISTANCE][l], t->square);
    scores[RESIDUAL] = relative(a->sums[SOUND_DISTANCE][l], t->sound_square);
}

static void score(const struct inversynth_engine *engine, void *bank, size_t count,
                  const struct inversynth_target *target, double *scores)
{
    struct analysis a;
    size_t left = target->samples;
    memset(a.sums, 0, sizeof a.sums);
    for (size_t m = 0; m <= target->frames; m++) {
        float *half = a.half[m % 2];
        size_t n = m ? 0 : HOP / 2;
        memset(half, 0, n * LANES * sizeof *half);
        while (n < HOP && left) {
            const size_t length = engine->block(bank, half + n * LANES, left < HOP - n ? left : HOP - n);
            n += length;
            left -= length;
        }
        memset(half + n * LANES, 0, (HOP - n) * LANES * sizeof *half);
        compare_sounds(&a, half, target->sound + m * HOP);
        if (m) {
            transform(&target->spectrum, a.half[1 - m % 2], half, a.z, a.power);
            compare_frames(&a, target->magnitudes + (m - 1) * BINS, target->logs + (m - 1) * BINS);
        }
    }
    for (size_t i = 0; i < count; i++)
        conclude(&a, target, (int)i, scores + i * SCORES);
}

/* As sounds are: a sound that is the target's has no distance from it. */
static void measure(struct inversynth_target *target)
{
    struct analysis a;
    for (size_t m = 0; m <= target->frames; m++) {
        for (size_t n = 0; n < HOP; n++)
            f_store(a.half[m % 2] + n * LANES, f_all(target->sound[m * HOP + n]));
        if (!m)
            continue;
        transform(&target->spectrum, a.half[1 - m % 2], a.half[m % 2], a.z, a.power);
        for (size_t k = 0; k < BINS; k++) {
            const vf power = f_load(a.power + k * LANES);
            ALIGNED float magnitude[LANES], log[LANES];
            f_store(magnitude, f_sqrt(power));
            f_store(log, log_of(power));
            target->magnitudes[(m - 1) * BINS + k] = magnitude[0];
            target->logs[(m - 1) * BINS + k] = log[0];
        }
    }
}
