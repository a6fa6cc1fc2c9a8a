"""The evolution of a population: generations of neighbours of its best patch and of children of all."""

from __future__ import annotations

import math

import numpy as np

from .evaluator import Evaluator
from .grid import Grid, Levels
from .moves import Moves, joined
from .population import Population

FIRST = 128
"""Patches that a population begins with."""
CHILDREN = 256
"""Children of a generation."""
NEIGHBOURS = 512
"""Neighbours that are tried at a time; in larger spaces they are drawn, and drawn again for the same patch."""
FIRST_SHARE, SHARE = 0.25, 0.125
"""Of a slow renderer, as many of these as take these parts of the seconds."""
KEPT = 3
"""Neighbours of the best patch that enter the population at once: more would leave nothing else in it."""
STALE = 40
"""Generations without a better patch after which the population is started again."""


class Evolution:
    """Better and better patches on the levels, while the budget lasts."""

    def __init__(self, grid: Grid, moves: Moves, evaluator: Evaluator) -> None:
        self.grid, self.moves, self.evaluator = grid, moves, evaluator
        self.population = Population(grid, evaluator)
        self._sweeps: dict[bytes, int] = {}

    @property
    def most_neighbours(self) -> int:
        """How many neighbours are tried at a time."""
        return self.evaluator.affordable(NEIGHBOURS, SHARE)

    def begin(self, flat: bool) -> None:
        """Adds the first patches, drawn from the network's distributions or from the flattened ones."""
        self.population.add(self.moves.draw(self.evaluator.affordable(FIRST, FIRST_SHARE), flat))

    def generation(self) -> None:
        """The neighbours of the best patch, and children of the population."""
        population = self.population
        swept = self._sweep(population.levels[0], float(population.distances[0]))
        children = self.moves.children(population.levels, self.evaluator.affordable(CHILDREN, SHARE))
        population.add(np.concatenate([swept, children]))

    def evolve(self, until: float) -> bool:
        """Generations until a part of the budget is spent, or (True) none of them is any better."""
        stale = 0
        while stale < STALE:
            if self.evaluator.budget.spent() >= until:
                return False
            before = self.population.distances[0]
            self.generation()
            stale = 0 if self.population.distances[0] < before else stale + 1
        return True

    def _sweep(self, levels: Levels, reached: float) -> Levels:
        """Tries the neighbours of a patch, the likely first time; returns patches that join what gained."""
        key, most = levels.tobytes(), self.most_neighbours
        times = self._sweeps[key] = self._sweeps.get(key, 0) + 1
        if times > 1 + math.ceil(self.moves.exists.sum() / most):
            return levels[None][:0]
        which = self.moves.likely if times == 1 else self.moves.exists
        rows = self.population.fresh(self.moves.neighbours(levels, which, most))
        distances = self.evaluator.score(self.grid.x_of(rows))
        best = distances.argsort(kind="stable")[:KEPT]
        self.population.add_to_population(rows[best], distances[best])
        return joined(levels, rows, distances, reached)
