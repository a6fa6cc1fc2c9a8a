"""Degradations of sounds: levels, offsets, noise, codecs, delays, other rates and pitches; and the augmentation.

A degradation is a pure function of sounds (n, samples) float32, their sample rate in Hz and a random generator, and
returns as many sounds of the same shape and type.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..spec import AudioFormat, Param, ParamSpace
from .files import resample
from .windows import fit

Sounds = NDArray[np.float32]
Degradation = Callable[[Sounds, int, np.random.Generator], Sounds]

CODEC_RATE_HZ = 44100
KBITS = (32, 320)
"""The bit rates of MPEG-1 Layer III, least and most, over which libsndfile spreads its compression levels 1 to 0."""


def level(db: float) -> Degradation:
    """Louder by `db`."""
    gain = np.float32(10 ** (db / 20))
    return lambda sounds, rate, random: sounds * gain


def dc_offset(share: float) -> Degradation:
    """A constant of this share of each sound's peak is added."""
    return lambda sounds, rate, random: sounds + np.float32(share) * _peaks(sounds)


def white_noise(snr_db: float) -> Degradation:
    """Gaussian noise is added, `snr_db` below each sound's mean power."""

    def degrade(sounds: Sounds, rate: int, random: np.random.Generator) -> Sounds:
        rms = np.sqrt(np.mean(np.square(sounds, dtype=np.float64), axis=1, keepdims=True)) * 10 ** (-snr_db / 20)
        return np.asarray(sounds + rms.astype(np.float32) * random.standard_normal(sounds.shape, np.float32))

    return degrade


def sixteen_bits(sounds: Sounds, rate: int, random: np.random.Generator) -> Sounds:
    """Rounded to 16-bit integers. Full scale is 1, or the sound's peak where that is more; no dither."""
    scale = np.float32(32767) / np.maximum(_peaks(sounds), np.float32(1))
    return np.asarray(np.rint(sounds * scale) / scale, np.float32)


def mp3(kbit_s: float) -> Degradation:
    """Through an MP3 file of a constant bit rate at 44.1 kHz, below full scale; by libsndfile (LAME and mpg123)."""
    least, most = KBITS

    def degrade(sounds: Sounds, rate: int, random: np.random.Generator) -> Sounds:
        import soundfile

        check()
        out = np.empty_like(sounds)
        peaks = np.maximum(_peaks(sounds)[:, 0], 1) / 0.9  # what the codec adds must not clip
        for i, (sound, peak) in enumerate(zip(sounds, peaks, strict=True)):
            file = io.BytesIO()
            soundfile.write(
                file,
                resample(sound / peak, rate, CODEC_RATE_HZ),
                CODEC_RATE_HZ,
                format="MP3",
                bitrate_mode="CONSTANT",
                compression_level=(most - kbit_s) / (most - least),
            )
            file.seek(0)
            decoded = resample(soundfile.read(file, dtype="float32")[0], CODEC_RATE_HZ, rate)[: sounds.shape[1]]
            out[i, : len(decoded)] = decoded * peak
            out[i, len(decoded) :] = 0
        return out

    return degrade


def check() -> None:
    """Raises `UsageError` where a degradation can't be made: libsndfile older than 1.1 doesn't write MP3."""
    import soundfile

    if "MP3" not in soundfile.available_formats():
        raise UsageError(f"libsndfile {soundfile.__libsndfile_version__} can't write MP3; install 1.1 or later")


SNR_DB = (15.0, 60.0)
OFFSET = 0.2


def augmented(
    sounds: Sounds, share: float, random: np.random.Generator, out: NDArray[np.float32] | None = None
) -> Sounds:
    """A share of (n, samples) sounds with noise, rounded to 16 bits, or with an offset; the others as they are.

    Noise is 15 to 60 dB below the sound, an offset at most a fifth of its peak, either way. out: where to, of the same
    shape; `sounds` itself is the quickest, and is changed.
    """
    out = _copied(sounds, out)
    chosen = np.flatnonzero(random.random(len(sounds)) < share)
    for i, kind in zip(chosen.tolist(), random.integers(3, size=len(chosen)).tolist(), strict=True):
        degrade = (white_noise(random.uniform(*SNR_DB)), dc_offset(random.uniform(-OFFSET, OFFSET)), sixteen_bits)[kind]
        out[i] = degrade(out[i : i + 1], 0, random)[0]
    return out


CUT_S = (0.06, 1.0)
SHIFT_S = (-0.002, 0.005)
SHIFTED = 0.25


def truncated(
    sounds: Sounds, share: float, rate: int, random: np.random.Generator, out: NDArray[np.float32] | None = None
) -> Sounds:
    """A share of (n, samples) sounds truncated, as a live input has a note that still sounds; the others as they are.

    Of those, silence follows after 60 ms to 1 s, drawn evenly in the logarithm; and a quarter begins up to 2 ms late
    or has lost up to 5 ms of its beginning, as where the beginning was not found to the sample. out: as in `augmented`.
    """
    out = _copied(sounds, out)
    cuts = np.log(CUT_S).tolist()
    for i in np.flatnonzero(random.random(len(sounds)) < share).tolist():
        row = out[i]
        lost = round(random.uniform(*SHIFT_S) * rate) if random.random() < SHIFTED else 0
        if lost > 0:
            row[:-lost] = row[lost:]
            row[-lost:] = 0
        elif lost < 0:
            row[-lost:] = row[:lost]
            row[:-lost] = 0
        row[round(math.exp(random.uniform(*cuts)) * rate) :] = 0
    return out


def _copied(sounds: Sounds, out: NDArray[np.float32] | None) -> Sounds:
    """The array to change in place: `sounds` if it is `out`, else a copy, in `out` if that is given."""
    if out is None:
        return sounds.copy()
    if out is not sounds:
        np.copyto(out, sounds)
    return out


def late(ms: float) -> Degradation:
    """Delayed by `ms` of silence; the end is cut."""

    def degrade(sounds: Sounds, rate: int, random: np.random.Generator) -> Sounds:
        samples = min(round(ms * rate / 1000), sounds.shape[1])
        return np.pad(sounds, ((0, 0), (samples, 0)))[:, : sounds.shape[1]]

    return degrade


def _peaks(sounds: Sounds) -> Sounds:
    """(n, 1) the largest magnitude of each sound."""
    return np.asarray(np.abs(sounds).max(axis=1, keepdims=True))


DEGRADATIONS: dict[str, Degradation] = {
    "20 dB quieter": level(-20),
    "6 dB louder": level(6),
    "DC offset, 10 % of the peak": dc_offset(0.1),
    "white noise, 40 dB SNR": white_noise(40),
    "white noise, 30 dB SNR": white_noise(30),
    "white noise, 20 dB SNR": white_noise(20),
    "16 bit": sixteen_bits,
    "MP3, 128 kbit/s": mp3(128),
    "5 ms late": late(5),
    "20 ms late": late(20),
    "50 ms late": late(50),
}

RATES_HZ = (44100, 48000)


def resampled_to(audio: AudioFormat, sounds: Sounds, rate: int) -> Sounds:
    """(n, samples) sounds at a rate in Hz, resampled to a format as any recording is."""
    return np.stack([fit(sound, rate, audio) for sound in sounds])


def between_notes(space: ParamSpace, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, P) patches whose notes are a quarter tone higher, or lower where that is out of range.

    Notes are the pitches in Hz whose levels are semitones.
    """
    out = values.copy()
    for i, param in enumerate(space):
        if param.role == "pitch" and param.unit == "Hz" and _in_semitones(param):
            higher = values[:, i] * 2 ** (1 / 24)
            out[:, i] = np.where(higher <= param.high, higher, values[:, i] / 2 ** (1 / 24))
    return out


def _in_semitones(param: Param) -> bool:
    return param.curve == "exponential" and math.isclose(
        12 * math.log2(param.high / param.low), param.levels - 1, rel_tol=1e-6
    )
