"""The archive of a search: the best patches scored, from which distinct ones are chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .grid import Floats, Grid

SIZE = 1 << 17
"""Patches that an archive keeps at least."""
DISTINCT_PARAMETERS, DISTINCT_LEVELS, DISTINCT_PART = 3, 2, 0.1
"""Distinct patches differ in this many audible parameters by this many levels, and by this part of the range; of
a categorical parameter two choices differ, and of a switch its two levels."""


class Archive:
    """The best patches scored: x (n, P) and their distances."""

    def __init__(self) -> None:
        self._parts: list[tuple[Floats, Floats]] = []
        self._count = 0

    def add(self, x: Floats, distances: Floats) -> None:
        """Keeps (n, P) x and their (n,) distances, while they are among the best."""
        self._parts.append((x, distances))
        self._count += len(x)
        if self._count > 2 * SIZE:
            rows, at = self.patches()
            best = np.argpartition(at, SIZE)[:SIZE]
            self._parts, self._count = [(rows[best], at[best])], SIZE

    def patches(self) -> tuple[Floats, Floats]:
        """All that are kept: x (n, P) and distances (n,)."""
        rows, at = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        return rows, at

    def distinct(self, grid: Grid, count: int, audible: Callable[[Floats], NDArray[np.bool_]]) -> Floats:
        """(n, P) the best patches that are distinct, best first; n is at most `count`, and 0 where all have failed.

        audible: which parameters (P,) of a patch (P,) change its sound.
        """
        least = np.maximum(DISTINCT_LEVELS, DISTINCT_PART * grid.steps)
        least = np.where(grid.categorical, 1, np.minimum(least, grid.steps)) - 0.5
        x, at = self.patches()
        found: list[Floats] = []
        while len(found) < count and np.isfinite(at).any():
            best = x[at.argmin()]
            found.append(best)
            if len(found) < count:
                differ = (np.abs(x - best) * grid.steps > least) & audible(best)
                at = np.where(differ.sum(axis=1) >= min(DISTINCT_PARAMETERS, len(best)), at, np.inf)
        return np.array(found).reshape(-1, x.shape[1])
