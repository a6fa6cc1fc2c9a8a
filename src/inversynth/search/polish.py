"""The polish of a search: down from a patch to the best near it, on the levels and then between them."""

from __future__ import annotations

import numpy as np

from .evaluator import Evaluator
from .grid import Floats, Grid, Levels
from .moves import Moves, joined, together

FIRST_STEP, LAST_STEP = 0.5, 0.02
"""The first step between the levels, and the last one, in levels (in the larger steps, where there are such)."""
GROW, SHRINK = 1.5, 0.6
"""What a step is multiplied by where it helped, and where it didn't."""
RANDOM_MEMBERS = 0.3
"""The part of the parameters that a random step moves."""
NEAR_ENOUGH = 1e-4
"""A patch at less than this distance can't be distinguished from the target."""


class Polish:
    """Goes down from patches x (P,) by the moves that each parameter's kind allows."""

    def __init__(self, grid: Grid, moves: Moves, evaluator: Evaluator, rng: np.random.Generator) -> None:
        self.grid, self.moves, self.evaluator, self.rng = grid, moves, evaluator, rng

    def __call__(self, x: Floats, levels_only: bool, most: int) -> None:
        """Goes down from a patch (P,), with at most `most` neighbours at a time."""
        at = float(self.evaluator.score(x[None])[0])
        if not self.grid.between(x[None]).any():
            x, at = self._on_levels(self.grid.nearest(x), at, most)
        if not levels_only and at > self.evaluator.enough:
            self._onto_levels(self._between_levels(x, at, most))

    def _on_levels(self, levels: Levels, at: float, most: int) -> tuple[Floats, float]:
        """To a patch (P,) none of whose neighbours on the levels is better."""
        while True:
            rows = self.moves.neighbours(levels, self.moves.exists, most)
            distances = self.evaluator.score(self.grid.x_of(rows))
            rows = np.concatenate([rows, joined(levels, rows, distances, at)])
            more = self.evaluator.score(self.grid.x_of(rows[len(distances) :]))
            distances = np.concatenate([distances, more])
            best = int(distances.argmin()) if len(distances) else 0
            if not len(distances) or distances[best] >= at:
                return self.grid.x_of(levels), at
            levels, at = rows[best], float(distances[best])

    def _between_levels(self, x: Floats, at: float, most: int) -> Floats:
        """Steps of each continuous parameter both ways, and of all at random, that shrink where they don't help."""
        unit = self.grid.coarse / self.grid.steps
        step = FIRST_STEP * unit
        while True:
            movable = (step >= LAST_STEP * unit) & self.grid.active(x[None])[0] & self.grid.continuous
            which = np.flatnonzero(movable)
            if not len(which):
                return x
            if 4 * len(which) > most:
                which = self.rng.choice(which, max(1, most // 4), replace=False)
            moved = np.isin(np.arange(len(x)), which)
            rows = self._steps(x, np.where(moved, step, 0), which)
            distances = self.evaluator.score(rows)
            better = joined(x, rows[: 2 * len(which)], distances[: 2 * len(which)], at)
            helped = np.zeros(len(x), bool)
            if len(better):
                helped = better[-1] != x
                rows = np.concatenate([rows, better])
                distances = np.concatenate([distances, self.evaluator.score(better)])
            untried = movable & ~moved
            step = np.where(helped, GROW * step, np.where(untried, step, SHRINK * step))
            best = int(distances.argmin())
            if distances[best] < at:
                x, at = rows[best], float(distances[best])

    def _steps(self, x: Floats, step: Floats, which: Levels) -> Floats:
        """(4 n, P) a patch (P,) with a step up and down in each of n parameters, and as many with random steps."""
        count = len(which)
        moves = np.zeros((2 * count, len(x)))
        moves[np.arange(count), which] = step[which]
        moves[np.arange(count, 2 * count), which] = -step[which]
        random = self.rng.normal(size=moves.shape) * (self.rng.random(moves.shape) < RANDOM_MEMBERS)
        rows: Floats = np.clip(x + np.concatenate([moves, random * step]), 0, 1)
        return rows

    def _onto_levels(self, x: Floats) -> None:
        """Tries the nearest levels for the values between levels that need not be there: one, and more and more."""
        near = self.grid.x_of(self.grid.nearest(x))
        loose = np.flatnonzero(near != x)
        if len(loose):
            rows = np.repeat(x[None], len(loose), axis=0)
            rows[np.arange(len(loose)), loose] = near[loose]
            best = self.evaluator.score(rows).argsort(kind="stable")
            self.evaluator.score(together(x, rows[best]))
