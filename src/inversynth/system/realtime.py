"""Real-time priority for the threads between the audio device and the ports, and against other delays."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PRIORITY = 3
"""Of SCHED_FIFO: above all that isn't real-time, below JACK's threads, which run at 5 in its clients by default."""
RESET = getattr(os, "SCHED_RESET_ON_FORK", 0)
SWITCH_S = 5e-4


def set_realtime_priority(thread: int = 0) -> str | None:
    """Gives the calling thread real-time priority, unless it has some; returns why not if that fails.

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


def restore_priority() -> None:
    """Takes back what `set_realtime_priority` gave the calling thread."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            if os.sched_getparam(0).sched_priority == PRIORITY:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def realtime_threads() -> Iterator[None]:
    """Threads of this process that start within get real-time priority afterwards, if that is allowed (Linux).

    For those of PortAudio: with ALSA the thread of its callback is like any other.
    """
    before = _threads()
    yield
    for thread in _threads() - before:
        set_realtime_priority(thread)


def _threads() -> set[int]:
    tasks = Path("/proc/self/task")
    return {int(task.name) for task in tasks.iterdir()} if tasks.is_dir() else set()


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """No garbage collection within, and quicker switches between threads."""
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
