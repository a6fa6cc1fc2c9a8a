"""Senders: what is decided, in the order of its time in the stream, to a receiver, at the pace of its wire.

Every choice (which message is next, and when) is made in the time of the stream of samples, so that the same samples
give the same messages; the wall clock only says how long to wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..midi import LOOK_S, Receiver, Sink

Action = Callable[[Receiver], None]

LATE = 256
"""With this many actions waiting, a new patch replaces the one before."""


class Log(Protocol):
    """Gets what the sender does."""

    def sent(self, number: int, message: bytes, at_s: float) -> None:
        """A message went to the receiver of a number."""

    def returned(self, number: int, at_s: float) -> None:
        """The receiver of a number was away, and is back."""


class Tap:
    """A sink before a receiver's own: passes messages on, and logs them to `log` with the receiver's number.

    It reports a receiver's return when the sender says so, not when the port is polled.
    """

    def __init__(self, sink: Sink, number: int, log: Log | None) -> None:
        self.sink, self.description = sink, sink.description
        self.back = False
        self._number, self._log = number, log

    def send(self, message: bytes, at_s: float) -> None:
        """Passes it on."""
        self.sink.send(message, at_s)
        if self._log is not None:
            self._log.sent(self._number, message, at_s)

    def returned(self) -> bool:
        """True once after `back` was set."""
        back, self.back = self.back, False
        return back

    def close(self) -> None:
        """Closes the sink."""
        self.sink.close()


class Sender:
    """A receiver, on whose sink it puts a tap, and what is to be done for it; times are in seconds of the stream.

    `do` queues what is to be done at a time, in their order; `reach` says that nothing will come before a time. Then
    either `run` sends from a thread, or `advance` sends on the caller's. number: the receiver's, for the log. Each
    receiver has a sender of its own, so that a blocked receiver doesn't delay the others. To a sink that is `prompt`,
    `do` itself sends at once while the thread runs: waking the thread takes longer.
    """

    def __init__(self, receiver: Receiver, log: Log | None = None, number: int = 0) -> None:
        self.receiver = receiver
        self._prompt = getattr(receiver.sink, "prompt", False)
        self.error: BaseException | None = None
        self._log, self._number = log, number
        self._tap = receiver.sink = Tap(receiver.sink, number, log)
        self._queue: deque[tuple[float, Action, bool]] = deque()
        self._reached = 0.0
        self._due: float | None = None
        self._now = 0.0  # of the latest thing that was done
        self._lock = threading.Lock()  # of the queue, and of what is reached
        self._bell = threading.Lock()  # released to wake the thread that waits for it
        self._bell.acquire()
        self._end: float | None = None
        self._looked = -math.inf
        self._sending = threading.Lock()  # held by the thread that advances
        self._stop: threading.Event | None = None  # of the thread, while it runs
        self._idle, self._anchor_s, self._anchor_wall = True, 0.0, 0.0  # the stream's time on the wall, since it waits
        self._left_s = 0.0

    # -- from the listening thread ---------------------------------------------------------------

    def offer(self, at_s: float, x: NDArray[np.float64], active: NDArray[np.bool_]) -> None:
        """Wants a patch (P,) from a time on."""
        self.do(at_s, lambda receiver: receiver.offer(x, active), replaces=True)

    def do(self, at_s: float, action: Action, replaces: bool = False) -> None:
        """Does something with the receiver at a time."""
        with self._lock:
            if replaces and len(self._queue) >= LATE and self._queue[-1][2]:
                self._queue.pop()
            self._queue.append((at_s, action, replaces))
        if self._prompt and self._stop is not None and self._sending.acquire(blocking=False):
            try:
                self._go(self._wait)
            except Exception as error:
                self._fail(error)
            finally:
                self._sending.release()
        with self._lock:
            if self.waits:
                self._ring()

    def reach(self, at_s: float) -> None:
        """Nothing more will be done before a time."""
        with self._lock:
            self._reached = max(at_s, self._reached)
            if self._due is not None:
                self._ring()

    @property
    def waits(self) -> bool:
        """Whether something is still to be sent, or done."""
        return self._due is not None or bool(self._queue)

    def flush(self) -> None:
        """What waits may be sent, whatever comes later."""
        with self._lock:
            self._queue.append((math.inf, lambda receiver: None, False))
            self._ring()

    def _ring(self) -> None:
        """Wakes the thread, or keeps it from waiting; the caller holds the lock."""
        if self._bell.locked():
            self._bell.release()

    # -- sending -------------------------------------------------------------------------------

    def advance(self, wait: Callable[[float], bool] = lambda at_s: True) -> None:
        """Does all that may be done; `wait` says whether a time has come."""
        self._look()
        self._go(wait)

    def _go(self, wait: Callable[[float], bool]) -> None:
        self._left_s = 0.0
        self._idle = self._idle or self._due is None
        while True:
            due = math.inf if self._due is None else self._due
            with self._lock:
                at, action, _ = self._queue[0] if self._queue else (math.inf, None, False)
                if action is not None and (at <= due or due == math.inf):
                    self._queue.popleft()
                elif due < max(self._reached, at if action is not None else 0):
                    action = None
                else:
                    return
            if action is not None:
                if at < math.inf:
                    self._at(at, action)
            elif wait(due):
                self._now = max(self._now, due)
                self._due = self.receiver.pump(due)
            else:
                return

    def _at(self, at_s: float, action: Action) -> None:
        self._now = max(self._now, at_s)
        action(self.receiver)
        self._due = self.receiver.pump(at_s)

    def _look(self) -> None:
        """Checks every `LOOK_S` whether the receiver has come back."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if self._tap.sink.returned():
            at_s = math.nextafter(self._now, math.inf)
            if self._log is not None:
                self._log.returned(self._number, at_s)
            self._at(at_s, self.back)

    def back(self, receiver: Receiver) -> None:
        """The action that makes the receiver get everything again."""
        self._tap.back = True

    # -- the thread ----------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Sends until `finish`; sets `stop` if a sink fails, and keeps its error."""
        self._stop = stop
        try:
            while True:
                with self._sending:
                    self.advance(self._wait)
                    left_s = self._left_s
                with self._lock:
                    over = self._end is not None
                    if over and (time.perf_counter() > (self._end or 0) or not self.waits):
                        return
                    ready = self._ready()
                if left_s > 0:
                    self._bell.acquire(timeout=left_s)
                elif not ready:
                    self._bell.acquire(timeout=0.05 if over else LOOK_S)
        except BaseException as error:
            self._fail(error)
        finally:
            self._stop = None

    def _fail(self, error: BaseException) -> None:
        self.error = error
        if self._stop is not None:
            self._stop.set()

    def _wait(self, at_s: float) -> bool:
        """Whether a time has come, by the clock on the wall; else it is `_left_s` until then."""
        if self._idle:
            self._idle, self._anchor_s, self._anchor_wall = False, self._now, time.perf_counter()
        self._left_s = max(self._anchor_wall + at_s - self._anchor_s - time.perf_counter(), 0.0)
        return self._left_s <= 0

    def _ready(self) -> bool:
        return bool(self._queue) or (self._due is not None and self._due < self._reached)

    def finish(self, patience_s: float) -> None:
        """Lets `run` return once nothing waits, at the latest after `patience_s`."""
        with self._lock:
            self._reached = math.inf
            self._end = time.perf_counter() + patience_s
            self._ring()

    def release(self) -> None:
        """Takes the tap off."""
        self.receiver.sink = self._tap.sink
