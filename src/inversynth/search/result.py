"""What a refinement gives: patches with their scores, how it went, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Candidate:
    """A patch and its scores against the target; of a renderer with noise, the scores of one rendering.

    `values`: (P,) in units; `levels`: (P,) int64, the nearest; `rho_stft`: Pearson correlation of the log
    spectrograms; `log_l1`: their mean absolute difference, in nats; `convergence`: Frobenius norm of the difference
    of the magnitudes over that of the target's; `residual`: the same of the waveforms.
    """

    values: NDArray[np.float64]
    levels: NDArray[np.int64]
    rho_stft: float
    log_l1: float
    convergence: float
    residual: float

    @property
    def residual_db(self) -> float:
        """`residual` in dB; 0 is as far from the target as silence, -40 can hardly be distinguished from it."""
        return float(20 * np.log10(max(self.residual, 1e-10)))


class Progress(NamedTuple):
    """A moment at which the search found a better patch: its `distance` (what is minimised) and `rho_stft`."""

    seconds: float
    renders: int
    distance: float
    rho_stft: float


@dataclass(frozen=True)
class Refinement:
    """What a refinement found.

    `start`: the network's own patch, the likeliest level of each parameter (its scores are those of
    `scoring.FAILED`, if it can't be rendered); `best`: distinct patches, best first; `progress`: from the first patch
    on that could be rendered; `renders`, `seconds`: what it cost; `method`: "pursuit" (the sound is the synth's own) or
    "search"; `stopped`: why it ended, in words.
    """

    start: Candidate
    best: tuple[Candidate, ...]
    progress: tuple[Progress, ...]
    renders: int
    seconds: float
    method: Literal["pursuit", "search"]
    stopped: str
