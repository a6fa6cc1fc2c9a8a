"""The checked front of the native bank, and the `Synth` that binds a parameter space to a renderer."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _native
from ..errors import UsageError
from ..spec import AudioFormat, ParamSpace
from . import sine as sine_tables
from .paper import table as paper_tables

if TYPE_CHECKING:
    from ..search.scoring import Scorer

Fill = Callable[[NDArray[np.float64], NDArray[np.float32], int], None]
"""Fills out (n, samples) float32 from values (n, P) float64 at a sample rate; pure, releases the GIL."""

SIMD = "INVERSYNTH_SIMD"
"""The environment variable that names the path of the kernel to take; by default the fastest this processor can run."""


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: to start them takes as long as rendering a dozen sounds."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of them


@dataclass(frozen=True)
class Path:
    """A path of the native kernel: its number, the sounds it renders side by side, and how it rounds."""

    number: int
    name: str
    lanes: int
    arithmetic: str
    """Paths of the same arithmetic render the same bytes."""


@functools.cache
def kernel_path() -> Path:
    """The path that this process takes; raises `UsageError` if INVERSYNTH_SIMD names none this processor can run."""
    paths = [Path(number, *about) for number, about in enumerate(_native.paths())]
    wanted = os.environ.get(SIMD) or paths[-1].name
    for path in paths:
        if path.name == wanted:
            return path
    raise UsageError(f"{SIMD}={wanted}: this processor can run {', '.join(path.name for path in paths)}")


def in_threads(work: Callable[[int, int], None], rows: int, workers: int | None = None) -> None:
    """Calls work(first, after) for parts of `rows` rows, whole vectors each but for the last, in a thread each.

    workers: threads, by default one a core, of which this is one. Raises what a part has raised, once all are done.
    """
    lanes = kernel_path().lanes
    groups = -(-rows // lanes)
    threads = min(workers or os.cpu_count() or 1, groups)
    if threads <= 1:
        work(0, rows)
        return
    bounds = np.minimum(np.linspace(0, groups, threads + 1).astype(int) * lanes, rows)
    own, *rest = itertools.pairwise(bounds.tolist())
    pool = _pool(threads - 1)
    jobs = [pool.submit(work, *part) for part in rest]
    try:
        work(*own)
    finally:
        wait(jobs)
    for job in jobs:
        job.result()


class NativeStream(Protocol):
    """What a synth's own stream can do; both calls release the GIL."""

    def process(self, out: NDArray[np.float32]) -> None: ...

    def change(self, values: NDArray[np.float64]) -> None: ...


class NativeTarget(Protocol):
    """What a synth's own analysis can do: fill out (n, 4) with the columns of `scoring.Scores`; releases the GIL."""

    def score(self, values: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...


class NativeVoices(Protocol):
    """What a synth's own voices can do: see `play.Voices` and ext/voices.h."""

    def push(self, kind: int, index: int, value: float, at: int) -> bool: ...

    def process(self, out: NDArray[np.float32]) -> None: ...

    def played(self) -> tuple[int, int, int, int]: ...

    def callback(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Synth:
    """A parameter space and a renderer; `format` is the audio that its models are trained on."""

    name: str
    space: ParamSpace
    format: AudioFormat
    fill: Fill
    open: Callable[[NDArray[np.float64], int], NativeStream] | None = None
    """Opens a stream of (n, P) values, n > 0, at a sample rate."""
    aim: Callable[[NDArray[np.float32], int], NativeTarget] | None = None
    """Makes a target of a sound (samples,) at a sample rate; without, sounds are rendered and compared in NumPy."""
    voices: Callable[[NDArray[np.float64], int, int, float, int], NativeVoices] | None = None
    """Makes voices that play a patch (P,): at a sample rate, how many, at a gain, to how many channels."""
    note: int | None = None
    """The MIDI note at which voices play a patch as it is."""
    initial: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Values, in units, of the patch that voices begin with; parameters that aren't named are at their lowest."""

    def render(
        self,
        values: ArrayLike,
        sample_rate: int | None = None,
        seconds: float | None = None,
        workers: int | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Renders patches.

        values: (n, P) in units, in the order of `space`; sample_rate in Hz and seconds default to
        `format`; workers: threads, by default one a core; out: where to, (n, samples) float32, C-contiguous
        (memory that is used again is faster than fresh). Returns (n, samples) float32, as it comes: neither
        clipped nor normalised. Item i depends on row i alone. Raises `UsageError` for a value outside its
        range, a sample rate that this synth can't be rendered at, or an `out` of another shape or type.
        """
        audio = AudioFormat(
            self.format.sample_rate if sample_rate is None else sample_rate,
            self.format.seconds if seconds is None else seconds,
        )
        rows = self.checked(values, audio.sample_rate)
        sounds = _room(out, (len(rows), audio.samples))

        def fill(first: int, after: int) -> None:
            self.fill(rows[first:after], sounds[first:after], audio.sample_rate)

        in_threads(fill, len(rows), workers)
        return sounds

    def stream(self, values: ArrayLike, sample_rate: int | None = None) -> Stream:
        """Plays patches from their beginning, piece by piece; values and errors as in `render`."""
        if self.open is None:
            raise UsageError(f"{self.name} can't be played as a stream")
        rate = self.format.sample_rate if sample_rate is None else sample_rate
        rows = self.checked(values, AudioFormat(rate, self.format.seconds).sample_rate)
        if not len(rows):
            raise UsageError("a stream needs at least one patch")
        return Stream(self, rate, self.open(rows, rate), len(rows))

    def scorer(self, target: ArrayLike, sample_rate: int | None = None) -> Scorer:
        """What patches are scored with against a target: see `scoring.Scorer`."""
        from ..search.scoring import Scorer

        return Scorer(self, target, sample_rate)

    def checked(self, values: ArrayLike, sample_rate: int) -> NDArray[np.float64]:
        """(n, P) values as they are rendered; raises `UsageError` as `render` does."""
        rows = np.ascontiguousarray(self.space.check_values(values))
        top = max((param.high for param in self.space if param.name == "cutoff"), default=0.0)
        if top >= sample_rate / 2:
            raise UsageError(
                f"sample rate {sample_rate} Hz is too low: a cutoff of {top:g} Hz needs more than {2 * top:g} Hz"
            )
        return rows


class Stream:
    """Sounds that play on from call to call: `process` gives what `Synth.render` gives, in pieces of any size.

    Its memory is taken when it is made; `process` with an `out` takes no more. Not for two threads at a time.
    """

    def __init__(self, synth: Synth, sample_rate: int, native: NativeStream, count: int) -> None:
        self.synth, self.sample_rate, self.count = synth, sample_rate, count
        self._native = native

    def process(self, samples: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(n, samples) float32: the next samples, into `out` where it is given (as in `Synth.render`)."""
        if samples < 0:
            raise UsageError(f"{samples} samples are less than none")
        out = _room(out, (self.count, samples))
        self._native.process(out)
        return out

    def change(self, values: ArrayLike) -> None:
        """Goes on with other patches, (n, P) values in units, from the next sample on and without a click.

        Phases, filter and the note's position stay; the sound fades over 10 ms from the old patches to the new. Of
        changes that come during a fade, the last one begins when it is over.
        """
        rows = np.ascontiguousarray(self.synth.space.check_values(values))
        if len(rows) != self.count:
            raise UsageError(f"{len(rows)} patches are given to a stream of {self.count}")
        self._native.change(rows)


def _room(out: NDArray[np.float32] | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(f"out is {out.dtype} {out.shape}; it must be a contiguous, writable float32 array of {shape}")
    return out


def _fill_paper(values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: int) -> None:
    _native.paper(values, out, sample_rate, paper_tables.NOTE_OFF_S, kernel_path().number)


def _open_paper(values: NDArray[np.float64], sample_rate: int) -> NativeStream:
    return _native.PaperStream(values, sample_rate, paper_tables.NOTE_OFF_S, kernel_path().number)


def _aim_paper(target: NDArray[np.float32], sample_rate: int) -> NativeTarget:
    return _native.PaperTarget(target, sample_rate, paper_tables.NOTE_OFF_S, kernel_path().number)


def _voices_of_paper(
    values: NDArray[np.float64], sample_rate: int, count: int, gain: float, channels: int
) -> NativeVoices:
    return _native.PaperVoices(values, count, paper_tables.NOTE, sample_rate, gain, channels, kernel_path().number)


def _fill_sine(values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: int) -> None:
    _native.sine(values, out, sample_rate)


SYNTHS = {
    synth.name: synth
    for synth in (
        Synth(
            "paper",
            paper_tables.SPACE,
            paper_tables.FORMAT,
            _fill_paper,
            _open_paper,
            _aim_paper,
            _voices_of_paper,
            paper_tables.NOTE,
            paper_tables.INITIAL,
        ),
        Synth("sine", sine_tables.SPACE, sine_tables.FORMAT, _fill_sine),
    )
}


def synth(name: str) -> Synth:
    """The synth of that name; raises `UsageError` naming those there are."""
    if name not in SYNTHS:
        raise UsageError(f"no synth {name!r}; there are {', '.join(SYNTHS)}")
    return SYNTHS[name]
