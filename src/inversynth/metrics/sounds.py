"""InverSynth's measures of sounds (arXiv 1812.06349, section 5), and the spectrogram that they and others read."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError

WINDOW = 512
"""Samples of InverSynth's windows, half of which overlap (section 4.1)."""
WINDOW_S = 1 / 32
"""What they last at its sample rate of 16,384 Hz."""
FLOOR = 1e-4
"""A log spectrogram goes no lower than this part of the target's largest magnitude."""

F = TypeVar("F", np.float32, np.float64)


def check_sounds(targets: ArrayLike, sounds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64; raises `UsageError` unless both have the same shape (n, samples)."""
    target, sound = np.asarray(targets, np.float64), np.asarray(sounds, np.float64)
    if target.ndim != 2 or target.shape != sound.shape or not target.shape[1]:
        raise UsageError(f"targets {target.shape} and sounds {sound.shape} must have the same shape (n, samples)")
    return target, sound


def framed(sounds: NDArray[F], window: int, hop: int, hann: bool = True) -> NDArray[F]:
    """(n, samples) sounds to (n, frames, window), in a periodic Hann window unless `hann` is False.

    Frame m is centred at sample hop m + hop / 2: (window - hop) / 2 zeros in front and as many behind as the last
    frame wants; one frame for each hop of samples begun (ours, the article is silent).
    """
    frames = -(-sounds.shape[1] // hop)
    front = (window - hop) // 2
    behind = (frames - 1) * hop + window - front - sounds.shape[1]
    padded = np.pad(sounds, ((0, 0), (front, max(behind, 0))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, : (frames - 1) * hop + 1 : hop]
    if not hann:
        return windows
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.asarray(windows * shape.astype(sounds.dtype))


def window_samples(sample_rate: int) -> int:
    """The power of two whose samples last nearest to `WINDOW_S`, by their ratio, at a sample rate in Hz."""
    return 1 << round(math.log2(sample_rate * WINDOW_S))


def spectrogram(sounds: ArrayLike, window: int = WINDOW) -> NDArray[np.float64]:
    """(n, samples) sounds to (n, frames, window / 2 + 1) magnitudes: `framed`, with a hop of half a window."""
    return np.asarray(np.abs(np.fft.rfft(framed(np.asarray(sounds, np.float64), window, window // 2), axis=2)))


def log_spectrograms(
    targets: ArrayLike, sounds: ArrayLike, window: int = WINDOW
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two (n, samples) to two (n, frames, window / 2 + 1): the natural logs of the magnitudes of targets and of sounds.

    Both stop at `FLOOR` of the target's largest magnitude; of a silent target, at `FLOOR` itself.
    """
    return _logs(spectrogram(targets, window), spectrogram(sounds, window))


def _logs(target: NDArray[np.float64], sound: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    peak = target.max(axis=(1, 2), keepdims=True)
    floor = FLOOR * np.where(peak > 0, peak, 1.0)
    return np.log(np.maximum(target, floor)), np.log(np.maximum(sound, floor))


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) Pearson correlations of the rows of two arrays (n, ...), each flattened.

    A row without variance (silence) has none by the formula: it counts as 1 with an equal row, else as 0.
    """
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    equal = (a == b).all(axis=1)
    flat = (a == a[:, :1]).all(axis=1) | (b == b[:, :1]).all(axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.where(flat, 1.0, np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.asarray(np.where(flat, equal, (a * b).sum(axis=1) / scale), np.float64)


def sound_measures(targets: ArrayLike, sounds: ArrayLike, window: int = WINDOW) -> dict[str, NDArray[np.float64]]:
    """`rho_stft`, `rho_ft` and `f_delta`, each (n,), of sounds (n, samples) against their targets (n, samples).

    window: of the spectrograms, in samples.

    rho_stft: Pearson correlation of the flattened log spectrograms; rho_ft: of the magnitudes of one Fourier
    transform of the whole sound; f_delta: Frobenius norm of the difference of the spectrograms. Ours, for the
    last: those are magnitudes, as the window sums them (a full-scale sine reaches 128), since the article speaks
    of log spectrograms for rho_stft alone and since its figures, 700 to 1400, then have the size that ours have
    (natural logs give 100 to 320). It grows with loudness. Raises `UsageError` unless both have the same shape.
    """
    target, sound = check_sounds(targets, sounds)
    a, b = spectrogram(target, window), spectrogram(sound, window)
    return {
        "rho_stft": pearson(*_logs(a, b)),
        "rho_ft": pearson(np.abs(np.fft.rfft(target, axis=1)), np.abs(np.fft.rfft(sound, axis=1))),
        "f_delta": np.linalg.norm(a - b, axis=(1, 2)),
    }
