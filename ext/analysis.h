/* Spectra and scores of LANES sounds at a time, straight from the kernel: scalar code whose numbers are vectors.
 *
 * The WINDOW real samples of a frame are HOP complex ones, even samples and odd; their transform is 16 transforms of 16
 * points, twiddles, and 16 more. A bin and the one that lies as far from the other end come from two of its values. */
#include "kernel.h"

enum { ROW = 2 * RADIX + 1 }; /* vectors; odd, lest a column fall on few sets of the first cache */
enum { LOG_SUM, LOG_SQUARE, LOG_PRODUCT, LOG_DISTANCE, DISTANCE, SOUND_DISTANCE, SUMS };

struct analysis {
    ALIGNED float half[2][HOP * LANES];  /* of a frame's samples; the frames overlap by half */
    ALIGNED float z[RADIX * ROW * LANES];
    ALIGNED float power[BINS * LANES];
    double sums[SUMS][LANES];
};

/* -- transform ---------------------------------------------------------------------------------- */

/* Four points at i, i + step, ..., in place. */
static inline void dft4(vf *re, vf *im, int i, int step)
{
    const int j = i + step, k = j + step, l = k + step;
    const vf ar = f_add(re[i], re[k]), ai = f_add(im[i], im[k]), br = f_sub(re[i], re[k]), bi = f_sub(im[i], im[k]);
    const vf cr = f_add(re[j], re[l]), ci = f_add(im[j], im[l]), dr = f_sub(re[j], re[l]), di = f_sub(im[j], im[l]);
    re[i] = f_add(ar, cr), im[i] = f_add(ai, ci);
    re[j] = f_add(br, di), im[j] = f_sub(bi, dr);
    re[k] = f_sub(ar, cr), im[k] = f_sub(ai, ci);
    re[l] = f_sub(br, di), im[l] = f_add(bi, dr);
}

static inline void turn(vf *re, vf *im, vf c, vf s) /* times c + i s */
{
    const vf x = *re;
    *re = f_sub_mul(*im, s, f_mul(x, c));
    *im = f_mul_add(*im, c, f_mul(x, s));
}

/* Sixteen points; value k of the result is at PLACE(k). */
#define PLACE(k) (4 * ((k) % 4) + (k) / 4)
static inline void dft16(vf *re, vf *im)
{
    const vf c = f_all(0.92387953f), s = f_all(0.38268343f), r = f_all(0.70710678f); /* of pi / 8; of pi / 4 */
    const vf minus_c = f_all(-0.92387953f), minus_s = f_all(-0.38268343f), minus_r = f_all(-0.70710678f);
    vf x;
    for (int i = 0; i < 4; i++)
        dft4(re, im, i, 4);
    turn(re + 5, im + 5, c, minus_s);
    turn(re + 13, im + 13, s, minus_c);
    turn(re + 7, im + 7, s, minus_c);
    turn(re + 15, im + 15, minus_c, s);
    x = re[9], re[9] = f_mul(f_add(x, im[9]), r), im[9] = f_mul(f_sub(im[9], x), r);
    x = re[6], re[6] = f_mul(f_add(x, im[6]), r), im[6] = f_mul(f_sub(im[6], x), r);
    x = re[14], re[14] = f_mul(f_sub(im[14], x), r), im[14] = f_mul(f_add(im[14], x), minus_r);
    x = re[11], re[11] = f_mul(f_sub(im[11], x), r), im[11] = f_mul(f_add(im[11], x), minus_r);
    x = re[10], re[10] = im[10], im[10] = f_sub(f_all(0.0f), x);
    for (int i = 0; i < 16; i += 4)
        dft4(re, im, i, 1);
}

/* The squares of a frame's magnitudes, from the two halves of its samples. */
static void transform(const struct inversynth_target *t, const float *first, const float *second, float *z, float *power)
{
    for (int b = 0; b < RADIX; b++) {
        vf re[RADIX], im[RADIX];
        for (int a = 0; a < RADIX; a++) {
            const int n = 2 * (RADIX * a + b);
            const float *x = (a < RADIX / 2 ? first : second) + n % HOP * LANES;
            re[a] = f_mul(f_load(x), f_all(t->window[n]));
            im[a] = f_mul(f_load(x + LANES), f_all(t->window[n + 1]));
        }
        dft16(re, im);
        for (int k = 0; k < RADIX; k++) {
            if (k)
                turn(re + PLACE(k), im + PLACE(k), f_all(t->twiddle[b][k][0]), f_all(t->twiddle[b][k][1]));
            f_store(z + (ROW * b + 2 * k) * LANES, re[PLACE(k)]);
            f_store(z + (ROW * b + 2 * k + 1) * LANES, im[PLACE(k)]);
        }
    }
    for (int a = 0; a < RADIX; a++) {
        vf re[RADIX], im[RADIX];
        for (int b = 0; b < RADIX; b++) {
            re[b] = f_load(z + (ROW * b + 2 * a) * LANES);
            im[b] = f_load(z + (ROW * b + 2 * a + 1) * LANES);
        }
        dft16(re, im);
        for (int k = 0; k < RADIX; k++) {
            f_store(z + (ROW * k + 2 * a) * LANES, re[PLACE(k)]);
            f_store(z + (ROW * k + 2 * a + 1) * LANES, im[PLACE(k)]);
        }
    }
    for (int k = 0; k <= HOP / 2; k++) {
        const int l = (HOP - k) % HOP;
        const float *x = z + (ROW * (k / RADIX) + 2 * (k % RADIX)) * LANES;
        const float *y = z + (ROW * (l / RADIX) + 2 * (l % RADIX)) * LANES;
        const vf xr = f_load(x), xi = f_load(x + LANES), yr = f_load(y), yi = f_load(y + LANES);
        const vf c = f_all(t->split[k][0]), s = f_all(t->split[k][1]);
        const vf even_r = f_add(xr, yr), even_i = f_sub(xi, yi), odd_r = f_add(xi, yi), odd_i = f_sub(yr, xr);
        /* even + (c + i s) odd, and even - (c + i s) odd */
        const vf r = f_sub_mul(s, odd_i, f_mul_add(c, odd_r, even_r)), i = f_mul_add(s, odd_r, f_mul_add(c, odd_i, even_i));
        const vf u = f_mul_add(s, odd_i, f_sub_mul(c, odd_r, even_r)), v = f_sub_mul(s, odd_r, f_sub_mul(c, odd_i, even_i));
        f_store(power + k * LANES, f_mul_add(r, r, f_mul(i, i)));
        f_store(power + (HOP - k) * LANES, f_mul_add(u, u, f_mul(v, v)));
    }
}

/* log2(x), 1 <= x: exponent, and a polynomial from sqrt(1/2) to sqrt(2) of the least largest error, 3e-7; 0 at 1. */
static inline vf log_2(vf x)
{
    const vi above = i_sub(i_bits(x), i_all(0x3f3504f3)), exponent = i_and(above, i_all((int32_t)0xff800000u));
    const vf y = f_sub(f_bits(i_sub(i_bits(x), exponent)), f_all(1.0f));
    vf p = f_mul_add(y, f_all(0.17063453f), f_all(-0.27269798f));
    p = f_mul_add(y, p, f_all(0.2972626f));
    p = f_mul_add(y, p, f_all(-0.35896184f));
    p = f_mul_add(y, p, f_all(0.48046503f));
    p = f_mul_add(y, p, f_all(-0.72137587f));
    p = f_mul_add(y, p, f_all(1.44269973f));
    return f_mul_add(y, p, f_mul(f_of(exponent), f_all(1.0f / 8388608.0f)));
}

static inline vf log_of(vf power) { return log_2(f_max(power, f_all(1.0f))); }

/* -- scores ------------------------------------------------------------------------------------- */

/* Sums of a frame are floats, those of the frames doubles. */
static inline void add(double *sum, vf frame)
{
    ALIGNED float lanes[LANES];
    f_store(lanes, frame);
    EACH_LANE sum[l] += (double)lanes[l];
}

static void compare_sounds(struct analysis *a, const float *sound, const float *target)
{
    vf distance = f_all(0.0f);
    for (int n = 0; n < HOP; n++) {
        const vf d = f_sub(f_load(sound + n * LANES), f_all(target[n]));
        distance = f_mul_add(d, d, distance);
    }
    add(a->sums[SOUND_DISTANCE], distance);
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
    scores[LOG_L1] = a->sums[LOG_DISTANCE][l] / count * 0.34657359027997264; /* ln 2 / 2 */
    scores[CONVERGENCE] = relative(a->sums[DISTANCE][l], t->square);
    scores[RESIDUAL] = relative(a->sums[SOUND_DISTANCE][l], t->sound_square);
}

static void score(void *bank, const struct inversynth_target *target, double *scores)
{
    struct bank *b = bank;
    struct analysis a;
    size_t left = target->samples;
    memset(a.sums, 0, sizeof a.sums);
    for (size_t m = 0; m <= target->frames; m++) {
        float *half = a.half[m % 2];
        size_t n = m ? 0 : HOP / 2;
        memset(half, 0, n * LANES * sizeof *half);
        while (n < HOP && left) {
            const size_t length = piece(b, half + n * LANES, left < HOP - n ? left : HOP - n);
            n += length;
            left -= length;
        }
        memset(half + n * LANES, 0, (HOP - n) * LANES * sizeof *half);
        compare_sounds(&a, half, target->sound + m * HOP);
        if (m) {
            transform(target, a.half[1 - m % 2], half, a.z, a.power);
            compare_frames(&a, target->magnitudes + (m - 1) * BINS, target->logs + (m - 1) * BINS);
        }
    }
    for (size_t i = 0; i < b->count; i++)
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
        transform(target, a.half[1 - m % 2], a.half[m % 2], a.z, a.power);
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

#define PATH(name, arithmetic) \
    {name, LANES, arithmetic, prepare, process, change, measure, score, to_half, to_int16}
