/* Spectra of LANES sounds at a time, for each SIMD target: scalar code whose numbers are vectors.
 *
 * A frame's transform is one of 32 real points for each of 16 rows, samples 16 n + row, and one of 16 complex points
 * for each of 17 columns; the other columns would be conjugates. 32 real points are 16 complex ones, even and odd. */
#include "dsp/spectrum.h"
#include "simd/lanes.h"

enum { ROW = 2 * (RADIX + 1) + 1 }; /* vectors; odd, so that a column uses all sets of the first cache */

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
    join(re, im, i, step, ar, ai, br, bi, f_add(re[j], re[l]), f_add(im[j], im[l]), f_sub(re[j], re[l]),
         f_sub(im[j], im[l]));
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
    join_odd(re, im, 0, 1, f_mul_add(x, r, re[0]), f_mul_add(y, r, im[0]), f_sub_mul(x, r, re[0]),
             f_sub_mul(y, r, im[0]));
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
static INLINE void row(const float *first, const float *second, const float *window, const float (*twiddle)[2],
                       float *z)
{
    enum { NEXT = WINDOW / 4 }; /* samples from a point to the next of four */
    vf re[RADIX], im[RADIX];
    UNROLL
    for (int i = 0; i < 4; i++) {
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
    UNROLL
    for (int k = 1; k < RADIX / 2; k++) {
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
    UNROLL
    for (int b = 0; b < RADIX; b++) {
        re[b] = f_load(z + (ROW * b + 2 * k) * LANES);
        im[b] = f_load(z + (ROW * b + 2 * k + 1) * LANES);
        if (b)
            turn(re + b, im + b, f_all(twiddle[b][0]), f_all(twiddle[b][1]));
    }
    for (int i = 0; i < 4; i++)
        dft4(re, im, i, 4);
    finish16(re, im);
    UNROLL
    for (int i = 0; i < RADIX; i++) {
        const int bin = 2 * RADIX * i + k;
        const vf r = re[PLACE(i)], q = im[PLACE(i)];
        f_store(power + (i < RADIX / 2 ? bin : WINDOW - bin) * LANES, f_mul_add(r, r, f_mul(q, q)));
    }
}

/* The squares of a frame's magnitudes, from the two halves of its samples. */
static void transform(const struct inversynth_spectrum *t, const float *first, const float *second, float *z,
                      float *power)
{
    for (int b = 0; b < RADIX; b++)
        row(first + b * LANES, second + b * LANES, t->window + b, t->twiddle[RADIX], z + ROW * b * LANES);
    for (int k = 0; k <= RADIX; k++)
        column(z, t->twiddle[k], power, k);
}
