"""The measures of sounds that the field of sound matching reports, beside InverSynth's; and the residual.

Level: neither sound is normalised by itself. All stay as they are when both are scaled together; a difference of
level between the two counts in `spectral_convergence`, `lsd_db`, `mel_db`, `mfcc_db`, `wmfcc_db` and `residual_db`,
hardly in `sot_hz` (the floor makes quiet frames flatter), and not in `rms_cosine`. The decibels of spectra stop at
`FLOOR` (-80 dB) of the target's largest magnitude, as in InverSynth's measures here; where the target is silent, a
magnitude of 1 stands for its largest.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .sounds import FLOOR, WINDOW, check_sounds, framed, spectrogram

Floats = NDArray[np.float64]

MEL_SCALES = ((0.010, 0.005, 32), (0.025, 0.010, 64), (0.100, 0.050, 128))
"""Window and hop in seconds, and mel bands."""
MFCC_SCALE = 1
"""The MFCC are made from this one of the scales."""
COEFFICIENTS = 20
RMS_WINDOW_S, RMS_HOP_S = 0.050, 0.025

LEAST_RESIDUAL_DB = -120.0
"""Float32 knows no less."""

CHUNK = 64
"""Sounds that are compared at a time: what they need stays small."""


def field_measures(targets: ArrayLike, sounds: ArrayLike, sample_rate: int, window: int = WINDOW) -> dict[str, Floats]:
    """Eight measures, each (n,), of sounds (n, samples) against their targets (n, samples) at a rate in Hz.

    window: of the spectrograms, in samples.

    Read with S and S' the `spectrogram` of target and sound, frames m and bins k; for the level see above.

    - `spectral_convergence`: ||S' - S|| / ||S||, Frobenius norms (Sturmel and Daudet, "Signal reconstruction from
      STFT magnitude", DAFx 2011).
    - `lsd_db`, log-spectral distance: the mean over m of the root mean square over k of 20 log10 S' / S (Gray and
      Markel, "Distance measures for speech processing", 1976; in sound matching Masuda and Saito, "Synthesizer sound
      matching with differentiable DSP", ISMIR 2021, and DiffMoog, Uzrad et al., arXiv 2401.12570).
    - `mel_db`, multi-scale mel L1: the mean absolute difference of the mel spectrograms in dB, windows of 10, 25 and
      100 ms each 5, 10 and 50 ms, 32, 64 and 128 bands; the mean of the three (Hayes, Saitis, Fazekas, "Audio
      synthesizer inversion in symmetric parameter spaces with approximately equivariant flow matching", ISMIR 2025,
      who take each sound's level relative to its own largest).
    - `mfcc_db`: the mean absolute difference of 20 mel-frequency cepstral coefficients, the orthonormal cosine
      transform of 64 mel bands in dB, windows of 25 ms each 10 ms; the first, which is the level, takes part (Davis
      and Mermelstein 1980; in sound matching Yee-King, Fedden, d'Inverno, "Automatic programming of VST sound
      synthesizers using deep networks and other techniques", 2018, and Shier, Tzanetakis, McNally, "SpiegeLib", 2020).
    - `wmfcc_db`: the same difference along the best warping of time, see `warped` (Hayes et al.).
    - `sot_hz`, spectral optimal transport: the mean over m of the 1-D Wasserstein distance between the spectra of
      both frames, each divided by its sum: how far in Hz the spectrum has to be moved (Torres, Peeters, Richard,
      "Unsupervised harmonic parameter estimation using differentiable DSP and spectral optimal transport", ICASSP
      2024, with distance squared; as here, Hayes et al.). Magnitudes below the floor count as the floor, so that
      silence is a flat spectrum.
    - `rms_cosine`: the cosine of the angle between the RMS envelopes, windows of 50 ms each 25 ms (Hayes et al.).
      Silence is 1 with silence, else 0.
    - `residual_db`: ||y' - y|| / ||y|| of the waveforms, in dB, no lower than `LEAST_RESIDUAL_DB`. 0 is as far as
      silence; -40 can hardly be distinguished from the target; a near sound with other phases may have a large one.

    Raises `UsageError` unless both have the same shape.
    """
    target, sound = check_sounds(targets, sounds)
    parts = [
        _measures(target[i : i + CHUNK], sound[i : i + CHUNK], sample_rate, window)
        for i in range(0, len(target), CHUNK)
    ] or [_measures(target, sound, sample_rate, window)]
    return {key: np.concatenate([part[key] for part in parts]).astype(np.float64) for key in parts[0]}


def _measures(target: Floats, sound: Floats, rate: int, window: int) -> dict[str, Floats]:
    a, b = spectrogram(target, window), spectrogram(sound, window)
    floor = _floor(a)
    norm = np.linalg.norm(a, axis=(1, 2))
    decibels = 20 * np.log10(np.maximum(b, floor) / np.maximum(a, floor))
    mels = [_levels_db(target, sound, rate, *scale) for scale in MEL_SCALES]
    mfcc_a, mfcc_b = (at @ _cosines(at.shape[2]) for at in mels[MFCC_SCALE])
    return {
        "spectral_convergence": np.linalg.norm(b - a, axis=(1, 2)) / np.where(norm > 0, norm, 1),
        "lsd_db": np.sqrt((decibels**2).mean(axis=2)).mean(axis=1),
        "mel_db": np.mean([np.abs(b - a).mean(axis=(1, 2)) for a, b in mels], axis=0),
        "mfcc_db": np.abs(mfcc_b - mfcc_a).mean(axis=(1, 2)),
        "wmfcc_db": warped(mfcc_a, mfcc_b),
        "sot_hz": _moved(np.maximum(a, floor), np.maximum(b, floor)) * rate / window,
        "rms_cosine": _cosine(_rms(target, rate), _rms(sound, rate)),
        "residual_db": residual_db(target, sound),
    }


def _floor(target: Floats) -> Floats:
    """(n, 1, 1): the least magnitude that counts beside targets (n, frames, bins)."""
    peak = target.max(axis=(1, 2), keepdims=True)
    return np.asarray(FLOOR * np.where(peak > 0, peak, 1))


# -- mel -----------------------------------------------------------------------------------------


@cache
def _mel_corners(sample_rate: int, points: int, bands: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of the mel bands over the bins of a Fourier transform of `points`: where the segments between two corners begin
    and end, (bands + 2,) bins, and for each bin its weights (bins,) in the band that rises there and that which falls.

    Triangles of unit area over Hz. Their corners are evenly spaced on the mel scale from 0 to half the sample rate, in
    the form of Slaney's Auditory Toolbox (1998): 3 mel are 200 Hz up to 1 kHz, above it 27 mel are a factor of 6.4.
    """
    linear, step = 1000 * 3 / 200, np.log(6.4) / 27
    half_hz = sample_rate / 2
    mel = np.linspace(0, half_hz * 3 / 200 if half_hz < 1000 else linear + np.log(half_hz / 1000) / step, bands + 2)
    corner_hz = np.where(mel < linear, mel * 200 / 3, 1000 * np.exp(step * (mel - linear)))
    corner = np.minimum(np.ceil(corner_hz * points / sample_rate - 1e-9).astype(int), points // 2)
    hz = np.arange(corner[-1] + 1) * sample_rate / points  # the last is at the end or beyond it: it weighs nothing
    piece = np.append(np.repeat(np.arange(bands + 1), np.diff(corner)), bands)
    share = np.minimum((hz - corner_hz[piece]) / np.diff(corner_hz)[piece], 1)
    height = np.concatenate([[0], 2 / (corner_hz[2:] - corner_hz[:-2]), [0]])
    return corner, share * height[piece + 1], (1 - share) * height[piece]


def mel_spectrogram(sounds: Floats, sample_rate: int, window_s: float, hop_s: float, bands: int) -> Floats:
    """(n, samples) to (n, frames, bands) powers: `framed` by a Hann window, transformed at twice its length or more."""
    window, hop = round(window_s * sample_rate), round(hop_s * sample_rate)
    points = 1 << (2 * window - 1).bit_length()
    spectra = np.fft.rfft(framed(sounds.astype(np.float32), window, hop), points, axis=2)
    corner, rise, fall = _mel_corners(sample_rate, points, bands)
    power = (spectra.real**2 + spectra.imag**2)[:, :, : corner[-1] + 1]
    # Sums from corner to corner: no matrix product, whose threads would wait for each other on a busy machine.
    rising, falling = (
        np.where(np.diff(corner), np.add.reduceat(power * weights.astype(np.float32), corner[:-1], axis=2), 0)
        for weights in (rise, fall)
    )
    return np.asarray(rising[:, :, :-1] + falling[:, :, 1:])


def _levels_db(
    target: Floats, sound: Floats, rate: int, window_s: float, hop_s: float, bands: int
) -> tuple[Floats, Floats]:
    """Both mel spectrograms in dB, no lower than the floor below the target's largest band."""
    a, b = (mel_spectrogram(at, rate, window_s, hop_s, bands) for at in (target, sound))
    floor = _floor(np.sqrt(a)) ** 2
    return 10 * np.log10(np.maximum(a, floor)), 10 * np.log10(np.maximum(b, floor))


@cache
def _cosines(bands: int) -> Floats:
    """(bands, COEFFICIENTS): the first columns of the orthonormal DCT-II."""
    angle = np.pi * np.outer(np.arange(bands) + 0.5, np.arange(COEFFICIENTS)) / bands
    scale = np.where(np.arange(COEFFICIENTS) == 0, np.sqrt(1 / bands), np.sqrt(2 / bands))
    return np.asarray(scale * np.cos(angle))


# -- the rest ------------------------------------------------------------------------------------


def warped(a: Floats, b: Floats) -> Floats:
    """(n,) mean absolute differences of (n, frames, coefficients) along the best warping of time.

    Dynamic time warping with the symmetric steps of Sakoe and Chiba ("Dynamic programming algorithm optimization for
    spoken word recognition", 1978): a step in both counts twice, the sum is divided by the frames of both. So it is
    never more than the plain mean absolute difference. The frames of one antidiagonal are found together.
    """
    n, rows, columns = len(a), a.shape[1], b.shape[1]
    cost = np.empty((n, rows, columns))
    for row in range(rows):
        cost[:, row] = np.abs(b - a[:, row, None]).mean(axis=2)
    # Antidiagonals i + j = s, stored by i + 1; those before and beside the grid cost infinitely much.
    before, last = np.full((n, rows + 1), np.inf), np.full((n, rows + 1), np.inf)
    before[:, 0] = 0  # a step in both leads into the first cell
    for s in range(rows + columns - 1):
        i = np.arange(max(0, s - columns + 1), min(s, rows - 1) + 1)
        here = cost[:, i, s - i]
        now = np.full((n, rows + 1), np.inf)
        now[:, i + 1] = np.minimum(np.minimum(last[:, i], last[:, i + 1]) + here, before[:, i] + 2 * here)
        before, last = last, now
    return np.asarray(last[:, rows] / (rows + columns))


def _moved(a: Floats, b: Floats) -> Floats:
    """(n,) the mean Wasserstein distance, in bins, between the frames of (n, frames, bins) positive magnitudes."""
    sums = [np.cumsum(at / at.sum(axis=2, keepdims=True), axis=2) for at in (a, b)]
    return np.asarray(np.abs(sums[0] - sums[1]).sum(axis=2).mean(axis=1))


def residual_db(target: Floats, sound: Floats) -> Floats:
    """(n,) the norms of the differences of sounds (n, samples) from their targets, over the targets', in dB.

    Where the target is silent, a norm of 1 stands for its own.
    """
    norm = np.linalg.norm(target, axis=1)
    share = np.linalg.norm(sound - target, axis=1) / np.where(norm > 0, norm, 1)
    return np.asarray(20 * np.log10(np.maximum(share, 10 ** (LEAST_RESIDUAL_DB / 20))))


def _rms(sounds: Floats, rate: int) -> Floats:
    frames = framed(sounds, round(RMS_WINDOW_S * rate), round(RMS_HOP_S * rate), hann=False)
    return np.asarray(np.sqrt((frames**2).mean(axis=2)))


def _cosine(a: Floats, b: Floats) -> Floats:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    equal = (a == b).all(axis=1)
    return np.asarray(np.where(norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), equal))
