/* Targets, and whole batches of scores against them. */
#include "engines/target.h"

#include <string.h>

static size_t frames_of(size_t samples) { return (samples + HOP - 1) / HOP; }

size_t inversynth_target_bytes(size_t samples)
{
    const size_t frames = frames_of(samples);
    return sizeof(struct inversynth_target) + ((frames + 1) * HOP + 2 * frames * BINS) * sizeof(float);
}

void inversynth_target_prepare(struct inversynth_target *target, const struct inversynth_simd *simd, const float *sound,
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
    float peak = 0.0f;
    inversynth_spectrum_prepare(&target->spectrum, 1.0);
    simd->measure(target);
    for (size_t i = 0; i < bins; i++)
        peak = target->magnitudes[i] > peak ? target->magnitudes[i] : peak;
    inversynth_spectrum_prepare(&target->spectrum, FLOOR * (peak > 0.0f ? (double)peak : 1.0));
    simd->measure(target);
    for (size_t i = 0; i < bins; i++) {
        const double log = (double)target->logs[i], magnitude = (double)target->magnitudes[i];
        target->log_sum += log;
        target->log_square += log * log;
        target->square += magnitude * magnitude;
    }
    for (size_t n = 0; n < samples; n++)
        target->sound_square += (double)sound[n] * (double)sound[n];
}

void inversynth_scores(const struct inversynth_engine *engine, const struct inversynth_target *target,
                       const double *values, size_t count, const struct inversynth_note *note, double *scores,
                       double sample_rate)
{
    unsigned char memory[MAX_BANK_BYTES + 64];
    void *bank = memory + (64 - (uintptr_t)memory % 64);
    struct inversynth_note notes[MAX_LANES];
    const size_t lanes = (size_t)engine->simd->lanes;
    for (size_t i = 0; i < lanes; i++)
        notes[i] = *note;
    for (size_t i = 0; i < count; i += lanes) {
        const size_t here = count - i < lanes ? count - i : lanes;
        engine->prepare(bank, values + i * engine->params, notes, here, sample_rate, 0.0);
        engine->simd->score(engine, bank, here, target, scores + i * SCORES);
    }
}
