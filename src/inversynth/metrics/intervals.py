"""Means and medians with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
"""The ends of a 95 % interval."""
BOOTSTRAP_SEED = 0
_AT_A_TIME = 1 << 20


def resamples(count: int) -> Iterator[NDArray[np.int64]]:
    """`RESAMPLES` draws of `count` items with replacement, as (some, count) indices; the same for the same count."""
    random = np.random.default_rng(BOOTSTRAP_SEED)
    some = max(1, _AT_A_TIME // max(count, 1))
    for at in range(0, RESAMPLES, some):
        yield random.integers(0, count, (min(some, RESAMPLES - at), count))


def summary(measures: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, float | list[float]]]:
    """Of each measure (n,): `mean`, `median`, and their 95 % intervals `mean_95` and `median_95`, [low, high].

    The intervals are percentiles of 2000 seeded resamples of the items, the same items for every measure (Efron,
    "Bootstrap methods: another look at the jackknife", 1979).
    """
    values = np.stack([np.asarray(at, np.float64) for at in measures.values()])
    means, medians = [], []
    for chosen in resamples(values.shape[1]):
        for column in values:
            drawn = column[chosen]
            means.append(drawn.mean(axis=1))
            medians.append(np.median(drawn, axis=1))
    found: dict[str, dict[str, float | list[float]]] = {}
    for i, (key, column) in enumerate(zip(measures, values, strict=True)):
        found[key] = {
            "mean": float(column.mean()),
            "mean_95": interval(np.concatenate(means[i :: len(values)])),
            "median": float(np.median(column)),
            "median_95": interval(np.concatenate(medians[i :: len(values)])),
        }
    return found


def mean_intervals(values: ArrayLike, use: ArrayLike) -> tuple[list[list[float]], list[float]]:
    """The 95 % intervals of the means of the columns of (n, P) values where (n, P) bool `use`, and of their mean.

    For measures of parameters, which count an item only where the parameter has an effect; resampled as in `summary`.
    """
    mask = np.asarray(use, bool)
    at = np.where(mask, np.asarray(values, np.float64), 0.0)
    means = []
    for chosen in resamples(len(at)):
        times = np.stack([np.bincount(row, minlength=len(at)) for row in chosen]).astype(np.float64)
        with np.errstate(invalid="ignore"):  # a resample may miss a parameter altogether
            means.append((times @ at) / (times @ mask))
    each = np.concatenate(means)
    some = each[np.isfinite(each).any(axis=1)]
    return [interval(column[np.isfinite(column)]) for column in each.T], interval(np.nanmean(some, axis=1))


def interval(values: NDArray[np.float64]) -> list[float]:
    """[low, high] of the middle 95 % of resampled values; NaN of none."""
    if not len(values):
        return [float("nan")] * 2
    return [float(end) for end in np.percentile(values, PERCENTILES)]
