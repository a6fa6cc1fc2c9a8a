"""Sources, sinks, models and a gate that remember when things happened."""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...audio.sources import Source
from ...midi import Sink
from ...predict.model import WARM_UP_RUNS
from ..gate import Gate
from ..listener import Model
from ..tracking import Estimate
from .usage import cpu_s


class Timed(Source):
    """A source that remembers when each block came, and what was read; `newest_s` is when the last block read came,
    `lost_s` when the first and the last block came of those with which an overflow was reported."""

    def until(self, stop: threading.Event, seconds: float, keep: bool = True, sound: bool = False) -> None:
        """Sets `stop` `seconds` after the start; without `keep` nothing is remembered, and what was read
        only with `sound`."""
        self.keep, self._sound = keep, sound
        self._timer = threading.Timer(seconds, stop.set)
        self._timer.daemon = True
        self.times_s, self.ends = array("d"), array("q")
        self.blocks_read: list[NDArray[np.float32]] = []
        self.lost_s: list[tuple[float, float]] = []
        self._came_s = array("d")
        self.newest_s = 0.0
        self._cpu_s = self._wall_s = 0.0
        self._delivered = self._taken = 0

    def begin(self) -> None:
        """It has started, and what is played begins."""
        self._timer.start()
        self._cpu_s, self._wall_s = cpu_s(), time.perf_counter()

    def share(self) -> float:
        """The share of a core that the bridge, with its device's process, has taken since the start, in percent."""
        return round(100 * (cpu_s() - self._cpu_s) / (time.perf_counter() - self._wall_s), 2)

    def deliver(self, block: NDArray[np.float32]) -> None:
        self._came_s.append(self.delivered_s or time.perf_counter())
        if self.keep:
            self._delivered += len(block)
            self.times_s.append(self._came_s[-1])
            self.ends.append(self._delivered)
        super().deliver(block)

    def read(self) -> NDArray[np.float32] | None:
        block = super().read()
        if self._came_s:
            self.lost_s += [(self._came_s[0], self._came_s[-1])] * (self.overflows - len(self.lost_s))
            del self._came_s[:]
        if self.keep and block is not None and len(block):
            self._taken += len(block)
            self.newest_s = self.times_s[bisect_left(self.ends, self._taken)]
            if self._sound:
                self.blocks_read.append(block)
        return block

    def came_s(self, sample: int) -> float:
        """When a sample sounded: its block came when the last of the block did."""
        at = bisect_left(self.ends, sample + 1)
        return self.times_s[at] - (self.ends[at] - sample) / self.sample_rate


class TimedSink:
    """Another sink, or none, that remembers when each send returned."""

    def __init__(self, inner: Sink | None, keep: bool) -> None:
        self.description = "nowhere" if inner is None else inner.description
        self.times_s = array("d")
        self.prompt = getattr(inner, "prompt", False)
        self._inner, self._keep = inner, keep

    def send(self, message: bytes, at_s: float) -> None:
        """Sends, and notes when that returned."""
        if self._inner is not None:
            self._inner.send(message, at_s)
        if self._keep:
            self.times_s.append(time.perf_counter())

    def returned(self) -> bool:
        """Whether the other has."""
        return self._inner is not None and self._inner.returned()

    def close(self) -> None:
        """The other is closed by who opened it."""


class Open(Gate):
    """Takes as long as the gate, and lets everything pass, so that any model sends."""

    def __call__(self, sound: NDArray[np.float32], estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
        """What the gate takes."""
        return super().__call__(sound, estimates)[0], None


class TimedModel:
    """A model that remembers of each prediction when its newest block came, when it was done, and how long it took."""

    def __init__(self, model: Model, source: Timed) -> None:
        self.name, self.audio, self.space = model.name, model.audio, model.space
        self.came_s, self.done_s, self.took_s = array("d"), array("d"), array("d")
        self._model, self._source = model, source

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """As the model does."""
        began = time.perf_counter()
        rows = self._model.predict_one(window)
        done = time.perf_counter()
        if self._source.keep and self._source.times_s:
            self.came_s.append(self._source.newest_s)
            self.done_s.append(done)
            self.took_s.append(done - began)
        return rows

    def warm_up(self, runs: int = WARM_UP_RUNS) -> None:
        """As the model does; it is no prediction."""
        self._model.warm_up(runs)
