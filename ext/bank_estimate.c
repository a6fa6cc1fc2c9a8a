/* What a distribution over the levels of a parameter says. */
#include "estimate.h"

size_t inversynth_estimate(const float *shares, size_t levels, int choice, double *confidence)
{
    size_t at = 0;
    if (choice) {
        for (size_t i = 1; i < levels; i++)
            at = shares[i] > shares[at] ? i : at;
        *confidence = (double)shares[at];
        return at;
    }
    double total = 0.0;
    for (size_t i = 0; i < levels; i++)
        total += (double)shares[i];
    double below = (double)shares[0];
    while (below < 0.5 * total && at + 1 < levels)
        below += (double)shares[++at];
    *confidence = (double)shares[at];
    if (at > 0)
        *confidence += (double)shares[at - 1];
    if (at + 1 < levels)
        *confidence += (double)shares[at + 1];
    return at;
}
