/* Spectra and scores of LANES sounds at a time, straight from the kernel: scalar code whose numbers are vectors.
 *
 * A frame's transform is one of 32 real points for each of 16 rows, samples 16 n + row, and one of 16 complex points for each
 * of 17 columns; the other columns would be conjugates. 32 real points are 16 complex ones, even and odd. */
#include "hear.h"
#include "kernel.h"

enum { ROW = 2 * (RADIX + 1) + 1 }; /* vectors; odd, lest a column fall on few sets of the first cache */
enum { LOG_SUM, LOG_SQUARE, LOG_PRODUCT, LOG_DISTANCE, DISTANCE, SOUND_DISTANCE, SUMS };

struct analysis {
    ALIGNED float half[2][HOP * LANES];  /* of a frame's samples; the frames overlap by half */
    ALIGNED float z[RADIX * ROW * LANES];
    ALIGNED float power[BINS * LANES];
    double sums[SUMS][LANES];
};

/* -- transform ---------------------------------------------------------------------------------- */

/* x r + y s and x r - y s. */
static inline void sum_difference(vf x, vf r, vf y, vf s, vf *sum, vf *difference)
{
    const vf z = f_mul(x, r);
    *sum = f_mul_add(y, s, z);
    *difference = f_sub_mul(y, s, z);
}

/* Times c + i s. A complex vector is a pair of vectors. */
static inline void turn(vf *re, vf *im, vf c, vf s)
{
    const vf x = *re;
    *re = f_sub_mul(*im, s, f_mul(x, c));
    *im = f_mul_add(*im, c, f_mul(x, s));
}

/* Four points at i, i + step, ... from a and b, sum and difference of the even ones, and c and d, of the odd ones. */
static inline void join(vf *re, vf *im, int i, int step, vf ar, vf ai, vf br, vf bi, vf cr, vf ci, vf dr, vf di)
{
    re[i] = f_add(ar, cr), im[i] = f_add(ai, ci);
    re[i + step] = f_add(br, di), im[i + step] = f_sub(bi, dr);
    re[i + 2 * step] = f_sub(ar, cr), im[i + 2 * step] = f_sub(ai, ci);
    re[i + 3 * step] = f_sub(br, di), im[i + 3 * step] = f_add(bi, dr);
}

static inline void join_odd(vf *re, vf *im, int i, int step, vf ar, vf ai, vf br, vf bi)
{
    const int j = i + step, l = i + 3 * step;
    join(re, im, i, step, ar, ai, br, bi, f_add(re[j], re[l]), f_add(im[j], im[l]), f_sub(re[j], re[l]), f_sub(im[j], im[l]));
}

/* Four points, in place. */
static inline void dft4(vf *re, vf *im, int i, int step)
{
    const int k = i + 2 * step;
    join_odd(re, im, i, step, f_add(re[i], re[k]), f_add(im[i], im[k]), f_sub(re[i], re[k]), f_sub(im[i], im[k]));
}

/* Four points side by side, the third times r (x + i y), in place. */
static inline void dft4_scaled(vf *re, vf *im, vf x, vf y, vf r)
{
    join_odd(re, im, 0, 1, f_mul_add(x, r, re[0]), f_mul_add(y, r, im[0]), f_sub_mul(x, r, re[0]), f_sub_mul(y, r, im[0]));
}

/* Sixteen points, in place, of which four by four (0, 4, ..; 1, 5, ..; ...) are transformed already; value k of the
 * result is at PLACE(k). The twiddles between that are eighths of a turn are multiplied where they are added. */
#define PLACE(k) (4 * ((k) % 4) + (k) / 4)
static INLINE void finish16(vf *re, vf *im)
{
    const vf c = f_all(0.92387953f), s = f_all(0.38268343f), r = f_all(0.70710678f); /* of pi / 8; of pi / 4 */
    const vf minus_c = f_all(-0.92387953f), minus_s = f_all(-0.38268343f), minus_r = f_all(-0.70710678f);
    dft4(re, im, 0, 1);
    turn(re + 5, im + 5, c, minus_s);
    turn(re + 7, im + 7, s, minus_c);
    dft4_scaled(re + 4, im + 4, f_add(re[6], im[6]), f_sub(im[6], re[6]), r);
    turn(re + 13, im + 13, s, minus_c);
    turn(re + 15, im + 15, minus_c, s);
    dft4_scaled(re + 12, im + 12, f_sub(re[14], im[14]), f_add(re[14], im[14]), minus_r);
    /* The row in between: times 1, r (1 - i), -i, -r (1 + i). */
    const vf ar = f_add(re[8], im[10]), ai = f_sub(im[8], re[10]), br = f_sub(re[8], im[10]), bi = f_add(im[8], re[10]);
    const vf xr = f_add(re[9], im[9]), xi = f_sub(im[9], re[9]), yr = f_sub(re[11], im[11]), yi = f_add(re[11], im[11]);
    const vf cr = f_sub(xr, yr), ci = f_sub(xi, yi), dr = f_add(xr, yr), di = f_add(xi, yi);
    re[8] = f_mul_add(cr, r, ar), im[8] = f_mul_add(ci, r, ai);
    re[9] = f_mul_add(di, r, br), im[9] = f_sub_mul(dr, r, bi);
    re[10] = f_sub_mul(cr, r, ar), im[10] = f_sub_mul(ci, r, ai);
    re[11] = f_sub_mul(di, r, br), im[11] = f_mul_add(dr, r, bi);
}

static inline void put(float *z, int k, vf re, vf im)
{
    f_store(z + 2 * k * LANES, re);
    f_store(z + (2 * k + 1) * LANES, im);
}

/* A row of z from samples, each to be multiplied by its window. */
static INLINE void row(const float *first, const float *second, const float *window, const float (*twiddle)[2], float *z)
{
    enum { NEXT = WINDOW / 4 }; /* samples from a point to the next of four */
    vf re[RADIX], im[RADIX];
    UNROLL for (int i = 0; i < 4; i++)
    {
        vf even[4], odd[4]; /* sums and differences, of real and imaginary parts */
        for (int part = 0; part < 2; part++) {
            const int n = (2 * i + part) * RADIX, m = n + NEXT;
            const float *w = window + n;
            sum_difference(f_load(first + n * LANES), f_all(w[0]), f_load(second + n * LANES), f_all(w[2 * NEXT]),
                           even + part, even + 2 + part);
            sum_difference(f_load(first + m * LANES), f_all(w[NEXT]), f_load(second + m * LANES), f_all(w[3 * NEXT]),
                           odd + part, odd + 2 + part);
        }
        join(re, im, i, 4, even[0], even[1], even[2], even[3], odd[0], odd[1], odd[2], odd[3]);
    }
    finish16(re, im);
    const vf zero = f_all(0.0f), sum = f_add(re[0], im[0]), difference = f_sub(re[0], im[0]);
    const vf real = re[PLACE(RADIX / 2)], imaginary = im[PLACE(RADIX / 2)];
    put(z, 0, f_add(sum, sum), zero);
    put(z, RADIX, f_add(difference, difference), zero);
    put(z, RADIX / 2, f_add(real, real), f_sub(zero, f_add(imaginary, imaginary)));
    UNROLL for (int k = 1; k < RADIX / 2; k++)
    {
        const int x = PLACE(k), y = PLACE(RADIX - k);
        const vf even_r = f_add(re[x], re[y]), even_i = f_sub(im[x], im[y]);
        vf odd_r = f_add(im[x], im[y]), odd_i = f_sub(re[y], re[x]);
        turn(&odd_r, &odd_i, f_all(twiddle[k][0]), f_all(twiddle[k][1]));
        put(z, k, f_add(even_r, odd_r), f_add(even_i, odd_i));
        put(z, RADIX - k, f_sub(even_r, odd_r), f_sub(odd_i, even_i));
    }
}

/* The squares of the magnitudes of bins k, k + 32, ... from column k of z, turned by twiddles. */
static INLINE void column(const float *z, const float (*twiddle)[2], float *power, int k)
{
    vf re[RADIX], im[RADIX];
    UNROLL for (int b = 0; b < RADIX; b++)
    {
        re[b] = f_load(z + (ROW * b + 2 * k) * LANES);
        im[b] = f_load(z + (ROW * b + 2 * k + 1) * LANES);
        if (b)
            turn(re + b, im + b, f_all(twiddle[b][0]), f_all(twiddle[b][1]));
    }
    for (int i = 0; i < 4; i++)
        dft4(re, im, i, 4);
    finish16(re, im);
    UNROLL for (int i = 0; i < RADIX; i++)
    {
        const int bin = 2 * RADIX * i + k;
        const vf r = re[PLACE(i)], q = im[PLACE(i)];
        f_store(power + (i < RADIX / 2 ? bin : WINDOW - bin) * LANES, f_mul_add(r, r, f_mul(q, q)));
    }
}

/* The squares of a frame's magnitudes, from the two halves of its samples. */
static void transform(const struct inversynth_target *t, const float *first, const float *second, float *z, float *power)
{
    for (int b = 0; b < RADIX; b++)
        row(first + b * LANES, second + b * LANES, t->window + b, t->twiddle[RADIX], z + ROW * b * LANES);
    for (int k = 0; k <= RADIX; k++)
        column(z, t->twiddle[k], power, k);
}

/* The log2 of a power in units of an exponent's last bit, OCTAVE, but no less than 0: the exponent, and a polynomial from
 * sqrt(1/2) to sqrt(2) of the least largest error, 2e-6 octaves; 0 at 1. */
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
    {name, LANES, arithmetic, prepare, process, change, release, silent, measure, score, to_half, to_int16, resample, hear}
