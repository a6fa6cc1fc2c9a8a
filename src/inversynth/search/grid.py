"""The coordinates of a search: x (n, P) in 0..1, and levels (n, P), integers; and what lies between the levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spec import CATEGORICAL, CONTINUOUS, ParamSpace

Levels = NDArray[np.int64]
Floats = NDArray[np.float64]

COARSE_STEPS = 15
"""Parameters of more levels are also moved by larger steps, as on a grid of this many steps."""


class Grid:
    """The levels of a space.

    `steps`: (P,) the number of the highest level; `coarse`: (P,) how many levels a large step is; `continuous`,
    `categorical`: (P,) True for the parameters of these kinds.
    """

    def __init__(self, space: ParamSpace) -> None:
        self.space = space
        self.steps = space.levels - 1
        self.coarse = np.maximum(1.0, self.steps / COARSE_STEPS)
        self.continuous, self.categorical = space.of_kind(CONTINUOUS), space.of_kind(CATEGORICAL)

    def x_of(self, levels: NDArray[Any]) -> Floats:
        """(n, P) x of levels."""
        return np.asarray(levels / self.steps)

    def nearest(self, x: Floats) -> Levels:
        """(n, P) the nearest levels of x."""
        return np.rint(x * self.steps).astype(np.int64)

    def between(self, x: Floats) -> NDArray[np.bool_]:
        """(n, P) True where x is between the levels."""
        return np.asarray(np.abs(x * self.steps - np.rint(x * self.steps)) > 1e-9)

    def allowed(self, x: Floats) -> Floats:
        """(n, P) x, moved to the nearest level where a parameter has nothing between its levels."""
        return np.where(self.continuous, x, np.rint(x * self.steps) / self.steps)

    def active(self, x: Floats) -> NDArray[np.bool_]:
        """(n, P) True where a parameter has an effect, as the space says of patches on the levels."""
        return self.space.active(np.where(self.between(x), -1, np.rint(x * self.steps)))
