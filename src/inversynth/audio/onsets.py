"""Where a note begins, and its window of sound: the same for files and for live sound.

The windows depend on the samples alone, not on the blocks they come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOP_S = 0.005
"""The level of a sound is taken in steps of this length."""
REST_S = 0.05
"""A silence of this length ends a note."""
LOOK_BACK_S = 0.1
"""How far before the threshold is exceeded the beginning of a note is searched for."""
BEGIN_DB = -50.0
"""The level, from the threshold, at which a note begins out of perfect silence."""
ATTACK_DB = 12.0
"""A rise this far above the last `REST_S`, within one step, is a new note even without silence before it."""
RETRIGGER_DB = 18.0
"""The same within the window of another note; of a thousand sounds of a gated synth one rises by this within a note."""
LEAD_S = 0.02
"""A note that begins within this time of the first sample is taken from the first sample."""
CLICK_HOPS = 2
"""What exceeds the threshold for fewer steps is a click."""
CLIP = 1000.0
"""Samples beyond this (+60 dBFS) are invalid."""


def clean(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A block with its invalid samples (NaN, infinite, beyond `CLIP`) as silence, and how many there were."""
    if np.abs(block).max(initial=0.0) <= CLIP:  # which NaN is not
        return block, 0
    good = np.abs(block) <= CLIP
    bad = len(block) - int(np.count_nonzero(good))
    return np.where(good, block, np.float32(0)), bad


def amplitude(hop: NDArray[np.float32]) -> float:
    """Half the range of some samples: their amplitude, whatever constant offset they have."""
    return float(hop.max() - hop.min()) / 2


class Past:
    """The last `size` samples of a stream, zeros before its beginning; what comes in is copied twice at most."""

    def __init__(self, size: int) -> None:
        self._size = self._end = size
        self._memory = np.zeros(2 * size, np.float32)

    def append(self, samples: NDArray[np.float32]) -> None:
        """Samples (n,) have passed."""
        samples = samples[-self._size :]
        if self._end + len(samples) > len(self._memory):
            kept = self._size - len(samples)
            self._memory[:kept] = self._memory[self._end - kept : self._end]
            self._end = kept
        self._memory[self._end : self._end + len(samples)] = samples
        self._end += len(samples)

    def last(self, count: int) -> NDArray[np.float32]:
        """(count,) the last samples, of at most `size`, until more are appended."""
        return self._memory[self._end - count : self._end]


class Onset(NamedTuple):
    """Something has note to sound, `at` samples from the beginning of the stream; `level`: its amplitude so far."""

    at: int
    level: float


class Release(NamedTuple):
    """What sounded is over."""

    at: int


class Segment(NamedTuple):
    """The sound (n,) of a note from where it begins, as known `at` samples from the beginning of the stream.

    `whole`: its window is full (or the sound has ended), and no more of it will come; `sliding`: the latest window of a
    note that began before it: the beginning of the note isn't in it.
    """

    at: int
    sound: NDArray[np.float32]
    whole: bool = False
    sliding: bool = False


Event = Onset | Release | Segment


class Capture:
    """One window a note, from where the note begins; its beginning at each of the `stages`, too.

    After silence a note begins when the level exceeds the threshold, and nothing else matters until its
    window is full. The window starts where the sound has left the noise before it, or has come within
    `begin_db` of the threshold. The next note begins after `REST_S` below the threshold, or with a clear attack
    (`ATTACK_DB`); a sine gater, however deep and fast, never rises by this much in one step. A constant offset
    is taken off the window. What sounds for less than two steps is a click and no note.

    stages_s: times since the note's beginning (s), rising, below `seconds`. With `retrigger`, an attack of
    `RETRIGGER_DB` within the window of a note begins another, and the first has no more events.
    """

    def __init__(
        self,
        sample_rate: int,
        seconds: float,
        threshold: float,
        begin_db: float = BEGIN_DB,
        stages_s: Sequence[float] = (),
        retrigger: bool = False,
    ) -> None:
        self._hop = max(round(HOP_S * sample_rate), 2)
        self._rest_hops = round(REST_S / HOP_S)
        self._look_back = round(LOOK_BACK_S / HOP_S) * self._hop
        self._lead = round(LEAD_S * sample_rate)
        self._threshold = threshold
        self._begin_level = threshold * 10 ** (begin_db / 20)
        self._window = np.zeros(round(seconds * sample_rate), np.float32)
        self._stages = [round(stage * sample_rate) for stage in stages_s]
        self._retrigger = retrigger
        self._filled: int | None = None  # how much of the window is there; None while waiting for a note
        self._loud = 0  # steps of the window above the threshold
        self._armed = True
        self._levels = [0.0] * self._rest_hops
        self._past = Past(self._look_back)
        self._part = np.zeros(0, np.float32)  # the beginning of the next step
        self._position = 0  # of the end of `_past`, in the stream
        self._now = 0  # the latest position: a window begins before it
        self._offset = np.float32(0)
        self._sounding = False
        self._above = self._below = 0  # steps in a row on that side of the threshold
        self._level = 0.0  # the greatest of the steps above

    def process(self, block: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The windows (samples,) of notes that became complete with this block of any length."""
        return _windows(self.push(block))

    def finish(self) -> list[NDArray[np.float32]]:
        """The window of a note that the end of the source cut short, filled with silence."""
        return _windows(self.end())

    @property
    def due(self) -> int | None:
        """How many samples later the next `Segment` of this note is due; None if that isn't known."""
        if self._filled is None:
            return None
        return next((stage for stage in self._stages if stage > self._filled), len(self._window)) - self._filled

    def push(self, block: NDArray[np.float32]) -> list[Event]:
        """What became known with this block of any length, in the order of its `at`."""
        events: list[Event] = []
        rest = block
        while len(rest):
            if self._filled is not None:
                rest = self._fill(rest, events)
            else:
                need = self._hop - len(self._part)
                self._part = np.concatenate([self._part, rest[:need]])
                rest = rest[need:]
                if len(self._part) == self._hop:
                    hop, self._part = self._part, self._part[:0]
                    note = self._step(hop, events)
                    if note is not None:
                        rest = np.concatenate([note, rest])
        return events

    def end(self) -> list[Event]:
        """What is known at the end of the stream."""
        events: list[Event] = []
        if self._filled is not None:
            self._window[self._filled :] = self._offset
            self._filled = len(self._window)
            self._emit(events)
        if self._sounding:
            self._sounding = False
            events.append(Release(self._now))
        return events

    def _fill(self, samples: NDArray[np.float32], events: list[Event]) -> NDArray[np.float32]:
        """Takes samples into the window, up to the next event; returns those that are left."""
        at = self._filled or 0
        stops = [stage for stage in self._stages if stage > at][:1]
        count = min(len(samples), min([*stops, (at // self._hop + 1) * self._hop, len(self._window)]) - at)
        self._window[at : at + count] = samples[:count]
        self._filled = at = at + count
        self._now = max(self._now, self._position + at)
        rest = samples[count:]
        if at % self._hop == 0:
            hop = self._window[at - self._hop : at]
            level, loudest = amplitude(hop), max(self._levels)
            self._loud += level > self._threshold
            if self._retrigger and at > self._rest_hops * self._hop and self._attacks(level, loudest, RETRIGGER_DB):
                self._keep(self._window[: at - self._hop])
                note = self._attack(hop, loudest, events)
                return np.concatenate([note, rest])
            self._levels = [*self._levels[1:], level]
            self._tell(level, events)
        if at in self._stages and self._loud >= CLICK_HOPS:
            events.append(Segment(self._now, self._window[:at] - self._offset))
        if at == len(self._window):
            self._emit(events)
        return rest

    def _emit(self, events: list[Event]) -> None:
        """Emits the full window, if it is a note; the next note is searched for after it."""
        window = self._window
        self._armed = False
        self._keep(window)
        steps = window[: len(window) // self._hop * self._hop].reshape(-1, self._hop)
        levels = np.ptp(steps, axis=1) / 2
        self._levels = ([0.0] * self._rest_hops + levels.tolist())[-self._rest_hops :]
        if np.count_nonzero(levels > self._threshold) >= CLICK_HOPS:
            events.append(Segment(self._now, window - self._offset, whole=True))

    def _keep(self, window: NDArray[np.float32]) -> None:
        """Leaves a window; what there was of it is past."""
        self._filled = None
        self._position += len(window)
        self._past.append(window)

    def _step(self, hop: NDArray[np.float32], events: list[Event]) -> NDArray[np.float32] | None:
        """Takes one step; returns what there is of a note that has note in it, or None."""
        level, loudest = amplitude(hop), max(self._levels)
        self._now = max(self._now, self._position + self._hop)
        if not self._armed and loudest <= self._threshold:
            self._armed = True
        if level > self._threshold and self._armed:
            return self._opened(self._begin(hop), events)
        if self._attacks(level, loudest, ATTACK_DB):
            return self._attack(hop, loudest, events)
        self._past.append(hop)
        self._levels = [*self._levels[1:], level]
        self._position += self._hop
        self._tell(level, events)
        return None

    def _attacks(self, level: float, loudest: float, rise_db: float) -> bool:
        return level > self._threshold and level > loudest * 10 ** (rise_db / 20)

    def _attack(self, hop: NDArray[np.float32], loudest: float, events: list[Event]) -> NDArray[np.float32]:
        """The part of a step from where it is louder than what was before it."""
        note = hop[max(int(np.argmax(np.abs(hop - self._offset) > loudest)) - 1, 0) :]
        self._position += self._hop - len(note)
        return self._opened(note, events)

    def _opened(self, note: NDArray[np.float32], events: list[Event]) -> NDArray[np.float32]:
        """Opens a window for a note of which there are already some samples; returns them."""
        self._filled = self._loud = self._above = 0
        if self._sounding:
            self._sounding = False
            events.append(Release(self._now))
        return note

    def _begin(self, hop: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of the past and this step that belongs to the note: from the last sample at rest on."""
        past = self._past.last(self._look_back)
        steps = past.reshape(-1, self._hop)
        quietest = int(np.argmin(np.ptp(steps, axis=1)))
        quiet = steps[quietest]
        context = np.concatenate([past[quietest * self._hop :], hop])
        before = self._position + self._hop - len(context)  # position of the context in the stream
        self._offset = np.float32((quiet.max() + quiet.min()) / 2)
        limit = min(max(2 * amplitude(quiet), self._begin_level), self._threshold)
        start = max(int(np.argmax(np.abs(context - self._offset) > limit)) - 1, 0)
        if before + start <= self._lead:
            start = max(-before, 0)
        self._position = before + start
        return context[start:]

    def _tell(self, level: float, events: list[Event]) -> None:
        """Emits an `Onset` for sound longer than a click, and a `Release` for a rest longer than `REST_S`."""
        if level > self._threshold:
            self._level = max(level, self._level) if self._above else level
            self._above, self._below = self._above + 1, 0
            if self._above == CLICK_HOPS and not self._sounding:
                self._sounding = True
                events.append(Onset(self._now, self._level))
        else:
            self._above, self._below = 0, self._below + 1
            if self._below == self._rest_hops and self._sounding:
                self._sounding = False
                events.append(Release(self._now))


class Follow(Capture):
    """The events of `Capture`, and while the note sounds on, its latest window `rate` times a second."""

    def __init__(
        self,
        sample_rate: int,
        seconds: float,
        threshold: float,
        rate: float,
        stages_s: Sequence[float] = (),
        retrigger: bool = False,
    ) -> None:
        super().__init__(sample_rate, seconds, threshold, stages_s=stages_s, retrigger=retrigger)
        self._period = max(round(sample_rate / (rate * self._hop)), 1)
        self._past = Past(max(len(self._window), self._look_back))
        self._since = 0  # steps since the last window

    @property
    def due(self) -> int | None:
        """The same, while a note sounds on."""
        if self._filled is None and self._sounding:
            return (self._period - self._since) * self._hop - len(self._part)
        return super().due

    def _step(self, hop: NDArray[np.float32], events: list[Event]) -> NDArray[np.float32] | None:
        note = super()._step(hop, events)
        self._since = 0 if note is not None else self._since + 1
        if self._since >= self._period and self._sounding:
            self._since = 0
            sound = self._past.last(len(self._window)) - self._offset
            events.append(Segment(self._now, sound, sliding=True))
        return note


def _windows(events: Sequence[Event]) -> list[NDArray[np.float32]]:
    return [event.sound for event in events if isinstance(event, Segment) and event.whole]
