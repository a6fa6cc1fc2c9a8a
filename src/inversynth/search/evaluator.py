"""The budget of a search, and the scoring of its patches within it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .archive import Archive
from .grid import Floats, Grid
from .result import Progress
from .scoring import Scorer, Scores, distance

CHUNK_S = 0.01
"""About how long one batch of candidates takes to score, so that the search doesn't overrun its time."""
LEAST_CHUNK = 16
"""Fewer at a time would leave native engines, and the processes of slow renderers, without work."""
MARGIN = 0.002
"""Each value between the levels adds this part to the distance: it must gain more."""


class SearchEndError(Exception):
    """The search has ended; the text says why."""


@dataclass
class Budget:
    """What a search may cost, from its making on: `seconds` and `renders`; `used` are the renders so far."""

    seconds: float = math.inf
    renders: float = math.inf
    used: int = 0
    began: float = field(default_factory=lambda: time.perf_counter())

    def elapsed_s(self) -> float:
        """The seconds since it began."""
        return time.perf_counter() - self.began

    def left_s(self) -> float:
        """The seconds that are left."""
        return self.seconds - self.elapsed_s()

    def spent(self) -> float:
        """The part that is used."""
        return max(self.elapsed_s() / self.seconds, self.used / self.renders)

    def check(self) -> None:
        """Raises `SearchEndError` where it is used up, but not before the first render."""
        if self.used and self.left_s() <= 0:
            raise SearchEndError(f"its {self.seconds:g} s are over")
        if self.used >= self.renders:
            raise SearchEndError(f"its {self.renders:,} renders are used up")


class Evaluator:
    """Scores x (n, P) within a budget, and keeps what is best.

    `progress`: each better patch; `best_distance`, `best_residual`: of the best so far; `enough`: the distance at which
    the search ends; `render_s`: the seconds that one patch took of the last that were scored; `least_render_s`: of the
    fastest.
    """

    def __init__(
        self,
        grid: Grid,
        scorer: Scorer,
        budget: Budget,
        workers: int | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self.grid, self.scorer, self.budget, self.workers, self.watch = grid, scorer, budget, workers, watch
        self.archive = Archive()
        self.progress: list[Progress] = []
        self.best_distance, self.best_residual, self.enough = math.inf, math.inf, -1.0
        self.render_s, self.least_render_s = 0.0, math.inf
        self.chunk = LEAST_CHUNK

    def measure(self, x: Floats) -> Scores:
        """What (n, P) x score, apart from the budget."""
        return self.scorer(self.grid.space.values_of_x(x), self.workers)

    def affordable(self, most: int, share: float) -> int:
        """How many patches take a share of the seconds that the search has, `most` at most, and one at least."""
        known = 0 < self.least_render_s < math.inf
        return int(np.clip(share * self.budget.seconds / self.least_render_s, 1, most)) if known else most

    def score(self, x: Floats) -> Floats:
        """(n,) distances, infinite where rendering failed.

        Raises `SearchEndError` where the budget ends, after one patch at least, or where the best is near enough.
        """
        found = np.empty(len(x))
        at = 0
        while at < len(x):
            self.budget.check()
            rows = x[at : at + self._next_chunk()]
            started = time.perf_counter()
            scores = self.measure(rows)
            self._measure_speed(len(rows), time.perf_counter() - started)
            found[at : at + len(rows)] = self._record(rows, scores)
            at += len(rows)
        if self.best_distance <= self.enough:
            raise SearchEndError("the match can't be distinguished from the target")
        return found

    def _next_chunk(self) -> int:
        in_time = max(1.0, self.budget.left_s() / self.render_s) if self.render_s else math.inf
        return int(min(self.chunk, self.budget.renders - self.budget.used, in_time))

    def _measure_speed(self, count: int, seconds: float) -> None:
        lanes = self.scorer.synth.renderer.lanes
        self.render_s = seconds / (lanes * -(-count // lanes))
        self.least_render_s = min(self.least_render_s, self.render_s)
        if count == self.chunk and seconds > 0:
            self.chunk = int(np.clip(count * CHUNK_S / seconds, LEAST_CHUNK, 2 * self.chunk))

    def _record(self, x: Floats, scores: Scores) -> Floats:
        """The distances, once they are in the archive and in the progress."""
        distances: Floats = distance(scores) * (1 + MARGIN * self.grid.between(x).sum(axis=1))
        before, now = self.budget.used, self.budget.elapsed_s()
        self.budget.used += len(x)
        self.archive.add(x, distances)
        for i in np.flatnonzero(distances < np.minimum.accumulate([self.best_distance, *distances[:-1]])):
            self.progress.append(Progress(now, before + int(i) + 1, float(distances[i]), float(scores.rho_stft[i])))
            self.best_distance, self.best_residual = float(distances[i]), float(scores.residual[i])
        if self.watch:
            rho = self.progress[-1].rho_stft if self.progress else -1.0
            self.watch(Progress(now, self.budget.used, self.best_distance, rho))
        return distances
