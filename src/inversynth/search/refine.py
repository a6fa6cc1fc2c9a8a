"""Search with the renderer, from where the network points: the network proposes, the renderer decides.

A pool of patches evolves on the levels first: its first generation is drawn from the network's distributions; each
best patch has all its neighbours tried, whose gains are then joined; the others are crossed, changed in a few
parameters, and have modules (an oscillator) swapped or drawn again. Then the search goes between the levels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..spec import ParamSpace
from ..synths.sampling import check_seed
from ..synths.synth import Synth
from .scoring import Scorer, Scores

Levels = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_SECONDS = 86400.0
MOST_RENDERS = 1 << 40
MOST_VARIATIONS = 100

SOLVER_SHARE = 0.8
"""The part of the seconds that a synth's own solver may take."""
SHARPER = 0.5
"""The part of a distribution that the search's best patch gets before the pursuit hears of it."""

INTERRUPTED = "it was interrupted"
"""Why a refinement stopped that Ctrl-C has ended."""

OWN_RESIDUAL = 0.01
"""A sound that a patch meets with a relative residual below this (-40 dB) is the synth's own."""
SOLVED = 1e-4
"""A patch at less than this distance can't be told from the target."""

FIRST = 128
"""Patches that a pool begins with."""
BATCH = 256
"""Candidates of a generation."""
POOL = 32
PRESSURE = 0.85
"""A patch of the pool has this times as many children as the next better one."""
LIKELY = 0.02
"""The neighbours at levels that the network gives at least this are tried before the others."""
TEMPERATURE, UNIFORM = 1.5, 0.1
"""Levels are drawn from the network's distributions, flattened so: to the power 1 / TEMPERATURE, and a part uniform."""
CROSSED, SWAPPED, REDRAWN, SHIFTED = 0.4, 0.15, 0.1, 0.03
"""Parts of the children; the others have a few parameters changed."""

KEPT = 3
"""Neighbours of the best patch that enter the pool at once: more would leave nothing else in it."""
STALE = 40
"""Generations without a better patch after which a pool begins anew."""
POOLS = 6
"""Pools in a row without a better patch after which the search ends."""
LEVELS_SHARE = 0.7
"""The part of its budget that the search stays on the levels, unless it is stuck before."""
TURN = 0.1
"""The part of its budget for each further turn on the levels."""

CHUNK_S = 0.01
"""Candidates are scored so many at a time as take about this long, lest the search overruns its time."""
SHELF = 1 << 17
"""The best patches scored, from which distinct ones are chosen."""
SEEN = 1 << 20
"""Patches that are remembered, lest they are scored again."""

FINEST = 0.02
"""The last step between the levels, in levels."""
MARGIN = 0.002
"""Each value between the levels adds this part to the distance: it must gain more."""

DISTINCT_PARAMETERS, DISTINCT_LEVELS = 3, 2
"""Patches are distinct that differ in so many heard parameters by so many levels."""
HEARD = 0.01
"""A parameter whose ends change the distance by less than this part of it isn't heard in that patch."""


@dataclass(frozen=True)
class Candidate:
    """A patch and its scores against the target.

    `values`: (P,) in units; `levels`: (P,) int64, the nearest; `rho_stft`: Pearson correlation of the log
    spectrograms; `log_l1`: their mean absolute difference, in nats; `convergence`: Frobenius norm of the difference
    of the magnitudes over that of the target's; `residual`: the same of the waveforms.
    """

    values: Floats
    levels: Levels
    rho_stft: float
    log_l1: float
    convergence: float
    residual: float

    @property
    def residual_db(self) -> float:
        """`residual` in dB; 0 is as far from the target as silence, -40 can hardly be told from it."""
        return float(20 * np.log10(max(self.residual, 1e-10)))


class Progress(NamedTuple):
    """A moment at which the search found a better patch: its `distance` (what is minimised) and `rho_stft`."""

    seconds: float
    renders: int
    distance: float
    rho_stft: float


@dataclass(frozen=True)
class Refinement:
    """What a refinement found.

    `start`: the network's own patch, the likeliest level of each parameter; `best`: distinct patches, best
    first; `progress`: from the start on; `renders`, `seconds`: what it cost; `method`: "pursuit" (the sound
    is the synth's own) or "search"; `stopped`: why it ended, in words.
    """

    start: Candidate
    best: tuple[Candidate, ...]
    progress: tuple[Progress, ...]
    renders: int
    seconds: float
    method: Literal["pursuit", "search"]
    stopped: str


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
) -> Refinement:
    """Searches for the patches of a synth whose sound is nearest to a target.

    target: (samples,) at the synth's sample rate; distributions: P arrays (levels,), the probabilities of each
    parameter's levels. It ends after `seconds` or `renders` (at least one is given), when it can't improve, or by
    Ctrl-C, and gives what it has. variations: distinct patches that are wanted (there may be fewer); levels_only: no
    values between the levels. With `seconds` enough, a pursuit comes first, where the synth has one. Without, with the
    same seed and `renders`, it finds the same again. workers: threads, as in `Synth.render`. watch: called again and
    again with how far it is. Raises `UsageError` for what isn't allowed.
    """
    began = time.perf_counter()
    check_budget(seconds, renders, variations)
    space = synth.space
    likely = _checked(space, distributions)
    rng = np.random.default_rng(check_seed(seed))
    scorer = Scorer(synth, target)
    if not np.any(target):
        raise UsageError("the target is silent; there is nothing to search for")
    search = _Search(space, likely, scorer, rng, workers, watch)
    search.began, search.most_seconds, search.most_renders = began, seconds or math.inf, renders or math.inf
    search.add(search.first[None])
    method: Literal["pursuit", "search"] = "search"
    try:
        search.add(search.draw(FIRST, False))
        solver = synth.solver
        if solver is not None and seconds is not None and SOLVER_SHARE * seconds >= solver.least_s:
            search.generation()
            if search.distances[0] < solver.own_distance:
                sound = np.ascontiguousarray(target, np.float32)
                allowed = min(SOLVER_SHARE * search.left_s(), solver.most_s)
                found = solver.solve(sound, search.sharpened(likely), allowed)
                search.score(space.x_of_values(found))
            if search.best_residual < OWN_RESIDUAL:
                method = "pursuit"
        if method == "search" or variations > 1:
            search.run(variations, levels_only)
        stopped = "the sound is the synth's own"
    except _EndError as stop:
        stopped = str(stop)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    return Refinement(
        start=search.candidates(search.first[None] / search.steps)[0],
        best=search.candidates(search.chosen(variations)),
        progress=tuple(search.progress),
        renders=search.renders,
        seconds=time.perf_counter() - began,
        method=method,
        stopped=stopped,
    )


def check_budget(seconds: float | None, renders: int | None, variations: int) -> None:
    """Raises `UsageError` unless a refinement may have this budget and be asked for so many variations."""
    if seconds is None and renders is None:
        raise UsageError("a refinement needs an end: seconds, renders, or both")
    if seconds is not None and not 0 < seconds <= MOST_SECONDS:
        raise UsageError(f"{seconds:g} s to refine are outside the range: give more than 0, at most {MOST_SECONDS:g}")
    if renders is not None and not 1 <= renders <= MOST_RENDERS:
        raise UsageError(f"{renders} renders to refine are outside 1..{MOST_RENDERS}")
    if not 1 <= variations <= MOST_VARIATIONS:
        raise UsageError(f"{variations} variations are outside 1..{MOST_VARIATIONS}")


def distance(scores: Scores) -> Floats:
    """(n,) what the search makes small: log L1 + 3 (1 - rho) + 0.3 spectral convergence.

    The correlation alone forgets the level, log L1 alone the loud parts' share, spectral convergence all quiet parts.
    """
    return scores.log_l1 + 3 * (1 - scores.rho_stft) + 0.3 * scores.convergence


def modules(space: ParamSpace) -> list[tuple[int, ...]]:
    """The positions of the parameters that are a part of a synth together (an oscillator); every one is in one module.

    Their names begin with the same word (`sin_frequency`) or end in the same number (`amplitude_1`).
    """
    found: dict[str, list[int]] = {}
    for i, name in enumerate(space.names):
        first, *others = name.split("_")
        found.setdefault(others[-1] if others and others[-1].isdigit() else first, []).append(i)
    return [tuple(members) for members in found.values()]


def families(space: ParamSpace) -> list[NDArray[np.int64]]:
    """Modules that can be exchanged, since their ranges are the same: arrays (modules, parameters of one)."""
    found: dict[Any, list[tuple[int, ...]]] = {}
    for module in modules(space):
        if len(module) > 1:
            ranges = tuple((p.low, p.high, p.unit, p.curve, p.levels) for p in (space[i] for i in module))
            found.setdefault(ranges, []).append(module)
    return [np.array(members) for members in found.values() if len(members) > 1]


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


class _EndError(Exception):
    """The search has come to its end; why."""


class _Search:
    """A search under way; x are (n, P) coordinates 0..1, levels (n, P) integers."""

    def __init__(
        self,
        space: ParamSpace,
        likely: list[Floats],
        scorer: Scorer,
        rng: np.random.Generator,
        workers: int | None,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self.space, self.scorer, self.rng, self.workers, self.watch = space, scorer, rng, workers, watch
        self.steps = space.levels - 1
        self.first = np.array([int(row.argmax()) for row in likely])
        width = int(space.levels.max())
        self.exists = np.arange(width) < space.levels[:, None]
        self.likely = np.array([np.pad(row >= LIKELY, (0, width - len(row))) for row in likely])
        flat = [row ** (1 / TEMPERATURE) for row in likely]
        flat = [(1 - UNIFORM) * row / row.sum() + UNIFORM / len(row) for row in flat]
        self.cumulative = [
            np.array([np.pad(row.cumsum(), (0, width - len(row)), constant_values=1.0) for row in rows])
            for rows in (likely, flat)
        ]
        self.module_of = np.empty(len(space), np.int64)
        self.modules = modules(space)
        for i, module in enumerate(self.modules):
            self.module_of[list(module)] = i
        sizes = np.array([len(module) for module in self.modules])
        self.parts = np.flatnonzero(sizes >= min(2, sizes.max()))
        self.families = families(space)
        self.key_of = np.random.default_rng(0).integers(1, 1 << 63, len(space), np.uint64)

        self.began, self.most_seconds, self.most_renders = time.perf_counter(), math.inf, math.inf
        self.renders = 0
        self.chunk = 16
        self.progress: list[Progress] = []
        self.best_residual = math.inf
        self.enough = -1.0
        self.shelf: list[tuple[Floats, Floats]] = []
        self.shelved = 0
        self.seen: set[int] = set()
        self.pool = np.empty((0, len(space)), np.int64)
        self.distances = np.empty(0)
        self.swept: dict[bytes, int] = {}
        self.told: dict[bytes, NDArray[np.bool_]] = {}

    # -- scoring -----------------------------------------------------------------------------

    def spent(self) -> float:
        """The part of the budget that is used."""
        return max((time.perf_counter() - self.began) / self.most_seconds, self.renders / self.most_renders)

    def left_s(self) -> float:
        """The seconds that are left."""
        return self.most_seconds - (time.perf_counter() - self.began)

    def sharpened(self, likely: Sequence[Floats]) -> list[Floats]:
        """Distributions in which the levels of the pool's best patch are likelier."""
        rows = [(1 - SHARPER) * row for row in likely]
        for row, level in zip(rows, self.pool[0], strict=True):
            row[level] += SHARPER
        return rows

    def score(self, x: Floats) -> Floats:
        """(n,) distances; keeps what is best. Raises `_EndError` where the budget ends, after one patch at least."""
        found = np.empty(len(x))
        at = 0
        while at < len(x):
            started = time.perf_counter()
            if self.progress and started - self.began >= self.most_seconds:
                raise _EndError(f"its {self.most_seconds:g} s are over")
            if self.renders >= self.most_renders:
                raise _EndError(f"its {self.most_renders:,} renders are used up")
            rows = x[at : at + int(min(self.chunk, self.most_renders - self.renders))]
            scores = self.scorer(self.space.values_of_x(rows), self.workers)
            now = time.perf_counter()
            if len(rows) == self.chunk:
                self.chunk = int(np.clip(len(rows) * CHUNK_S / (now - started), 16, 2 * self.chunk))
            self.renders += len(rows)
            distances = distance(scores) * (1 + MARGIN * self.between(rows).sum(axis=1))
            found[at : at + len(rows)] = distances
            self._keep(rows, distances)
            best = self.progress[-1].distance if self.progress else math.inf
            for i in np.flatnonzero(distances < np.minimum.accumulate([best, *distances[:-1]])):
                step = now - self.began, self.renders - len(rows) + int(i) + 1
                self.progress.append(Progress(*step, float(distances[i]), float(scores.rho_stft[i])))
                self.best_residual = float(scores.residual[i])
            if self.watch:
                self.watch(self.progress[-1]._replace(seconds=now - self.began, renders=self.renders))
            at += len(rows)
        if self.progress[-1].distance <= self.enough:
            raise _EndError("the match can't be told from the target")
        return found

    def _keep(self, x: Floats, distances: Floats) -> None:
        self.shelf.append((x, distances))
        self.shelved += len(x)
        if self.shelved > 2 * SHELF:
            rows, at = (np.concatenate(parts) for parts in zip(*self.shelf, strict=True))
            best = np.argpartition(at, SHELF)[:SHELF]
            self.shelf, self.shelved = [(rows[best], at[best])], SHELF

    def candidates(self, x: Floats) -> tuple[Candidate, ...]:
        """What (n, P) x are and score, apart from the budget; what isn't heard is as the network had it."""
        x = np.where(self.heard(x), x, self.first / self.steps)
        levels, values = np.rint(x * self.steps).astype(np.int64), self.space.values_of_x(x)
        scores = self.scorer(values, self.workers)
        return tuple(
            Candidate(values[i], levels[i], *(float(row[i]) for row in astuple(scores))) for i in range(len(x))
        )

    # -- on the levels -----------------------------------------------------------------------

    def draw(self, count: int, flat: bool) -> Levels:
        """(count, P) levels from the network's distributions."""
        at = self.rng.random((count, len(self.space), 1))
        drawn: Levels = (at >= self.cumulative[flat]).sum(axis=2)
        return np.minimum(drawn, self.steps)

    def fresh(self, levels: Levels) -> Levels:
        """Those of (n, P) levels that haven't been scored."""
        levels = self.space.canonical(levels)
        rows = []
        for i, key in enumerate((levels.astype(np.uint64) * self.key_of).sum(axis=1).tolist()):
            if key not in self.seen:
                self.seen.add(key)
                rows.append(i)
        if len(self.seen) > SEEN:
            self.seen.clear()
        return levels[rows]

    def add(self, levels: Levels) -> None:
        """Scores those that haven't been; the best of them and of the pool are the pool."""
        levels = self.fresh(levels)
        self.enter(levels, self.score(levels / self.steps))

    def enter(self, levels: Levels, distances: Floats) -> None:
        """The best of the pool and of these are the pool."""
        levels, distances = np.concatenate([self.pool, levels]), np.concatenate([self.distances, distances])
        best = np.argsort(distances, kind="stable")[:POOL]
        self.pool, self.distances = levels[best], distances[best]

    def neighbours(self, levels: Levels, which: NDArray[np.bool_]) -> Levels:
        """The patches that differ from one in one heard parameter, at its levels in `which` (P, levels)."""
        params, at = np.nonzero(which & self.exists & self.space.active(levels[None])[0][:, None])
        params, at = params[at != levels[params]], at[at != levels[params]]
        rows = np.repeat(levels[None], len(params), axis=0)
        rows[np.arange(len(rows)), params] = at
        return rows

    def sweep(self, levels: Levels, reached: float) -> Levels:
        """Tries the neighbours of a patch, the likely first time; returns patches that join what gained."""
        key = levels.tobytes()
        times = self.swept[key] = self.swept.get(key, 0) + 1
        if times > 2:
            return self.pool[:0]
        rows = self.fresh(self.neighbours(levels, self.likely if times == 1 else self.exists))
        distances = self.score(rows / self.steps)
        best = distances.argsort(kind="stable")[:KEPT]
        self.enter(rows[best], distances[best])
        return joined(levels, rows, distances, reached)

    def children(self, count: int) -> Levels:
        """(count, P) levels, made from the pool."""
        rng, shape = self.rng, (count, len(self.space))
        weights = PRESSURE ** np.arange(len(self.pool))
        rows = self.pool[rng.choice(len(self.pool), count, p=weights / weights.sum())]
        others = self.pool[rng.integers(len(self.pool), size=count)]
        drawn = self.draw(count, True)
        crossed, swapped, redrawn, shifted, changed = np.split(
            np.arange(count), (count * np.cumsum([CROSSED, SWAPPED, REDRAWN, SHIFTED])).astype(int)
        )
        mask = (rng.random((count, len(self.modules))) < 0.35)[:, self.module_of]
        rows[crossed] = np.where(mask[crossed], others[crossed], rows[crossed])
        if self.families:
            family = self.families[rng.integers(len(self.families))]
            a = rng.integers(len(family), size=count)
            b = (a + rng.integers(1, len(family), size=count)) % len(family)
            for j in range(family.shape[1]):
                at = swapped[rng.random(len(swapped)) < 0.6]
                one, other = family[a[at], j], family[b[at], j]
                rows[at, one], rows[at, other] = rows[at, other], rows[at, one]
            kind, step = rng.integers(family.shape[1], size=count), rng.choice((-1, 1), count)
            for member in family:
                rows[shifted, member[kind[shifted]]] += step[shifted]
        module = rng.choice(self.parts, (count, 1))
        mask = (self.module_of == module) & (rng.random(shape) < 0.7)
        rows[redrawn] = np.where(mask[redrawn], drawn[redrawn], rows[redrawn])
        mask = rng.random(shape) < (0.5 / shape[1])
        few = rng.random(shape)
        mask[changed] = few[changed].argsort(axis=1).argsort(axis=1) <= rng.integers(3, size=(len(changed), 1))
        how = rng.random(shape)
        step = rng.choice((-2, -1, 1, 2), shape)
        anywhere = rng.integers(self.space.levels, size=shape)
        new = np.where(how < 0.5, rows + step, np.where(how < 0.8, drawn, anywhere))
        return np.clip(np.where(mask, new, rows), 0, self.steps)

    def generation(self) -> None:
        """The neighbours of the best patch, and children of the pool."""
        rows = self.sweep(self.pool[0], self.distances[0])
        self.add(np.concatenate([rows, self.children(BATCH)]))

    def evolve(self, until: float) -> bool:
        """Generations until a part of the budget is spent, or (True) none of them is any better."""
        stale = 0
        while stale < STALE:
            if self.spent() >= until:
                return False
            before = self.distances[0]
            self.generation()
            stale = 0 if self.distances[0] < before else stale + 1
        return True

    def run(self, variations: int, levels_only: bool) -> None:
        """Searches until `_EndError`."""
        self.enough = SOLVED if variations == 1 else -1.0
        polished: set[bytes] = set()
        until, pools, reached = LEVELS_SHARE, 0, math.inf
        while True:
            stuck = self.evolve(until)
            for x in self.chosen(variations):
                if x.tobytes() not in polished:
                    self.polish(x, levels_only)
                    polished.add(x.tobytes())
            if stuck:
                pools = pools + 1 if self.progress[-1].distance >= reached else 0
                reached = self.progress[-1].distance
                if pools == POOLS:
                    raise _EndError(f"nothing better was found by {POOLS} new pools in a row")
                self.pool, self.distances = self.pool[:0], self.distances[:0]
                self.seen.clear()
                self.add(self.draw(FIRST, True))
            until = max(until, self.spent()) + TURN

    # -- between the levels ------------------------------------------------------------------

    def polish(self, x: Floats, levels_only: bool) -> None:
        """Goes down from a patch (P,): on the levels, and then between them."""
        at = float(self.score(x[None])[0])
        if not self.between(x[None]).any():
            x, at = self._down(np.rint(x * self.steps).astype(np.int64), at)
        if not levels_only and at > self.enough:
            self._between(x, at)

    def _down(self, levels: Levels, at: float) -> tuple[Floats, float]:
        """To a patch (P,) none of whose neighbours on the levels is better."""
        while True:
            rows = self.neighbours(levels, self.exists)
            distances = self.score(rows / self.steps)
            rows = np.concatenate([rows, joined(levels, rows, distances, at)])
            distances = np.concatenate([distances, self.score(rows[len(distances) :] / self.steps)])
            best = int(distances.argmin())
            if distances[best] >= at:
                return levels / self.steps, at
            levels, at = rows[best], float(distances[best])

    def _between(self, x: Floats, at: float) -> None:
        """Steps of each parameter both ways, and of all at random, that shrink where they don't help."""
        step = 0.5 / self.steps
        while True:
            which = np.flatnonzero((step * self.steps >= FINEST) & self.heard(x[None])[0])
            if not len(which):
                break
            moves = np.zeros((2 * len(which), len(x)))
            moves[np.arange(len(which)), which] = step[which]
            moves[np.arange(len(which), len(moves)), which] = -step[which]
            random = self.rng.normal(size=(len(moves), len(x))) * (self.rng.random((len(moves), len(x))) < 0.3)
            rows = np.clip(
                x + np.concatenate([moves, random * np.where(np.isin(np.arange(len(x)), which), step, 0)]), 0, 1
            )
            distances = self.score(rows)
            better = joined(x, rows[: len(moves)], distances[: len(moves)], at)
            helped = np.zeros(len(x), bool)
            if len(better):
                helped = better[-1] != x
                rows, distances = np.concatenate([rows, better]), np.concatenate([distances, self.score(better)])
            step = np.where(helped, 1.5 * step, 0.6 * step)
            best = int(distances.argmin())
            if distances[best] < at:
                x, at = rows[best], float(distances[best])
        near = np.rint(x * self.steps) / self.steps
        loose = np.flatnonzero(near != x)
        if len(loose):
            rows = np.repeat(x[None], len(loose), axis=0)
            rows[np.arange(len(loose)), loose] = near[loose]
            self.score(_together(x, rows[self.score(rows).argsort(kind="stable")]))

    # -- which patches -----------------------------------------------------------------------

    def between(self, x: Floats) -> NDArray[np.bool_]:
        """(n, P) True where x is between the levels."""
        return np.asarray(np.abs(x * self.steps - np.rint(x * self.steps)) > 1e-9)

    def heard(self, x: Floats) -> NDArray[np.bool_]:
        """(n, P) True where a parameter has an effect; the space says it for patches on the levels."""
        return self.space.active(np.where(self.between(x), -1, np.rint(x * self.steps)))

    def audible(self, x: Floats) -> NDArray[np.bool_]:
        """(P,) True where the ends of a parameter's range score otherwise than a patch (P,); apart from the budget."""
        key = x.tobytes()
        if key not in self.told:
            count = len(x)
            rows = np.repeat(x[None], 2 * count + 1, axis=0)
            rows[np.arange(count), np.arange(count)] = 0
            rows[np.arange(count, 2 * count), np.arange(count)] = 1
            distances = distance(self.scorer(self.space.values_of_x(rows), self.workers))
            change = np.abs(distances[:-1] - distances[-1]).reshape(2, count).max(axis=0)
            self.told[key] = self.heard(x[None])[0] & (change > HEARD * distances[-1])
        return self.told[key]

    def chosen(self, count: int) -> Floats:
        """(n, P) the best patches so far that are distinct, best first; n is at most `count`."""
        x, at = (np.concatenate(parts) for parts in zip(*self.shelf, strict=True))
        found: list[Floats] = []
        while len(found) < count and np.isfinite(at).any():
            best = x[at.argmin()]
            found.append(best)
            if len(found) < count:
                differ = (np.abs(x - best) * self.steps > DISTINCT_LEVELS - 0.5) & self.audible(best)
                at = np.where(differ.sum(axis=1) >= min(DISTINCT_PARAMETERS, len(best)), at, np.inf)
        return np.stack(found)


def joined(base: NDArray[Any], rows: NDArray[Any], distances: Floats, at: float) -> NDArray[Any]:
    """The changes that gained, joined; rows (n, P) each differ in one parameter from a base (P,) at a distance `at`.

    Of each parameter the best counts. The best with each of a few others, then the best one, two, three, ... and all.
    """
    better = np.flatnonzero(distances < at)
    better = better[distances[better].argsort(kind="stable")]
    _, firsts = np.unique((rows[better] != base).argmax(axis=1), return_index=True)
    rows = rows[better[np.sort(firsts)]]
    pairs = [_together(base, rows[[0, i]])[1:] for i in range(2, min(len(rows), 9))]
    return np.concatenate([*pairs, _together(base, rows)])


def _together(base: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """(n, P) a base (P,) with the changes of the first 1, 2, ..., n rows."""
    found = np.empty_like(rows)
    last = base
    for i, row in enumerate(rows):
        last = found[i] = np.where(row != base, row, last)
    return found
