"""Separate processes for work that may hang or abort, or runs beside the live path."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

CONTEXT: SpawnContext = multiprocessing.get_context("spawn")


class Helper:
    """A process that runs `work(pipe, *args)`, and this end of its pipe.

    Ctrl-C doesn't reach it, and its output is discarded, that of C libraries too; it must end when its pipe does.
    It has the name of `work`.
    """

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self._process: SpawnProcess = CONTEXT.Process(
            target=_run, args=(work, theirs, *args), name=work.__name__, daemon=True
        )
        with no_interrupts():
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def end(self, patience_s: float = 0.0) -> None:
        """Closes the pipe, and ends the process if it hasn't ended after `patience_s`."""
        self.pipe.close()
        if patience_s:
            self._process.join(patience_s)
        self._process.kill()
        self._process.join()


def _run(work: Callable[..., None], pipe: Connection, *args: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with contextlib.suppress(EOFError, OSError):  # its other end has closed the pipe
        work(pipe, *args)
    os._exit(0)  # PortAudio hangs or aborts in being ended when its server is gone


@contextlib.contextmanager
def no_interrupts() -> Any:
    """Processes started within never get SIGINT; one for this process is delivered afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
