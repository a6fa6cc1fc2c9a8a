"""A sound at the sample rate of a model, in one call: a filter for each pair of rates, in native code.

The filter is a sinc under a Kaiser window (Kaiser and Schafer, "On the use of the I0-sinh window for spectrum
analysis", IEEE Transactions on Acoustics, Speech, and Signal Processing 28, 1980): of linear phase without a delay.

Up to 0.9 of the lower rate's band it is flat, and misses the exact sound by -100 dB at most. From 1.1 on it is 93 dB
down: what lies between folds back to no lower than 0.9. A stop band from 1.0 on would need twice the taps, for nothing
but the last tenth.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..spec import AudioFormat
from ..system.simd import simd_target

HALF_SAMPLES = 30
"""The reach of the filter to each side, in samples of the lower rate."""
BETA = 9.4
"""The Kaiser window's; with `HALF_SAMPLES` it decides the edges and depths above, by Kaiser's formulas."""
FILTERS = 8
"""How many pairs of rates are kept."""
LEAST_ROWS = 64
"""A filter of fewer is repeated: what fills the last vector is then a small part of it."""
ALIGNED = 64
"""Bytes, of a line of the cache."""


class Filter(NamedTuple):
    """What takes a sound to `up` / `down` of its rate: see ext/dsp/filter.h."""

    rows: NDArray[np.float32]
    up: int
    down: int
    before: int


@functools.lru_cache(FILTERS)
def filter_of(rate: int, to_rate: int) -> Filter:
    """The filter between two sample rates in Hz; raises `UsageError` for a rate that no `AudioFormat` has."""
    for each in (rate, to_rate):
        AudioFormat(each, 1.0)  # it checks the rate
    divisor = math.gcd(rate, to_rate)
    up, down = to_rate // divisor, rate // divisor
    repeats = -(-LEAST_ROWS // up)
    up, down = up * repeats, down * repeats
    share = min(to_rate / rate, 1.0)  # of the band of the first rate
    half = HALF_SAMPLES / share
    before = math.ceil(half) - 1
    layout = _native.FilterRows
    latest = 1 + (layout.PER_GROUP - 1) * down / up  # of a row after the sample that its group begins from
    taps = _multiple(before + math.ceil(half + latest), layout.TAPS_MULTIPLE)
    rows = _aligned(_multiple(up, layout.MULTIPLE), taps)
    for at in range(0, up, LEAST_ROWS):
        row = np.arange(at, min(at + LEAST_ROWS, up))
        first = row // layout.PER_GROUP * layout.PER_GROUP * down // up
        time = np.arange(taps) - before - ((row * down - first * up) / up)[:, None]
        window = np.i0(BETA * np.sqrt(np.maximum(1 - (time / half) ** 2, 0))) / np.i0(BETA)
        rows[row] = np.where(np.abs(time) < half, share * np.sinc(share * time) * window, 0)
    return Filter(rows, up, down, before)


def _multiple(count: int, of: int) -> int:
    return -(-count // of) * of


def _aligned(rows: int, columns: int) -> NDArray[np.float32]:
    """(rows, columns) of zeros that begin at a multiple of `ALIGNED` bytes."""
    memory = np.zeros(rows * columns * 4 + ALIGNED, np.uint8)
    begin = -memory.ctypes.data % ALIGNED
    return memory[begin : begin + rows * columns * 4].view(np.float32).reshape(rows, columns)


def fill(out: NDArray[np.float32], sound: NDArray[np.float32], rate: int, to_rate: int) -> None:
    """Fills out (n,) with the first n samples of a sound (samples,) at a sample rate in Hz, brought to another.

    Sample j is that of the time j / to_rate after the sound's first; around the sound is silence. It depends on what
    lies nearer than `HALF_SAMPLES` to it, and on nothing else; between equal rates all are the sound's own. Other
    threads may run at the same time. Raises `UsageError` for a rate that no `AudioFormat` has.
    """
    if rate != to_rate:
        _native.resample(*filter_of(rate, to_rate), np.ascontiguousarray(sound, np.float32), out, simd_target().number)
        return
    AudioFormat(rate, 1.0)  # as above
    count = min(len(sound), len(out))
    out[:count], out[count:] = sound[:count], 0
