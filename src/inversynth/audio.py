"""Sound from files: read, mixed to mono, resampled, and cut to the window that a model wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .spec import AudioFormat

SILENCE_DB = -60.0
"""Sound that stays this far below a file's peak has not begun yet."""
LEAD_S = 0.02
"""A sound that begins within this time is taken from the file's first sample."""


def read_file(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Reads any file that libsndfile reads, mixed to mono.

    Returns (samples,) float32 and the sample rate in Hz. Raises `UsageError` for what isn't there,
    isn't audio, is empty, or holds samples that aren't finite.
    """
    import soundfile

    if not Path(path).is_file():
        raise UsageError(f"{path} is not a file; give the path of a recording")
    try:
        data, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise UsageError(
            f"{path} is not audio that can be read ({reason}); give a WAV, FLAC, AIFF, OGG or MP3 file"
        ) from None
    if not len(data):
        raise UsageError(f"{path} holds no sound: its length is 0; give a recording of a note")
    if not np.isfinite(data).all():
        raise UsageError(f"{path} holds NaN or infinite samples; write it again from its source")
    return data.mean(axis=1), int(rate)


def resample(sound: NDArray[np.float32], rate: int, to_rate: int) -> NDArray[np.float32]:
    """(samples,) float32 from one sample rate (Hz) to another, by soxr at its highest quality."""
    import soxr

    if rate == to_rate:
        return sound
    return np.asarray(soxr.resample(sound, rate, to_rate, quality="VHQ"), np.float32)


def onset(sound: NDArray[np.float32], threshold: float) -> int | None:
    """The first sample whose magnitude exceeds `threshold`, or None."""
    above = np.flatnonzero(np.abs(sound) > threshold)
    return int(above[0]) if len(above) else None


def window(sound: NDArray[np.float32], audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) the part of a sound (at audio.sample_rate) that a model hears.

    It starts where the sound begins (`SILENCE_DB` below the peak), or at the first sample if that is
    within `LEAD_S`, and is cut or filled with silence at the end. Silence stays silence.
    """
    start = onset(sound, float(np.abs(sound).max(initial=0.0)) * 10 ** (SILENCE_DB / 20)) or 0
    if start <= round(LEAD_S * audio.sample_rate):
        start = 0
    part = sound[start : start + audio.samples]
    return np.pad(part, (0, audio.samples - len(part)))


def load_window(path: str | Path, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) the window of a file, whatever its format, rate and channels."""
    sound, rate = read_file(path)
    return window(resample(sound, rate, audio.sample_rate), audio)
