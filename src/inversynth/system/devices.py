"""What audio and MIDI systems share: chatty C libraries, and things that are found by a part of their name."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence

from ..errors import UsageError

_turn = threading.Lock()
_inside = _kept = 0
"""How many threads are within `quiet`, and the copy of file descriptor 2 from before the first of them."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discards what C libraries (JACK, ALSA, PortAudio) write to file descriptor 2 while any thread is within."""
    global _inside, _kept
    sys.stderr.flush()
    with _turn:
        if not _inside:
            _kept = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        _inside += 1
    try:
        yield
    finally:
        with _turn:
            _inside -= 1
            if not _inside:
                os.dup2(_kept, 2)
                os.close(_kept)


def own_stderr() -> None:
    """Gives `sys.stderr` a file descriptor of its own: what this process says is heard within `quiet`, too."""
    own = sys.__stderr__
    if own is not None and sys.stderr is own:
        sys.stderr = open(os.dup(2), "w", buffering=1, encoding=own.encoding, errors=own.errors)  # noqa: SIM115


def pick(names: Sequence[str], wanted: str, what: str) -> int:
    """The position of the one name that is `wanted`, or the only one that holds it, irrespective of case.

    Raises `UsageError` that lists those there are, or those it could be.
    """
    for matching in (
        [i for i, name in enumerate(names) if name == wanted],
        [i for i, name in enumerate(names) if wanted.casefold() in name.casefold()],
    ):
        if len(matching) == 1:
            return matching[0]
        if matching:
            could_be = ", ".join(f"{names[i]!r}" for i in matching)
            raise UsageError(f"{what} {wanted!r} could be {could_be}; give more of its name")
    there = f"there are {', '.join(f'{name!r}' for name in names)}" if names else "there are none"
    raise UsageError(f"no {what} {wanted!r}; {there}")
