"""The paper's measures (arXiv 1812.06349, section 5): of parameters, and of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UsageError
from .spec import ParamSpace

WINDOW, HOP = 512, 256
FLOOR = 1e-4
"""A log spectrogram goes no lower than this part of the target's largest magnitude."""

GROUPS = {
    "filter": ("f_cut", "q"),
    "notes": ("f",),
    "amplitude LFO": ("B",),
    "gate frequency": ("f_gate",),
    "frequency LFO": ("v",),
    "oscillator amplitude": ("A",),
    "ADSR": ("a", "d", "s", "r"),
}
"""The paper's groups of parameters, by symbol (for f, v, A, B: of all oscillators); see `group_of`."""


def ranks(probabilities: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, L) scores and (n,) right levels to (n,) how many classes score above the right one."""
    right = np.take_along_axis(probabilities, levels[:, None], axis=1)
    return np.asarray((probabilities > right).sum(axis=1))


def parameter_measures(
    space: ParamSpace, probabilities: Sequence[NDArray[Any]], levels: ArrayLike, masked: bool = True, top: int = 5
) -> list[dict[str, Any]]:
    """One row a parameter: `name`, `count`, `mpr` (percent), `top` (accuracies for k = 1..top), `mae` (levels).

    probabilities: P arrays (n, levels of the parameter); levels: (n, P) the right ones. MPR, the mean
    percentile rank, is 100 (1 - mean(r / L)), r = how many of the L classes score above the right one.
    With `masked`, an item counts for a parameter only where that parameter is heard.
    """
    right = space.check_levels(levels)
    heard = space.active(right) if masked else np.ones(right.shape, bool)
    rows = []
    for i, param in enumerate(space):
        use = heard[:, i]
        scores, at = np.asarray(probabilities[i])[use], right[use, i]
        rank = ranks(scores, at)
        rows.append(
            {
                "name": param.name,
                "count": int(use.sum()),
                "mpr": float(100 * (1 - np.mean(rank / param.levels))),
                "top": [float(np.mean(rank < k)) for k in range(1, top + 1)],
                "mae": float(np.mean(np.abs(scores.argmax(axis=1) - at))),
            }
        )
    return rows


def mean_mpr(rows: Sequence[dict[str, Any]]) -> float:
    """The mean over parameters of their MPR, in percent."""
    return float(np.mean([row["mpr"] for row in rows]))


def group_of(symbol: str) -> str | None:
    """The group of a parameter of the paper by its symbol, or None for another synth's.

    The paper's text makes the amplitude LFO of the B, its Figure 6 of f_gate alone; here each is a group.
    """
    kinds = {kind: group for group, members in GROUPS.items() for kind in members}
    return kinds.get(symbol, kinds.get(symbol.split("_")[0]))


def group_measures(space: ParamSpace, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a group of `GROUPS` that the space has: the means of its parameters' rows, `name` and `params`."""
    found = []
    for group in GROUPS:
        members = [row for param, row in zip(space, rows, strict=True) if group_of(param.symbol) == group]
        if members:
            found.append(
                {
                    "name": group,
                    "params": [row["name"] for row in members],
                    "mpr": float(np.mean([row["mpr"] for row in members])),
                    "top": [float(k) for k in np.mean([row["top"] for row in members], axis=0)],
                    "mae": float(np.mean([row["mae"] for row in members])),
                }
            )
    return found


# -- of sounds -----------------------------------------------------------------------------------


def spectrogram(sounds: ArrayLike) -> NDArray[np.float64]:
    """(n, samples) sounds to (n, frames, 257) magnitudes.

    Periodic Hann window of 512, hop 256, frame m centred at sample 256 m + 128: 128 zeros in front and
    as many behind as the last frame wants; one frame for each 256 samples begun (ours, the paper is silent).
    """
    at = np.asarray(sounds, np.float64)
    frames = -(-at.shape[1] // HOP)
    front = (WINDOW - HOP) // 2
    padded = np.pad(at, ((0, 0), (front, (frames + 1) * HOP - front - at.shape[1])))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.asarray(np.abs(np.fft.rfft(windows * hann, axis=2)))


def log_spectrograms(targets: ArrayLike, sounds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two (n, samples) to two (n, frames, 257): the natural logs of the magnitudes of targets and of sounds.

    Both stop at `FLOOR` of the target's largest magnitude; of a silent target, at `FLOOR` itself.
    """
    return _logs(spectrogram(targets), spectrogram(sounds))


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


def sound_measures(targets: ArrayLike, sounds: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """`rho_stft`, `rho_ft` and `f_delta`, each (n,), of sounds (n, samples) against their targets (n, samples).

    rho_stft: Pearson correlation of the flattened log spectrograms; rho_ft: of the magnitudes of one Fourier
    transform of the whole sound; f_delta: Frobenius norm of the difference of the spectrograms. Ours, for the
    last: those are magnitudes, as the window sums them (a full-scale sine reaches 128), since the paper speaks
    of log spectrograms for rho_stft alone and since its figures, 700 to 1400, then have the size that ours have
    (natural logs give 100 to 320). It grows with loudness. Raises `UsageError` unless both have the same shape.
    """
    target, sound = np.asarray(targets, np.float64), np.asarray(sounds, np.float64)
    if target.ndim != 2 or target.shape != sound.shape or not target.shape[1]:
        raise UsageError(f"targets {target.shape} and sounds {sound.shape} must have the same shape (n, samples)")
    a, b = spectrogram(target), spectrogram(sound)
    return {
        "rho_stft": pearson(*_logs(a, b)),
        "rho_ft": pearson(np.abs(np.fft.rfft(target, axis=1)), np.abs(np.fft.rfft(sound, axis=1))),
        "f_delta": np.linalg.norm(a - b, axis=(1, 2)),
    }
