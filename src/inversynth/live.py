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

from .audio import Clock, Source, StreamClock
from .errors import UsageError
from .listening import Capture, Follow, clean, fit
from .midi import BAUD, LOOK_S, Receiver, byte_s
from .spec import AudioFormat, ParamSpace

MODES = ("capture", "follow")

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
        byte_s(self.baud)
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise UsageError(f"a duration of {self.duration:g} s is not above 0")


# -- listening ------------------------------------------------------------------------------------


def listener(settings: Settings, sample_rate: int, audio: AudioFormat) -> Capture | Follow:
    """The listener that settings ask for, at the sample rate (Hz) of a source, for windows of a model's length."""
    threshold = 10 ** (settings.threshold_db / 20)
    if settings.mode == "capture":
        return Capture(sample_rate, audio.seconds, threshold)
    return Follow(sample_rate, audio.seconds, threshold, settings.rate)


# -- sending -------------------------------------------------------------------------------------


class Sender:
    """Takes patches as they come, the latest wins, and lets receivers send their changes.

    Either `run` sends from a thread in the time of `clock`, or `advance` sends on the caller's. Times are in
    seconds; those of `pump` and `advance` count from the start of listening.
    """

    def __init__(self, receivers: Sequence[Receiver], began: float) -> None:
        self._receivers, self._began = receivers, began
        self._news = threading.Condition()
        self._patch: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None
        self._end: float | None = None
        self.error: BaseException | None = None

    def offer(self, x: NDArray[np.float64], heard: NDArray[np.bool_]) -> None:
        """Puts a patch, as (P,) x, in the place of the one before."""
        with self._news:
            self._patch = x, heard
            self._news.notify()

    def pump(self, now: float) -> float | None:
        """Sends what may be sent at `now`; returns the time of the next message, None if none waits."""
        with self._news:
            patch, self._patch = self._patch, None
        if patch is not None:
            for receiver in self._receivers:
                receiver.offer(*patch)
        times = [receiver.pump(now) for receiver in self._receivers]
        return min((at for at in times if at is not None), default=None)

    def advance(self, now: float, until: float) -> None:
        """Sends everything that may be sent from `now` to `until`, each at its time."""
        at = self.pump(now)
        while at is not None and at <= until:
            at = self.pump(max(at, now))

    def run(self, clock: Clock, stop: threading.Event) -> None:
        """Sends until `finish`; sets `stop` if a sink fails, and keeps its error."""
        try:
            while True:
                at = self.pump(clock.now() - self._began)
                with self._news:
                    if self._patch is not None:
                        continue
                    now = clock.now() - self._began
                    if self._end is not None and (at is None or now > self._end):
                        return
                    self._news.wait(LOOK_S if at is None else min(max(at - now, 0), LOOK_S))
        except BaseException as error:
            self.error = error
            stop.set()

    def finish(self, end: float) -> None:
        """Lets `run` return once nothing waits, at the latest at `end`, counted from the start of listening."""
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
    receivers: Sequence[Receiver],
    settings: Settings,
    stop: threading.Event,
    report: Callable[[float, NDArray[np.int64]], None] | None = None,
) -> Summary:
    """Listens until the source ends, `stop` is set or the duration is over; then says what it did.

    `report` is called with the time (s) and the (P,) levels of each prediction. Source and sinks are the
    caller's to close. Raises `InversynthError` if the source or a sink fails.
    """
    clock = source.clock
    ear = listener(settings, source.sample_rate, model.audio)
    inference_s = array("d")
    damaged = 0
    model.warm_up()
    began = clock.now()
    deadline = None if settings.duration is None else began + settings.duration
    sender = Sender(receivers, began)
    threaded = not isinstance(clock, StreamClock)
    thread = threading.Thread(target=sender.run, args=(clock, stop), name="sender", daemon=True)

    def predict(windows: list[NDArray[np.float32]]) -> None:
        for window in windows:
            at = time.perf_counter()
            rows = model.predict_one(fit(window, source.sample_rate, model.audio))
            inference_s.append(time.perf_counter() - at)
            levels = np.array([row.argmax() for row in rows])
            x = np.array([param.x_of_level(at) for param, at in zip(model.space, levels, strict=True)])
            sender.offer(x, model.space.active(levels[None])[0])
            if report is not None:
                report(clock.now() - began, levels)

    with _undisturbed():
        if threaded:
            thread.start()
        try:
            source.start()
            while not stop.is_set() and (deadline is None or clock.now() < deadline):
                before = clock.now() - began
                block = source.read()
                if not threaded:
                    sender.advance(before, clock.now() - began)
                if block is None:
                    predict(ear.finish())
                    break
                block, bad = clean(block)
                damaged += bad
                predict(ear.process(block))
        finally:
            seconds = clock.now() - began
            if threaded:
                sender.finish(seconds + FLUSH_S)
                thread.join(FLUSH_S + 1)
            else:
                sender.advance(seconds, float("inf"))
    if sender.error is not None:
        raise sender.error
    return Summary(
        seconds,
        source.blocks,
        source.overflows,
        damaged,
        len(inference_s),
        np.array(inference_s),
        sum(receiver.sent for receiver in receivers),
        sum(receiver.superseded for receiver in receivers),
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
