/* What a distribution over the levels of a parameter says. */
#ifndef INVERSYNTH_ESTIMATE_H
#define INVERSYNTH_ESTIMATE_H

#include <stddef.h>

/* The median of `levels` > 0 shares, or the likeliest (the first of several), and how probable it and its neighbours
 * are; of a categorical parameter always the likeliest alone. It is 0 where the shares are NaN. */
size_t inversynth_estimate(const float *shares, size_t levels, int likeliest, int categorical, double *confidence);

#endif
