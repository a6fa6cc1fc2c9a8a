/* Where the time of scores goes, on one core: the stages of ext/engines/score.h by themselves, for a group of LANES
 * sounds, over as many frames as a second at 16384 Hz has. To be compiled with ext/engines/target.c and
 * ext/dsp/spectrum.c. Prints lanes, and a line for each stage: its name, and seconds (-DVECTOR=512 or 256) or
 * arithmetic instructions (-DPLAIN -DVECTOR=0), which the vocabulary of lanes.h itself counts here. */
#define _POSIX_C_SOURCE 200809L
#if VECTOR == 512
#define SIMD_AVX512
#elif VECTOR == 256
#define SIMD_AVX2
#else
#define COUNT
#endif
#include "simd/lanes.h"

#ifdef COUNT
static size_t count;
/* clang-format off */
#define COUNTED(name, result) static inline float name(float a, float b, float c) { count++, (void)b, (void)c; return result; }
COUNTED(c_add, a + b)
COUNTED(c_sub, a - b)
COUNTED(c_mul, a * b)
COUNTED(c_mul_add, a * b + c)
COUNTED(c_sub_mul, c - a * b)
COUNTED(c_abs, fabsf(a))
COUNTED(c_max, a > b ? a : b)
COUNTED(c_sqrt, sqrtf(a))
static inline int32_t c_int(int32_t i) { count++; return i; }
static inline float c_float(float a) { count++; return a; }
/* clang-format on */
#undef f_add
#undef f_sub
#undef f_mul
#undef f_mul_add
#undef f_sub_mul
#undef f_sub_mul_once
#undef f_abs
#undef f_max
#undef f_sqrt
#undef f_of
#undef f_signed
#undef i_add
#undef i_sub
#undef i_and
#undef i_of
#define f_add(a, b) c_add(a, b, 0.0f)
#define f_sub(a, b) c_sub(a, b, 0.0f)
#define f_mul(a, b) c_mul(a, b, 0.0f)
#define f_mul_add(a, b, c) c_mul_add(a, b, c)
#define f_sub_mul(a, b, c) c_sub_mul(a, b, c)
#define f_sub_mul_once(a, b, c) c_sub_mul(a, b, c)
#define f_abs(a) c_abs(a, 0.0f, 0.0f)
#define f_max(a, b) c_max(a, b, 0.0f)
#define f_sqrt(a) c_sqrt(a, 0.0f, 0.0f)
#define f_of(i) c_float((float)(i))
#define f_signed(a, i) c_float((i) < 0 ? -(a) : (a))
#define i_add(a, b) c_int((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define i_sub(a, b) c_int((int32_t)((uint32_t)(a) - (uint32_t)(b)))
#define i_and(a, b) c_int((a) & (b))
#define i_of(a) c_int((int32_t)lrintf(a))
#endif

#define SIMD_TARGET stages_target
#include "simd/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES = 16384, TARGET_FRAMES = SAMPLES / HOP, REPEATS = 300 };
enum { RENDER, TRANSFORM, COMPARE, COMPARE_SOUNDS, ALL, STAGES };

static struct analysis a;
ALIGNED static unsigned char bank[MAX_BANK_BYTES];
static double values[LANES * PAPER_PARAMS], scores[LANES * SCORES];
static struct inversynth_note notes[LANES];

static void run(int stage, const struct inversynth_target *target)
{
    if (stage == RENDER || stage == ALL)
        paper_prepare(bank, values, notes, LANES, SAMPLES, 0.0);
    if (stage == ALL) {
        score(&paper_engine, bank, LANES, target, scores);
        return;
    }
    for (size_t m = 0; m < TARGET_FRAMES; m++) {
        if (stage == RENDER)
            for (size_t n = 0; n < HOP;)
                n += paper_block(bank, a.half[m % 2] + n * LANES, HOP - n);
        else if (stage == TRANSFORM)
            transform(&target->spectrum, a.half[m % 2], a.half[1 - m % 2], a.z, a.power);
        else if (stage == COMPARE)
            compare_frames(&a, target->magnitudes + m * BINS, target->logs + m * BINS);
        else
            compare_sounds(&a, a.half[m % 2], target->sound + m * HOP);
    }
}

#ifdef COUNT
static double cost(int stage, const struct inversynth_target *target)
{
    count = 0;
    run(stage, target);
    return (double)count;
}
#else
static double cost(int stage, const struct inversynth_target *target)
{
    double best = 1.0;
    for (int i = 0; i < REPEATS; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        run(stage, target);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double took = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        best = took < best ? took : best;
    }
    return best;
}
#endif

const struct inversynth_simd stages_target = SIMD("stages", "");

int main(void)
{
    static const char *names[STAGES] = {"rendering", "transform", "spectra compared", "sounds compared", "all"};
    static const double oscillator[OSCILLATOR_PARAMS] = {600.0, 10.0, 0.5, 400.0};
    static const double rest[PAPER_PARAMS - ATTACK] = {0.1, 0.3, 0.5, 0.4, 2000.0, 3.0, 8.0};
    static float sound[SAMPLES];
    struct inversynth_target *target = malloc(inversynth_target_bytes(SAMPLES));
    if (!target)
        return 1;
    for (int i = 0; i < LANES * PAPER_PARAMS; i++) {
        const int p = i % PAPER_PARAMS;
        const double value = p < ATTACK ? oscillator[p % OSCILLATOR_PARAMS] : rest[p - ATTACK];
        values[i] = value * (1.0 + 0.01 * (i / PAPER_PARAMS));
    }
    for (int l = 0; l < LANES; l++)
        notes[l] = (struct inversynth_note){REFERENCE_KEY, 100.0, 0.75};
    for (int n = 0; n < SAMPLES; n++)
        sound[n] = (float)sin(0.2 * n + 1e-6 * n * n);
    inversynth_target_prepare(target, &stages_target, sound, SAMPLES);
    printf("%d\n", LANES);
    for (int stage = 0; stage < STAGES; stage++)
        printf("%s,%.9g\n", names[stage], cost(stage, target));
    free(target);
    return 0;
}
#ifndef COUNT
SIMD_END
#endif
