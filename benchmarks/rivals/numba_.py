"""Numba: compiled loops over patches and samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import BLOCK, SINE, Render, Task

ABOUT = "prange over groups of patches, fastmath, float32, loops that LLVM vectorises"
BATCHES = (32, 128, 512)
TAU = 2 * math.pi


def _kernel(lanes: int) -> Any:
    """The synth for groups of `lanes` patches: oscillators a patch at a time, their filters side by side."""
    from numba import njit, prange

    f32 = np.float32
    jit = njit(fastmath=True, error_model="numpy")
    one, two, four, half, quarter = f32(1), f32(2), f32(4), f32(0.5), f32(0.25)
    c0, c1, c2, c3, c4 = (f32(c) for c in SINE)

    @jit
    def add_sine(x: Any, level: Any, turns: Any, cosine: Any, sine: Any, fine: Any) -> None:
        for k in range(BLOCK):
            p = turns + fine[0, k] - cosine * fine[1, k] + sine * fine[2, k]
            y = quarter - abs(p - np.rint(p))
            z = y * y
            x[k] = level * y * (c0 + z * (c1 + z * (c2 + z * (c3 + z * c4))))

    @jit
    def add_saw(x: Any, level: Any, turns: Any, cosine: Any, sine: Any, fine: Any) -> None:
        for k in range(BLOCK):
            p = turns + fine[0, k] - cosine * fine[1, k] + sine * fine[2, k]
            x[k] += two * level * (p - np.rint(p))

    @jit
    def add_triangle(x: Any, level: Any, turns: Any, cosine: Any, sine: Any, fine: Any) -> None:
        for k in range(BLOCK):
            p = turns + fine[0, k] - cosine * fine[1, k] + sine * fine[2, k]
            x[k] += level * (one - four * abs(p - np.rint(p)))

    @jit
    def add_square(x: Any, level: Any, turns: Any, cosine: Any, sine: Any, fine: Any) -> None:
        for k in range(BLOCK):
            p = turns + fine[0, k] - cosine * fine[1, k] + sine * fine[2, k]
            x[k] += level if p - np.rint(p) >= f32(0) else -level

    @jit
    def shape(x: Any, begin: Any, end: Any, rise: Any, rise_slope: Any, fall: Any, fall_slope: Any, floor: Any) -> None:
        for k in range(begin, end):
            x[k] *= min(rise + f32(k) * rise_slope, max(fall - f32(k) * fall_slope, floor))

    @jit
    def lowpass(x: Any, coefficients: Any, state: Any) -> None:
        for k in range(BLOCK):
            for lane in range(lanes):
                u = x[lane, k]
                y = coefficients[0, lane] * u + state[0, lane]
                state[0, lane] = coefficients[1, lane] * u - coefficients[2, lane] * y + state[1, lane]
                state[1, lane] = coefficients[0, lane] * u - coefficients[3, lane] * y
                x[lane, k] = y

    @jit
    def gate(x: Any, cosine: Any, sine: Any, fine: Any, out: Any) -> None:
        for k in range(len(out)):
            out[k] = x[k] * (half + sine * fine[1, k] + cosine * fine[2, k])

    @jit
    def group(rows: Any, out: Any, dt: Any, note_off: Any, off: Any) -> None:
        count, samples = out.shape
        fine = np.empty((lanes, 5, 3, BLOCK), f32)
        coefficients = np.empty((4, lanes), f32)
        state = np.zeros((2, lanes), f32)
        x = np.zeros((lanes, BLOCK), f32)
        here = np.ones((lanes, 5), np.complex128)
        turn = np.empty((lanes, 5), np.complex128)
        for lane in range(count):
            row = rows[lane]
            for i in range(5):
                w = TAU * dt * (row[4 * i + 1] if i < 4 else row[22])
                step, z = complex(math.cos(w), math.sin(w)), complex(1.0, 0.0)
                for k in range(BLOCK):
                    fine[lane, i, 0, k] = row[4 * i] * dt * k
                    fine[lane, i, 1, k] = z.real
                    fine[lane, i, 2, k] = z.imag
                    z *= step
                turn[lane, i] = z
            w = TAU * dt * row[20]
            alpha = math.sin(w) / (2 * row[21])
            b1 = 2 * math.sin(w / 2) ** 2 / (1 + alpha)
            coefficients[0, lane] = b1 / 2
            coefficients[1, lane] = b1
            coefficients[2, lane] = -2 * math.cos(w) / (1 + alpha)
            coefficients[3, lane] = (1 - alpha) / (1 + alpha)
        for start in range(0, samples, BLOCK):
            t = start * dt
            for lane in range(count):
                row = rows[lane]
                for i in range(4):
                    swing = row[4 * i + 3] / (TAU * row[4 * i + 1])
                    turns = row[4 * i] * t - (0.25 if i % 2 == 0 else 0.0)
                    offset = f32(turns - np.rint(turns) + swing)
                    level = f32(row[4 * i + 2])
                    cosine, sine = f32(swing * here[lane, i].real), f32(swing * here[lane, i].imag)
                    if i == 0:
                        add_sine(x[lane], level, offset, cosine, sine, fine[lane, i])
                    elif i == 1:
                        add_saw(x[lane], level, offset, cosine, sine, fine[lane, i])
                    elif i == 2:
                        add_triangle(x[lane], level, offset, cosine, sine, fine[lane, i])
                    else:
                        add_square(x[lane], level, offset, cosine, sine, fine[lane, i])
                attack, decay, sustain, release = row[16], row[17], row[18], row[19]
                slope = (1 - sustain) / decay
                held = min(note_off / attack, max(1 - slope * (note_off - attack), sustain))
                on = min(max(off - start, 0), BLOCK)
                fall = 1 - slope * (t - attack)
                shape(x[lane], 0, on, f32(t / attack), f32(dt / attack), f32(fall), f32(slope * dt), f32(sustain))
                fall = held * (1 - (t - note_off) / release)
                shape(x[lane], on, BLOCK, one, f32(0), f32(fall), f32(held * dt / release), f32(0))
            lowpass(x, coefficients, state)
            for lane in range(count):
                cosine, sine = f32(0.5 * here[lane, 4].real), f32(0.5 * here[lane, 4].imag)
                gate(x[lane], cosine, sine, fine[lane, 4], out[lane, start : start + BLOCK])
                for i in range(5):
                    here[lane, i] *= turn[lane, i]

    @njit(parallel=True)
    def run(rows: Any, out: Any, dt: Any, note_off: Any, off: Any) -> None:
        for g in prange(-(-len(rows) // lanes)):
            part = slice(g * lanes, (g + 1) * lanes)
            group(rows[part], out[part], dt, note_off, off)

    return run


def make(task: Task) -> Render:
    """Compiled when it is first called."""
    import numba

    numba.set_num_threads(task.threads)
    run = _kernel(16)
    off = int(np.ceil(task.note_off_s * task.sample_rate))

    def render(values: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        run(values, out, 1 / task.sample_rate, task.note_off_s, off)

    return render
