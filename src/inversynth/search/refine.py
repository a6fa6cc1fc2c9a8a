"""The refinement: a search with the renderer, from the patch that the network predicts.

A population of patches evolves on the levels first: its first generation is drawn from the network's distributions;
each best patch has its neighbours tried, whose gains are then joined; the others are crossed, changed in a few
parameters, and have groups (an oscillator) exchanged or drawn again. Then the search goes between the levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InversynthError, UsageError
from ..spec import Note, ParamSpace
from ..synths.sampling import check_seed
from ..synths.synth import Solver, Synth
from .audible import AudibleTest
from .evaluator import Budget, Evaluator, SearchEndError
from .evolution import Evolution
from .grid import Floats, Grid
from .moves import Moves
from .polish import NEAR_ENOUGH, Polish
from .result import Candidate, Progress, Refinement
from .scoring import Scorer, distance

__all__ = ["INTERRUPTED", "Candidate", "Progress", "Refinement", "check_budget", "distance", "refine"]

MOST_SECONDS = 86400.0
MOST_RENDERS = 1 << 40
MOST_VARIATIONS = 100

SOLVER_SHARE = 0.8
"""The part of the seconds that a synth's own solver may take."""
SHARPER = 0.5
"""The part of a distribution that the search's best patch gets before the solver is given it."""
OWN_RESIDUAL = 0.01
"""A sound that a patch meets with a relative residual below this (-40 dB) is the synth's own."""

INTERRUPTED = "it was interrupted"
"""Why a refinement stopped that Ctrl-C has ended."""

POPULATIONS = 6
"""Populations in a row without a better patch after which the search ends, unless it has seconds left: then it begins
again, also from the network's distributions, and polishes the best of each population."""
LEVELS_SHARE = 0.7
"""The part of its budget that the search stays on the levels, unless it is stuck before."""
TURN = 0.1
"""The part of its budget for each further turn on the levels."""


def refine(
    synth: Synth,
    target: ArrayLike,
    distributions: Sequence[ArrayLike],
    seconds: float | None = None,
    renders: int | None = None,
    variations: int = 1,
    levels_only: bool = False,
    seed: int = 0,
    workers: int | None = None,
    watch: Callable[[Progress], None] | None = None,
    note: Note | ArrayLike | None = None,
) -> Refinement:
    """Searches for the patches of a synth whose sound is nearest to a target.

    target: (samples,) at the synth's sample rate; distributions: P arrays (levels,), the probabilities of each
    parameter's levels. It ends after `seconds` or `renders` (at least one is given), when the match can't be
    distinguished from the target, without `seconds` when several new populations found nothing better, or by Ctrl-C,
    and gives what it has, if anything. variations: distinct patches that are wanted (there may be fewer);
    levels_only: no values between the levels. With `seconds` enough, a pursuit comes first, where the synth has one.
    Without, with the same seed and `renders`, it finds the same again, if the renderer has no noise. workers: as in
    `Synth.render`. watch: called again and again with how far it is. note: what plays the patches, by default the
    synth's own.
    Raises `UsageError` for what isn't allowed, and `InversynthError` if none of the patches can be rendered.
    """
    check_budget(seconds, renders, variations)
    budget = Budget(seconds or math.inf, renders or math.inf)
    likely = _checked(synth.space, distributions)
    rng = np.random.default_rng(check_seed(seed))
    scorer = Scorer(synth, target, note=note)
    if not np.any(target):
        raise UsageError("the target is silent; there is nothing to search for")
    search = _Search(synth.space, likely, Evaluator(Grid(synth.space), scorer, budget, workers, watch), rng)
    method: Literal["pursuit", "search"] = "search"
    try:
        search.evolution.population.add(search.first[None])
        search.evolution.begin(flat=False)
        if synth.solver is not None and seconds is not None and SOLVER_SHARE * seconds >= synth.solver.least_s:
            search.solve(synth.solver, np.ascontiguousarray(target, np.float32))
            if search.evaluator.best_residual < OWN_RESIDUAL:
                method = "pursuit"
        if method == "search" or variations > 1:
            search.run(variations, levels_only)
        stopped = "the sound is the synth's own"
    except SearchEndError as stop:
        stopped = str(stop)
    except KeyboardInterrupt:
        if not search.evaluator.progress:
            raise  # there is nothing yet to give
        stopped = INTERRUPTED
    try:
        start, best = search.result(variations)
    except KeyboardInterrupt:  # a slow renderer takes its time here, too: the best patch at least is kept
        start, best = search.result(1)
        stopped = INTERRUPTED
    if not best:
        failures = synth.render_all(start.values[None], note=note).failures
        why = failures.get(0, "it failed now and then")
        raise InversynthError(f"none of the {budget.used:,} patches tried can be rendered by {synth.name}: {why}")
    return Refinement(
        start=start,
        best=best,
        progress=tuple(search.evaluator.progress),
        renders=budget.used,
        seconds=budget.elapsed_s(),
        method=method,
        stopped=stopped,
    )


def check_budget(seconds: float | None, renders: int | None, variations: int) -> None:
    """Raises `UsageError` unless a refinement may have this budget and this many variations."""
    if seconds is None and renders is None:
        raise UsageError("a refinement needs an end: seconds, renders, or both")
    if seconds is not None and not 0 < seconds <= MOST_SECONDS:
        raise UsageError(f"{seconds:g} s to refine are outside the range: give more than 0, at most {MOST_SECONDS:g}")
    if renders is not None and not 1 <= renders <= MOST_RENDERS:
        raise UsageError(f"{renders} renders to refine are outside 1..{MOST_RENDERS}")
    if not 1 <= variations <= MOST_VARIATIONS:
        raise UsageError(f"{variations} variations are outside 1..{MOST_VARIATIONS}")


def _checked(space: ParamSpace, distributions: Sequence[ArrayLike]) -> list[Floats]:
    rows = [np.asarray(row, np.float64) for row in distributions]
    if len(rows) != len(space):
        raise UsageError(f"distributions of {len(rows)} parameters are given; the synth has {len(space)}")
    for param, row in zip(space, rows, strict=True):
        if row.shape != (param.levels,):
            raise UsageError(f"{param.name}: a distribution of shape {row.shape}; it must be ({param.levels},)")
        if not (np.isfinite(row).all() and (row >= 0).all() and row.sum() > 0):
            raise UsageError(f"{param.name}: a distribution must hold finite numbers, none negative and not all 0")
    return [row / row.sum() for row in rows]


class _Search:
    """The turns of a search: evolution on the levels, polish of the best, and another population when it is stuck."""

    def __init__(
        self, space: ParamSpace, likely: Sequence[Floats], evaluator: Evaluator, rng: np.random.Generator
    ) -> None:
        self.likely, self.evaluator, self.grid = likely, evaluator, evaluator.grid
        self.first = np.array([int(row.argmax()) for row in likely])
        moves = Moves(self.grid, likely, rng)
        self.evolution = Evolution(self.grid, moves, evaluator)
        self.polish = Polish(self.grid, moves, evaluator, rng)
        self.audible = AudibleTest(evaluator)

    def solve(self, solver: Solver, sound: NDArray[np.float32]) -> None:
        """Scores what the synth's own solver finds, if a first generation doesn't leave the sound far off."""
        self.evolution.generation()
        population = self.evolution.population
        if population.distances[0] < solver.own_distance:
            rows = [(1 - SHARPER) * row for row in self.likely]
            for row, level in zip(rows, population.levels[0], strict=True):
                row[level] += SHARPER
            allowed = min(SOLVER_SHARE * self.evaluator.budget.left_s(), solver.most_s)
            self.evaluator.score(self.grid.space.x_of_values(solver.solve(sound, rows, allowed)))

    def run(self, variations: int, levels_only: bool) -> None:
        """Searches until `SearchEndError`."""
        evaluator, evolution = self.evaluator, self.evolution
        evaluator.enough = NEAR_ENOUGH if variations == 1 else -1.0
        polished: set[bytes] = set()
        until, populations, reached = LEVELS_SHARE, 0, math.inf
        while True:
            stuck = evolution.evolve(until)
            chosen = [*self.chosen(variations)]
            if stuck and populations >= POPULATIONS:
                chosen += [*self.grid.x_of(evolution.population.levels[:1])]
            for x in chosen:
                if x.tobytes() not in polished:
                    self.polish(x, levels_only, evolution.most_neighbours)
                    polished.add(x.tobytes())
            if stuck:
                populations = populations + 1 if evaluator.best_distance >= reached else 0
                reached = evaluator.best_distance
                if populations == POPULATIONS and math.isinf(evaluator.budget.seconds):
                    raise SearchEndError(f"nothing better was found by {POPULATIONS} new populations in a row")
                evolution.population.clear()
                evolution.begin(flat=populations < POPULATIONS or populations % 2 == 0)
            until = max(until, evaluator.budget.spent()) + TURN

    def chosen(self, count: int) -> Floats:
        """(n, P) the best x so far that are distinct, best first; n is at most `count`."""
        return self.evaluator.archive.distinct(self.grid, count, self.audible)

    def result(self, variations: int) -> tuple[Candidate, tuple[Candidate, ...]]:
        """Where the search began, and the best that are distinct, without those that fail now."""
        best = tuple(each for each in self.candidates(self.chosen(variations)) if np.isfinite(each.log_l1))
        return self.candidates(self.grid.x_of(self.first[None]))[0], best

    def candidates(self, x: Floats) -> tuple[Candidate, ...]:
        """What (n, P) x are and score, apart from the budget; what has no effect is as the network had it."""
        x = np.where(self.grid.active(x), x, self.grid.x_of(self.first))
        levels, values = self.grid.nearest(x), self.grid.space.values_of_x(x)
        columns = zip(*astuple(self.evaluator.measure(x)), strict=True)
        return tuple(Candidate(values[i], levels[i], *map(float, row)) for i, row in enumerate(columns))
