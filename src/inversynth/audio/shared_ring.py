"""The ring between the process of an audio device and this one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..system.processes import CONTEXT
from .internals import semaphore_address


class SharedRing:
    """A ring of blocks in memory that two processes share: a callback writes, the other takes, without a lock."""

    def __init__(self, samples: int) -> None:
        self._memory = CONTEXT.RawArray("B", _native.SharedRing.bytes_of(samples))
        self._data_ready = CONTEXT.Semaphore(0)
        self._view()
        self.clear()

    def __getstate__(self) -> Any:
        return self._memory, self._data_ready

    def __setstate__(self, state: Any) -> None:
        self._memory, self._data_ready = state
        self._view()

    def _view(self) -> None:
        self.native = _native.SharedRing(np.frombuffer(self._memory, np.uint8), semaphore_address(self._data_ready))
        self._known = self.native.overflows()

    def wait(self, seconds: float, samples: int = 0) -> None:
        """Returns when `samples` (at least one) wait, or after `seconds`; perhaps earlier."""
        if self.native.want(samples) or self._data_ready.acquire(timeout=seconds):
            while self._data_ready.acquire(block=False):
                pass

    def take(self) -> list[tuple[NDArray[np.float32], float]]:
        """Copies of the blocks that have come, and when (`time.perf_counter`)."""
        blocks = []
        while (samples := self.native.waiting()) >= 0:
            block = np.empty(samples, np.float32)
            blocks.append((block, self.native.take(block)))
        return blocks

    def take_overflows(self) -> int:
        """How many blocks were lost since the last call."""
        known, self._known = self._known, self.native.overflows()
        return self._known - known

    def clear(self) -> None:
        """Empties it; only while nothing writes to it."""
        self.native.prepare()
        self._known = 0
