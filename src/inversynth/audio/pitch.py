"""The fundamental of a note, and how steady it is: the normalised autocorrelation of its frames.

The square difference function is that of P. McLeod and G. Wyvill, "A smarter way to find pitch" (ICMC 2005).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 65.0, 2100.0
"""C2 to C7; mains hum is below."""
FRAME_S, HOP_S = 0.0625, 0.03125
AUDIBLE = 0.1
"""Frames quieter than this part of the loudest are left out."""
CLEAR = 0.8
"""A frame has a pitch if it correlates so well with itself a period later."""
NEAR = 0.9
"""Of the periods that correlate nearly as well as the best, the shortest is the pitch's."""
STEADY_SEMITONES = 0.4


class Pitch(NamedTuple):
    """The fundamental in Hz, nan if there is none, and the share of the audible frames that are near it."""

    hz: float
    steady: float

    @property
    def note(self) -> int | None:
        """The nearest MIDI note; 69 is 440 Hz."""
        return None if math.isnan(self.hz) else min(max(round(69 + 12 * math.log2(self.hz / 440)), 0), 127)


def pitch(sound: NDArray[np.float32], sample_rate: int) -> Pitch:
    """The pitch of a sound (samples,) at a sample rate (Hz), from `LOWEST_HZ` to `HIGHEST_HZ`."""
    size, hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
    if len(sound) < size:
        return Pitch(math.nan, 0.0)
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop].astype(np.float64)
    frames = frames - frames.mean(axis=1, keepdims=True)
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    frames = frames[loudness > max(AUDIBLE * loudness.max(), 1e-9)]
    if not len(frames):
        return Pitch(math.nan, 0.0)
    spectrum = np.fft.rfft(frames, 2 * size)
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, :size]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    squares = energy[:, size:0:-1] + energy[:, -1:] - energy[:, :size]
    likeness = 2 * products / np.maximum(squares, 1e-12)

    first, last = int(sample_rate / HIGHEST_HZ), min(math.ceil(sample_rate / LOWEST_HZ), size - 2)
    here, before, after = (likeness[:, first + by : last + by] for by in (0, -1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):  # the tops of the parabolas through three points
        bend = np.clip(np.nan_to_num(0.5 * (before - after) / (before - 2 * here + after)), -0.5, 0.5)
    peaks = np.where((here > before) & (here >= after), here - 0.25 * (before - after) * bend, 0)
    chosen = np.argmax(peaks >= np.maximum(NEAR * peaks.max(axis=1, keepdims=True), 1e-9), axis=1)
    row = np.arange(len(frames))
    notes = 12 * np.log2(sample_rate / (first + chosen + bend[row, chosen]))
    clear = peaks[row, chosen] >= CLEAR
    if not clear.any():
        return Pitch(math.nan, 0.0)
    middle = float(np.median(notes[clear]))
    return Pitch(2 ** (middle / 12), float(np.mean(clear & (np.abs(notes - middle) < STEADY_SEMITONES))))
