"""The paper's measures (arXiv 1812.06349, section 5): of parameters, and of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .spec import ParamSpace


def ranks(probabilities: NDArray[Any], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, L) scores and (n,) right levels to (n,) how many classes score above the right one."""
    right = np.take_along_axis(probabilities, levels[:, None], axis=1)
    return np.asarray((probabilities > right).sum(axis=1))


def parameter_measures(
    space: ParamSpace, probabilities: Sequence[NDArray[Any]], levels: ArrayLike, masked: bool = True, top: int = 5
) -> list[dict[str, Any]]:
    """One row a parameter: `name`, `count`, `mpr` (percent), `top` (accuracies for k = 1..top), `mae` (levels).

    probabilities: P arrays (n, levels of the parameter); levels: (n, P) the right ones. MPR, the mean
    percentile rank, is 100 (1 - mean(r / L)), r = how many of the L classes score above the right one.
    With `masked`, an item counts for a parameter only where that parameter is heard.
    """
    right = space.check_levels(levels)
    heard = space.active(right) if masked else np.ones(right.shape, bool)
    rows = []
    for i, param in enumerate(space):
        use = heard[:, i]
        scores, at = np.asarray(probabilities[i])[use], right[use, i]
        rank = ranks(scores, at)
        rows.append(
            {
                "name": param.name,
                "count": int(use.sum()),
                "mpr": float(100 * (1 - np.mean(rank / param.levels))),
                "top": [float(np.mean(rank < k)) for k in range(1, top + 1)],
                "mae": float(np.mean(np.abs(scores.argmax(axis=1) - at))),
            }
        )
    return rows


def mean_mpr(rows: Sequence[dict[str, Any]]) -> float:
    """The mean over parameters of their MPR, in percent."""
    return float(np.mean([row["mpr"] for row in rows]))
