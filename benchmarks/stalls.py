"""Stalls: times when a processor stops, as a virtual machine's does while its host needs it. No priority helps."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple, NoReturn

from inversynth.system.awake import HAS_IDLE_PRIORITY, on_each_processor
from inversynth.system.processes import Helper
from inversynth.system.realtime import gc_paused

STEP_S = 1e-3
WATCH_PRIORITY = 90
"""Of SCHED_FIFO: above all audio, and allowed where `rtprio 95` is."""


class Stall(NamedTuple):
    """A processor that stood still: until when (`time.perf_counter`), and how long at least, in seconds."""

    end_s: float
    length_s: float


@contextlib.contextmanager
def stalls(least_s: float) -> Iterator[Callable[[], list[Stall] | None]]:
    """Gives a function that returns the stalls of at least `least_s` so far.

    A helper process has a thread on each processor that this one may use, above all other real-time threads. It notes
    when it woke late from a sleep of `STEP_S`; a stall that is shorter by less than that may be missed. None where
    there is no such priority, or it isn't allowed, or the helper has ended.
    """
    if not HAS_IDLE_PRIORITY:
        yield lambda: None
        return
    helper = Helper(_watch, least_s)

    def seen() -> list[Stall] | None:
        with contextlib.suppress(EOFError, OSError):
            helper.pipe.send(None)
            found: list[Stall] | None = helper.pipe.recv()
            return None if found is None else [stall for stall in found if stall.end_s - stall.length_s >= began_s]
        return None

    try:
        with contextlib.suppress(EOFError, OSError):
            helper.pipe.recv()
        began_s = time.perf_counter()
        yield seen
    finally:
        helper.end()


def _watch(pipe: Connection, least_s: float) -> None:
    found: list[Stall] = []
    with gc_paused():
        error = on_each_processor(lambda: _look(least_s, found), os.SCHED_FIFO, WATCH_PRIORITY)
        pipe.send(None)
        while True:
            pipe.recv()
            pipe.send(sorted(found) if error is None else None)


def _look(least_s: float, found: list[Stall]) -> NoReturn:
    due_s = time.perf_counter()
    while True:
        due_s += STEP_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        now_s = time.perf_counter()
        if now_s - due_s >= least_s:
            found.append(Stall(now_s, now_s - due_s))
        due_s = max(due_s, now_s - STEP_S)  # what is later than a step isn't made up for
