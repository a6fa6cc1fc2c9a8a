"""What happens in the time of the stream: blocks of sound in, patches and notes to the outputs.

It depends on no clock and no thread: the same samples and session marks give the same messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.onsets import Event, Onset, Release, Segment
from .keys import Keys
from .listener import Listener
from .meter import Meter
from .outputs import Outputs
from .refining import Refiner
from .replay import Replay
from .session import Recorder
from .tracking import Tracker

TICK_S = 0.01
"""How often the values of a parameter are sent while it moves."""


class Pipeline:
    """Ties listener, tracker, keys and outputs together, sample by sample of a stream at `sample_rate` (Hz).

    replay: events besides the sound; refiner: improves patches of whole notes; recorder: keeps the sound and what
    happens; say: gets a line for each note; report: is called with the time (s) and the (P,) levels of each
    prediction. `notes`: of which something moved; `refinements`: how many patches were improved; `refined`: whether the
    latest was.
    """

    def __init__(
        self,
        listener: Listener,
        tracker: Tracker,
        keys: Keys,
        outputs: Outputs,
        meter: Meter,
        sample_rate: int,
        replay: Replay,
        refiner: Refiner | None,
        recorder: Recorder | None,
        say: Callable[[str], None],
        report: Callable[[float, NDArray[np.int64]], None] | None,
    ) -> None:
        self._listener, self._outputs, self._replay = listener, outputs, replay
        self.tracker, self.keys, self.meter = tracker, keys, meter
        self._refiner, self._recorder, self._say, self._report = refiner, recorder, say, report
        self._rate = sample_rate
        self._tick = max(round(TICK_S * sample_rate), 1)
        self._position = 0  # samples that were taken
        self._next_tick = 0
        self.notes = self._moved = 0  # the number of the latest note of which something moved
        self.refinements, self.refined = 0, False

    @property
    def seconds(self) -> float:
        """How much of the stream was taken."""
        return self._position / self._rate

    @property
    def idle(self) -> bool:
        """Whether nothing sounds, moves, or waits to be sent."""
        if self.keys.sounding or self._listener.due is not None or self._outputs.waits:
            return False
        return not (self.tracker.known and self.tracker.moving(self.seconds))

    def take(self, block: NDArray[np.float32]) -> None:
        """Takes a block (samples,), and does what the log of a session says happened within it."""
        block = self.meter.measure(block)
        if self._recorder is not None:
            self._recorder.audio(block)
        if self.meter.gain != 1:
            block = block * self.meter.gain
        if not self._replay.marks:
            self._push(block)
            return
        while len(block):
            self._run_marks()
            count = self._replay.until_next(self._position, len(block))
            self._push(block[:count])
            block = block[count:]
        self._run_marks()

    def gap(self) -> None:
        """The source has stopped for a while: what sounded is over, and what waits is sent."""
        self.mark("gap")
        self.keys.end(self.seconds)
        self._outputs.flush()
        self._listener.restart(self._position)

    def end(self) -> None:
        """The source has ended, unless it is that of a session that was stopped there."""
        if not self._replay.stopped:
            for event in self._listener.end():
                self._on(event, self._listener.base + event.at)

    def leave(self, panic: bool) -> None:
        """Nothing more will come: the key that is down comes up, with `panic` all is silenced."""
        self.keys.lift(self.seconds)
        if panic:
            self._outputs.do(self.seconds, lambda receiver: receiver.panic())
        self._outputs.reach(math.inf)

    def refine(self, number: int, x: NDArray[np.float64]) -> None:
        """A better patch (P,) x of a note was found; it counts while no other note has begun."""
        if number == self._listener.number:
            self.mark("refined", x.tolist())
            self._settle(x)

    def mark(self, what: str, value: Any = True) -> None:
        """Keeps that something besides the sound happens here."""
        if self._recorder is not None:
            self._recorder.mark(self._position, what, value)

    # -- within a block --------------------------------------------------------------------------

    def _push(self, block: NDArray[np.float32]) -> None:
        base, end = self._listener.base, self._position + len(block)
        for event in self._listener.push(block):
            self._move_until(base + event.at)
            self._on(event, base + event.at)
        self._move_until(end)
        self._position = end
        self._outputs.reach(end / self._rate)

    def _on(self, event: Event, at: int) -> None:
        if isinstance(event, Onset):
            self.keys.begin(at / self._rate, event.level)
        elif isinstance(event, Release):
            self.keys.end(at / self._rate)
        else:
            self._on_segment(event, at)

    def _on_segment(self, segment: Segment, at: int) -> None:
        at_s = at / self._rate
        found = self._listener.infer(segment)
        if found.begins:
            self.tracker.begin()
        self.keys.know(at_s, found)
        if found.refusal is None:
            self.tracker.update(found.estimate, at_s, settle=segment.whole, sliding=segment.sliding)
            self.refined = False
            self._offer(at)
            self.notes += found.number != self._moved
            self._moved = found.number
            if segment.whole and self._refiner is not None:
                self._refiner.ask(found.number, found.window, found.rows)
        if segment.whole:
            left = "" if found.refusal is None else f", {found.refusal}: left alone"
            self._say(f"{at_s:8.2f} s  note {found.number}{left}")
        if self._report is not None:
            self._report(at_s, np.array([int(row.argmax()) for row in found.rows]))

    def _move_until(self, at: int) -> None:
        """Sends the places of what moves up to a position."""
        while self._next_tick <= at:
            before = (self._next_tick - self._tick) / self._rate
            if self.tracker.known and self.tracker.moving(before):
                self._offer(self._next_tick)
            self._next_tick += self._tick

    def _offer(self, at: int) -> None:
        at_s = at / self._rate
        self._outputs.offer(at_s, self.tracker.x(at_s), self.tracker.active)

    def _settle(self, x: NDArray[np.float64]) -> None:
        self.refinements += 1
        self.refined = True
        self.tracker.settle(x, self.seconds)
        self._offer(self._position)

    def _run_marks(self) -> None:
        """Does what the log of a session says happened at this position."""
        for mark in self._replay.at(self._position):
            if mark.what == "gap":
                self.gap()
            elif mark.what == "refined":
                self._settle(np.array(mark.value))
