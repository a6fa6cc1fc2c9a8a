"""The measures of parameters: InverSynth's (arXiv 1812.06349, section 5), and the calibration of confidences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..spec import CATEGORICAL, ROLES, ParamSpace


def ranks(probabilities: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, L) scores and (n,) right levels to (n,) how many classes score above the right one."""
    right = np.take_along_axis(probabilities, levels[:, None], axis=1)
    return np.asarray((probabilities > right).sum(axis=1))


def parameter_measures(
    space: ParamSpace,
    probabilities: Sequence[NDArray[Any]],
    levels: ArrayLike,
    counted: ArrayLike | None = None,
    top: int = 5,
) -> list[dict[str, Any]]:
    """One row a parameter: `name`, `count`, `mpr` (percent), `top` (accuracies for k = 1..top), `mae` (levels).

    `mae`, the mean absolute error, is None for a categorical parameter: its levels have no order.

    probabilities: P arrays (n, levels of the parameter); levels: (n, P) the right ones. MPR, the mean
    percentile rank, is 100 (1 - mean(r / L)), r = how many of the L classes score above the right one.
    An item counts for a parameter only where that parameter is `counted`, (n, P) or (P,); by default, where the
    space says that it has an effect. Where none counts, its measures are NaN.
    """
    right = space.check_levels(levels)
    counts = _counts(space, right, counted)
    rows = []
    for i, param in enumerate(space):
        use = counts[:, i]
        scores, at = np.asarray(probabilities[i])[use], right[use, i]
        rank = ranks(scores, at)
        rows.append(
            {
                "name": param.name,
                "count": int(use.sum()),
                "mpr": 100 * (1 - _mean(rank / param.levels)),
                "top": [_mean(rank < k) for k in range(1, top + 1)],
                "mae": None if param.kind == CATEGORICAL else _mean(np.abs(scores.argmax(axis=1) - at)),
            }
        )
    return rows


def _counts(space: ParamSpace, levels: NDArray[np.int64], counted: ArrayLike | None) -> NDArray[np.bool_]:
    return space.active(levels) if counted is None else np.broadcast_to(np.asarray(counted, bool), levels.shape)


def _mean(values: ArrayLike) -> float:
    """The mean of those that aren't NaN; NaN if there are none."""
    at = np.asarray(values, np.float64)
    at = at[~np.isnan(at)]
    return float(np.mean(at)) if len(at) else math.nan


def mean_mpr(rows: Sequence[dict[str, Any]]) -> float:
    """The mean over parameters of their MPR, in percent; what no item counts for is left out."""
    return _mean([row["mpr"] for row in rows])


def mean_top(rows: Sequence[dict[str, Any]]) -> list[float]:
    """The means over parameters of their accuracies `top`; what no item counts for is left out."""
    return [_mean(column) for column in np.transpose([row["top"] for row in rows])]


def mean_mae(rows: Sequence[dict[str, Any]]) -> float | None:
    """The mean over parameters of their MAE, in levels, but for categorical ones; None if there are no others."""
    found = [row["mae"] for row in rows if row["mae"] is not None]
    return _mean(found) if found else None


def group_measures(
    space: ParamSpace, rows: Sequence[dict[str, Any]], groups: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, Any]]:
    """One row a group: the means of its parameters' rows, `name` and `params`.

    groups: the names of the parameters of each; by default those that have the heading of a role in common
    (`spec.ROLES`).
    """
    if groups is None:
        roles: dict[str, list[str]] = {}
        for param in space:
            if param.role is not None:
                roles.setdefault(ROLES[param.role], []).append(param.name)
        groups = roles
    found = []
    for group, names in groups.items():
        members = [row for row in rows if row["name"] in names]
        found.append(
            {
                "name": group,
                "params": [row["name"] for row in members],
                "mpr": mean_mpr(members),
                "top": mean_top(members),
                "mae": mean_mae(members),
            }
        )
    return found


# -- calibration ---------------------------------------------------------------------------------

BINS = 15


def calibration(
    space: ParamSpace, probabilities: Sequence[NDArray[Any]], levels: ArrayLike, counted: ArrayLike | None = None
) -> list[dict[str, Any]]:
    """One row a parameter: `name`, `ece`, and of its bins `count`, `confidence` and `accuracy`, lists of `BINS`.

    The confidence of a prediction is its top probability. Bin b holds the confidences of (b / BINS, (b + 1) / BINS];
    an empty one has 0 for all three. The expected calibration error is the mean of |accuracy - confidence| over the
    bins, each weighed by its count (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks",
    ICML 2017). Arguments as in `parameter_measures`.
    """
    right = space.check_levels(levels)
    counts = _counts(space, right, counted)
    rows = []
    for i, param in enumerate(space):
        scores = np.asarray(probabilities[i], np.float64)[counts[:, i]]
        top = scores.max(axis=1)
        hit = scores.argmax(axis=1) == right[counts[:, i], i]
        at = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
        count = np.bincount(at, minlength=BINS)
        sure, hits = (np.bincount(at, weights, BINS) for weights in (top, hit))
        rows.append({"name": param.name} | _reliability(count, sure, hits))
    return rows


def pooled(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The calibration of all parameters' predictions taken together, as a row without a name."""
    count, confidence, accuracy = (np.array([row[key] for row in rows]) for key in ("count", "confidence", "accuracy"))
    return _reliability(count.sum(axis=0), (count * confidence).sum(axis=0), (count * accuracy).sum(axis=0))


def _reliability(count: NDArray[np.int64], confidence: NDArray[Any], accuracy: NDArray[Any]) -> dict[str, Any]:
    """`ece` and the bins, from each bin's count and its sums of confidence and of hits."""
    each = np.maximum(count, 1)
    return {
        "ece": float(np.abs(accuracy - confidence).sum() / max(count.sum(), 1)),
        "count": count.tolist(),
        "confidence": (confidence / each).tolist(),
        "accuracy": (accuracy / each).tolist(),
    }
