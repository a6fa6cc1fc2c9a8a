/* The network `Atoms` (inversynth.synths.paper.atoms) for one sound at a time: what onnxruntime computes of its file,
 * but for rounding. */
#ifndef INVERSYNTH_ATOMS_H
#define INVERSYNTH_ATOMS_H

#include <stddef.h>
#include <stdint.h>

struct inversynth_simd;

/* The sizes of inversynth.synths.paper.atoms, by its names or by what they are there. */
enum { ATOMS_SAMPLES = 16384, FRAME = 256, STRIDE = FRAME / 2, FRAMES = 126, LINES = 80, BEGIN = 50, BANDS = 48 };
enum { SEGMENTS = 8, DECIMATION = 8, ROW_SAMPLES = 32, MOMENTS = ROW_SAMPLES / DECIMATION, ROWS_USED = 192 };
enum { STEPS = MOMENTS * ROWS_USED, STEPS_A_SEGMENT = STEPS / SEGMENTS, NOTES = 16, SWINGS = 256 };
enum { HARMONICS = 2, HARMONICS_START = 512, HARMONICS_LENGTH = 320, HARMONICS_STEP = 3 };
enum {
    TOKENS = 24,
    GLOBALS = 2,
    ALL_TOKENS = TOKENS + GLOBALS,
    WIDTH = 80,
    HEADS = 4,
    HEAD = WIDTH / HEADS,
    BLOCKS = 2
};
enum { WAVEFORMS = 4, LEVELS = 16, ATOM = 3 * LEVELS, PARAMETERS = 23 };
enum {
    FEATURES = 35,
    LOGS = SEGMENTS + HARMONICS + 1,
    BAND_UNITS = 48,
    GROUP_FRAMES = 6,
    GROUPS = FRAMES / GROUP_FRAMES
};
enum { GROUP_UNITS = 32, UNITS = 128, OWNED_UNITS = 64, LAST_UNITS = 192, POWERS = FRAMES + 2 * LINES };
enum { SUMMARY = GROUPS * GROUP_UNITS + POWERS, TOKEN = WIDTH + ATOM, SAID = WAVEFORMS * (ATOM + 1) };
enum { LAST = UNITS + GLOBALS * WIDTH + WAVEFORMS * OWNED_UNITS, OTHERS = (PARAMETERS - WAVEFORMS * 4) * LEVELS };

/* What it is made of, nearly all by the names that weights have in Keras: MATRIX(name, rows, columns) a factor on the
 * right, in float32, that is kept in an order of its own; PLAIN(name, rows, columns) what is kept as it is. */
/* clang-format off */
#define ATOMS_ARRAYS(MATRIX, PLAIN)                                     \
    MATRIX(whitened_cosines, STRIDE, LINES)                             \
    MATRIX(whitened_sines, STRIDE, LINES)                               \
    MATRIX(whitened_bands, LINES, BANDS)                                \
    MATRIX(whitened_smoothed, LINES, LINES)                             \
    MATRIX(inverse_cosines, LINES, STRIDE + 1)                          \
    MATRIX(inverse_sines, LINES, STRIDE + 1)                            \
    MATRIX(demodulated_lowpass, 2 * ROW_SAMPLES, MOMENTS * 2 * NOTES)   \
    PLAIN(demodulated_cosines, STEPS, NOTES)                            \
    PLAIN(demodulated_sines, STEPS, NOTES)                              \
    PLAIN(candidates_carriers, NOTES * HARMONICS * 2, HARMONICS_LENGTH) \
    PLAIN(candidates_swings, SWINGS * HARMONICS * 2, HARMONICS_LENGTH)  \
    MATRIX(candidates_swept, LINES, SWINGS)                             \
    MATRIX(candidates_parts, FRAMES, SEGMENTS)                          \
    MATRIX(bands_kernel, BANDS, BAND_UNITS)                             \
    PLAIN(bands_bias, 1, BAND_UNITS)                                    \
    MATRIX(groups_kernel, GROUP_FRAMES * BAND_UNITS, GROUP_UNITS)       \
    PLAIN(groups_bias, 1, GROUP_UNITS)                                  \
    MATRIX(summary_kernel, SUMMARY, UNITS)                              \
    PLAIN(summary_bias, 1, UNITS)                                       \
    MATRIX(features_kernel, FEATURES + ATOM, WIDTH)                     \
    PLAIN(features_bias, 1, WIDTH)                                      \
    MATRIX(tokens_kernel, WIDTH, WIDTH)                                 \
    PLAIN(tokens_bias, 1, WIDTH)                                        \
    MATRIX(global_tokens_kernel, UNITS, GLOBALS * TOKEN)                \
    PLAIN(global_tokens_bias, 1, GLOBALS * TOKEN)                       \
    BLOCK_ARRAYS(MATRIX, PLAIN, 0)                                      \
    BLOCK_ARRAYS(MATRIX, PLAIN, 1)                                      \
    PLAIN(normalised_gamma, 1, WIDTH)                                   \
    PLAIN(normalised_beta, 1, WIDTH)                                    \
    MATRIX(owners_said_kernel, TOKEN, SAID)                             \
    PLAIN(owners_said_bias, 1, SAID)                                    \
    MATRIX(owned_kernel, TOKEN, OWNED_UNITS)                            \
    PLAIN(owned_bias, 1, OWNED_UNITS)                                   \
    MATRIX(last_kernel, LAST, LAST_UNITS)                               \
    PLAIN(last_bias, 1, LAST_UNITS)                                     \
    MATRIX(amplitudes_kernel, LAST_UNITS, WAVEFORMS * LEVELS)           \
    PLAIN(amplitudes_bias, 1, WAVEFORMS * LEVELS)                       \
    MATRIX(others_kernel, LAST_UNITS, OTHERS)                           \
    PLAIN(others_bias, 1, OTHERS)                                       \
    PLAIN(temperatures, PARAMETERS, 2)

#define BLOCK_ARRAYS(MATRIX, PLAIN, n)                     \
    PLAIN(before_attention_##n##_gamma, 1, WIDTH)          \
    PLAIN(before_attention_##n##_beta, 1, WIDTH)           \
    MATRIX(attention_##n##_asked_kernel, WIDTH, 3 * WIDTH) \
    PLAIN(attention_##n##_asked_bias, 1, 3 * WIDTH)        \
    MATRIX(attention_##n##_answered_kernel, WIDTH, WIDTH)  \
    PLAIN(attention_##n##_answered_bias, 1, WIDTH)         \
    PLAIN(before_dense_##n##_gamma, 1, WIDTH)              \
    PLAIN(before_dense_##n##_beta, 1, WIDTH)               \
    MATRIX(wide_##n##_kernel, WIDTH, 2 * WIDTH)            \
    PLAIN(wide_##n##_bias, 1, 2 * WIDTH)                   \
    MATRIX(narrow_##n##_kernel, 2 * WIDTH, WIDTH)          \
    PLAIN(narrow_##n##_bias, 1, WIDTH)
/* clang-format on */

struct inversynth_array {
    const char *name;
    size_t rows, columns;
};

/* All arrays, and how many there are. */
size_t inversynth_atoms_arrays(const struct inversynth_array **arrays);

/* The phasors of the matched filters: for each swing, for each moment, real and imaginary part from -63 to 63, + 64. */
enum { PHASORS = SWINGS * STEPS * 2, PHASOR_ZERO = 64 };

/* A network and what it computes with, in inversynth_atoms_bytes of memory at a multiple of 64 that is given to it:
 * for one thread at a time. */
struct inversynth_atoms;
size_t inversynth_atoms_bytes(void);
void inversynth_atoms_clear(struct inversynth_atoms *atoms);
void inversynth_atoms_set(struct inversynth_atoms *atoms, size_t array, const float *values);
void inversynth_atoms_set_phasors(struct inversynth_atoms *atoms, const uint8_t *values);

/* audio: ATOMS_SAMPLES, none of them NaN or infinite. probabilities: PARAMETERS x LEVELS. */
void inversynth_atoms_infer(const struct inversynth_simd *simd, struct inversynth_atoms *atoms, const float *audio,
                            float *probabilities);

/* Matrices are kept as panels of PANEL columns, one row after another, filled with zeros; a row to be multiplied
 * alone is taken FOUR at a time. */
enum { PANEL = 16, FOUR = 4 };
#define IN_PANELS(columns) (((columns) + PANEL - 1) / PANEL * PANEL)
#define IN_FOURS(rows) (((rows) + FOUR - 1) / FOUR * FOUR)
#define MATRIX_MEMBER(name, rows, columns) float name[IN_FOURS(rows) * IN_PANELS(columns)];
#define PLAIN_MEMBER(name, rows, columns) float name[IN_PANELS((rows) * (columns))];

struct inversynth_atoms {
    ATOMS_ARRAYS(MATRIX_MEMBER, PLAIN_MEMBER)
    _Alignas(64) uint8_t phasors[PHASORS];

    /* What it computes of a sound. Silence after a sound is skipped: `frames`, `moments` are those before it. */
    float rising[FRAMES * STRIDE], falling[FRAMES * STRIDE];
    float spectrum[FRAMES * 2 * LINES], power[FRAMES * LINES];
    float in_time[IN_PANELS(FRAMES)], in_frequency[LINES], line[LINES];
    float even[BEGIN * IN_PANELS(STRIDE + 1)], odd[BEGIN * IN_PANELS(STRIDE + 1)];
    float whitened[BEGIN * STRIDE];
    float demodulated[ROWS_USED * MOMENTS * 2 * NOTES];
    _Alignas(64) int32_t sound[STEPS / 2 * 2 * NOTES];  /* four bytes in each: two moments */
    _Alignas(64) int32_t offsets[SEGMENTS * 2 * NOTES]; /* what PHASOR_ZERO adds to a segment's correlations */
    float strength[SWINGS * NOTES];                     /* of the correlation with each atom, squared */
    int32_t atom[TOKENS];                               /* 16 swing + note, the strongest first */

    float logs[FRAMES * BANDS], grouped[FRAMES * BAND_UNITS], summary_of[IN_FOURS(SUMMARY)], taken_off[PANEL];
    float swept_power[SWINGS], decimated[HARMONICS_LENGTH];
    float features[TOKENS * IN_PANELS(FEATURES + ATOM)];
    float tokens[ALL_TOKENS * TOKEN], x[ALL_TOKENS * TOKEN], y[ALL_TOKENS * 3 * WIDTH], z[ALL_TOKENS * 2 * WIDTH];
    float keys[2 * HEAD * PANEL], values[2 * IN_FOURS(ALL_TOKENS) * PANEL], scores[ALL_TOKENS * 2 * PANEL];
    float answers[ALL_TOKENS * (WIDTH + PANEL)];
    float said[ALL_TOKENS * IN_PANELS(SAID)], owner[WAVEFORMS * IN_PANELS(ALL_TOKENS)];
    float owned[WAVEFORMS * TOKEN], last_of[LAST], last[LAST_UNITS];
    float mixed[WAVEFORMS * ATOM], amplitudes[WAVEFORMS * LEVELS], logits[PARAMETERS * LEVELS];
    size_t frames, moments;
};

#endif
