"""Sounds beside their targets, some at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..synths.synth import Synth
from ..system.simd import in_threads

CHUNK = 256
"""Sounds that are held at a time."""

Columns = dict[str, NDArray[np.float64]]
"""Measures of sounds by name, each (n,)."""
Report = Callable[[int, int, int], None]
"""Is called with progress: how many are done, of how many, and done by this run."""


def likeliest(probabilities: list[NDArray[np.float32]]) -> NDArray[np.int64]:
    """(n, P) levels of the highest probability in P arrays (n, levels)."""
    return np.stack([row.argmax(axis=1) for row in probabilities], axis=1)


def compare(targets: NDArray[np.float32], sounds: NDArray[np.float32], synth: Synth) -> Columns:
    """Every measure of sounds (n, samples) of a synth against their targets, on all cores."""
    rate = synth.format.sample_rate
    window = synth.window_samples(rate)
    parts: dict[int, Columns] = {}

    def work(first: int, after: int) -> None:
        some = targets[first:after], sounds[first:after]
        parts[first] = metrics.sound_measures(*some, window) | metrics.field_measures(*some, rate, window)

    in_threads(work, len(targets))
    return joined([parts[first] for first in sorted(parts)])


def joined(parts: list[Columns]) -> Columns:
    """One column of each measure, from those of chunks."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
