# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Thin bindings of the C beside it: memory views in, memory views filled, the GIL released."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t

cdef extern from "simd/processor.h" nogil:
    int MAX_LANES

cdef extern from "dsp/filter.h" nogil:
    int ROWS_PER_GROUP_ "ROWS_PER_GROUP"
    int ACCUMULATORS_ "ACCUMULATORS"
    cdef struct inversynth_filter:
        const float *rows
        size_t up, down, taps, before

cdef extern from "engines/engine.h" nogil:
    cdef struct inversynth_note:
        double key, velocity, hold_s
    cdef struct inversynth_simd
    cdef struct inversynth_engine:
        const char *name
        const inversynth_simd *simd
        size_t params
    cdef struct inversynth_simd:
        const char *name
        int lanes
        const char *arithmetic
        const inversynth_engine *const *engines
        size_t engine_count
        void (*to_half)(const float *input, uint16_t *out, size_t count) noexcept nogil
        void (*to_int16)(const float *input, int16_t *out, float *peaks, size_t count,
                         size_t samples) noexcept nogil
        void (*resample)(const inversynth_filter *filter, const float *input, size_t length, float *out,
                         size_t count) noexcept nogil
    size_t inversynth_simd_targets(const inversynth_simd **targets)
    const inversynth_engine *inversynth_find_engine(const inversynth_simd *simd, const char *name)
    void inversynth_render(const inversynth_engine *engine, const double *values, const inversynth_note *notes,
                           size_t count, float *out, size_t samples, double sample_rate)

cdef extern from "engines/target.h" nogil:
    int SCORES
    cdef struct inversynth_target:
        pass
    size_t inversynth_target_bytes(size_t samples)
    void inversynth_target_prepare(inversynth_target *target, const inversynth_simd *simd, const float *sound,
                                   size_t samples)
    void inversynth_scores(const inversynth_engine *engine, const inversynth_target *target, const double *values,
                           size_t count, const inversynth_note *note, double *scores, double sample_rate)

cdef extern from "engines/stream.h" nogil:
    cdef struct inversynth_stream:
        pass
    size_t inversynth_stream_bytes(const inversynth_engine *engine, size_t count)
    void inversynth_stream_prepare(inversynth_stream *stream, const inversynth_engine *engine, const double *values,
                                   const inversynth_note *notes, size_t count, double sample_rate, double bend)
    void inversynth_stream_process(inversynth_stream *stream, float *out, size_t stride, size_t samples)
    void inversynth_stream_change(inversynth_stream *stream, const double *values, double bend)
    void inversynth_stream_release(inversynth_stream *stream)

cdef extern from "engines/voices.h" nogil:
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
    size_t inversynth_voices_bytes(const inversynth_engine *engine, size_t count)
    void inversynth_voices_prepare(inversynth_voices *voices, const inversynth_engine *engine, size_t count,
                                   const double *values, double sample_rate, double gain, size_t channels)
    int inversynth_voices_push(inversynth_voices *voices, inversynth_event event)
    void inversynth_voices_process(inversynth_voices *voices, float *out, size_t samples)
    int inversynth_voices_callback(const void *input, void *out, unsigned long samples, const void *times,
                                   unsigned long flags, void *voices)
    inversynth_played inversynth_voices_played(inversynth_voices *voices)

cdef extern from "io/shared_ring.h" nogil:
    cdef struct inversynth_shared_ring:
        pass
    cdef struct inversynth_ring_writer:
        inversynth_shared_ring *ring
        void *data_ready
    size_t inversynth_ring_bytes(size_t samples)
    void inversynth_ring_prepare(inversynth_shared_ring *ring, size_t samples)
    int inversynth_ring_callback(const void *input, void *out, unsigned long samples, const void *times,
                                 unsigned long flags, void *writer)
    int64_t inversynth_ring_waiting(inversynth_shared_ring *ring)
    double inversynth_ring_take(inversynth_shared_ring *ring, float *out)
    int inversynth_ring_want(inversynth_shared_ring *ring, uint64_t samples)
    uint64_t inversynth_ring_overflows(inversynth_shared_ring *ring)

cdef extern from "io/loop_player.h" nogil:
    cdef struct inversynth_loop_player:
        const float *samples
        const int64_t *ends
        int64_t count, turn, turned, at
    int inversynth_loop_player_callback(const void *input, void *out, unsigned long samples, const void *times,
                                        unsigned long flags, void *player)

cdef extern from "io/spin.h" nogil:
    void inversynth_spin()

cdef extern from "nets/estimate.h" nogil:
    size_t inversynth_estimate(const float *shares, size_t levels, int likeliest, int categorical, double *confidence)

cdef extern from "nets/atoms.h" nogil:
    int ATOMS_SAMPLES
    int ATOMS_PARAMETERS "PARAMETERS"
    int ATOMS_LEVELS "LEVELS"
    int ATOMS_PHASORS "PHASORS"
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
    void inversynth_atoms_infer(const inversynth_simd *simd, inversynth_atoms *atoms, const float *audio,
                                float *probabilities)


# -- SIMD targets and engines ----------------------------------------------------------------------

cdef void *at_64(void *memory):
    """The first address in memory, taken with 64 bytes more than it needs, that is a multiple of 64."""
    return <void *>((<uintptr_t>memory + 63) // 64 * 64)


cdef const inversynth_simd *target_at(int number) except NULL:
    cdef const inversynth_simd *found[3]
    cdef int count = <int>inversynth_simd_targets(found)
    if not 0 <= number < count:
        raise ValueError(f"no SIMD target {number}; this processor can run 0..{count - 1}")
    return found[number]


cdef const inversynth_engine *engine_at(str name, int simd) except NULL:
    cdef const inversynth_engine *found = inversynth_find_engine(target_at(simd), name.encode())
    if not found:
        raise ValueError(f"no engine {name!r}; there are {', '.join(known for known, _ in engines())}")
    return found


cdef int check_rate(double sample_rate) except -1:
    if not (isfinite(sample_rate) and sample_rate > 0):
        raise ValueError(f"a sample rate of {sample_rate:g} Hz is given; it must be above 0")
    return 0


cdef int check_rows(const double[:, ::1] values, const inversynth_engine *engine, Py_ssize_t rows) except -1:
    if values.shape[1] != <Py_ssize_t>engine.params or values.shape[0] != rows:
        given = f"({values.shape[0]}, {values.shape[1]})"
        raise ValueError(f"values are {given}; {engine.name.decode()} needs ({rows}, {engine.params})")
    return 0


cdef int check_notes(const double[:, ::1] notes, Py_ssize_t rows) except -1:
    if notes.shape[0] != rows or notes.shape[1] != 3:
        raise ValueError(f"notes are ({notes.shape[0]}, {notes.shape[1]}); {rows} patches need ({rows}, 3)")
    return 0


def simd_targets():
    """(name, lanes, arithmetic) of each SIMD target that this processor can run, slowest first."""
    cdef const inversynth_simd *found[3]
    return tuple(
        (found[i].name.decode(), found[i].lanes, found[i].arithmetic.decode())
        for i in range(inversynth_simd_targets(found))
    )


def engines():
    """(name, params) of each engine."""
    cdef const inversynth_simd *simd = target_at(0)
    return tuple((simd.engines[i].name.decode(), simd.engines[i].params) for i in range(simd.engine_count))


def render(str engine, const double[:, ::1] values, const double[:, ::1] notes, float[:, ::1] out, double sample_rate,
           int simd):
    """Fills out (n, samples) with the patches values (n, P), each played with its row of notes (n, 3).

    A note is its key (69: the patch as it is), velocity (0 to 127) and hold in seconds (inf: it doesn't end); simd: a
    number of `simd_targets`. Values and notes themselves are not checked: see `Synth.render`. Raises `ValueError` for an
    unknown engine or target, and for other shapes.
    """
    cdef const inversynth_engine *found = engine_at(engine, simd)
    check_rows(values, found, out.shape[0])
    check_notes(notes, out.shape[0])
    check_rate(sample_rate)
    if out.shape[0] and out.shape[1]:
        with nogil:
            inversynth_render(found, &values[0, 0], <const inversynth_note *>&notes[0, 0], values.shape[0], &out[0, 0],
                              out.shape[1], sample_rate)


cdef class Target:
    """A sound (samples,), samples > 0, that patches of an engine are scored against, all played with one note (3,)."""

    cdef inversynth_target *target
    cdef const inversynth_engine *engine
    cdef inversynth_note note
    cdef double sample_rate

    def __cinit__(self, str engine, const float[::1] sound, const double[::1] note, double sample_rate, int simd):
        self.engine = engine_at(engine, simd)
        self.sample_rate = sample_rate
        check_rate(sample_rate)
        if not sound.shape[0]:
            raise ValueError("a target needs at least one sample")
        if note.shape[0] != 3:
            raise ValueError(f"a note is ({note.shape[0]},); it must be (3,): key, velocity, hold in seconds")
        self.note = inversynth_note(note[0], note[1], note[2])
        self.target = <inversynth_target *>PyMem_Malloc(inversynth_target_bytes(sound.shape[0]))
        if not self.target:
            raise MemoryError
        with nogil:
            inversynth_target_prepare(self.target, self.engine.simd, &sound[0], sound.shape[0])

    def __dealloc__(self):
        PyMem_Free(self.target)

    def score(self, const double[:, ::1] values, double[:, ::1] out):
        """Fills out (n, 4) with what the patches values (n, P) score. For any number of threads at a time."""
        check_rows(values, self.engine, out.shape[0])
        if out.shape[1] != SCORES:
            raise ValueError(f"out is ({out.shape[0]}, {out.shape[1]}); it must be ({out.shape[0]}, {SCORES})")
        if values.shape[0]:
            with nogil:
                inversynth_scores(self.engine, self.target, &values[0, 0], values.shape[0], &self.note, &out[0, 0],
                                  self.sample_rate)


cdef class Stream:
    """The patches values (n, P), n > 0, each played with its row of notes (n, 3), in blocks of any size."""

    cdef void *memory
    cdef inversynth_stream *stream
    cdef const inversynth_engine *engine
    cdef Py_ssize_t count

    def __cinit__(self, str engine, const double[:, ::1] values, const double[:, ::1] notes, double sample_rate,
                  int simd):
        self.engine = engine_at(engine, simd)
        self.count = values.shape[0]
        check_rows(values, self.engine, self.count)
        check_notes(notes, self.count)
        check_rate(sample_rate)
        if not self.count:
            raise ValueError("a stream needs at least one patch")
        self.memory = PyMem_Malloc(inversynth_stream_bytes(self.engine, self.count) + 64)
        if not self.memory:
            raise MemoryError
        self.stream = <inversynth_stream *>at_64(self.memory)
        inversynth_stream_prepare(self.stream, self.engine, &values[0, 0], <const inversynth_note *>&notes[0, 0],
                                  self.count, sample_rate, 0.0)

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
        """Fades to the patches values (n, P) from the next sample on; the notes stay."""
        check_rows(values, self.engine, self.count)
        with nogil:
            inversynth_stream_change(self.stream, &values[0, 0], 0.0)

    def release(self):
        """Ends the notes that are still held, at the next sample."""
        with nogil:
            inversynth_stream_release(self.stream)


cdef class Voices:
    """Notes of the patch values (P,), up to `count` at a time; see inversynth.live.play.Voices and engines/voices.h."""

    MOST = MAX_VOICES
    NOTE_OFF, NOTE_ON, SET = EVENT_NOTE_OFF, EVENT_NOTE_ON, EVENT_SET
    NOTES_OFF, SOUND_OFF, BEND = EVENT_NOTES_OFF, EVENT_SOUND_OFF, EVENT_BEND

    cdef void *memory
    cdef inversynth_voices *voices
    cdef Py_ssize_t params, channels

    def __cinit__(self, str engine, const double[::1] values, int count, double sample_rate, double gain, int channels,
                  int simd):
        cdef const inversynth_engine *found = engine_at(engine, simd)
        self.params, self.channels = found.params, channels
        check_rate(sample_rate)
        if values.shape[0] != self.params or not 1 <= count <= MAX_VOICES or channels < 1:
            raise ValueError(f"values must be ({self.params},), count 1..{MAX_VOICES}, channels 1 or more")
        self.memory = PyMem_Malloc(inversynth_voices_bytes(found, count) + 64)
        if not self.memory:
            raise MemoryError
        self.voices = <inversynth_voices *>at_64(self.memory)
        inversynth_voices_prepare(self.voices, found, count, &values[0], sample_rate, gain, channels)

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def push(self, int kind, int index, double value, uint64_t at):
        """Whether there was room for an event; the interpreter's lock serialises all threads that push."""
        if not 0 <= index < (self.params if kind == EVENT_SET else 128):
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
        """The addresses of a PaStreamCallback of PortAudio, and of its user data; valid while this object is."""
        return <uintptr_t>&inversynth_voices_callback, <uintptr_t>self.voices


# -- samples ---------------------------------------------------------------------------------------

def to_half(const float[:, ::1] audio, uint16_t[:, ::1] out, int simd):
    """Fills out (n, samples), the bits of float16, from audio (n, samples)."""
    cdef const inversynth_simd *found = target_at(simd)
    if audio.shape[0] != out.shape[0] or audio.shape[1] != out.shape[1]:
        raise ValueError("audio and out must be of the same shape")
    if audio.shape[0] and audio.shape[1]:
        with nogil:
            found.to_half(&audio[0, 0], &out[0, 0], audio.shape[0] * audio.shape[1])


def to_int16(const float[:, ::1] audio, int16_t[:, ::1] out, float[::1] peaks, int simd):
    """Fills out (n, samples) with 32767ths of each row's peak, and peaks (n,), from audio (n, samples)."""
    cdef const inversynth_simd *found = target_at(simd)
    if audio.shape[0] != out.shape[0] or audio.shape[1] != out.shape[1] or peaks.shape[0] != out.shape[0]:
        raise ValueError("audio and out must be of the same shape, and peaks as long")
    if audio.shape[0] and audio.shape[1]:
        with nogil:
            found.to_int16(&audio[0, 0], &out[0, 0], &peaks[0], audio.shape[0], audio.shape[1])


class FilterRows:
    """How the rows of a filter for `resample` lie: see dsp/filter.h."""

    MULTIPLE = MAX_LANES
    """Their number, with rows of zeros at the end, is a multiple of this."""
    PER_GROUP = ROWS_PER_GROUP_
    """The rows of a group, which read the same samples."""
    TAPS_MULTIPLE = ACCUMULATORS_
    """The taps of each are a multiple of this."""


def resample(const float[:, ::1] rows, Py_ssize_t up, Py_ssize_t down, Py_ssize_t before, const float[::1] sound,
             float[::1] out, int simd):
    """Fills out (n,) from sound (samples,) by a filter; see inversynth.audio.resampling and dsp/filter.h."""
    cdef const inversynth_simd *found = target_at(simd)
    cdef inversynth_filter filter
    cdef Py_ssize_t padded = rows.shape[0], taps = rows.shape[1]
    if not 0 < up <= padded or padded % MAX_LANES or not taps or taps % ACCUMULATORS_ or down < 1 or before < 0:
        multiples = f"multiples of {MAX_LANES} and {ACCUMULATORS_}"
        raise ValueError(f"rows must be (up or more, taps), {multiples}, and down above 0")
    filter = inversynth_filter(&rows[0, 0], up, down, taps, before)
    if out.shape[0]:
        with nogil:
            found.resample(&filter, &sound[0] if sound.shape[0] else NULL, sound.shape[0], &out[0], out.shape[0])


# -- networks --------------------------------------------------------------------------------------

def estimate(
    rows,
    const int64_t[::1] levels,
    bint likeliest,
    const uint8_t[::1] categorical,
    int64_t[::1] out,
    double[::1] confidence,
):
    """Fills out (P,), levels, and confidence (P,) from P rows of shares (levels,).

    The median, or the likeliest level, and how probable it and its neighbours are; where categorical (P,) is not 0,
    always the likeliest, by itself.
    """
    cdef const float[::1] row
    cdef Py_ssize_t i
    if not len(rows) == levels.shape[0] == categorical.shape[0] == out.shape[0] == confidence.shape[0]:
        raise ValueError(f"there are {len(rows)} rows for {levels.shape[0]} parameters")
    for i in range(levels.shape[0]):
        row = rows[i]
        if row.shape[0] != levels[i] or not levels[i]:
            raise ValueError(f"row {i} has {row.shape[0]} levels, not {levels[i]}")
        out[i] = inversynth_estimate(&row[0], levels[i], likeliest, categorical[i], &confidence[i])


cdef class Atoms:
    """The network `Atoms` of some arrays, in the order of `Atoms.arrays()`, and phasors: for one thread at a time."""

    SAMPLES, PARAMETERS, LEVELS, PHASORS = ATOMS_SAMPLES, ATOMS_PARAMETERS, ATOMS_LEVELS, ATOMS_PHASORS

    cdef void *memory
    cdef inversynth_atoms *atoms
    cdef const inversynth_simd *simd

    def __cinit__(self, arrays, const uint8_t[::1] phasors, int simd):
        cdef const inversynth_array *wanted
        cdef const float[:, ::1] values
        cdef size_t i, count = inversynth_atoms_arrays(&wanted)
        self.simd = target_at(simd)
        if <size_t>len(arrays) != count or phasors.shape[0] != ATOMS_PHASORS:
            raise ValueError(f"there must be {count} arrays and {ATOMS_PHASORS} phasors")
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

    @staticmethod
    def arrays():
        """(name, rows, columns) of each array that the network is made of."""
        cdef const inversynth_array *found
        cdef size_t count = inversynth_atoms_arrays(&found)
        return tuple((found[i].name.decode(), found[i].rows, found[i].columns) for i in range(count))

    def infer(self, const float[::1] audio, float[:, ::1] out):
        """Fills out (parameters, levels) with the probabilities of each level, from audio (samples,)."""
        if audio.shape[0] != ATOMS_SAMPLES or out.shape[0] != ATOMS_PARAMETERS or out.shape[1] != ATOMS_LEVELS:
            raise ValueError(f"audio must be ({ATOMS_SAMPLES},) and out ({ATOMS_PARAMETERS}, {ATOMS_LEVELS})")
        with nogil:
            inversynth_atoms_infer(self.simd, self.atoms, &audio[0], &out[0, 0])


# -- audio threads ---------------------------------------------------------------------------------

cdef class SharedRing:
    """An end of a ring of blocks in `memory`, which another process may have, too; see io/shared_ring.h.

    data_ready: the address of its semaphore (or, on Windows, its handle), which the callback posts.
    """

    cdef uint8_t[::1] memory
    cdef inversynth_ring_writer writer

    def __cinit__(self, uint8_t[::1] memory, uintptr_t data_ready):
        if memory.shape[0] < <Py_ssize_t>inversynth_ring_bytes(1):
            raise ValueError(f"a ring needs {inversynth_ring_bytes(1)} bytes or more")
        self.memory = memory
        self.writer = inversynth_ring_writer(<inversynth_shared_ring *>&memory[0], <void *>data_ready)

    @staticmethod
    def bytes_of(Py_ssize_t samples):
        """The bytes of memory that a ring of `samples` needs."""
        return inversynth_ring_bytes(samples)

    def prepare(self):
        """Empties the ring, or sets it up in new memory; only while nothing writes."""
        inversynth_ring_prepare(self.writer.ring, (self.memory.shape[0] - inversynth_ring_bytes(0)) // sizeof(float))

    def callback(self):
        """The addresses of a PortAudio PaStreamCallback that writes, and of its user data; valid while this object is."""
        return <uintptr_t>&inversynth_ring_callback, <uintptr_t>&self.writer

    def waiting(self):
        """The samples of the next block; -1 without any."""
        return inversynth_ring_waiting(self.writer.ring)

    def take(self, float[::1] out):
        """Copies the next block to out (waiting(),), and gives when it came (`time.perf_counter`)."""
        cdef float nothing
        if out.shape[0] != inversynth_ring_waiting(self.writer.ring):
            raise ValueError(f"the next block has {inversynth_ring_waiting(self.writer.ring)} samples")
        return inversynth_ring_take(self.writer.ring, &out[0] if out.shape[0] else &nothing)

    def want(self, uint64_t samples):
        """Whether `samples` wait; else data_ready will be posted with the block that completes them."""
        return bool(inversynth_ring_want(self.writer.ring, samples))

    def overflows(self):
        """How many blocks were lost."""
        return inversynth_ring_overflows(self.writer.ring)


cdef class LoopPlayer:
    """Sounds that a device plays again and again: samples (n,), one after another, and the end of each, rising."""

    cdef const float[::1] samples
    cdef const int64_t[::1] ends
    cdef inversynth_loop_player player

    def __cinit__(self, const float[::1] samples, const int64_t[::1] ends):
        cdef Py_ssize_t i
        if not ends.shape[0] or ends[ends.shape[0] - 1] != samples.shape[0]:
            raise ValueError(f"the last sound must end with the {samples.shape[0]} samples")
        for i in range(ends.shape[0]):
            if ends[i] <= (ends[i - 1] if i else 0):
                raise ValueError(f"sound {i} has no samples")
        self.samples, self.ends = samples, ends
        self.player.samples, self.player.ends, self.player.count = &samples[0], &ends[0], ends.shape[0]

    def play(self, int64_t sound):
        """Plays a sound from now on, from its beginning."""
        if not 0 <= sound < self.player.count:
            raise ValueError(f"no sound {sound}")
        self.player.turn = (self.player.turn // self.player.count + 1) * self.player.count + sound

    def callback(self):
        """The addresses of a PaStreamCallback of PortAudio, and of its user data; valid while this object is."""
        return <uintptr_t>&inversynth_loop_player_callback, <uintptr_t>&self.player


def spin():
    """Never returns: keeps the processor of the calling thread from sleeping, without the interpreter's lock."""
    with nogil:
        inversynth_spin()
