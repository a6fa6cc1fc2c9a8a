"""Whether a call gives up the interpreter's lock."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable


def ticks_during(call: Callable[[], object]) -> int:
    """How often another thread ran during a call.

    With a switch interval of an hour it runs only where the interpreter's lock is given up.
    """
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    before_interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    sys.setswitchinterval(3600)
    try:
        thread.start()
        before = ticks[0]
        call()
        return ticks[0] - before
    finally:
        sys.setswitchinterval(before_interval)
        stop.set()
        thread.join()
