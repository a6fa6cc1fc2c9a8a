"""Processors that don't sleep, so that work begins at once.

Linux's own way is /dev/cpu_dma_latency: while a process holds that file open, no processor sleeps so deep that it would
take longer to wake than the number written into it. Where that file isn't there, may not be written, or would change
nothing since no driver puts the processors to sleep (as in many virtual machines, which the host stops instead), each
processor is kept busy with nothing, at the least priority there is.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from ..errors import UsageError, one_line
from .processes import Helper

LATENCY_FILE = Path("/dev/cpu_dma_latency")
IDLE_DRIVER_FILE = Path("/sys/devices/system/cpu/cpuidle/current_driver")
HAS_IDLE_PRIORITY = hasattr(os, "SCHED_IDLE")
"""Whether this system has a priority for what only fills the time of others, as Linux has."""


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps all processors awake while it is open. Raises `UsageError` where that isn't possible or allowed."""
    if not HAS_IDLE_PRIORITY:
        raise UsageError("processors can be kept awake on Linux alone: this system has no SCHED_IDLE")
    file = open_latency_file()
    if file is None:
        with _busy_with_nothing():
            yield
        return
    with file:
        file.write(bytes(4))  # 0 microseconds, an int of 32 bits; it holds until the file is closed
        yield


def open_latency_file() -> FileIO | None:
    """The file /dev/cpu_dma_latency, if it is there, writable and effective; the caller closes it."""
    try:
        driver = IDLE_DRIVER_FILE.read_text(encoding="ascii").strip()
        return None if driver in ("", "none") else FileIO(os.open(LATENCY_FILE, os.O_WRONLY), "w")
    except OSError:
        return None


@contextlib.contextmanager
def _busy_with_nothing() -> Iterator[None]:
    """A helper process keeps each processor that this one may use busy at SCHED_IDLE."""
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
    from .._native import spin  # only needed here

    pipe.send(on_each_processor(spin, os.SCHED_IDLE, 0))
    pipe.recv()  # the end of the pipe


def on_each_processor(work: Callable[[], NoReturn], policy: int, priority: int) -> str | None:
    """Begins a thread on each processor that this process may use; returns why not, if that wasn't allowed."""
    outcomes: SimpleQueue[str | None] = SimpleQueue()
    processors = os.sched_getaffinity(0)
    for processor in processors:
        threading.Thread(target=_occupy, args=(processor, policy, priority, work, outcomes), daemon=True).start()
    return next((error for error in [outcomes.get() for _ in processors] if error is not None), None)


def _occupy(
    processor: int, policy: int, priority: int, work: Callable[[], NoReturn], outcomes: SimpleQueue[str | None]
) -> None:
    try:
        os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError as error:
        outcomes.put(one_line(error))
        return
    outcomes.put(None)
    work()
