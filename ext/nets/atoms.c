/* The arrays of the network `Atoms`, as it computes with them. */
#include "nets/atoms.h"

#include "simd/dispatch.h"

#include <string.h>

#define MATRIX_ARRAY(name, rows, columns) {#name, rows, columns},
#define MATRIX_PLACE(name, rows, columns) {offsetof(struct inversynth_atoms, name), 1},
#define PLAIN_PLACE(name, rows, columns) {offsetof(struct inversynth_atoms, name), 0},

static const struct inversynth_array arrays[] = {ATOMS_ARRAYS(MATRIX_ARRAY, MATRIX_ARRAY)};
static const struct {
    size_t at;
    int panels;
} places[] = {ATOMS_ARRAYS(MATRIX_PLACE, PLAIN_PLACE)};

size_t inversynth_atoms_arrays(const struct inversynth_array **which)
{
    *which = arrays;
    return sizeof arrays / sizeof *arrays;
}

size_t inversynth_atoms_bytes(void) { return sizeof(struct inversynth_atoms); }

void inversynth_atoms_clear(struct inversynth_atoms *atoms) { memset(atoms, 0, sizeof *atoms); }

void inversynth_atoms_set(struct inversynth_atoms *atoms, size_t array, const float *values)
{
    const size_t rows = arrays[array].rows, columns = arrays[array].columns, deep = IN_FOURS(rows);
    float *to = (float *)(void *)((unsigned char *)atoms + places[array].at);
    if (!places[array].panels) {
        memcpy(to, values, rows * columns * sizeof *values);
        return;
    }
    for (size_t k = 0; k < rows; k++)
        for (size_t n = 0; n < columns; n++)
            to[(n / PANEL * deep + k) * PANEL + n % PANEL] = values[k * columns + n];
}

void inversynth_atoms_set_phasors(struct inversynth_atoms *atoms, const uint8_t *values)
{
    memcpy(atoms->phasors, values, sizeof atoms->phasors);
}

void inversynth_atoms_infer(const struct inversynth_simd *simd, struct inversynth_atoms *atoms, const float *audio,
                            float *probabilities)
{
    simd->atoms_infer(atoms, audio, probabilities);
}
