/* The tables of the short-time Fourier transform. */
#include "dsp/spectrum.h"

#include <math.h>

#define RADIANS 6.28318530717958647693 /* of a turn */

void inversynth_spectrum_prepare(struct inversynth_spectrum *spectrum, double unit)
{
    for (int n = 0; n < WINDOW; n++)
        spectrum->window[n] = (float)((0.5 - 0.5 * cos(RADIANS * n / WINDOW)) / (2.0 * unit));
    for (int j = 0; j <= RADIX; j++)
        for (int k = 0; k < RADIX; k++) {
            spectrum->twiddle[j][k][0] = (float)cos(RADIANS * j * k / WINDOW);
            spectrum->twiddle[j][k][1] = (float)-sin(RADIANS * j * k / WINDOW);
        }
}
