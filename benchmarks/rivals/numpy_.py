"""NumPy, all patches and samples of a batch at a time; the filter by SciPy, a patch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from . import BLOCK, Render, Task

ABOUT = "whole arrays of float32, in place; scipy.signal.lfilter a patch"
BATCHES = (4, 16, 64)

Array = NDArray[np.float32]
Exact = NDArray[np.float64]


def make(task: Task) -> Render:
    """The synth in closed form over (patches, samples)."""
    t = np.arange(task.samples) / task.sample_rate
    blocks = -(-task.samples // BLOCK)
    coarse, fine = np.arange(blocks) * (BLOCK / task.sample_rate), np.arange(BLOCK) / task.sample_rate
    off = int(np.ceil(task.note_off_s * task.sample_rate))
    before, after = t[:off].astype(np.float32), (t[off:] - task.note_off_s).astype(np.float32)
    turn = np.float32(2 * np.pi)

    def circle(turns: Exact) -> tuple[Array, Array]:
        angle = (turns - np.rint(turns)).astype(np.float32) * turn
        return np.cos(angle), np.sin(angle)

    def product(left: list[Array], right: list[Array]) -> Array:
        """(n, samples): what a block gives times what a sample within it gives, summed, as matrices do it fastest."""
        both: Array = np.matmul(np.stack(left, -1), np.stack(right, 1)).reshape(len(left[0]), -1)
        return both[:, : task.samples]

    def phase(values: Exact, lag: float) -> Array:
        """Turns of one oscillator's (n, 4) values, from the nearest whole one."""
        f, v, _, b = (values[:, k, None] for k in range(4))
        swing = b / (2 * np.pi * v)
        turns = f * coarse - lag
        turns += swing - np.rint(turns)
        cosine, sine = circle(v * coarse)
        near, size = (f * fine).astype(np.float32), swing.astype(np.float32)
        left = [turns.astype(np.float32), np.ones_like(cosine), cosine * -size, sine * size]
        p = product(left, [np.ones_like(near), near, *circle(v * fine)])
        p -= np.rint(p)
        return np.asarray(p, np.float32)

    def scaled(x: Array, by: Exact, plus: Exact) -> Array:
        y = np.multiply(x, by.astype(np.float32))
        y += plus.astype(np.float32)
        return y

    def render(values: Exact, out: Array) -> None:
        a = values[:, 2:16:4, None].astype(np.float32)
        p = phase(values[:, 8:12], 0.25)
        np.multiply(np.abs(p, out=p), -4 * a[:, 2], out=out)
        out += a[:, 2]
        p = phase(values[:, 4:8], 0.0)
        p *= 2 * a[:, 1]
        out += p
        p = phase(values[:, 12:16], 0.0)
        out += np.copysign(a[:, 3], p, out=p)
        p = phase(values[:, 0:4], 0.25)
        np.subtract(np.float32(0.25), np.abs(p, out=p), out=p)
        p *= turn
        np.sin(p, out=p)
        p *= a[:, 0]
        out += p

        attack, decay, sustain, release = (values[:, k, None] for k in range(16, 20))
        slope = (1 - sustain) / decay
        level = scaled(before, -slope, 1 + slope * attack)
        np.maximum(level, sustain.astype(np.float32), out=level)
        out[:, :off] *= np.minimum(level, before * (1 / attack).astype(np.float32), out=level)
        last = np.minimum(task.note_off_s / attack, np.maximum(1 - slope * (task.note_off_s - attack), sustain))
        level = scaled(after, -last / release, last)
        out[:, off:] *= np.maximum(level, np.float32(0), out=level)

        w = 2 * np.pi * values[:, 20] / task.sample_rate
        alpha, c = np.sin(w) / (2 * values[:, 21]), np.cos(w)
        feed = np.stack([(1 - c) / 2, 1 - c, (1 - c) / 2], -1) / (1 + alpha[:, None])
        back = np.stack([1 + alpha, -2 * c, 1 - alpha], -1) / (1 + alpha[:, None])
        for row, b1, a1 in zip(out, feed.astype(np.float32), back.astype(np.float32), strict=True):
            row[:] = lfilter(b1, a1, row)

        half = np.float32(0.5)
        cosine, sine = circle(values[:, 22:23] * coarse)
        left = [np.full_like(cosine, half), sine * half, cosine * half]
        cosine, sine = circle(values[:, 22:23] * fine)
        out *= product(left, [np.ones_like(cosine), cosine, sine])

    return render
