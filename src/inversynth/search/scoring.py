"""What patches score against a target sound: how near their sounds are to it, for thousands at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics
from ..errors import UsageError
from ..spec import AudioFormat, Note
from ..synths.synth import NativeTarget, Synth
from ..system.simd import in_threads

BATCH = 64
"""Sounds whose spectrograms NumPy holds at a time for each thread: 8 MB a second of sound."""


@dataclass(frozen=True)
class Scores:
    """What n patches score, each (n,) float64.

    `rho_stft`: Pearson correlation of the log spectrograms, as in `metrics.sound_measures`; `log_l1`: mean absolute
    difference of the two, in nats; `convergence`: Frobenius norm of the difference of the magnitudes over that of
    the target's (the spectral convergence of Arik, Jun and Diamos, arXiv 1808.06719); `residual`: the same of the
    waveforms. Of a silent target, the last two are 0 for silence, else infinite.
    """

    rho_stft: NDArray[np.float64]
    log_l1: NDArray[np.float64]
    convergence: NDArray[np.float64]
    residual: NDArray[np.float64]


FAILED = (-1.0, np.inf, np.inf, np.inf)
"""What a patch scores that can't be rendered: infinitely far from every target."""


def distance(scores: Scores) -> NDArray[np.float64]:
    """(n,) what a search makes small: log L1 + 3 (1 - rho) + 0.3 spectral convergence.

    The correlation alone forgets the level, log L1 alone the loud parts' share, spectral convergence all quiet parts.
    """
    return scores.log_l1 + 3 * (1 - scores.rho_stft) + 0.3 * scores.convergence


class Scorer:
    """Scores patches of a synth against one target; a synth's own analysis does it where there is one.

    target: (samples,), as a sound of the synth begins, at a `sample_rate` in Hz that defaults to the synth's own. Only
    as many samples of the patches are rendered. note: what plays the patches, by default the synth's own. The windows
    of the spectrograms are the synth's. Raises `UsageError` for another shape, for samples that are NaN or infinite,
    and for a sample rate that the synth can't be rendered at. As many threads may use it as may use the renderer.
    """

    def __init__(
        self,
        synth: Synth,
        target: ArrayLike,
        sample_rate: int | None = None,
        note: Note | ArrayLike | None = None,
    ) -> None:
        with np.errstate(over="ignore"):
            sound = np.array(target, np.float32, order="C")
        if sound.ndim != 1 or not sound.size:
            raise UsageError(f"a target of the shape {sound.shape} is given; it must be (samples,), samples > 0")
        if not np.isfinite(sound).all():
            raise UsageError("the target has samples that are NaN or infinite (in float32); they must be finite")
        rate = synth.format.sample_rate if sample_rate is None else sample_rate
        AudioFormat(rate, synth.format.seconds)  # it checks the rate
        synth.checked(np.empty((0, len(synth.space))), rate)
        self.synth, self.format = synth, AudioFormat(rate, len(sound) / rate)
        self.note = Note.rows(synth.note if note is None else note, 1)[0]
        self._scores: _Native | _Rendered
        if synth.make_target is not None and synth.window_samples(rate) == metrics.WINDOW:
            self._scores = _Native(synth.make_target(sound, self.note, rate))
        else:
            self._scores = _Rendered(synth, sound, self.format, self.note)

    def __call__(self, values: ArrayLike, workers: int | None = None) -> Scores:
        """What (n, P) values in units score; workers and errors as in `Synth.render_all`.

        A patch scores the same whatever it is scored beside, and on however many threads, unless its renderer has
        noise: then each call scores one rendering. One that can't be rendered gets `FAILED`.
        """
        rows = self.synth.checked(values, self.format.sample_rate)
        out = np.empty((len(rows), len(fields(Scores))))
        self._scores.score(rows, out, workers)
        return Scores(*np.ascontiguousarray(out.T))


class _Native:
    """The scores by the synth's own analysis."""

    def __init__(self, target: NativeTarget) -> None:
        self.target = target

    def score(self, values: NDArray[np.float64], out: NDArray[np.float64], workers: int | None) -> None:
        in_threads(lambda first, after: self.target.score(values[first:after], out[first:after]), len(values), workers)


class _Rendered:
    """The scores by NumPy, of sounds of any synth; it is rendered from one thread."""

    def __init__(
        self, synth: Synth, target: NDArray[np.float32], audio: AudioFormat, note: NDArray[np.float64]
    ) -> None:
        self.synth, self.target, self.format, self.note = synth, target.astype(np.float64), audio, note
        self.window = synth.window_samples(audio.sample_rate)
        self.magnitudes = metrics.spectrogram(self.target[None], self.window)
        self.floor = metrics.FLOOR * (self.magnitudes.max() or 1.0)
        self.logs = np.log(np.maximum(self.magnitudes, self.floor))

    def score(self, values: NDArray[np.float64], out: NDArray[np.float64], workers: int | None) -> None:
        batch = BATCH * (workers or os.cpu_count() or 1)
        for at in range(0, len(values), batch):
            rows = values[at : at + batch]
            found = self.synth.render_all(
                rows, self.format.sample_rate, self.format.seconds, workers=workers, note=self.note
            )
            in_threads(partial(self._compare, found.sounds, out[at : at + batch]), len(rows), workers)
            out[at + np.array(list(found.failures), np.int64)] = FAILED

    def _compare(self, sounds: NDArray[np.float32], out: NDArray[np.float64], first: int, after: int) -> None:
        sounds = sounds[first:after]
        magnitudes = metrics.spectrogram(sounds, self.window)
        logs = np.log(np.maximum(magnitudes, self.floor))
        out[first:after, 0] = metrics.pearson(np.broadcast_to(self.logs, logs.shape), logs)
        out[first:after, 1] = np.abs(logs - self.logs).mean(axis=(1, 2))
        out[first:after, 2] = _relative(magnitudes, self.magnitudes)
        out[first:after, 3] = _relative(sounds, self.target[None])


def _relative(sounds: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the norms of the differences of sounds (n, ...) from their target (1, ...), over the target's."""
    distance = np.linalg.norm((sounds - target).reshape(len(sounds), -1), axis=1)
    norm = np.linalg.norm(target)
    return distance / norm if norm else np.where(distance > 0, np.inf, 0.0)
