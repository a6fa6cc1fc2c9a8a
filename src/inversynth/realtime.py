"""Priority for the threads between the audio device and the ports, and processors that are awake when they begin."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

from . import _native
from .errors import UsageError
from .processes import Helper

PRIORITY = 3
"""Of SCHED_FIFO: above all that isn't real-time, below JACK's threads, which run at 5 in its clients by default."""
SWITCH_S = 5e-4


def hurry() -> str | None:
    """Gives the calling thread real-time priority, unless it has some; returns why not, if it couldn't."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    if os.sched_getparam(0).sched_priority:
        return None
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError:
        return "not allowed; add yourself to the group `audio`, or `rtprio 95` to /etc/security/limits.d/audio.conf"
    return None


def relax() -> None:
    """Gives the calling thread the usual priority again."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection, and quicker turns between threads, while the bridge runs."""
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
"""Whether this system has a priority for what yields to all else, as Linux has."""


@contextlib.contextmanager
def awake(wanted: bool = True) -> Iterator[None]:
    """No processor sleeps meanwhile, if so wanted: what it is needed for begins at once.

    A helper process keeps each busy with nothing, at a priority that yields to all else (SCHED_IDLE). Raises
    `UsageError` where there is no such.
    """
    if not wanted:
        yield
        return
    if not STAYS_AWAKE:
        raise UsageError("processors can be kept awake on Linux alone: this system has no SCHED_IDLE")
    helper = Helper(_stay_awake)
    try:
        yield
    finally:
        helper.end()


def _stay_awake(pipe: Connection) -> None:
    for processor in os.sched_getaffinity(0):
        threading.Thread(target=_occupy, args=(processor,), daemon=True).start()
    pipe.recv()  # the end of the pipe


def _occupy(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _native.spin()
