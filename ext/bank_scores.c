/* Targets, and whole batches of scores against them. */
#include "bank.h"

#include <math.h>
#include <string.h>

#define TURN 6.28318530717958647693

static size_t frames_of(size_t samples) { return (samples + HOP - 1) / HOP; }

size_t inversynth_target_bytes(size_t samples)
{
    const size_t frames = frames_of(samples);
    return sizeof(struct inversynth_target) + ((frames + 1) * HOP + 2 * frames * BINS) * sizeof(float);
}

static void set_window(struct inversynth_target *target, double floor)
{
    for (int n = 0; n < WINDOW; n++)
        target->window[n] = (float)((0.5 - 0.5 * cos(TURN * n / WINDOW)) / (2.0 * floor));
}

void inversynth_target_prepare(struct inversynth_target *target, const struct inversynth_path *path, const float *sound,
                               size_t samples)
{
    const size_t frames = frames_of(samples), bins = frames * BINS;
    memset(target, 0, inversynth_target_bytes(samples));
    target->samples = samples;
    target->frames = frames;
    target->sound = (float *)(target + 1);
    target->magnitudes = target->sound + (frames + 1) * HOP;
    target->logs = target->magnitudes + bins;
    memcpy(target->sound + HOP / 2, sound, samples * sizeof *sound);
    for (int j = 0; j <= RADIX; j++)
        for (int k = 0; k < RADIX; k++) {
            target->twiddle[j][k][0] = (float)cos(TURN * j * k / WINDOW);
            target->twiddle[j][k][1] = (float)-sin(TURN * j * k / WINDOW);
        }
    float peak = 0.0f;
    set_window(target, 1.0);
    path->measure(target);
    for (size_t i = 0; i < bins; i++)
        peak = target->magnitudes[i] > peak ? target->magnitudes[i] : peak;
    set_window(target, FLOOR * (peak > 0.0f ? (double)peak : 1.0));
    path->measure(target);
    for (size_t i = 0; i < bins; i++) {
        const double log = (double)target->logs[i], magnitude = (double)target->magnitudes[i];
        target->log_sum += log;
        target->log_square += log * log;
        target->square += magnitude * magnitude;
    }
    for (size_t n = 0; n < samples; n++)
        target->sound_square += (double)sound[n] * (double)sound[n];
}

void inversynth_scores(const struct inversynth_path *path, const struct inversynth_target *target, const double *values,
                       size_t count, double *scores, double sample_rate, double note_off)
{
    unsigned char memory[BANK_BYTES + 64];
    void *bank = memory + (64 - (uintptr_t)memory % 64);
    const size_t lanes = (size_t)path->lanes;
    for (size_t i = 0; i < count; i += lanes) {
        path->prepare(bank, values + i * PAPER_PARAMS, count - i < lanes ? count - i : lanes, sample_rate, note_off);
        path->score(bank, target, scores + i * SCORES);
    }
}
