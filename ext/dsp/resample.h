/* A sound at another sample rate, for each SIMD target: the lanes hold neighbouring taps of an output.
 *
 * The products of an output go to ACCUMULATORS sums, sum s of tap s and each ACCUMULATORS-th after it, and these are
 * added in a tree: targets of the same arithmetic come to the same bits, and an output doesn't depend on what is
 * computed with it. */
#include "dsp/filter.h"
#include "simd/lanes.h"

enum { PARTS = ACCUMULATORS / LANES };
enum { ROWS = PARTS > 2 ? 2 : ROWS_PER_GROUP }; /* at a time: what there are registers for */
enum { TILE = (int)LANES > (int)ROWS_PER_GROUP ? (int)LANES : ROWS_PER_GROUP }; /* outputs that are written at a time */

/* Adds the second half of `count` vectors to the first, until there is one. */
static INLINE vf tree(vf *v, int count)
{
    UNROLL
    for (int half = count / 2; half; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++)
            v[i] = f_add(v[i], v[i + half]);
    }
    return v[0];
}

/* The sums of ROWS rows over the samples from `first` on; before 0, and from `length` on, is silence. */
static INLINE void multiply(const float *taps, int64_t count, const float *in, int64_t first, int64_t length, vf *sums)
{
    vf parts[ROWS][PARTS];
    UNROLL
    for (int r = 0; r < ROWS; r++)
        zeros(parts[r], PARTS);
    for (int64_t i = 0; i < count; i += ACCUMULATORS) {
        float edge[ACCUMULATORS];
        const float *samples = edge;
        if (first + i >= 0 && first + i + ACCUMULATORS <= length)
            samples = in + first + i;
        else
            for (int64_t n = 0; n < ACCUMULATORS; n++)
                edge[n] = first + i + n >= 0 && first + i + n < length ? in[first + i + n] : 0.0f;
        UNROLL
        for (int p = 0; p < PARTS; p++) {
            const vf sample = f_load_row(samples + p * LANES);
            UNROLL
            for (int r = 0; r < ROWS; r++)
                parts[r][p] = f_mul_add(sample, f_load_row(taps + r * count + i + p * LANES), parts[r][p]);
        }
    }
    UNROLL
    for (int r = 0; r < ROWS; r++)
        sums[r] = tree(parts[r], PARTS);
}

/* The outputs of a TILE of rows are computed to the end of the sound, which leaves their taps in the cache. */
static void resample(const struct inversynth_filter *filter, const float *in, size_t length, float *out, size_t count)
{
    const uint64_t up = filter->up, down = filter->down;
    for (size_t row = 0; row < up && row < count; row += TILE) {
        const float *taps = filter->rows + row * filter->taps;
        int64_t first[TILE];
        for (size_t r = 0; r < TILE; r++)
            first[r] = (int64_t)((row + r / ROWS_PER_GROUP * ROWS_PER_GROUP) * down / up) - (int64_t)filter->before;
        for (size_t n = row; n < count; n += up) {
            vf sums[TILE];
            float done[TILE];
            const size_t wanted = up - row < count - n ? up - row : count - n;
            float *to = wanted < TILE ? done : out + n;
            for (size_t r = 0; r < TILE; r += ROWS)
                multiply(taps + r * filter->taps, (int64_t)filter->taps, in, first[r], (int64_t)length, sums + r);
            for (size_t r = 0; r < TILE; r += LANES) {
                transpose(sums + r);
                f_store_row(to + r, tree(sums + r, LANES));
            }
            if (to == done)
                memcpy(out + n, done, wanted * sizeof *done);
            for (size_t r = 0; r < TILE; r++)
                first[r] += (int64_t)down;
        }
    }
}
