/* Reads patches from standard input, renders them into memory of exactly their size, writes the samples.
 * Arguments: paper|sine, count, samples, sample_rate. */
#include "bank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    const int paper = strcmp(argv[1], "paper") == 0;
    const size_t params = paper ? PAPER_PARAMS : SINE_PARAMS;
    const size_t count = strtoul(argv[2], NULL, 10), samples = strtoul(argv[3], NULL, 10);
    const double sample_rate = strtod(argv[4], NULL);
    double *values = malloc(count * params * sizeof *values);
    float *out = malloc(count * samples * sizeof *out);
    int failed = !values || !out || fread(values, sizeof *values, count * params, stdin) != count * params;
    if (!failed) {
        if (paper)
            inversynth_paper(values, count, out, samples, sample_rate, 0.75);
        else
            inversynth_sine(values, count, out, samples, sample_rate);
        failed = fwrite(out, sizeof *out, count * samples, stdout) != count * samples;
    }
    free(values);
    free(out);
    return failed;
}
