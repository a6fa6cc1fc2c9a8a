"""Where a note begins, and the window of sound that a model hears: pure, for files and for live sound alike.

The windows depend on the samples alone, not on the blocks they come in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .audio import resample
from .spec import AudioFormat

HOP_S = 0.005
"""The level of a sound is taken in steps of this length."""
REST_S = 0.05
"""So long a silence ends a note."""
LOOK_BACK_S = 0.1
"""So far before the threshold is exceeded the beginning of a note is looked for."""
BEGIN_DB = -50.0
"""The level, from the threshold, at which a note begins out of perfect silence."""
ATTACK_DB = 12.0
"""A rise this far above the last `REST_S`, within one step, is a new note even without silence before it."""
LEAD_S = 0.02
"""A note that begins within this time of the first sample is taken from the first sample."""
QUIET_DB = -40.0
"""In a recording a note exceeds this, relative to the recording's own level."""
QUIET_BEGIN_DB = -30.0
"""`BEGIN_DB` of a recording: 70 dB below its level; the ringing of resamplers before a note lies below that."""
CLIP = 1000.0
"""Samples beyond this (+60 dBFS) are no sound."""


def clean(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A block with what is no sound (NaN, infinite, beyond `CLIP`) as silence, and how many samples that were."""
    good = np.abs(block) <= CLIP
    bad = len(block) - int(np.count_nonzero(good))
    return (np.where(good, block, np.float32(0)) if bad else block), bad


def _level(hop: NDArray[np.float32]) -> float:
    """Half the range of some samples: the amplitude of what sounds, whatever constant it rides on."""
    return float(hop.max() - hop.min()) / 2


class Capture:
    """One window a note, from where the note begins.

    After silence a note begins when the level exceeds the threshold, and nothing else matters until its
    window is full. The window starts where the sound has left the noise before it, or has come within
    `begin_db` of the threshold. The next note begins after `REST_S` below the threshold, or with a clear attack
    (`ATTACK_DB`); a sine gater, however deep and fast, never rises by so much in one step. A constant offset
    is taken off the window. What sounds for less than two steps is a click and no note.
    """

    def __init__(self, sample_rate: int, seconds: float, threshold: float, begin_db: float = BEGIN_DB) -> None:
        self._hop = max(round(HOP_S * sample_rate), 2)
        self._rest_hops = round(REST_S / HOP_S)
        self._lead = round(LEAD_S * sample_rate)
        self._threshold = threshold
        self._begin_level = threshold * 10 ** (begin_db / 20)
        self._window = np.zeros(round(seconds * sample_rate), np.float32)
        self._filled: int | None = None  # how much of the window is there; None while waiting for a note
        self._armed = True
        self._levels = [0.0] * self._rest_hops
        self._past = np.zeros(round(LOOK_BACK_S / HOP_S) * self._hop, np.float32)
        self._part = np.zeros(0, np.float32)  # the beginning of the next step
        self._position = 0  # of the end of `_past`, in the stream
        self._offset = np.float32(0)

    def process(self, block: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The windows (samples,) of notes that became complete with this block of any length."""
        windows = []
        rest = block
        while len(rest):
            if self._filled is not None:
                rest = self._fill(rest)
                if self._filled == len(self._window):
                    windows += self._emit()
            else:
                need = self._hop - len(self._part)
                self._part = np.concatenate([self._part, rest[:need]])
                rest = rest[need:]
                if len(self._part) == self._hop:
                    hop, self._part = self._part, self._part[:0]
                    begun = self._step(hop)
                    if begun is not None:
                        self._filled = 0
                        rest = np.concatenate([begun, rest])
        return windows

    def finish(self) -> list[NDArray[np.float32]]:
        """The window of a note that the end of the source cut short, filled with silence."""
        if self._filled is None:
            return []
        self._window[self._filled :] = self._offset
        self._filled = len(self._window)
        return self._emit()

    def _fill(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes samples into the window; returns those that are left."""
        at = self._filled or 0
        count = min(len(samples), len(self._window) - at)
        self._window[at : at + count] = samples[:count]
        self._filled = at + count
        return samples[count:]

    def _emit(self) -> list[NDArray[np.float32]]:
        """The full window, if it is a note; listening goes on behind it."""
        window = self._window
        self._filled = None
        self._armed = False
        self._position += len(window)
        keep = len(self._past)
        self._past = np.concatenate([self._past, window])[-keep:]
        steps = window[: len(window) // self._hop * self._hop].reshape(-1, self._hop)
        levels = np.ptp(steps, axis=1) / 2
        self._levels = ([0.0] * self._rest_hops + levels.tolist())[-self._rest_hops :]
        if np.count_nonzero(levels > self._threshold) < 2:
            return []
        return [window - self._offset]

    def _step(self, hop: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Hears one step; returns what there is of a note that has begun in it, or None."""
        level, loudest = _level(hop), max(self._levels)
        begun = None
        if not self._armed and loudest <= self._threshold:
            self._armed = True
        if level > self._threshold and self._armed:
            begun = self._begin(hop)
        elif level > self._threshold and level > loudest * 10 ** (ATTACK_DB / 20):
            begun = hop[max(int(np.argmax(np.abs(hop - self._offset) > loudest)) - 1, 0) :]
        if begun is None:
            self._past = np.concatenate([self._past[self._hop :], hop])
            self._levels = [*self._levels[1:], level]
            self._position += self._hop
        else:
            self._position += self._hop - len(begun)
        return begun

    def _begin(self, hop: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of the past and this step that belongs to the note: from the last sample at rest on."""
        steps = self._past.reshape(-1, self._hop)
        quietest = int(np.argmin(np.ptp(steps, axis=1)))
        quiet = steps[quietest]
        context = np.concatenate([self._past[quietest * self._hop :], hop])
        before = self._position + self._hop - len(context)  # position of the context in the stream
        self._offset = np.float32((quiet.max() + quiet.min()) / 2)
        limit = min(max(2 * _level(quiet), self._begin_level), self._threshold)
        start = max(int(np.argmax(np.abs(context - self._offset) > limit)) - 1, 0)
        if before + start <= self._lead:
            start = max(-before, 0)
        return context[start:]


class Follow:
    """The latest window `rate` times a second, while it sounds."""

    def __init__(self, sample_rate: int, seconds: float, threshold: float, rate: float) -> None:
        self._threshold = threshold
        self._size = round(seconds * sample_rate)
        self._period = max(round(sample_rate / rate), 1)
        self._look = min(max(self._period, round(REST_S * sample_rate)), self._size)
        self._recent = np.zeros(2 * self._size, np.float32)
        self._end = self._size
        self._due = self._period

    def process(self, block: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The windows (samples,) that fell due within this block of any length."""
        windows = []
        while len(block):
            count = min(len(block), self._due, len(self._recent) - self._end)
            self._recent[self._end : self._end + count] = block[:count]
            block = block[count:]
            self._end += count
            self._due -= count
            if not self._due:
                self._due = self._period
                if _level(self._recent[self._end - self._look : self._end]) > self._threshold:
                    windows.append(self._recent[self._end - self._size : self._end].copy())
            if self._end == len(self._recent):
                self._recent[: self._size] = self._recent[self._size :]
                self._end = self._size
        return windows

    def finish(self) -> list[NDArray[np.float32]]:
        """Nothing: every window that was due has been given."""
        return []


def fit(window: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) a window at the model's sample rate."""
    sound = resample(window, sample_rate, audio.sample_rate)[: audio.samples]
    return np.pad(sound, (0, audio.samples - len(sound)))


def window(sound: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) what a model hears of a sound (samples,) at sample_rate (Hz): its first note, as in live sound.

    The threshold of `Capture` is `QUIET_DB` below the sound's own level. Digital silence before it is skipped, to the
    sample, at the model's own rate. What is too short to be a note is taken from its first sample, with a constant
    offset taken off; silence stays silence.
    """
    if not len(sound):
        return np.zeros(audio.samples, np.float32)
    if sample_rate == audio.sample_rate:  # else what comes first may be a resampler's ringing
        sound = sound[max(int(np.argmax(sound != 0)) - 1, 0) :]
    ear = Capture(sample_rate, audio.seconds, _level(sound) * 10 ** (QUIET_DB / 20), QUIET_BEGIN_DB)
    size = round(audio.seconds * sample_rate)
    blocks = (ear.process(sound[at : at + size]) for at in range(0, len(sound), size))
    windows = next(filter(None, blocks), None) or ear.finish()  # what follows the first note isn't listened to
    short = sound[:size] - (sound.max() + sound.min()) / 2
    return fit(windows[0] if windows else short, sample_rate, audio)
