# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Thin bindings of bank.c: memory views in, memory views filled, the GIL released."""

cdef extern from "bank.h" nogil:
    int PAPER_PARAMS
    int SINE_PARAMS
    void inversynth_paper(const double *values, size_t count, float *out, size_t samples, double sample_rate,
                          double note_off)
    void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate)


cdef int check(const double[:, ::1] values, float[:, ::1] out, int params) except -1:
    if values.shape[1] != params or out.shape[0] != values.shape[0]:
        raise ValueError(f"values must be (n, {params}) and out (n, samples)")
    return 0


def paper(const double[:, ::1] values, float[:, ::1] out, double sample_rate, double note_off):
    """Fills out (n, samples) with the patches values (n, 23); see inversynth.render for the checks."""
    check(values, out, PAPER_PARAMS)
    if out.shape[0] and out.shape[1]:
        with nogil:
            inversynth_paper(&values[0, 0], values.shape[0], &out[0, 0], out.shape[1], sample_rate, note_off)


def sine(const double[:, ::1] values, float[:, ::1] out, double sample_rate):
    """Fills out (n, samples) with the patches values (n, 4)."""
    check(values, out, SINE_PARAMS)
    if out.shape[0] and out.shape[1]:
        with nogil:
            inversynth_sine(&values[0, 0], values.shape[0], &out[0, 0], out.shape[1], sample_rate)
