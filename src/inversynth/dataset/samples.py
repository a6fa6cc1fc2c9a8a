"""Samples as they are stored: float32 as rendered, float16 rounded, int16 in steps of each item's own peak."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..system.simd import simd_target

DTYPES = {"float32": "<f4", "float16": "<f2", "int16": "<i2"}
"""What a sample may be stored as, and how .npy says so."""
STEPS = 32767
"""Steps between 0 and the peak of an int16 item: a sample is q * peak / STEPS, wrong by half a step at most."""


def stored(audio: NDArray[np.float32], dtype: str, normalise: bool) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """(n, samples) sounds as they are stored, and for int16 their peaks (n,); may overwrite `audio`.

    normalise: scale each item to a peak of 1. Silence stays silent, with a peak of 0.
    """
    if normalise:
        peaks = np.maximum(audio.max(axis=1), -audio.min(axis=1))
        np.divide(audio, np.where(peaks > 0, peaks, np.float32(1))[:, None], out=audio)
    path = simd_target().number
    if dtype == "float16":
        halves = np.empty(audio.shape, np.uint16)
        _native.to_half(audio, halves, path)
        return halves.view(np.float16), None
    if dtype == "int16":
        steps, peaks = np.empty(audio.shape, np.int16), np.empty(len(audio), np.float32)
        _native.to_int16(audio, steps, peaks, path)
        return steps, peaks
    return audio, None


def restore(item: NDArray[Any], peak: np.float32 | None, out: NDArray[np.float32]) -> None:
    """Fills out (samples,) with an item as `stored` left it."""
    if item.dtype == np.float16:  # NumPy's own way, item by item, takes three times as long
        bits = out.view(np.int32)
        bits[:] = item.view(np.int16)
        bits <<= 13
        bits &= -0x70002000  # the sign stays where it went, and the exponent is to be raised by 127 - 15
        out *= np.float32(2.0**112)
    else:
        out[:] = item
        if peak is not None:
            out *= peak / np.float32(STEPS)
