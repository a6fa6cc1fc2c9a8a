"""Priority for the threads between the audio device and the ports, and processors that are awake when they begin.

And a look at what no priority helps against: a processor that stands still, as that of a virtual machine does while its
host needs it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, NoReturn

from ..errors import UsageError, one_line
from .processes import Helper

PRIORITY = 3
"""Of SCHED_FIFO: above all that isn't real-time, below JACK's threads, which run at 5 in its clients by default."""
RESET = getattr(os, "SCHED_RESET_ON_FORK", 0)
SWITCH_S = 5e-4


def hurry(thread: int = 0) -> str | None:
    """Gives the calling thread real-time priority, unless it has some; returns why not, if it couldn't.

    thread: the system's number (`threading.get_native_id`) of another one (Linux).
    """
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        if not os.sched_getparam(thread).sched_priority:
            os.sched_setscheduler(thread, os.SCHED_FIFO | RESET, os.sched_param(PRIORITY))
    except OSError:
        return "not allowed; add yourself to the group `audio`, or `rtprio 95` to /etc/security/limits.d/audio.conf"
    return None


def relax() -> None:
    """Takes back what `hurry` gave the calling thread."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            if os.sched_getparam(0).sched_priority == PRIORITY:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def hurrying() -> Iterator[None]:
    """Threads of this process that begin meanwhile have real-time priority afterwards, if they may (Linux).

    For those of PortAudio: with ALSA the thread of its callback is like any other.
    """
    before = _threads()
    yield
    for thread in _threads() - before:
        hurry(thread)


def _threads() -> set[int]:
    tasks = Path("/proc/self/task")
    return {int(task.name) for task in tasks.iterdir()} if tasks.is_dir() else set()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection meanwhile, and quicker turns between threads."""
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


STAYS_AWAKE = hasattr(os, "SCHED_IDLE")
"""Whether this system has a priority for what only fills the time of others, as Linux has."""


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """No processor sleeps meanwhile: what it is needed for begins at once.

    A helper process keeps each that this one may use busy with nothing, at the least priority there is (SCHED_IDLE).
    Raises `UsageError` where there is none, or it isn't allowed.
    """
    if not STAYS_AWAKE:
        raise UsageError("processors can be kept awake on Linux alone: this system has no SCHED_IDLE")
    helper = Helper(_stay_awake)
    try:
        try:
            error = helper.pipe.recv()
        except EOFError:
            error = "the process that was to do it has ended"
        if error is not None:
            raise UsageError(f"processors can't be kept awake: {error}")
        yield
    finally:
        helper.end()


def _stay_awake(pipe: Connection) -> None:
    from .._native import spin  # which nothing else here needs

    pipe.send(_on_each_processor(spin, os.SCHED_IDLE, 0))
    pipe.recv()  # the end of the pipe


def _on_each_processor(work: Callable[[], NoReturn], policy: int, priority: int) -> str | None:
    """Begins a thread on each processor that this process may use; returns why not, if that wasn't allowed."""
    told: SimpleQueue[str | None] = SimpleQueue()
    processors = os.sched_getaffinity(0)
    for processor in processors:
        threading.Thread(target=_occupy, args=(processor, policy, priority, work, told), daemon=True).start()
    return next((error for error in [told.get() for _ in processors] if error is not None), None)


def _occupy(
    processor: int, policy: int, priority: int, work: Callable[[], NoReturn], told: SimpleQueue[str | None]
) -> None:
    try:
        os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError as error:
        told.put(one_line(error))
        return
    told.put(None)
    work()


# -- a machine that stands still ----------------------------------------------------------------

STEP_S = 1e-3
WATCH_PRIORITY = 90
"""Of SCHED_FIFO: above all audio, and allowed where `rtprio 95` is."""


class Stall(NamedTuple):
    """A processor that stood still: until when (`time.perf_counter`), and how long at least, in seconds."""

    end_s: float
    length_s: float


@contextlib.contextmanager
def stalls(least_s: float) -> Iterator[Callable[[], list[Stall] | None]]:
    """What it gives tells, as long as this lasts, when a processor has stood still for so long since it began.

    A helper process has a thread on each that this one may use, above all others that are real-time, which notes when
    it woke late from a sleep of `STEP_S`: one that is shorter by less than that may be missed. None where there is no
    such priority, or it isn't allowed, or the helper has ended.
    """
    if not STAYS_AWAKE:
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
    with undisturbed():
        error = _on_each_processor(lambda: _look(least_s, found), os.SCHED_FIFO, WATCH_PRIORITY)
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
