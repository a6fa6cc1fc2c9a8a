"""An independent float64 synth, written from the paper's definitions alone, one patch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

WAVEFORMS = ("sin", "saw", "tri", "sqr")


def waveform(name: str, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ideal waveform at a phase in turns; an edge that falls on a sample comes before it."""
    if name in ("saw", "sqr"):
        phase = phase + 1e-9  # more than float64 phases are off by, less than is audible
    fraction = phase - np.floor(phase)
    if name == "sin":
        return np.sin(2 * np.pi * fraction)
    if name == "saw":
        return 2 * (phase - np.floor(phase + 0.5))
    if name == "tri":
        return np.select([fraction < 0.25, fraction < 0.75], [4 * fraction, 2 - 4 * fraction], 4 * fraction - 4)
    return np.where(fraction < 0.5, 1.0, -1.0)


def phases(patch: dict[str, float], name: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phase in turns of one oscillator: the integral of f + B sin(2 pi v t)."""
    f, v, b = (patch[f"{name}_{what}"] for what in ("frequency", "mod_frequency", "mod_amplitude"))
    return f * t + b / (2 * np.pi * v) * (1 - np.cos(2 * np.pi * v * t))


def envelope(patch: dict[str, float], t: NDArray[np.float64], note_off: float) -> NDArray[np.float64]:
    """Linear ADSR."""
    a, d, s, r = (patch[name] for name in ("attack", "decay", "sustain", "release"))

    def held(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(at, [0.0, a, a + d], [0.0, 1.0, s])

    level = float(held(np.array([note_off]))[0])
    return np.where(t < note_off, held(t), level * np.clip(1 - (t - note_off) / r, 0, 1))


def lowpass(x: NDArray[np.float64], cutoff: float, q: float, sample_rate: float) -> NDArray[np.float64]:
    """The Audio EQ Cookbook's low-pass."""
    w = 2 * np.pi * cutoff / sample_rate
    alpha = np.sin(w) / (2 * q)
    b = [(1 - np.cos(w)) / 2, 1 - np.cos(w), (1 - np.cos(w)) / 2]
    return np.asarray(lfilter(b, [1 + alpha, -2 * np.cos(w), 1 - alpha], x))


def paper(
    patch: dict[str, float], sample_rate: int, samples: int, note_off: float = 0.75
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(samples,) the sound, and where an edge of saw or square lies within a millionth of a turn of the sample."""
    t = np.arange(samples) / sample_rate
    mix = np.zeros(samples)
    near_edge = np.zeros(samples, bool)
    for name in WAVEFORMS:
        p = phases(patch, name, t)
        mix += patch[f"{name}_amplitude"] * waveform(name, p)
        if name in ("saw", "sqr"):
            edges = p * 2 if name == "sqr" else p + 0.5
            near_edge |= np.abs(edges - np.rint(edges)) < 1e-6 * (2 if name == "sqr" else 1)
    sound = lowpass(mix * envelope(patch, t, note_off), patch["cutoff"], patch["resonance"], sample_rate)
    return sound * (1 + np.sin(2 * np.pi * patch["gate_frequency"] * t)) / 2, near_edge


def spectrogram(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(frames, 257) magnitudes: periodic Hann of 512, hop 256, frame m centred at sample 256 m + 128."""
    frames = -(-len(x) // 256)
    padded = np.concatenate([np.zeros(128), x, np.zeros(384)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    return np.stack([np.abs(np.fft.rfft(padded[256 * m : 256 * m + 512] * window)) for m in range(frames)])
