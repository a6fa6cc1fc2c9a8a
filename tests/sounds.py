"""Simple sounds at the models' sample rate, for the tests of what listens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]
RATE = 16384


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(samples: int, seed: int = 0) -> Sound:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def tone(seconds: float, amplitude: float = 0.5, hz: float = 440.0) -> Sound:
    """A tone that starts at full strength."""
    turns = hz / RATE * np.arange(round(seconds * RATE))
    return np.asarray(amplitude * np.cos(2 * np.pi * turns), np.float32)


def join(*parts: Sound) -> Sound:
    return np.concatenate(parts).astype(np.float32)
