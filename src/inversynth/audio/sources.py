"""Sources: blocks of mono float32 from a file or a device, through a ring."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .files import read_file

BLOCK_SAMPLES = 256
RING_S = 8.0
"""How much sound a source keeps for a reader that is late."""


class Ring:
    """A ring of float32 samples for one thread that writes and one that reads, without a lock.

    Each side moves a counter of its own, and only after the samples are in place.
    """

    def __init__(self, samples: int) -> None:
        self._buffer = np.zeros(samples, np.float32)
        self._written = 0
        self._taken = 0

    def write(self, block: NDArray[np.float32]) -> int:
        """Copies as much of a block (samples,) as there is room for; returns how many samples that were."""
        size = len(self._buffer)
        count = min(len(block), size - (self._written - self._taken))
        at = self._written % size
        first = min(count, size - at)
        self._buffer[at : at + first] = block[:first]
        self._buffer[: count - first] = block[first:count]
        self._written += count
        return count

    def read(self) -> NDArray[np.float32]:
        """Everything that was written and not yet read, as a copy."""
        size = len(self._buffer)
        count = self._written - self._taken
        at = self._taken % size
        first = min(count, size - at)
        out = np.concatenate([self._buffer[at : at + first], self._buffer[: count - first]])
        self._taken += count
        return out


class Clock(Protocol):
    """Seconds, and waiting for them."""

    def now(self) -> float:
        """The time in seconds from a fixed but unknown start."""

    def sleep_until(self, at_s: float) -> None:
        """Returns when it is `at_s`."""


class WallClock:
    """Real time."""

    def now(self) -> float:
        """`time.perf_counter`."""
        return time.perf_counter()

    def sleep_until(self, at_s: float) -> None:
        """Sleeps."""
        time.sleep(max(0.0, at_s - self.now()))


class StreamClock:
    """Time that only passes when it is waited for: a file is read as fast as possible."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """The latest time that was waited for."""
        return self._now

    def sleep_until(self, at_s: float) -> None:
        """It is `at_s` now."""
        self._now = max(self._now, at_s)


class Source:
    """Blocks of mono float32 at `sample_rate`, read from a ring; `blocks` and `overflows` count deliveries and losses.

    `description` says to the user what is listened to, and `clock` is the time it runs in; `away`: the device has
    gone, and is waited for; `delivered_s`: when (`time.perf_counter`) a device delivered the block that is read;
    `patience`: how many samples of a device may gather before `read` returns, while nothing is urgent; `nap_s`: how
    long it waits for a device at most.
    """

    WAIT_S = 0.05

    def __init__(self, description: str, sample_rate: int, block_samples: int, clock: Clock) -> None:
        self.description, self.sample_rate, self.clock = description, sample_rate, clock
        self.block_samples = block_samples
        self.blocks = self.overflows = 0
        self.away, self.delivered_s, self.patience, self.nap_s = False, 0.0, 0, self.WAIT_S
        self._ring = Ring(max(round(RING_S * sample_rate), 4 * block_samples))

    def deliver(self, block: NDArray[np.float32]) -> None:
        """Copies a block (samples,) into the ring, and counts it."""
        self.blocks += 1
        if self._ring.write(block) < len(block):
            self.overflows += 1

    def start(self) -> None:
        """From now on blocks are delivered."""

    def read(self) -> NDArray[np.float32] | None:
        """What has come since the last call, perhaps nothing, after a short wait; None at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Delivers no more."""


class FileSource(Source):
    """A file, delivered block by block at the time of each by `clock`, as a device would."""

    def __init__(self, path: str | Path, clock: Clock, block_samples: int = BLOCK_SAMPLES) -> None:
        self._sound, rate = read_file(path)
        block_samples = check_block(block_samples)
        super().__init__(f"{path} ({len(self._sound) / rate:.2f} s at {rate} Hz)", rate, block_samples, clock)
        self._block_samples = block_samples
        self._at = 0
        self._began = clock.now()

    def start(self) -> None:
        """The first block is due one block later."""
        self._began = self.clock.now()

    def read(self) -> NDArray[np.float32] | None:
        """The next block, when its last sample is due."""
        block = self._sound[self._at : self._at + self._block_samples]
        if not len(block):
            return None
        self._at += len(block)
        self.clock.sleep_until(self._began + self._at / self.sample_rate)
        self.deliver(block)
        return self._ring.read()


def check_block(samples: int) -> int:
    """Raises `UsageError` for a number of samples that no block has."""
    if not 1 <= samples <= 1 << 20:
        raise UsageError(f"a block of {samples} samples is outside 1..{1 << 20}")
    return samples
