/* The short-time Fourier transform that sounds are compared by: its sizes and tables. */
#ifndef INVERSYNTH_SPECTRUM_H
#define INVERSYNTH_SPECTRUM_H

/* Frames of WINDOW samples, one for each HOP samples, BINS magnitudes each; Hann window. */
enum { WINDOW = 512, HOP = WINDOW / 2, BINS = WINDOW / 2 + 1, RADIX = 16 };

struct inversynth_spectrum {
    float window[WINDOW];               /* over twice the unit of the magnitudes: a bin is the sum of two halves */
    float twiddle[RADIX + 1][RADIX][2]; /* exp(-2 pi i j k / WINDOW) */
};

/* unit: what magnitudes are counted in, above 0. */
void inversynth_spectrum_prepare(struct inversynth_spectrum *spectrum, double unit);

#endif
