"""Sound files, mixed to mono, and resampling of whole sounds."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..spec import AudioFormat
from ..system.devices import quiet


def read_file(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Reads any file that libsndfile reads, mixed to mono.

    Returns (samples,) float32 and the sample rate in Hz. Raises `UsageError` for what isn't there,
    isn't audio, is empty, doesn't say its length, or holds samples that aren't finite.
    """
    import soundfile

    if not Path(path).is_file():
        raise UsageError(f"{path} is not a file; give the path of a recording")
    alone = threading.current_thread() is threading.main_thread() and sys.stderr is not None
    try:
        with quiet() if alone else contextlib.nullcontext():
            data, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except UnicodeError:
        raise UsageError(f"{path} has a name that can't be opened in this locale; rename the file") from None
    except (ValueError, MemoryError):
        raise UsageError(
            f"{path} doesn't say how long it is, or is too long; write it again, its first note alone"
        ) from None
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise UsageError(
            f"{path} is not audio that can be read ({reason}); give a WAV, FLAC, AIFF, OGG or MP3 file"
        ) from None
    if not len(data):
        raise UsageError(f"{path} holds no sound: its length is 0; give a recording of a note")
    if not np.isfinite(data).all():
        raise UsageError(f"{path} holds NaN or infinite samples; write it again from its source")
    try:
        AudioFormat(int(rate), 1.0)
    except UsageError as error:
        raise UsageError(f"{path} can't be used: its {error}") from None
    return data.mean(axis=1), int(rate)


def resample(sound: NDArray[np.float32], rate: int, to_rate: int) -> NDArray[np.float32]:
    """(samples,) float32 from one sample rate (Hz) to another, by soxr at its highest quality."""
    import soxr

    if rate == to_rate:
        return sound
    return np.asarray(soxr.resample(sound, rate, to_rate, quality="VHQ"), np.float32)
