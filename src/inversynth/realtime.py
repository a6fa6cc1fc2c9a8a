"""Priority for the threads between the audio device and the ports, and processors that are awake when they begin."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from queue import SimpleQueue

from .errors import UsageError, one_line
from .processes import Helper

PRIORITY = 3
"""Of SCHED_FIFO: above all that isn't real-time, below JACK's threads, which run at 5 in its clients by default."""
RESET = getattr(os, "SCHED_RESET_ON_FORK", 0)
SWITCH_S = 5e-4


def hurry() -> str | None:
    """Gives the calling thread real-time priority, unless it has some; returns why not, if it couldn't."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        if not os.sched_getparam(0).sched_priority:
            os.sched_setscheduler(0, os.SCHED_FIFO | RESET, os.sched_param(PRIORITY))
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
    spinning: SimpleQueue[str | None] = SimpleQueue()
    processors = os.sched_getaffinity(0)
    for processor in processors:
        threading.Thread(target=_occupy, args=(processor, spinning), daemon=True).start()
    errors = [spinning.get() for _ in processors]
    pipe.send(next((error for error in errors if error is not None), None))
    pipe.recv()  # the end of the pipe


def _occupy(processor: int, spinning: SimpleQueue[str | None]) -> None:
    from ._native import spin  # which nothing else here needs

    try:
        os.sched_setaffinity(0, {processor})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        spinning.put(one_line(error))
        return
    spinning.put(None)
    spin()
