"""The moves of a search on the levels: patches drawn, neighbours, and children of a population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spec import ParamSpace
from .grid import Floats, Grid, Levels

LIKELY = 0.02
"""The neighbours at levels that the network gives at least this are tried before the others."""
TEMPERATURE, UNIFORM = 1.5, 0.1
"""Levels are drawn from the network's distributions, flattened so: to the power 1 / TEMPERATURE, and a part uniform."""
PRESSURE = 0.85
"""A patch of the population has this times as many children as the next better one."""
CROSSED, EXCHANGED, REDRAWN, SHIFTED = 0.4, 0.15, 0.1, 0.03
"""Parts of the children; the others have a few parameters changed."""
CROSSED_GROUPS, EXCHANGED_MEMBERS, REDRAWN_MEMBERS = 0.35, 0.6, 0.7
"""What parts of the groups are crossed, of two groups' parameters exchanged, and of a group's drawn again."""
STEPPED, DRAWN = 0.5, 0.3
"""Parts of the changes: steps of one or two levels, and levels drawn as the network says; the others are anywhere."""


def groups_of(space: ParamSpace) -> list[tuple[int, ...]]:
    """The positions of the parameters of each group, by their first; one without a group is a group of its own."""
    found = dict(space.groups)
    alone = [(i,) for i, param in enumerate(space) if param.group is None]
    return sorted([*found.values(), *alone])


class Moves:
    """Makes patches (n, P) on the levels of a grid from P distributions (levels,), which sum to 1.

    Each parameter moves as its kind allows: a categorical one has no steps, and where others are stepped it is drawn.
    """

    def __init__(self, grid: Grid, likely: Sequence[Floats], rng: np.random.Generator) -> None:
        self.grid, self.space, self.steps, self.rng = grid, grid.space, grid.steps, rng
        width = int(self.space.levels.max())
        self.exists = np.arange(width) < self.space.levels[:, None]
        self.likely = np.array([np.pad(row >= LIKELY, (0, width - len(row))) for row in likely])
        flat = [_mixed(row ** (1 / TEMPERATURE)) for row in likely]
        self._chances = np.array([np.pad(_mixed(row), (0, width - len(row))) for row in likely])
        self._cumulative = [
            np.array([np.pad(row.cumsum(), (0, width - len(row)), constant_values=1.0) for row in rows])
            for rows in (likely, flat)
        ]
        groups = groups_of(self.space)
        self._groups = len(groups)
        self._group_of = np.empty(len(self.space), np.int64)
        for i, members in enumerate(groups):
            self._group_of[list(members)] = i
        sizes = np.array([len(members) for members in groups])
        self._redrawn = np.flatnonzero(sizes >= min(2, sizes.max()))

    def draw(self, count: int, flat: bool) -> Levels:
        """(count, P) levels from the network's distributions, or from the flattened ones."""
        at = self.rng.random((count, len(self.space), 1))
        drawn: Levels = (at >= self._cumulative[flat]).sum(axis=2)
        return np.minimum(drawn, self.steps)

    def neighbours(self, levels: Levels, which: NDArray[np.bool_], most: int) -> Levels:
        """The patches that differ from one (P,) in one active parameter, at its levels in `which` (P, levels).

        Where there are more than `most`, that many are drawn, likelier ones first.
        """
        params, at = np.nonzero(which & self.exists & self.space.active(levels[None])[0][:, None])
        params, at = params[at != levels[params]], at[at != levels[params]]
        if len(params) > most:
            keys = np.log(self._chances[params, at]) + self.rng.gumbel(size=len(params))
            best = np.argsort(-keys, kind="stable")[:most]
            params, at = params[best], at[best]
        rows = np.repeat(levels[None], len(params), axis=0)
        rows[np.arange(len(rows)), params] = at
        return rows

    def children(self, population: Levels, count: int) -> Levels:
        """(count, P) levels, made from a population (n, P), the best first."""
        rng = self.rng
        weights = PRESSURE ** np.arange(len(population))
        rows = population[rng.choice(len(population), count, p=weights / weights.sum())]
        others = population[rng.integers(len(population), size=count)]
        drawn = self.draw(count, True)
        crossed, exchanged, redrawn, shifted, changed = np.split(
            np.arange(count), (count * np.cumsum([CROSSED, EXCHANGED, REDRAWN, SHIFTED])).astype(int)
        )
        self._cross(rows, crossed, others)
        if self.space.interchangeable:
            groups = self.space.interchangeable[rng.integers(len(self.space.interchangeable))]
            self._exchange(rows, exchanged, groups)
            self._shift(rows, shifted, groups, drawn)
        self._redraw(rows, redrawn, drawn)
        return self._change(rows, changed, drawn)

    def _cross(self, rows: Levels, at: Levels, others: Levels) -> None:
        """Takes some groups from others."""
        mask = (self.rng.random((len(rows), self._groups)) < CROSSED_GROUPS)[:, self._group_of]
        rows[at] = np.where(mask[at], others[at], rows[at])

    def _exchange(self, rows: Levels, which: Levels, groups: Levels) -> None:
        """Exchanges two groups, each parameter or not."""
        a = self.rng.integers(len(groups), size=len(rows))
        b = (a + self.rng.integers(1, len(groups), size=len(rows))) % len(groups)
        for j in range(groups.shape[1]):
            at = which[self.rng.random(len(which)) < EXCHANGED_MEMBERS]
            one, other = groups[a[at], j], groups[b[at], j]
            rows[at, one], rows[at, other] = rows[at, other], rows[at, one]

    def _shift(self, rows: Levels, at: Levels, groups: Levels, drawn: Levels) -> None:
        """Moves one parameter of all groups a step the same way."""
        member, step = self.rng.integers(groups.shape[1], size=len(rows)), self.rng.choice((-1, 1), len(rows))
        for members in groups:
            params = members[member[at]]
            stepped = rows[at, params] + step[at]
            rows[at, params] = np.where(self.grid.categorical[params], drawn[at, params], stepped)

    def _redraw(self, rows: Levels, at: Levels, drawn: Levels) -> None:
        """Draws most of one group again."""
        group = self.rng.choice(self._redrawn, (len(rows), 1))
        mask = (self._group_of == group) & (self.rng.random(rows.shape) < REDRAWN_MEMBERS)
        rows[at] = np.where(mask[at], drawn[at], rows[at])

    def _change(self, rows: Levels, at: Levels, drawn: Levels) -> Levels:
        """Changes one to three parameters of the rows `at`, and of the others one in two."""
        rng, shape = self.rng, rows.shape
        mask = rng.random(shape) < (0.5 / shape[1])
        few = rng.random(shape)
        mask[at] = few[at].argsort(axis=1).argsort(axis=1) <= rng.integers(3, size=(len(at), 1))
        how = rng.random(shape)
        step = rng.choice((-2, -1, 1, 2), shape)
        anywhere = rng.integers(self.space.levels, size=shape)
        scale = np.rint(self.grid.coarse ** (how / STEPPED)).astype(np.int64)
        stepped = np.where(self.grid.categorical, drawn, rows + step * scale)
        new = np.where(how < STEPPED, stepped, np.where(how < STEPPED + DRAWN, drawn, anywhere))
        return np.clip(np.where(mask, new, rows), 0, self.steps)


def _mixed(row: Floats) -> Floats:
    """(levels,) the probabilities that a row is proportional to, a part of them uniform."""
    return np.asarray((1 - UNIFORM) * row / row.sum() + UNIFORM / len(row))


def joined(base: NDArray[Any], rows: NDArray[Any], distances: Floats, at: float) -> NDArray[Any]:
    """The changes that gained, joined; rows (n, P) each differ in one parameter from a base (P,) at a distance `at`.

    Of each parameter the best counts. The best with each of a few others, then the best one, two, three, ... and all.
    """
    better = np.flatnonzero(distances < at)
    better = better[distances[better].argsort(kind="stable")]
    _, firsts = np.unique((rows[better] != base).argmax(axis=1), return_index=True)
    rows = rows[better[np.sort(firsts)]]
    pairs = [together(base, rows[[0, i]])[1:] for i in range(2, min(len(rows), 9))]
    return np.concatenate([*pairs, together(base, rows)])


def together(base: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """(n, P) a base (P,) with the changes of the first 1, 2, ..., n rows."""
    found = np.empty_like(rows)
    last = base
    for i, row in enumerate(rows):
        last = found[i] = np.where(row != base, row, last)
    return found
