/* Products with matrices, and curves, for each SIMD target: each sum in one order, for any vectors. */
#include "nets/atoms.h"
#include "simd/lanes.h"

enum { VECTORS = PANEL / LANES };                               /* of a panel's row */
enum { MANY = LANES == 16 ? 12 : LANES == 8 ? 6 : 2, FEW = 2 }; /* rows at a time: what there are registers for */

/* -- curves ------------------------------------------------------------------------------------- */

/* The natural logarithm of what is above 0: the exponent, and a polynomial from sqrt(1/2) to sqrt(2), error below
 * 2e-7. */
static INLINE vf f_log(vf x)
{
    vi exponent;
    const vf y = split(x, &exponent), z = f_mul(y, y);
    vf p = f_mul_add(y, f_all(7.0376836292e-2f), f_all(-1.1514610310e-1f));
    p = f_mul_add(y, p, f_all(1.1676998740e-1f));
    p = f_mul_add(y, p, f_all(-1.2420140846e-1f));
    p = f_mul_add(y, p, f_all(1.4249322787e-1f));
    p = f_mul_add(y, p, f_all(-1.6668057665e-1f));
    p = f_mul_add(y, p, f_all(2.0000714765e-1f));
    p = f_mul_add(y, p, f_all(-2.4999993993e-1f));
    p = f_mul_add(y, p, f_all(3.3333331174e-1f));
    p = f_mul(f_mul(p, y), z);
    p = f_sub_mul(f_all(0.5f), z, p);
    return f_mul_add(f_of(exponent), f_all(6.9314718056e-1f / 8388608.0f), f_add(y, p));
}

/* The exponential of what is below 88; of what is below -87, that of -87. */
static INLINE vf f_exp(vf x)
{
    const vf turns = f_mul(f_max(x, f_all(-87.0f)), f_all(1.44269504089f));
    const vi whole = i_of(turns);
    const vf y = f_mul(f_sub(turns, f_of(whole)), f_all(6.9314718056e-1f));
    vf p = f_mul_add(y, f_all(1.3888889e-3f), f_all(8.3333333e-3f));
    p = f_mul_add(y, p, f_all(4.1666667e-2f));
    p = f_mul_add(y, p, f_all(1.6666667e-1f));
    p = f_mul_add(y, p, f_all(0.5f));
    p = f_mul_add(y, p, f_all(1.0f));
    p = f_mul_add(y, p, f_all(1.0f));
    return f_bits(i_add(i_bits(p), i_shift(whole, 23)));
}

/* -- sums --------------------------------------------------------------------------------------- */

/* The sum of a panel's row, by halves. */
static INLINE float total(const vf *row)
{
    float x[PANEL];
    UNROLL
    for (int v = 0; v < VECTORS; v++)
        f_store_row(x + v * LANES, row[v]);
    UNROLL
    for (int half = PANEL / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

/* The sum of `count` numbers, a multiple of PANEL. */
static INLINE float sum(const float *x, size_t count)
{
    vf row[VECTORS];
    zeros(row, VECTORS);
    for (size_t i = 0; i < count; i += PANEL) {
        UNROLL
        for (int v = 0; v < VECTORS; v++)
            row[v] = f_add(row[v], f_load_row(x + i + v * LANES));
    }
    return total(row);
}

/* A multiple of PANEL numbers to their shares of the sum of their exponentials, in place. */
static INLINE void softmax(float *x, size_t count)
{
    float most = x[0];
    for (size_t i = 1; i < count; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < count; i += LANES)
        f_store_row(x + i, f_exp(f_sub(f_load_row(x + i), f_all(most))));
    const vf share = f_all(1.0f / sum(x, count));
    for (size_t i = 0; i < count; i += LANES)
        f_store_row(x + i, f_mul(f_load_row(x + i), share));
}

/* -- products ----------------------------------------------------------------------------------- */

struct factor {
    const float *panels;
    size_t depth, columns;
};
#define FACTOR(name, depth, columns) ((struct factor){name, depth, columns})

/* How a product ends: what is added to each row, if anything, and whether what is below 0 becomes 0. */
struct ending {
    const float *bias;
    int relu;
};
static const struct ending as_is = {NULL, 0};

static INLINE void end_row(vf *sums, const float *bias, int relu, float *out)
{
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
        vf x = sums[v];
        if (bias)
            x = f_add(x, f_load_row(bias + v * LANES));
        if (relu)
            x = f_max(x, f_all(0.0f));
        f_store_row(out + v * LANES, x);
    }
}

/* `count` rows times one panel. */
static INLINE void block(const float *rows, size_t stride, const float *panel, size_t depth, const float *bias,
                         int relu, float *out, size_t out_stride, const int count)
{
    vf sums[MANY][VECTORS];
    UNROLL
    for (int r = 0; r < count; r++)
        zeros(sums[r], VECTORS);
    for (size_t k = 0; k < depth; k++) {
        vf weights[VECTORS];
        UNROLL
        for (int v = 0; v < VECTORS; v++)
            weights[v] = f_load_row(panel + k * PANEL + v * LANES);
        UNROLL
        for (int r = 0; r < count; r++) {
            const vf x = f_all(rows[(size_t)r * stride + k]);
            UNROLL
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] = f_mul_add(x, weights[v], sums[r][v]);
        }
    }
    UNROLL
    for (int r = 0; r < count; r++)
        end_row(sums[r], bias, relu, out + (size_t)r * out_stride);
}

/* Rows (count, depth) times a matrix, to rows of IN_PANELS(columns). */
static void product(const float *rows, size_t stride, size_t count, struct factor by, struct ending end, float *out,
                    size_t out_stride)
{
    const size_t deep = IN_FOURS(by.depth);
    for (size_t n = 0; n < by.columns; n += PANEL) {
        const float *panel = by.panels + n * deep, *bias = end.bias ? end.bias + n : NULL;
        size_t r = 0;
        for (; r + MANY <= count; r += MANY)
            block(rows + r * stride, stride, panel, by.depth, bias, end.relu, out + r * out_stride + n, out_stride,
                  MANY);
        for (; r + FEW <= count; r += FEW)
            block(rows + r * stride, stride, panel, by.depth, bias, end.relu, out + r * out_stride + n, out_stride,
                  FEW);
        for (; r < count; r++)
            block(rows + r * stride, stride, panel, by.depth, bias, end.relu, out + r * out_stride + n, out_stride, 1);
    }
}

/* One row of IN_FOURS(depth), its end zeros, times a matrix: four sums at a time, since one would wait for itself. */
static void product_of_one(const float *row, struct factor by, struct ending end, float *out)
{
    const size_t deep = IN_FOURS(by.depth);
    for (size_t n = 0; n < by.columns; n += PANEL) {
        const float *panel = by.panels + n * deep;
        vf sums[FOUR][VECTORS];
        UNROLL
        for (int i = 0; i < FOUR; i++)
            zeros(sums[i], VECTORS);
        for (size_t k = 0; k < deep; k += FOUR) {
            UNROLL
            for (int i = 0; i < FOUR; i++) {
                UNROLL
                for (int v = 0; v < VECTORS; v++)
                    sums[i][v] = f_mul_add(f_all(row[k + (size_t)i]),
                                           f_load_row(panel + (k + (size_t)i) * PANEL + v * LANES), sums[i][v]);
            }
        }
        UNROLL
        for (int v = 0; v < VECTORS; v++)
            sums[0][v] = f_add(f_add(sums[0][v], sums[1][v]), f_add(sums[2][v], sums[3][v]));
        end_row(sums[0], end.bias ? end.bias + n : NULL, end.relu, out + n);
    }
}
