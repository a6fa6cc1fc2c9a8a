"""What audio and MIDI systems share: C libraries that print messages, and devices found by a part of their name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
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
    """Gives `sys.stderr` a file descriptor of its own: what this process writes is shown within `quiet`, too."""
    own = sys.__stderr__
    if own is not None and sys.stderr is own:
        sys.stderr = open(os.dup(2), "w", buffering=1, encoding=own.encoding, errors=own.errors)  # noqa: SIM115


def keep_forever(used: object) -> None:
    """Never frees an object that C may still use."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(used))


def pick(names: Sequence[str], wanted: str, what: str, numbered: bool = False) -> int:
    """The position of the one name that is `wanted`, or the only one that holds it, irrespective of case.

    numbered: whether a number that isn't a name is a position. Raises `UsageError` that lists all of them, or the
    candidates.
    """
    named = [i for i, name in enumerate(names) if name == wanted]
    if numbered and not named and wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    for matching in (named, [i for i, name in enumerate(names) if wanted.casefold() in name.casefold()]):
        if len(matching) == 1:
            return matching[0]
        if matching:
            could_be = ", ".join(f"{i} {names[i]!r}" if numbered else repr(names[i]) for i in matching)
            more = ", or its number" if numbered else ""
            raise UsageError(f"{what} {wanted!r} could be {could_be}; give more of its name{more}")
    there = f"there are {', '.join(f'{name!r}' for name in names)}" if names else "there are none"
    raise UsageError(f"no {what} {wanted!r}; {there}")


class Followed:
    """One of the devices or ports of a system, followed by its name while others come and go.

    A device that is back may have another ALSA number: it is then the one with its name that wasn't there before.
    Of several of the same name it is the one at its place in their order; while there are fewer, any of them may be
    gone, and it is opened again once they are all there.
    """

    _NUMBER = re.compile(r"(?<=\(hw:)\d+(?=,\d+\))| \d+:\d+$")
    """What ALSA numbers: the card of "USB Audio (hw:1,0)", and of a MIDI port "Synth:in 20:0"."""

    def __init__(self, names: Sequence[str], at: int) -> None:
        self.name = names[at]
        same = [i for i, name in enumerate(names) if name == self.name]
        self._order, self._count = same.index(at), len(same)
        self._others = set(names) - {self.name}
        self._doubtful = False
        self.at: int | None = at
        """Where it was at the last `update`; None if it was away."""

    def lose(self) -> None:
        """It has gone, even if its name is still listed."""
        self.at = None

    def update(self, names: Sequence[str]) -> bool:
        """Finds it among the present names; returns whether it was away since the last call, or may have been."""
        same = [i for i, name in enumerate(names) if name == self.name]
        was = self.at
        if not same:
            self._others &= set(names)
            base = self._NUMBER.sub("", self.name)
            new = [i for i, each in enumerate(names) if self._NUMBER.sub("", each) == base and each not in self._others]
            self.at = new[0] if new else None
            if new:
                self.name, self._order, self._count, self._doubtful = names[new[0]], 0, 1, False
            return bool(new)
        if len(same) < self._count:
            self._doubtful = True
            self.at = None if was is None else same[min(self._order, len(same) - 1)]
            return False
        self.at = same[self._order]
        self._others = set(names) - {self.name}
        back, self._doubtful = was is None or self._doubtful, False
        return back
