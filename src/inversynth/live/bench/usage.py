"""What the bridge takes of the machine: time on a processor, and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...audio.input import serve


def cpu_s() -> float:
    """The time on a processor of this process and, on Linux, of that of its device (proc(5))."""
    spent = time.process_time()
    for child in multiprocessing.active_children():
        file = Path(f"/proc/{child.pid}/stat")
        if child.name == serve.__name__ and file.exists():
            fields = file.read_text().rpartition(")")[2].split()
            spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def resident_bytes() -> int | None:
    """The memory that this process holds; None where it is not to be seen."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else None


@contextlib.contextmanager
def watched(every_s: float, tell: Callable[[float, int | None], None] | None = None) -> Iterator[list[int]]:
    """The memory this process holds, sampled every `every_s` while it is open; `tell` gets seconds and bytes."""
    seen: list[int] = []
    over = threading.Event()
    began = time.perf_counter()

    def sample() -> None:
        while not over.wait(every_s):
            held = resident_bytes()
            if held is not None:
                seen.append(held)
            if tell is not None:
                tell(time.perf_counter() - began, held)

    thread = threading.Thread(target=sample, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
