"""A synth: a parameter space, a prior over it and a renderer, and what else it may bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InversynthError, UsageError, check_text
from ..metrics import window_samples
from ..spec import AudioFormat, Note, ParamSpace
from .sampling import DATASET, Drawn, Prior, Uniform

Floats = NDArray[np.float64]
Sounds = NDArray[np.float32]


class Renderer(Protocol):
    """Makes sounds of patches, in threads or processes of its own.

    `version`: of its sounds; those of one version and one `arithmetic` are the same bytes. `lanes`: it is fastest with
    multiples of this many patches. `fallible`: some patches may fail. It may be called in several threads at a time.
    """

    @property
    def version(self) -> str: ...

    @property
    def arithmetic(self) -> str: ...

    @property
    def lanes(self) -> int: ...

    @property
    def fallible(self) -> bool: ...

    def __call__(
        self, values: Floats, notes: Floats, sample_rate: int, out: Sounds, workers: int | None = None
    ) -> Mapping[int, str]:
        """Fills out (n, samples) from values (n, P) in units and notes (n, 3), all of them checked.

        workers: how many sounds are made at a time, by default one a core. Returns why rows have failed, by their
        numbers; those are silent.
        """


@dataclass(frozen=True)
class Rendered:
    """`sounds`: (n, samples) float32; `failures`: why rows have failed, by their numbers; those are silent."""

    sounds: Sounds
    failures: Mapping[int, str]


class NativeStream(Protocol):
    """What a synth's own stream can do; all calls release the GIL."""

    def process(self, out: Sounds) -> None: ...

    def change(self, values: Floats) -> None: ...


class NativeTarget(Protocol):
    """What a synth's own analysis can do: fill out (n, 4) with the columns of `search.scoring.Scores`."""

    def score(self, values: Floats, out: Floats) -> None: ...


class NativeVoices(Protocol):
    """What a synth's own voices can do: see `live.play.Voices` and the C of voices."""

    def push(self, kind: int, index: int, value: float, at: int) -> bool: ...

    def process(self, out: Sounds) -> None: ...

    def played(self) -> tuple[int, int, int, int]: ...

    def callback(self) -> tuple[int, int]: ...


class Inference(Protocol):
    """A network without onnxruntime, for one window at a time."""

    def infer(self, audio: Sounds) -> Sequence[Sounds]:
        """P arrays (levels,), used again by the next call, from audio (samples,)."""


@dataclass(frozen=True)
class Solver:
    """Finds the exact patch of a sound that the synth made itself.

    `solve`: a target (samples,), P distributions (levels,) and seconds to (n, P) values, n may be 0. `own_distance`:
    after the first generation of a search, a sound of the synth's own is nearer than this, and few others are. With
    less than `least_s` it finds less than the search does; what it hasn't found after `most_s` isn't the synth's own.
    """

    solve: Callable[[Sounds, Sequence[Floats], float], Floats]
    own_distance: float
    least_s: float
    most_s: float


@dataclass(frozen=True)
class Thresholds:
    """When a patch resembles a sound, and how loud patches are; a synth whose sounds differ measures its own.

    `poor_rho_stft`: a correlation of log spectrograms below it is near that of two random patches. `usual_peaks`:
    nearly all random patches peak within these. `least_rho`, `most_off`, `most_convergence` and `least_confidence` are
    those of `live.gate`. `gain_db`: at which most notes stay below the limiter of an instrument.
    """

    poor_rho_stft: float = 0.7
    usual_peaks: tuple[float, float] = (0.1, 10.0)
    least_rho: float = 0.9
    most_off: float = 4.0
    most_convergence: float = 0.55
    least_confidence: float = 0.38
    gain_db: float = -18.0


@dataclass(frozen=True)
class Published:
    """What others have reached with a synth: the `source`, and figures of their best model.

    `mpr`: of each parameter, in percent; `mean_mpr`; `sound`: measures of sounds, each with "mean" and "median";
    `groups`: the names of parameters whose measures they average.
    """

    source: str
    mean_mpr: float
    mpr: Mapping[str, float]
    sound: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PatchFile:
    """A file format of the synth's patches: `suffix` (".syx"), and how it is read and written.

    `read`: a file's bytes to (n, P) values and n names; raises `UsageError`. `write`: (n, P) values and n names to
    bytes.
    """

    suffix: str
    read: Callable[[bytes], tuple[Floats, Sequence[str]]]
    write: Callable[[Floats, Sequence[str]], bytes]


NOTE, UNIFORM, THRESHOLDS = Note(), Uniform(), Thresholds()


@dataclass(frozen=True, eq=False)
class Synth:
    """A parameter space and a renderer; `format` is the audio that its models are trained on.

    What a synth doesn't bring is None or empty; then the generic way is used, or an error says so.
    """

    name: str
    space: ParamSpace
    format: AudioFormat
    renderer: Renderer
    note: Note = NOTE
    """The note that is played where none is given."""
    prior: Prior = UNIFORM
    """How patches are drawn, and their notes."""
    least_rate_hz: float = 0.0
    """It is rendered at sample rates above this."""
    window: int | None = None
    """Samples of a window of analysis at any sample rate; None for what `metrics.window_samples` makes of the rate."""
    initial: Mapping[str, float] = field(default_factory=dict)
    """Values, in units, of the patch that an instrument begins with; parameters without one are at their lowest."""
    thresholds: Thresholds = THRESHOLDS
    open_stream: Callable[[Floats, Floats, int], NativeStream] | None = None
    """Opens a stream of (n, P) values and (n, 3) notes, n > 0, at a sample rate."""
    make_target: Callable[[Sounds, Floats, int], NativeTarget] | None = None
    """Makes a target of a sound (samples,), for patches played by a note (3,), at a sample rate; without, sounds are
    rendered and compared in NumPy."""
    open_voices: Callable[[Floats, int, int, float, int], NativeVoices] | None = None
    """Makes voices that play a patch (P,): at a sample rate, how many, at a gain, to how many channels."""
    solver: Solver | None = None
    networks: Mapping[str, Callable[[ParamSpace, AudioFormat, str], Any]] = field(default_factory=dict)
    """Networks of its own by their names: what builds one, of a space, an audio format and a precision."""
    accelerate: Callable[[Mapping[str, NDArray[Any]], Mapping[str, Any]], Inference | None] | None = None
    """Makes a faster inference of an exported network's weights and training facts; None for one it doesn't know."""
    fold_export: Callable[[Any], None] | None = None
    """Changes the graph (onnx.GraphProto) of an exported network of its own into one that takes less time."""
    default_model: str | None = None
    """The shipped model that is taken unless another is asked for."""
    published: Published | None = None
    patch_files: Mapping[str, PatchFile] = field(default_factory=dict)
    """Its own file formats by their names."""
    dump: Callable[[Floats, int], Sequence[bytes]] | None = None
    """MIDI messages that carry a whole patch (P,), on a channel of 1..16."""
    origin: str | None = None
    """What it was loaded by, a name or a file; None for one that was made in this process alone."""
    load: Callable[[str], Synth] | None = None
    """What loads it again by its origin, in another process."""

    def __post_init__(self) -> None:
        check_text(self.name, "the name of a synth", least=1)
        for what, given, kind in (
            ("space", self.space, ParamSpace),
            ("format", self.format, AudioFormat),
            ("note", self.note, Note),
        ):
            if not isinstance(given, kind):
                raise UsageError(f"{self.name}: its {what} is {given!r}, not of the class {kind.__name__}")
        if not len(self.space):
            raise UsageError(f"{self.name}: its space has no parameters; give it one or more")
        check_text(self.renderer.version, f"{self.name}: the version of its renderer", least=1)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is None or self.load is None:
            raise TypeError(
                f"the synth {self.name} was made in this process and can't be sent to another; "
                "put it into a Python file, and load that"
            )
        return self.load, (self.origin,)

    def __repr__(self) -> str:
        return f"<Synth {self.name} of {len(self.space)} parameters>"

    def draw(self, seed: int, start: int, count: int, stream: int = DATASET) -> Drawn:
        """The patches and notes of the items start..start+count-1 of a stream of a seed, by the synth's prior."""
        return self.prior.draw(self.space, seed, start, count, stream)

    def render(
        self,
        values: ArrayLike,
        sample_rate: int | None = None,
        seconds: float | None = None,
        workers: int | None = None,
        out: Sounds | None = None,
        note: Note | ArrayLike | None = None,
    ) -> Sounds:
        """Renders patches.

        values: (n, P) in units, in the order of `space`; sample_rate in Hz and seconds default to
        `format`; workers: threads, by default one a core; out: where to, (n, samples) float32, C-contiguous
        (memory that is used again is faster than fresh); note: what plays them, one for all or (n, 3) rows of key,
        velocity and hold in seconds, by default the synth's own. Returns (n, samples) float32, as it comes: neither
        clipped nor normalised. Item i depends on row i alone. Raises `UsageError` for a value outside its
        range, a sample rate that this synth can't be rendered at, or an `out` of another shape or type, and
        `InversynthError` where one can't be rendered (see `render_all`).
        """
        found = self.render_all(values, sample_rate, seconds, workers, out, note)
        for row, why in found.failures.items():
            raise InversynthError(f"patch {row} of {len(found.sounds)} can't be rendered by {self.name}: {why}")
        return found.sounds

    def render_all(
        self,
        values: ArrayLike,
        sample_rate: int | None = None,
        seconds: float | None = None,
        workers: int | None = None,
        out: Sounds | None = None,
        note: Note | ArrayLike | None = None,
    ) -> Rendered:
        """As `render`, but says which patches couldn't be rendered, and why, instead of raising."""
        audio = AudioFormat(
            self.format.sample_rate if sample_rate is None else sample_rate,
            self.format.seconds if seconds is None else seconds,
        )
        rows = self.checked(values, audio.sample_rate)
        notes = Note.rows(self.note if note is None else note, len(rows))
        sounds = room(out, (len(rows), audio.samples))
        return Rendered(sounds, self.renderer(rows, notes, audio.sample_rate, sounds, workers))

    def stream(self, values: ArrayLike, sample_rate: int | None = None, note: Note | ArrayLike | None = None) -> Stream:
        """Plays patches from their beginning, block by block; arguments and errors as in `render`."""
        if self.open_stream is None:
            raise UsageError(f"{self.name} can't be played as a stream")
        rate = self.format.sample_rate if sample_rate is None else sample_rate
        rows = self.checked(values, AudioFormat(rate, self.format.seconds).sample_rate)
        if not len(rows):
            raise UsageError("a stream needs at least one patch")
        notes = Note.rows(self.note if note is None else note, len(rows))
        return Stream(self, rate, self.open_stream(rows, notes, rate), len(rows))

    def checked(self, values: ArrayLike, sample_rate: int) -> Floats:
        """(n, P) values as they are rendered; raises `UsageError` as `render` does."""
        rows = np.ascontiguousarray(self.space.check_values(values))
        if sample_rate <= self.least_rate_hz:
            raise UsageError(
                f"sample rate {sample_rate} Hz is too low: {self.name} needs more than {self.least_rate_hz:g} Hz"
            )
        return rows

    def window_samples(self, sample_rate: int) -> int:
        """Samples of a window of analysis at a sample rate in Hz."""
        return self.window or window_samples(sample_rate)

    def patch_file(self, path: Path) -> PatchFile | None:
        """The synth's own format of a file, by its suffix."""
        return next((each for each in self.patch_files.values() if each.suffix == path.suffix.lower()), None)


class Stream:
    """Sounds that play on from call to call: `process` gives what `Synth.render` gives, in blocks of any size.

    Its memory is taken when it is made; `process` with an `out` takes no more. Not for two threads at a time.
    """

    def __init__(self, synth: Synth, sample_rate: int, native: NativeStream, count: int) -> None:
        self.synth, self.sample_rate, self.count = synth, sample_rate, count
        self._native = native

    def process(self, samples: int, out: Sounds | None = None) -> Sounds:
        """(n, samples) float32: the next samples, into `out` where it is given (as in `Synth.render`)."""
        if samples < 0:
            raise UsageError(f"{samples} samples are less than none")
        out = room(out, (self.count, samples))
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


def room(out: Sounds | None, shape: tuple[int, int]) -> Sounds:
    """`out`, if it is a writable, contiguous float32 array of that shape, or a new one; else raises `UsageError`."""
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(f"out is {out.dtype} {out.shape}; it must be a contiguous, writable float32 array of {shape}")
    return out
