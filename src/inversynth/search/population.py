"""The population of a search: the best patches on the levels since it was started, and which were scored already."""

from __future__ import annotations

import numpy as np

from .evaluator import Evaluator
from .grid import Floats, Grid, Levels

SIZE = 32
CACHE = 1 << 20
"""Patches that are remembered, so that none is scored again."""


class Population:
    """`levels` (n, P) and their `distances` (n,), best first, `SIZE` at most."""

    def __init__(self, grid: Grid, evaluator: Evaluator) -> None:
        self.grid, self.evaluator = grid, evaluator
        self._key_of = np.random.default_rng(0).integers(1, 1 << 63, len(grid.space), np.uint64)
        self._scored: set[int] = set()
        self.clear()

    def __len__(self) -> int:
        return len(self.levels)

    def clear(self) -> None:
        """Starts again, empty."""
        self.levels: Levels = np.empty((0, len(self.grid.space)), np.int64)
        self.distances = np.empty(0)
        self._scored.clear()

    def fresh(self, levels: Levels) -> Levels:
        """Those of (n, P) levels whose sound hasn't been scored; what has no effect in them is at level 0."""
        space = self.grid.space
        levels = np.where(space.active(levels), levels, 0)
        same = space.canonical(levels) if space.symmetries else levels
        rows = []
        for i, key in enumerate((same.astype(np.uint64) * self._key_of).sum(axis=1).tolist()):
            if key not in self._scored:
                self._scored.add(key)
                rows.append(i)
        if len(self._scored) > CACHE:
            self._scored.clear()
        return levels[rows]

    def add(self, levels: Levels) -> None:
        """Scores those that haven't been, and adds them."""
        levels = self.fresh(levels)
        self.add_to_population(levels, self.evaluator.score(self.grid.x_of(levels)))

    def add_to_population(self, levels: Levels, distances: Floats) -> None:
        """The best of the population and of these are the population."""
        levels, distances = np.concatenate([self.levels, levels]), np.concatenate([self.distances, distances])
        best = np.argsort(distances, kind="stable")[:SIZE]
        self.levels, self.distances = levels[best], distances[best]
