"""NumPy, all patches and samples of a batch at a time; the filter by SciPy, a patch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from . import Render, Task

PACKAGE = "scipy"
ABOUT = "whole arrays of float32, in place; scipy.signal.lfilter a patch"
BATCHES = (4, 16, 64)

Array = NDArray[np.float32]


def make(task: Task) -> Render:
    """The synth in closed form over (patches, samples)."""
    t = np.arange(task.samples) / task.sample_rate
    blocks = -(-task.samples // 128)
    coarse, fine = np.arange(blocks) * (128 / task.sample_rate), np.arange(128) / task.sample_rate
    off = int(np.ceil(task.note_off_s * task.sample_rate))

    def phase(f: NDArray[np.float64], v: NDArray[np.float64], swing: NDArray[np.float64], lag: float) -> Array:
        """Turns from the nearest whole one, as a product of small matrices: a block's part and a sample's."""
        a, b = 2j * np.pi * v * coarse, np.exp(2j * np.pi * v * fine)
        turns, wave = f * coarse - lag, swing * np.exp(a)
        left = np.stack([turns - np.rint(turns) + swing, np.ones_like(turns), -wave.real, wave.imag], -1)
        right = np.stack([np.ones_like(b.real), f * fine, b.real, b.imag], 1)
        p = np.matmul(left.astype(np.float32), right.astype(np.float32)).reshape(len(f), -1)[:, : task.samples]
        p -= np.rint(p)
        return p

    def render(values: NDArray[np.float64], out: Array) -> None:
        small = values.astype(np.float32)[:, :, None]
        for i, lag in enumerate((0.25, 0.0, 0.25, 0.0)):
            f, v, _, b = (values[:, 4 * i + k, None] for k in range(4))
            p, a = phase(f, v, b / (2 * np.pi * v), lag), small[:, 4 * i + 2]
            if i == 0:
                np.abs(p, out=p)
                np.subtract(np.float32(0.25), p, out=p)
                p *= np.float32(2 * np.pi)
                np.multiply(np.sin(p, out=p), a, out=out)
                continue
            if i == 1:
                p *= 2 * a
            elif i == 2:
                np.abs(p, out=p)
                p *= -4 * a
                p += a
            else:
                np.copysign(a, p, out=p)
            out += p
        attack, decay, sustain, release = (values[:, k, None] for k in range(16, 20))

        def held(t: NDArray[np.float64]) -> Array:
            fall = (t * ((sustain - 1) / decay) + (1 + (1 - sustain) * attack / decay)).astype(np.float32)
            np.maximum(fall, sustain.astype(np.float32), out=fall)
            return np.minimum(fall, (t / attack).astype(np.float32), out=fall)

        out[:, :off] *= held(t[:off])
        last = held(np.array([task.note_off_s]))
        left = (t[off:] - task.note_off_s).astype(np.float32) * (-last / release.astype(np.float32))
        left += last
        out[:, off:] *= np.maximum(left, np.float32(0), out=left)
        w = 2 * np.pi * values[:, 20] / task.sample_rate
        alpha, c = np.sin(w) / (2 * values[:, 21]), np.cos(w)
        for row, al, co in zip(out, alpha, c, strict=True):
            b = np.array([(1 - co) / 2, 1 - co, (1 - co) / 2]) / (1 + al)
            row[:] = lfilter(b, np.array([1 + al, -2 * co, 1 - al]) / (1 + al), row)
        gate = np.sin((2 * np.pi * values[:, 22, None]).astype(np.float32) * t.astype(np.float32))
        gate *= np.float32(0.5)
        gate += np.float32(0.5)
        out *= gate

    return render
