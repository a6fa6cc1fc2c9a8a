# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Thin bindings of the C beside it: memory views in, memory views filled, the GIL released."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t

cdef extern from "bank.h" nogil:
    int PAPER_PARAMS
    int SINE_PARAMS
    int SCORES
    int MAX_LANES_ "MAX_LANES"
    int TOGETHER_ "TOGETHER"
    int PARTIALS_ "PARTIALS"
    cdef struct inversynth_filter:
        const float *rows
        size_t up, down, taps, before
    cdef struct inversynth_path:
        const char *name
        int lanes
        const char *arithmetic
        void (*to_half)(const float *input, uint16_t *out, size_t count) noexcept nogil
        void (*to_int16)(const float *input, int16_t *out, float *peaks, size_t count,
                         size_t samples) noexcept nogil
        void (*resample)(const inversynth_filter *filter, const float *input, size_t length, float *out,
                         size_t count) noexcept nogil
    cdef struct inversynth_stream:
        pass
    cdef struct inversynth_target:
        pass
    size_t inversynth_paths(const inversynth_path **paths)
    void inversynth_paper(const inversynth_path *path, const double *values, size_t count, float *out, size_t samples,
                          double sample_rate, double note_off)
    size_t inversynth_target_bytes(size_t samples)
    void inversynth_target_prepare(inversynth_target *target, const inversynth_path *path, const float *sound,
                                   size_t samples)
    void inversynth_scores(const inversynth_path *path, const inversynth_target *target, const double *values,
                           size_t count, double *scores, double sample_rate, double note_off)
    size_t inversynth_stream_bytes(const inversynth_path *path, size_t count)
    void inversynth_stream_prepare(inversynth_stream *stream, const inversynth_path *path, const double *values,
                                   size_t count, double sample_rate, double note_off)
    void inversynth_stream_process(inversynth_stream *stream, float *out, size_t stride, size_t samples)
    void inversynth_stream_change(inversynth_stream *stream, const double *values)
    void inversynth_sine(const double *values, size_t count, float *out, size_t samples, double sample_rate)

cdef extern from "voices.h" nogil:
    int MAX_VOICES
    int EVENT_NOTE_OFF, EVENT_NOTE_ON, EVENT_SET, EVENT_NOTES_OFF, EVENT_SOUND_OFF, EVENT_BEND
    cdef struct inversynth_event:
        uint64_t at
        double value
        int kind, index
    cdef struct inversynth_played:
        uint64_t samples, blocks, underflows, sounding
    cdef struct inversynth_voices:
        pass
    size_t inversynth_voices_bytes(const inversynth_path *path, size_t count)
    void inversynth_voices_prepare(inversynth_voices *voices, const inversynth_path *path, size_t count,
                                   const double *values, int note, double sample_rate, double gain, size_t channels)
    int inversynth_voices_push(inversynth_voices *voices, inversynth_event event)
    void inversynth_voices_process(inversynth_voices *voices, float *out, size_t samples)
    int inversynth_voices_callback(const void *input, void *out, unsigned long samples, const void *times,
                                   unsigned long flags, void *voices)
    inversynth_played inversynth_voices_played(inversynth_voices *voices)

cdef extern from "line.h" nogil:
    cdef struct inversynth_line:
        pass
    cdef struct inversynth_writer:
        inversynth_line *line
        void *news
    size_t inversynth_line_bytes(size_t samples)
    void inversynth_line_prepare(inversynth_line *line, size_t samples)
    int inversynth_line_callback(const void *input, void *out, unsigned long samples, const void *times,
                                 unsigned long flags, void *writer)
    int64_t inversynth_line_waiting(inversynth_line *line)
    double inversynth_line_take(inversynth_line *line, float *out)
    int inversynth_line_want(inversynth_line *line, uint64_t samples)
    uint64_t inversynth_line_overflows(inversynth_line *line)

cdef extern from "tape.h" nogil:
    cdef struct inversynth_tape:
        const float *samples
        const int64_t *ends
        int64_t count, turn, turned, at
    int inversynth_tape_callback(const void *input, void *out, unsigned long samples, const void *times,
                                 unsigned long flags, void *tape)

cdef extern from "spin.h" nogil:
    void inversynth_spin()

cdef extern from "estimate.h" nogil:
    size_t inversynth_estimate(const float *shares, size_t levels, int likeliest, int choice, double *confidence)

cdef extern from "atoms.h" nogil:
    int ATOMS_SAMPLES
    int PARAMETERS_ "PARAMETERS"
    int LEVELS_ "LEVELS"
    int PHASORS_ "PHASORS"
    cdef struct inversynth_array:
        const char *name
        size_t rows, columns
    cdef struct inversynth_atoms:
        pass
    size_t inversynth_atoms_arrays(const inversynth_array **arrays)
    size_t inversynth_atoms_bytes()
    void inversynth_atoms_clear(inversynth_atoms *atoms)
    void inversynth_atoms_set(inversynth_atoms *atoms, size_t array, const float *values)
    void inversynth_atoms_set_phasors(inversynth_atoms *atoms, const uint8_t *values)
    void inversynth_atoms_hear(const inversynth_path *path, inversynth_atoms *atoms, const float *audio,
                               float *probabilities)


cdef int check(const double[:, ::1] values, float[:, ::1] out, int params) except -1:
    if values.shape[1] != params or out.shape[0] != values.shape[0]:
        raise ValueError(f"values must be (n, {params}) and out (n, samples)")
    return 0


cdef void *at_64(void *memory):
    """The first address in memory, taken with 64 bytes more than it needs, that is a multiple of 64."""
    return <void *>((<uintptr_t>memory + 63) // 64 * 64)


cdef const inversynth_path *at(int number) except NULL:
    cdef const inversynth_path *found[3]
    if not 0 <= number < <int>inversynth_paths(found):
        raise ValueError(f"no path {number}")
    return found[number]


def paths():
    """(name, lanes, arithmetic) of each path of the kernel that this processor can run, slowest first."""
    cdef const inversynth_path *found[3]
    return tuple(
        (found[i].name.decode(), found[i].lanes, found[i].arithmetic.decode()) for i in range(inversynth_paths(found))
    )


def paper(const double[:, ::1] values, float[:, ::1] out, double sample_rate, double note_off, int path):
    """Fills out (n, samples) with the patches values (n, 23) by paths()[path]; see inversynth.render for the checks."""
    cdef const inversynth_path *kernel = at(path)
    check(values, out, PAPER_PARAMS)
    if out.shape[0] and out.shape[1]:
        with nogil:
            inversynth_paper(kernel, &values[0, 0], values.shape[0], &out[0, 0], out.shape[1], sample_rate, note_off)


cdef class PaperTarget:
    """A sound (samples,), samples > 0, that patches are scored against; see inversynth.scoring."""

    cdef inversynth_target *target
    cdef const inversynth_path *kernel
    cdef double sample_rate, note_off

    def __cinit__(self, const float[::1] sound, double sample_rate, double note_off, int path):
        self.kernel = at(path)
        self.sample_rate, self.note_off = sample_rate, note_off
        if not sound.shape[0]:
            raise ValueError("a target needs at least one sample")
        self.target = <inversynth_target *>PyMem_Malloc(inversynth_target_bytes(sound.shape[0]))
        if not self.target:
            raise MemoryError
        with nogil:
            inversynth_target_prepare(self.target, self.kernel, &sound[0], sound.shape[0])

    def __dealloc__(self):
        PyMem_Free(self.target)

    def score(self, const double[:, ::1] values, double[:, ::1] out):
        """Fills out (n, 4) with what the patches values (n, 23) score. For any number of threads at a time."""
        if values.shape[1] != PAPER_PARAMS or out.shape[0] != values.shape[0] or out.shape[1] != SCORES:
            raise ValueError(f"values must be (n, {PAPER_PARAMS}) and out (n, {SCORES})")
        if values.shape[0]:
            with nogil:
                inversynth_scores(self.kernel, self.target, &values[0, 0], values.shape[0], &out[0, 0],
                                  self.sample_rate, self.note_off)


cdef class PaperStream:
    """The patches values (n, 23), n > 0, in pieces; see inversynth.render.Stream."""

    cdef void *memory
    cdef inversynth_stream *stream
    cdef Py_ssize_t count

    def __cinit__(self, const double[:, ::1] values, double sample_rate, double note_off, int path):
        cdef const inversynth_path *kernel = at(path)
        self.count = values.shape[0]
        self.memory = PyMem_Malloc(inversynth_stream_bytes(kernel, self.count) + 64)
        if not self.memory:
            raise MemoryError
        self.stream = <inversynth_stream *>at_64(self.memory)
        if not self.count or values.shape[1] != PAPER_PARAMS:
            raise ValueError(f"values must be (n, {PAPER_PARAMS}), n > 0")
        inversynth_stream_prepare(self.stream, kernel, &values[0, 0], self.count, sample_rate, note_off)

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def process(self, float[:, ::1] out):
        """Fills out (n, samples) with the next samples."""
        if out.shape[0] != self.count:
            raise ValueError(f"out must be ({self.count}, samples)")
        if out.shape[1]:
            with nogil:
                inversynth_stream_process(self.stream, &out[0, 0], out.shape[1], out.shape[1])

    def change(self, const double[:, ::1] values):
        """Fades to the patches values (n, 23) from the next sample on."""
        if values.shape[0] != self.count or values.shape[1] != PAPER_PARAMS:
            raise ValueError(f"values must be ({self.count}, {PAPER_PARAMS})")
        with nogil:
            inversynth_stream_change(self.stream, &values[0, 0])


VOICES = MAX_VOICES
NOTE_OFF, NOTE_ON, SET = EVENT_NOTE_OFF, EVENT_NOTE_ON, EVENT_SET
NOTES_OFF, SOUND_OFF, BEND = EVENT_NOTES_OFF, EVENT_SOUND_OFF, EVENT_BEND


cdef class PaperVoices:
    """Notes of the patch values (23,), up to `count` at a time; see inversynth.render.Synth.voices and voices.h."""

    cdef void *memory
    cdef inversynth_voices *voices
    cdef Py_ssize_t channels

    def __cinit__(self, const double[::1] values, int count, int note, double sample_rate, double gain, int channels,
                  int path):
        cdef const inversynth_path *kernel = at(path)
        if values.shape[0] != PAPER_PARAMS or not 1 <= count <= MAX_VOICES or channels < 1:
            raise ValueError(f"values must be ({PAPER_PARAMS},), count 1..{MAX_VOICES}, channels 1 or more")
        self.memory = PyMem_Malloc(inversynth_voices_bytes(kernel, count) + 64)
        if not self.memory:
            raise MemoryError
        self.voices = <inversynth_voices *>at_64(self.memory)
        self.channels = channels
        inversynth_voices_prepare(self.voices, kernel, count, &values[0], note, sample_rate, gain, channels)

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def push(self, int kind, int index, double value, uint64_t at):
        """Whether there was room for an event; the interpreter's lock makes of all threads that push one."""
        if not 0 <= index < (PAPER_PARAMS if kind == EVENT_SET else 128):
            raise ValueError(f"no parameter or note {index}")
        return bool(inversynth_voices_push(self.voices, inversynth_event(at, value, kind, index)))

    def process(self, float[:, ::1] out):
        """Fills out (samples, channels) with the next samples."""
        if out.shape[1] != self.channels:
            raise ValueError(f"out must be (samples, {self.channels})")
        if out.shape[0]:
            with nogil:
                inversynth_voices_process(self.voices, &out[0, 0], out.shape[0])

    def played(self):
        """(samples, blocks, underflows, sounding) up to now, for any thread."""
        cdef inversynth_played now = inversynth_voices_played(self.voices)
        return now.samples, now.blocks, now.underflows, now.sounding

    def callback(self):
        """The addresses of a PaStreamCallback of PortAudio, and of its user data; they are good as long as this is."""
        return <uintptr_t>&inversynth_voices_callback, <uintptr_t>self.voices


def sine(const double[:, ::1] values, float[:, ::1] out, double sample_rate):
    """Fills out (n, samples) with the patches values (n, 4)."""
    check(values, out, SINE_PARAMS)
    if out.shape[0] and out.shape[1]:
        with nogil:
            inversynth_sine(&values[0, 0], values.shape[0], &out[0, 0], out.shape[1], sample_rate)


def to_half(const float[:, ::1] audio, uint16_t[:, ::1] out, int path):
    """Fills out (n, samples), the bits of float16, from audio (n, samples)."""
    cdef const inversynth_path *kernel = at(path)
    if audio.shape[0] != out.shape[0] or audio.shape[1] != out.shape[1]:
        raise ValueError("audio and out must be of the same shape")
    if audio.shape[0] and audio.shape[1]:
        with nogil:
            kernel.to_half(&audio[0, 0], &out[0, 0], audio.shape[0] * audio.shape[1])


def to_int16(const float[:, ::1] audio, int16_t[:, ::1] out, float[::1] peaks, int path):
    """Fills out (n, samples) with 32767ths of each row's peak, and peaks (n,), from audio (n, samples)."""
    cdef const inversynth_path *kernel = at(path)
    if audio.shape[0] != out.shape[0] or audio.shape[1] != out.shape[1] or peaks.shape[0] != out.shape[0]:
        raise ValueError("audio and out must be of the same shape, and peaks as long")
    if audio.shape[0] and audio.shape[1]:
        with nogil:
            kernel.to_int16(&audio[0, 0], &out[0, 0], &peaks[0], audio.shape[0], audio.shape[1])


MAX_LANES, TOGETHER, PARTIALS = MAX_LANES_, TOGETHER_, PARTIALS_


def resample(const float[:, ::1] rows, Py_ssize_t up, Py_ssize_t down, Py_ssize_t before, const float[::1] sound,
             float[::1] out, int path):
    """Fills out (n,) from sound (samples,) by a filter; see inversynth.resampling and inversynth_filter in bank.h."""
    cdef const inversynth_path *kernel = at(path)
    cdef inversynth_filter filter
    cdef Py_ssize_t padded = rows.shape[0], taps = rows.shape[1]
    if not 0 < up <= padded or padded % MAX_LANES_ or not taps or taps % PARTIALS_ or down < 1 or before < 0:
        raise ValueError(f"rows must be (up or more, taps), multiples of {MAX_LANES} and {PARTIALS}, and down above 0")
    filter = inversynth_filter(&rows[0, 0], up, down, taps, before)
    if out.shape[0]:
        with nogil:
            kernel.resample(&filter, &sound[0] if sound.shape[0] else NULL, sound.shape[0], &out[0], out.shape[0])


def estimate(
    rows, const int64_t[::1] levels, bint likeliest, Py_ssize_t choices, int64_t[::1] out, double[::1] confidence
):
    """Fills out (P,) and confidence (P,) from P rows (levels,); a row of at most `choices` levels is a choice."""
    cdef const float[::1] row
    cdef Py_ssize_t i
    if not len(rows) == levels.shape[0] == out.shape[0] == confidence.shape[0]:
        raise ValueError(f"there are {len(rows)} rows for {levels.shape[0]} parameters")
    for i in range(levels.shape[0]):
        row = rows[i]
        if row.shape[0] != levels[i] or not levels[i]:
            raise ValueError(f"row {i} has {row.shape[0]} levels, not {levels[i]}")
        out[i] = inversynth_estimate(&row[0], levels[i], likeliest, levels[i] <= choices, &confidence[i])


def line_bytes(Py_ssize_t samples):
    """The memory that a line of so many samples needs."""
    return inversynth_line_bytes(samples)


cdef class Line:
    """An end of a line in `memory`, which another process may have, too; see inversynth.audio.Line and line.h.

    news: the address of its semaphore (or, on Windows, its handle), which the callback posts.
    """

    cdef uint8_t[::1] memory
    cdef inversynth_writer writer

    def __cinit__(self, uint8_t[::1] memory, uintptr_t news):
        if memory.shape[0] < <Py_ssize_t>inversynth_line_bytes(1):
            raise ValueError(f"a line needs {inversynth_line_bytes(1)} bytes or more")
        self.memory = memory
        self.writer = inversynth_writer(<inversynth_line *>&memory[0], <void *>news)

    def prepare(self):
        """Empties it, or makes one of new memory; only while nobody writes."""
        inversynth_line_prepare(self.writer.line, (self.memory.shape[0] - inversynth_line_bytes(0)) // sizeof(float))

    def callback(self):
        """The addresses of a PaStreamCallback of PortAudio that writes, and of its user data; good as long as this is."""
        return <uintptr_t>&inversynth_line_callback, <uintptr_t>&self.writer

    def waiting(self):
        """The samples of the next block; -1 without any."""
        return inversynth_line_waiting(self.writer.line)

    def take(self, float[::1] out):
        """Copies the next block to out (waiting(),), and gives when it came (`time.perf_counter`)."""
        cdef float nothing
        if out.shape[0] != inversynth_line_waiting(self.writer.line):
            raise ValueError(f"the next block has {inversynth_line_waiting(self.writer.line)} samples")
        return inversynth_line_take(self.writer.line, &out[0] if out.shape[0] else &nothing)

    def want(self, uint64_t samples):
        """Whether so many wait; else the block with which they do will be news."""
        return bool(inversynth_line_want(self.writer.line, samples))

    def overflows(self):
        """How many blocks were lost."""
        return inversynth_line_overflows(self.writer.line)


cdef class Tape:
    """Sounds that a device plays again and again: samples (n,), one after another, and the end of each, rising."""

    cdef const float[::1] samples
    cdef const int64_t[::1] ends
    cdef inversynth_tape tape

    def __cinit__(self, const float[::1] samples, const int64_t[::1] ends):
        cdef Py_ssize_t i
        if not ends.shape[0] or ends[ends.shape[0] - 1] != samples.shape[0]:
            raise ValueError(f"the last sound must end with the {samples.shape[0]} samples")
        for i in range(ends.shape[0]):
            if ends[i] <= (ends[i - 1] if i else 0):
                raise ValueError(f"sound {i} has no samples")
        self.samples, self.ends = samples, ends
        self.tape.samples, self.tape.ends, self.tape.count = &samples[0], &ends[0], ends.shape[0]

    def play(self, int64_t sound):
        """Plays a sound from now on, from its beginning."""
        if not 0 <= sound < self.tape.count:
            raise ValueError(f"no sound {sound}")
        self.tape.turn = (self.tape.turn // self.tape.count + 1) * self.tape.count + sound

    def callback(self):
        """The addresses of a PaStreamCallback of PortAudio, and of its user data; they are good as long as this is."""
        return <uintptr_t>&inversynth_tape_callback, <uintptr_t>&self.tape


def spin():
    """Never returns: keeps the processor of the calling thread from sleeping, without the interpreter's lock."""
    with nogil:
        inversynth_spin()


SAMPLES, PARAMETERS, LEVELS, PHASORS = ATOMS_SAMPLES, PARAMETERS_, LEVELS_, PHASORS_


def atoms_arrays():
    """(name, rows, columns) of each array that `Atoms` is made of."""
    cdef const inversynth_array *found
    cdef size_t count = inversynth_atoms_arrays(&found)
    return tuple((found[i].name.decode(), found[i].rows, found[i].columns) for i in range(count))


cdef class Atoms:
    """The network `Atoms` of some arrays, in the order of `atoms_arrays`, and phasors; see inversynth.compiled."""

    cdef void *memory
    cdef inversynth_atoms *atoms
    cdef const inversynth_path *kernel

    def __cinit__(self, arrays, const uint8_t[::1] phasors, int path):
        cdef const inversynth_array *wanted
        cdef const float[:, ::1] values
        cdef size_t i, count = inversynth_atoms_arrays(&wanted)
        self.kernel = at(path)
        if <size_t>len(arrays) != count or phasors.shape[0] != PHASORS_:
            raise ValueError(f"there must be {count} arrays and {PHASORS} phasors")
        self.memory = PyMem_Malloc(inversynth_atoms_bytes() + 64)
        if not self.memory:
            raise MemoryError
        self.atoms = <inversynth_atoms *>at_64(self.memory)
        inversynth_atoms_clear(self.atoms)
        for i in range(count):
            values = arrays[i]
            if <size_t>values.shape[0] != wanted[i].rows or <size_t>values.shape[1] != wanted[i].columns:
                raise ValueError(f"{wanted[i].name.decode()} must be ({wanted[i].rows}, {wanted[i].columns})")
            inversynth_atoms_set(self.atoms, i, &values[0, 0])
        inversynth_atoms_set_phasors(self.atoms, &phasors[0])

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def hear(self, const float[::1] audio, float[:, ::1] out):
        """Fills out (parameters, levels) with what is probable of audio (samples,)."""
        if audio.shape[0] != ATOMS_SAMPLES or out.shape[0] != PARAMETERS_ or out.shape[1] != LEVELS_:
            raise ValueError(f"audio must be ({ATOMS_SAMPLES},) and out ({PARAMETERS_}, {LEVELS_})")
        with nogil:
            inversynth_atoms_hear(self.kernel, self.atoms, &audio[0], &out[0, 0])
