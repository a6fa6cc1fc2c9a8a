"""The live bridge: a source of sound in, control changes out. The only module that starts a thread.

    source -> ring -> listener -> window -> network -> pacer (the latest patch wins) -> sinks
    audio callback    this thread                      the sender's thread

The listeners are pure: the windows depend on the samples alone, not on the blocks they come in. A file
heard with a `StreamClock` goes through the same code, with the sender on this thread and in the file's time.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .audio import LEAD_S, Clock, Source, StreamClock, resample
from .errors import UsageError
from .midi import BAUD, LOOK_S, ControlMap, Pacer, Sink, cc_values, message_s
from .spec import AudioFormat, ParamSpace

MODES = ("capture", "follow")

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
CLIP = 1000.0
"""Samples beyond this (+60 dBFS) are no sound."""

SWITCH_S = 5e-4
FLUSH_S = 1.0
"""How long, at most, the end waits for messages that are still to be sent."""


class Model(Protocol):
    """What the bridge needs of a `predict.Model`."""

    name: str
    audio: AudioFormat
    space: ParamSpace

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """P arrays (levels,) from a window (samples,)."""

    def warm_up(self) -> None:
        """Runs until its time has settled."""


@dataclass(frozen=True)
class Settings:
    """The mode, the threshold in dBFS, predictions a second (follow), the wire's bits a second, when to stop (s)."""

    mode: str = "capture"
    threshold_db: float = -50.0
    rate: float = 10.0
    baud: float = BAUD
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if not -120 <= self.threshold_db < 0:
            raise UsageError(f"a threshold of {self.threshold_db:g} dBFS is outside -120..0")
        if not 0.1 <= self.rate <= 100:
            raise UsageError(f"{self.rate:g} predictions a second are outside 0.1..100")
        message_s(self.baud)
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise UsageError(f"a duration of {self.duration:g} s is not above 0")


# -- listening (pure) ----------------------------------------------------------------------------


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
    `BEGIN_DB` of the threshold. The next note begins after `REST_S` below the threshold, or with a clear attack
    (`ATTACK_DB`); a sine gater, however deep and fast, never rises by so much in one step. A constant offset
    is taken off the window. What sounds for less than two steps is a click and no note.
    """

    def __init__(self, sample_rate: int, seconds: float, threshold: float) -> None:
        self._hop = max(round(HOP_S * sample_rate), 2)
        self._rest_hops = round(REST_S / HOP_S)
        self._lead = round(LEAD_S * sample_rate)
        self._threshold = threshold
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
        limit = min(max(2 * _level(quiet), self._threshold * 10 ** (BEGIN_DB / 20)), self._threshold)
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


def listener(settings: Settings, sample_rate: int, audio: AudioFormat) -> Capture | Follow:
    """The listener that settings ask for, at the sample rate (Hz) of a source, for windows of a model's length."""
    threshold = 10 ** (settings.threshold_db / 20)
    if settings.mode == "capture":
        return Capture(sample_rate, audio.seconds, threshold)
    return Follow(sample_rate, audio.seconds, threshold, settings.rate)


def fit(window: NDArray[np.float32], sample_rate: int, audio: AudioFormat) -> NDArray[np.float32]:
    """(audio.samples,) a window at the model's sample rate."""
    sound = resample(window, sample_rate, audio.sample_rate)[: audio.samples]
    return np.pad(sound, (0, audio.samples - len(sound)))


# -- sending -------------------------------------------------------------------------------------


class Sender:
    """Takes patches as they come, the latest wins, and sends their changes at the pace of the wire.

    Either `run` sends from a thread in the time of `clock`, or `advance` sends on the caller's.
    """

    def __init__(self, pacer: Pacer, controls: ControlMap, sinks: Sequence[Sink], began: float) -> None:
        self._pacer, self._controls, self._sinks, self._began = pacer, controls, sinks, began
        self._news = threading.Condition()
        self._end: float | None = None
        self.error: BaseException | None = None

    def offer(self, values: NDArray[np.int64], heard: NDArray[np.bool_]) -> None:
        """Puts a patch, as (P,) 7-bit values, in the place of the one before."""
        with self._news:
            self._pacer.offer(values, heard)
            self._news.notify()

    def pump(self, now: float) -> float | None:
        """Sends what may be sent at `now`; returns the time of the next message, None if none waits."""
        if any([sink.returned() for sink in self._sinks]):
            with self._news:
                self._pacer.forget()
        while True:
            with self._news:
                message = self._pacer.take(now)
                if message is None:
                    return self._pacer.next_at()
            at, value = message
            for sink in self._sinks:
                sink.send(self._controls.channel, self._controls.numbers[at], value, now - self._began)

    def advance(self, now: float, until: float) -> None:
        """Sends everything that may be sent from `now` to `until`, each at its time."""
        at = self.pump(now)
        while at is not None and at <= until:
            at = self.pump(max(at, now))

    def run(self, clock: Clock, stop: threading.Event) -> None:
        """Sends until `finish`; sets `stop` if a sink fails, and keeps its error."""
        try:
            while True:
                self.pump(clock.now())
                with self._news:
                    at = self._pacer.next_at()
                    if self._end is not None and (at is None or clock.now() > self._end):
                        return
                    self._news.wait(LOOK_S if at is None else min(max(at - clock.now(), 0), LOOK_S))
        except BaseException as error:
            self.error = error
            stop.set()

    def finish(self, end: float) -> None:
        """Lets `run` return once nothing waits, at the latest at `end`."""
        with self._news:
            self._end = end
            self._news.notify()


# -- the bridge ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What a run did. `damaged` counts samples that were no sound, `superseded` values that a later one replaced."""

    seconds: float
    blocks: int
    overflows: int
    damaged: int
    predictions: int
    inference_s: NDArray[np.float64]
    sent: int
    superseded: int

    def lines(self, what: str) -> list[str]:
        """For the user; `what` names one prediction."""
        lines = [
            f"{self.seconds:.1f} s, {self.blocks} blocks, {self.overflows} overflows, {self.damaged} damaged samples",
            f"{self.predictions} {what}{'' if self.predictions == 1 else 's'}",
        ]
        if len(self.inference_s):
            p50, p99, most = np.percentile(self.inference_s, [50, 99, 100]) * 1e3
            lines[1] += f"; inference p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms"
        return [*lines, f"{self.sent} messages sent, {self.superseded} dropped (superseded before they were sent)"]


def run(
    source: Source,
    model: Model,
    controls: ControlMap,
    sinks: Sequence[Sink],
    settings: Settings,
    stop: threading.Event,
    report: Callable[[float, NDArray[np.int64]], None] | None = None,
) -> Summary:
    """Listens until the source ends, `stop` is set or the duration is over; then says what it did.

    `report` is called with the time (s) and the (P,) levels of each prediction. Source and sinks are the
    caller's to close. Raises `InversynthError` if the source or a sink fails.
    """
    clock, pacer = source.clock, Pacer(len(model.space), settings.baud)
    ear = listener(settings, source.sample_rate, model.audio)
    inference_s = array("d")
    damaged = 0
    model.warm_up()
    began = clock.now()
    deadline = None if settings.duration is None else began + settings.duration
    sender = Sender(pacer, controls, sinks, began)
    threaded = not isinstance(clock, StreamClock)
    thread = threading.Thread(target=sender.run, args=(clock, stop), name="sender", daemon=True)

    def predict(windows: list[NDArray[np.float32]]) -> None:
        for window in windows:
            at = time.perf_counter()
            rows = model.predict_one(fit(window, source.sample_rate, model.audio))
            inference_s.append(time.perf_counter() - at)
            levels = np.array([row.argmax() for row in rows])
            sender.offer(cc_values(model.space, levels), model.space.active(levels[None])[0])
            if report is not None:
                report(clock.now() - began, levels)

    with _undisturbed():
        if threaded:
            thread.start()
        try:
            source.start()
            while not stop.is_set() and (deadline is None or clock.now() < deadline):
                before = clock.now()
                block = source.read()
                if not threaded:
                    sender.advance(before, clock.now())
                if block is None:
                    predict(ear.finish())
                    break
                block, bad = clean(block)
                damaged += bad
                predict(ear.process(block))
        finally:
            seconds = clock.now() - began
            if threaded:
                sender.finish(clock.now() + FLUSH_S)
                thread.join(FLUSH_S + 1)
            else:
                sender.advance(clock.now(), float("inf"))
    if sender.error is not None:
        raise sender.error
    return Summary(
        seconds,
        source.blocks,
        source.overflows,
        damaged,
        len(inference_s),
        np.array(inference_s),
        pacer.sent,
        pacer.superseded,
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection, and quicker turns between threads, while the bridge runs."""
    collecting, turns = gc.isenabled(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(turns)
        gc.unfreeze()
        if collecting:
            gc.enable()
