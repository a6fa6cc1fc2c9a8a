"""A measurement in a process of its own, which a fault of PortAudio or JACK can't take along."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from ...errors import InversynthError, one_line
from ...system.devices import own_stderr, quiet
from ...system.processes import no_interrupts


def apart(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a function of this or another module returns in a process of its own; raises `InversynthError`.

    The process is interrupted with this one, and then puts away what it has started.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(theirs, function, arguments))
    with no_interrupts():
        process.start()
    theirs.close()
    try:
        found: dict[str, Any] | str = ours.recv()
    except EOFError:
        process.join()
        raise InversynthError(f"the process that measures has ended with {process.exitcode}") from None
    except KeyboardInterrupt:
        if process.pid is not None and hasattr(signal, "pthread_sigmask"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
        raise
    finally:
        process.join()
    if isinstance(found, str):
        raise InversynthError(found)
    return found


def _apart(pipe: Any, function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        own_stderr()
        with quiet():  # libjack prints messages when its server goes
            found: dict[str, Any] | str = function(*arguments)
    except Exception as error:
        found = one_line(error)
    except KeyboardInterrupt:
        found = "interrupted"
    with contextlib.suppress(OSError):  # the other end is gone
        pipe.send(found)
    os._exit(0)  # PortAudio aborts in being ended without its server
