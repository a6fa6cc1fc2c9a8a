"""The background search: a process of its own improves the patch of the latest note, at low priority."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..synths.synth import Synth
from ..system.processes import Helper

NICE = 10


class Refiner:
    """Searches for the patch of one note at a time; of notes that come meanwhile only the latest is kept."""

    def __init__(self, synth: Synth, seconds: float) -> None:
        from ..search.refine import check_budget

        check_budget(seconds, None, 1)
        self._helper = Helper(_serve, synth, seconds)
        self._busy = True  # until it says that it is ready
        self._next: tuple[int, NDArray[np.float32], list[NDArray[np.float32]]] | None = None

    def ask(self, number: int, window: NDArray[np.float32], rows: Sequence[NDArray[np.float32]]) -> None:
        """Searches for the patch of a note, from its window (samples,) and the P distributions (levels,) inferred."""
        self._next = number, window.copy(), [row.copy() for row in rows]
        if self._busy:
            self._tell(None)  # what it searches for is over
        else:
            self._begin()

    def poll(self) -> tuple[int, NDArray[np.float64]] | None:
        """The number of a note and its patch (P,) x, once found; never waits."""
        try:
            if not self._helper.pipe.poll():
                return None
            found = self._helper.pipe.recv()
        except (EOFError, OSError):
            return None  # it has crashed; what was inferred stays
        self._busy = False
        self._begin()
        return found if found is None or self._next is None else None

    def _begin(self) -> None:
        if self._next is not None:
            self._tell(self._next)
            self._next, self._busy = None, True

    def _tell(self, what: Any) -> None:
        with contextlib.suppress(OSError):
            self._helper.pipe.send(what)

    def close(self) -> None:
        """Ends the process."""
        self._helper.end()


def _serve(pipe: Connection, synth: Synth, seconds: float) -> None:
    """Says when it is ready, then answers notes with patches; whatever comes meanwhile ends a search."""
    from ..errors import InversynthError
    from ..search.refine import refine

    if hasattr(os, "nice"):
        os.nice(NICE)

    def interrupt(_: object) -> None:
        if pipe.poll():
            raise KeyboardInterrupt

    pipe.send(None)
    while True:
        asked = pipe.recv()
        if asked is None:
            continue
        number, window, rows = asked
        try:
            found = refine(synth, window, rows, seconds=seconds, workers=1, watch=interrupt)
        except InversynthError:
            pipe.send(None)
        else:
            pipe.send((number, synth.space.x_of_values(found.best[0].values[None])[0]))
