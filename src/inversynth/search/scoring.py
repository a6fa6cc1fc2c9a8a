"""What patches score against a target sound: how near their sounds are to it, for thousands at a time."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics
from ..errors import UsageError
from ..spec import AudioFormat, Note
from ..synths.synth import NativeTarget, Synth
from ..system.simd import in_threads

BATCH = 64
"""Sounds whose spectrograms NumPy holds at a time: 8 MB a second of sound."""


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


class Scorer:
    """Scores patches of a synth against one target; a synth's own analysis does it where there is one.

    target: (samples,), as a sound of the synth begins, at a `sample_rate` in Hz that defaults to the synth's own. Only
    as many samples of the patches are rendered. Raises `UsageError` for another shape, for samples that are NaN
    or infinite, and for a sample rate that the synth can't be rendered at. Any number of threads may use it.
    """

    def __init__(self, synth: Synth, target: ArrayLike, sample_rate: int | None = None) -> None:
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
        self._native: NativeTarget = (
            synth.make_target(sound, Note.rows(synth.note, 1)[0], rate)
            if synth.make_target
            else _Rendered(synth, sound, self.format)
        )

    def __call__(self, values: ArrayLike, workers: int | None = None) -> Scores:
        """What (n, P) values in units score; workers and errors as in `Synth.render`.

        A patch scores the same whatever it is scored beside, and on however many threads.
        """
        rows = self.synth.checked(values, self.format.sample_rate)
        out = np.empty((len(rows), len(fields(Scores))))
        in_threads(lambda first, after: self._native.score(rows[first:after], out[first:after]), len(rows), workers)
        return Scores(*np.ascontiguousarray(out.T))


class _Rendered:
    """The scores by NumPy, of sounds of any synth."""

    def __init__(self, synth: Synth, target: NDArray[np.float32], audio: AudioFormat) -> None:
        self.synth, self.target, self.format = synth, target.astype(np.float64), audio
        self.magnitudes = metrics.spectrogram(self.target[None])
        self.floor = metrics.FLOOR * (self.magnitudes.max() or 1.0)
        self.logs = np.log(np.maximum(self.magnitudes, self.floor))

    def score(self, values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        for at in range(0, len(values), BATCH):
            rows = values[at : at + BATCH]
            sounds = self.synth.render(rows, self.format.sample_rate, self.format.seconds, workers=1)
            magnitudes = metrics.spectrogram(sounds)
            logs = np.log(np.maximum(magnitudes, self.floor))
            scores = Scores(
                metrics.pearson(np.broadcast_to(self.logs, logs.shape), logs),
                np.abs(logs - self.logs).mean(axis=(1, 2)),
                _relative(magnitudes, self.magnitudes),
                _relative(sounds, self.target[None]),
            )
            out[at : at + BATCH] = np.stack(astuple(scores), axis=1)


def _relative(sounds: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the norms of the differences of sounds (n, ...) from their target (1, ...), over the target's."""
    distance = np.linalg.norm((sounds - target).reshape(len(sounds), -1), axis=1)
    norm = np.linalg.norm(target)
    return distance / norm if norm else np.where(distance > 0, np.inf, 0.0)
