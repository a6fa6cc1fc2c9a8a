"""The ring between the process of a device and this one."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import _native
from inversynth.audio.shared_ring import SharedRing
from inversynth.system.processes import Helper
from portaudio import deliver
from sounds import noise


def write(ring: SharedRing, block: NDArray[np.float32]) -> None:
    deliver(*ring.native.callback(), block)


def blocks_of(ring: SharedRing) -> list[NDArray[np.float32]]:
    return [block for block, _ in ring.take()]


def test_a_shared_ring_gives_blocks_back_across_its_end_with_the_times_at_which_they_came() -> None:
    ring = SharedRing(10)
    for i in range(20):
        block = noise((3, 7, 10, 0)[i % 4], i)
        before_s = time.perf_counter()
        write(ring, block)
        after_s = time.perf_counter()
        ((got, at_s),) = ring.take()
        np.testing.assert_array_equal(got, block)
        assert before_s <= at_s <= after_s
    assert ring.take() == []
    assert ring.take_overflows() == 0


def test_a_full_shared_ring_loses_what_is_newest_and_counts_it() -> None:
    ring = SharedRing(100)
    for i in range(12):
        write(ring, noise(10, i))
    np.testing.assert_array_equal(blocks_of(ring), [noise(10, i) for i in range(10)])
    assert ring.take_overflows() == 2
    write(ring, noise(10, 12))
    np.testing.assert_array_equal(blocks_of(ring), [noise(10, 12)])
    write(ring, noise(101))
    assert (ring.take(), ring.take_overflows()) == ([], 1)


def test_a_shared_ring_holds_a_number_of_blocks_however_short() -> None:
    ring = SharedRing(1 << 20)
    for _ in range((1 << 14) + 3):
        write(ring, noise(1))
    assert (len(ring.take()), ring.take_overflows()) == (1 << 14, 3)


def test_a_cleared_shared_ring_is_as_new() -> None:
    ring = SharedRing(100)
    for _ in range(11):
        write(ring, noise(10))
    ring.clear()
    assert (ring.take(), ring.take_overflows()) == ([], 0)
    write(ring, noise(100))
    np.testing.assert_array_equal(blocks_of(ring), [noise(100)])


def _write_blocks(pipe: Any, ring: SharedRing) -> None:
    for i in range(3):
        write(ring, noise(40, i))
    pipe.recv()


def test_what_another_process_writes_into_a_shared_ring_is_taken_here_and_wakes_who_waits() -> None:
    ring = SharedRing(1000)
    helper = Helper(_write_blocks, ring)
    try:
        ring.wait(60.0, 120)
        np.testing.assert_array_equal(blocks_of(ring), [noise(40, i) for i in range(3)])
    finally:
        helper.end()


def waits_for(ring: SharedRing, block: NDArray[np.float32], samples: int = 0) -> bool:
    """Whether a reader that waits for a number of samples still waits until this block is written, and then returns."""
    events: list[str] = []

    def read() -> None:
        ring.wait(60.0, samples)
        events.append("returned")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(0.05)  # long enough to return, if it doesn't wait
    events.append("written")
    write(ring, block)
    reader.join(60.0)
    return events == ["written", "returned"]


def test_a_shared_ring_that_waits_returns_when_something_comes_or_its_time_is_over() -> None:
    ring = SharedRing(100)
    ring.wait(0.01)
    write(ring, noise(10))
    write(ring, noise(10))
    ring.wait(1e6)
    assert len(ring.take()) == 2
    assert waits_for(ring, noise(10))  # both that came before are known


def test_a_shared_ring_that_waits_for_many_samples_returns_when_they_have_come() -> None:
    ring = SharedRing(100)
    ring.wait(0.0, 25)
    write(ring, noise(10, 0))
    write(ring, noise(10, 1))
    ring.wait(0.01, 25)
    assert waits_for(ring, noise(10, 2), 25)
    np.testing.assert_array_equal(blocks_of(ring), [noise(10, i) for i in range(3)])
    ring.wait(0.0, 25)
    write(ring, noise(10, 3))
    ring.wait(1e6)  # now anything will do, and it is there already
    write(ring, noise(10, 4))
    ring.wait(1e6)
    np.testing.assert_array_equal(blocks_of(ring), [noise(10, i) for i in (3, 4)])


@pytest.mark.parametrize("size", [0, 100])
def test_an_end_of_a_shared_ring_has_memory_enough(size: int) -> None:
    with pytest.raises(ValueError, match=r"a ring needs \d+ bytes or more"):
        _native.SharedRing(np.zeros(size, np.uint8), 0)


def test_a_block_is_taken_whole() -> None:
    ring = SharedRing(100)
    with pytest.raises(ValueError, match="the next block has -1 samples"):
        ring.native.take(np.zeros(10, np.float32))
    write(ring, noise(10))
    with pytest.raises(ValueError, match="the next block has 10 samples"):
        ring.native.take(np.zeros(9, np.float32))
