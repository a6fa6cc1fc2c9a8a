"""The input's level, clipping and invalid samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..audio.onsets import clean

PEAK_S = 0.3
"""The level shown falls by half in this time."""
CLIPPED = 0.999


class Meter:
    """Measures blocks as they come; `clipped` and `damaged` count samples at full scale, and invalid ones.

    gain_db: by how much the input is amplified, by `gain`; the level is that of the amplified input.
    """

    def __init__(self, sample_rate: int, gain_db: float) -> None:
        self._fall_samples = PEAK_S * sample_rate
        self.gain = np.float32(10 ** (gain_db / 20))
        self._peak = 0.0
        self.clipped = self.damaged = 0

    def measure(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """A block (samples,), n > 0, with invalid samples as silence."""
        block, damaged = clean(block)
        self.damaged += damaged
        loudest = float(np.abs(block).max())
        self.clipped += int(np.count_nonzero(np.abs(block) >= CLIPPED)) if loudest >= CLIPPED else 0
        self._peak = max(loudest * float(self.gain), self._peak * 0.5 ** (len(block) / self._fall_samples))
        return block

    @property
    def level_db(self) -> float:
        """The peak in dBFS, -inf for silence."""
        return 20 * math.log10(self._peak) if self._peak > 0 else -math.inf
