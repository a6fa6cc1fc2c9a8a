/* What a distribution over the levels of a parameter says. */
#include "nets/estimate.h"

static size_t peak(const float *shares, size_t levels)
{
    size_t at = 0;
    for (size_t i = 1; i < levels; i++)
        at = shares[i] > shares[at] ? i : at;
    return at;
}

static size_t median(const float *shares, size_t levels)
{
    double total = 0.0;
    for (size_t i = 0; i < levels; i++)
        total += (double)shares[i];
    size_t at = 0;
    double below = (double)shares[0];
    while (below < 0.5 * total && at + 1 < levels)
        below += (double)shares[++at];
    return at;
}

size_t inversynth_estimate(const float *shares, size_t levels, int likeliest, int categorical, double *confidence)
{
    const size_t at = likeliest || categorical ? peak(shares, levels) : median(shares, levels);
    *confidence = (double)shares[at];
    if (!categorical && at > 0)
        *confidence += (double)shares[at - 1];
    if (!categorical && at + 1 < levels)
        *confidence += (double)shares[at + 1];
    return at;
}
