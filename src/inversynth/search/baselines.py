"""Baselines: simple ways to find a patch, each with the same scorer and budget of renders.

A baseline is a function of a scorer for the target, the network's distributions (P arrays (levels,)), a budget of
renders and a seed; it returns the (P,) values in units of the patch it chose. All that search choose the patch at the
least `scoring.distance`, as the refinement does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .grid import Grid
from .scoring import Scorer, distance

Values = NDArray[np.float64]
Baseline = Callable[[Scorer, Sequence[NDArray[Any]], int, int], Values]

BATCH = 256
MOST_RENDERS = 1 << 20
"""Some baselines draw all their patches at once."""
CMA_STEP = 0.3
"""The standard deviation in x that CMA-ES starts with: about a third of the range, as Hansen advises."""
CMA_POPULATION = 32
CMA_FAILED = 1e6
"""The distance that CMA-ES gets for a patch that can't be rendered; it takes no infinite ones."""
DRAWN = 1000
"""Patches of the prior in which choices are counted."""


def mean_parameter(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """The middle of every range, in x: the mean of the patches that models are trained on. Renders nothing.

    The nearest level, of an ordinal parameter; the most frequent choice of the prior, of a categorical one.
    """
    space, grid = scorer.synth.space, Grid(scorer.synth.space)
    x = grid.allowed(np.full((1, len(space)), 0.5))[0]
    if grid.categorical.any():
        drawn = scorer.synth.draw(0, 0, DRAWN).levels
        for i in np.flatnonzero(grid.categorical):
            x[i] = np.bincount(drawn[:, i]).argmax() / grid.steps[i]
    return np.array([float(param.value_of_x(at)) for param, at in zip(space, x, strict=True)])


def network_alone(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """The likeliest level of each parameter. Renders nothing."""
    levels = np.array([[int(np.argmax(row)) for row in distributions]])
    return np.asarray(scorer.synth.space.values_of_levels(levels)[0])


def nearest_neighbour(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """The nearest of a bank of `renders` random patches, the first of the dataset of seed 0: the same for every target.

    The bank could be kept, so its renders are paid once for all targets; else it is as good as a random search.
    """
    return _nearest(scorer, scorer.synth.draw(0, 0, renders).levels)


def random_search(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """The nearest of `renders` random patches, drawn by the seed."""
    levels = scorer.synth.space.levels
    return _nearest(scorer, np.random.default_rng(seed).integers(0, levels, (renders, len(levels))))


def network_sampling(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """The nearest of the network's patch and `renders` - 1 more, drawn from the network's distributions."""
    random = np.random.default_rng(seed)
    columns = []
    for row in distributions:
        sums = np.cumsum(np.asarray(row, np.float64))
        drawn = np.searchsorted(sums, random.uniform(0, sums[-1], renders), side="right")
        drawn = np.minimum(drawn, len(row) - 1)
        drawn[0] = int(np.argmax(row))
        columns.append(drawn)
    return _nearest(scorer, np.stack(columns, axis=1))


def cma_es(scorer: Scorer, distributions: Sequence[NDArray[Any]], renders: int, seed: int) -> Values:
    """CMA-ES (Hansen and Ostermeier 2001; the library pycma) over the x of all parameters, from the middle.

    Parameters with nothing between their levels are rendered at the nearest level, choices in their order. The whole
    budget is used: a run that has converged is followed by another. Raises `UsageError` without the library (the extra
    `baselines`).
    """
    cma = _cma()
    space, grid = scorer.synth.space, Grid(scorer.synth.space)
    best, best_x, left, runs = np.inf, np.full(len(space), 0.5), renders, 0
    while left > 0:
        options = {"bounds": [0, 1], "popsize": CMA_POPULATION, "verbose": -9, "seed": 1 + (seed + runs) % (1 << 31)}
        run, runs = cma.CMAEvolutionStrategy(np.full(len(space), 0.5), CMA_STEP, options), runs + 1
        while left > 0 and not run.stop():
            x = np.array(run.ask())
            distances = distance(scorer(space.values_of_x(grid.allowed(x[:left]))))
            if distances.min() < best:
                best, best_x = float(distances.min()), x[distances.argmin()]
            left -= len(distances)
            if len(distances) == len(x):
                run.tell(list(x), np.minimum(distances, CMA_FAILED).tolist())
    return np.asarray(space.values_of_x(grid.allowed(best_x[None]))[0])


BASELINES: dict[str, Baseline] = {
    "mean parameter": mean_parameter,
    "nearest neighbour in a bank": nearest_neighbour,
    "random search": random_search,
    "CMA-ES": cma_es,
    "network alone": network_alone,
    "network, sampled": network_sampling,
}


def check(renders: int) -> None:
    """Raises `UsageError` unless all baselines can run here, with this budget of renders."""
    if isinstance(renders, bool) or not 1 <= renders <= MOST_RENDERS:
        raise UsageError(f"a budget of {renders} renders is outside 1..{MOST_RENDERS}")
    _cma()


def _cma() -> Any:
    try:
        import cma
    except ImportError:
        raise UsageError(
            "CMA-ES needs the library pycma; install it with: pip install 'inversynth[baselines]'"
        ) from None
    return cma


def _nearest(scorer: Scorer, levels: NDArray[np.int64]) -> Values:
    values = scorer.synth.space.values_of_levels(levels)
    distances = np.concatenate([distance(scorer(values[at : at + BATCH])) for at in range(0, len(values), BATCH)])
    return np.asarray(values[distances.argmin()])
