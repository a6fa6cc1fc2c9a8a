"""The window of sound that a model gets: at the model's sample rate, from the first note on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..spec import AudioFormat
from . import resampling
from .onsets import Capture, amplitude

QUIET_DB = -40.0
"""In a recording a note exceeds this, relative to the recording's own level."""
QUIET_BEGIN_DB = -30.0
"""`BEGIN_DB` of a recording: 70 dB below its level; the ringing of resamplers before a note lies below that."""
RING_SAMPLES = resampling.HALF_SAMPLES
"""The last samples of a sound, counted at the lower of the two rates, that change with what comes after it."""


def fit(window: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) a window at the model's sample rate; raises `UsageError` for an invalid rate."""
    return _resampled(window, sample_rate, audio, 0)


def fit_part(sound: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) the beginning of a window at the model's sample rate, then zeros for what hasn't come yet.

    It is, to the bit, a beginning of what `fit` gives of the whole window: of another rate the last `RING_SAMPLES`,
    which depend on what comes next, are left out.
    """
    return _resampled(sound, sample_rate, audio, RING_SAMPLES if sample_rate != audio.sample_rate else 0)


def _resampled(sound: NDArray[np.float32], sample_rate: int, audio: AudioFormat, but: int) -> NDArray[np.float32]:
    """A sound at the model's sample rate, without its last `but` samples (at the lower rate); then zeros."""
    to_rate = audio.sample_rate
    window = np.zeros(audio.samples, np.float32)
    count = -(-(len(sound) * to_rate - but * max(sample_rate, to_rate)) // sample_rate)
    resampling.fill(window[: max(count, 0)], sound, sample_rate, to_rate)
    return window


def window(sound: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) the window of the first note of a sound (samples,) at sample_rate (Hz), as in live sound.

    The threshold of `Capture` is `QUIET_DB` below the sound's own level. Digital silence before it is skipped, to the
    sample, at the model's own rate. What is too short to be a note is taken from its first sample, with a constant
    offset taken off; silence stays silence.
    """
    if not len(sound):
        return np.zeros(audio.samples, np.float32)
    if sample_rate == audio.sample_rate:  # else the beginning may be a resampler's ringing
        sound = sound[max(int(np.argmax(sound != 0)) - 1, 0) :]
    capture = Capture(sample_rate, audio.seconds, amplitude(sound) * 10 ** (QUIET_DB / 20), QUIET_BEGIN_DB)
    size = round(audio.seconds * sample_rate)
    blocks = (capture.process(sound[at : at + size]) for at in range(0, len(sound), size))
    windows = next(filter(None, blocks), None) or capture.finish()  # the rest after the first note is ignored
    short = sound[:size] - (sound.max() + sound.min()) / 2
    return fit(windows[0] if windows else short, sample_rate, audio)
