"""The sound that is to be matched: read, checked, and cut to what a synth's models get."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..audio.files import read_file
from ..audio.windows import window
from ..errors import UsageError
from ..spec import AudioFormat
from .result import SILENT_PEAK

LOUD_PEAK = 1e3
"""A sound whose peak is above this (+60 dB) isn't scaled to a full scale of 1: no network was trained on it."""
UNNAMED = "the target"
"""What samples are called that have no file."""


@dataclass(frozen=True)
class Target:
    """`name`: the path of its file, or `UNNAMED`; `sound`: (samples,) float32 of `audio`."""

    name: str
    sound: NDArray[np.float32]
    audio: AudioFormat


def read_target(
    target: str | Path | ArrayLike, audio: AudioFormat, sample_rate: int | None = None, normalise: bool = False
) -> Target:
    """The first note of an audio file (a path), or of (samples,) samples at their `sample_rate` in Hz.

    audio: the format it is brought to; normalise: scale its peak to 1. Raises `UsageError` for what
    can't be read, is silent, or peaks far above full scale and isn't to be normalised.
    """
    if isinstance(target, str | Path):
        name, (samples, rate) = str(target), read_file(target)
    else:
        name, (samples, rate) = UNNAMED, _checked(target, sample_rate)
    loudest = np.abs(samples).max()
    if loudest > LOUD_PEAK:
        if not normalise:
            raise UsageError(f"{name} peaks at {loudest:g}, where 1 is full scale; normalise it (--normalise)")
        samples = samples / loudest
    sound = window(samples, rate, audio)
    peak = np.abs(sound).max()
    if peak < SILENT_PEAK:
        raise UsageError(
            f"{name} is silent (mixed to mono and without its offset, its peak is {peak:g}); give a recording of a note"
        )
    return Target(name, sound / peak if normalise else sound, audio)


def _checked(target: ArrayLike, sample_rate: int | None) -> tuple[NDArray[np.float32], int]:
    try:
        sound = np.asarray(target, np.float32)
    except (TypeError, ValueError):
        raise UsageError("the target is neither a path nor an array of samples") from None
    if sound.ndim != 1 or not len(sound):
        raise UsageError(f"the target must have the shape (samples,), not {sound.shape}; mix it to mono")
    if sample_rate is None:
        raise UsageError("an array of samples needs its sample_rate, in Hz")
    if not np.isfinite(sound).all():
        raise UsageError("the target holds NaN or infinite samples")
    AudioFormat(sample_rate, 1.0)
    return sound, sample_rate
