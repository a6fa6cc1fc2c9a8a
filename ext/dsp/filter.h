/* The filter that takes a sound to another sample rate. */
#ifndef INVERSYNTH_FILTER_H
#define INVERSYNTH_FILTER_H

#include <stddef.h>

/* To `up` / `down` of the sample rate: output n is that of row n % up. The taps of the ROWS_PER_GROUP rows of a
 * group, of which m is the first, go over the same samples, from m * down / up (rounded down) - before on, and each
 * row's own are among them. rows: up x taps, and zeros up to a multiple of MAX_LANES rows; taps is a multiple of
 * ACCUMULATORS. */
enum { ROWS_PER_GROUP = 4, ACCUMULATORS = 16 };

struct inversynth_filter {
    const float *rows;
    size_t up, down, taps, before;
};

#endif
