"""Priority for the threads between the audio device and the ports, where the system allows it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

PRIORITY = 3
"""Of SCHED_FIFO: above all that isn't real-time, below JACK's threads, which run at 5 in its clients by default."""
SWITCH_S = 5e-4


def hurry() -> str | None:
    """Gives the calling thread real-time priority; returns why not, if it couldn't."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
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
