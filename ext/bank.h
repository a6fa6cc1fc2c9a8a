/* Renderers of whole batches. Pure functions: no globals, no allocation, safe from any thread. */
#ifndef INVERSYNTH_BANK_H
#define INVERSYNTH_BANK_H

#include <stddef.h>

/* Columns of a patch, in the order of the parameter space of each synth. */
enum { PAPER_PARAMS = 23, SINE_PARAMS = 4 };

/* values: count x PAPER_PARAMS, row-major, in units. out: count x samples.
 * note_off in seconds. Requires 0 < sample_rate and cutoff < sample_rate / 2. */
void inversynth_paper(const double *values, size_t count, float *out, size_t samples, double sample_rate,
                      double note_off);

/* values: count x SINE_PARAMS. out: count x samples. */
void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate);

#endif
