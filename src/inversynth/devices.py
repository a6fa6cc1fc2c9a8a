"""What audio and MIDI systems share: chatty C libraries, and things that are found by a part of their name."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from .errors import UsageError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discards what C libraries (JACK, ALSA, PortAudio) write to file descriptor 2 meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


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
