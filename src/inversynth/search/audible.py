"""Which parameters of a patch are audible, by rendering it with each of them elsewhere.

Each parameter is tried at both ends of its range; a categorical one at all its choices, or at `MOST_CHOICES` of them,
spread evenly, where it has more. That takes 2 P + 1 renders a patch, and some for choices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..spec import CATEGORICAL, ParamSpace
from ..synths.synth import Synth
from .evaluator import Evaluator
from .grid import Floats, Levels
from .scoring import distance

INAUDIBLE = 1e-5
"""A relative residual below this (-100 dB) doesn't count."""
NOISE = 1.5
"""With a noisy renderer, a difference below this times that of two renderings of one patch doesn't count."""
MOST_CHOICES = 8
BATCH = 128
"""Sounds that are held at a time."""

INAUDIBLE_DISTANCE = 0.01
"""In a search, a change of the distance by less than this part of it doesn't count."""
OVERTIME_S, TIME_SHARE = 0.1, 0.1
"""The most seconds that a test in a search may take, and the most part of the seconds that are left."""


def probes(space: ParamSpace) -> tuple[Levels, Levels]:
    """(n,) the positions of parameters, and (n,) the levels at which they are tried."""
    pairs = []
    for i, param in enumerate(space):
        count = min(param.levels, MOST_CHOICES) if param.kind == CATEGORICAL else 2
        pairs += [(i, int(level)) for level in np.rint(np.linspace(0, param.levels - 1, count))]
    params, levels = np.array(pairs, np.int64).T
    return params, levels


def largest(params: Levels, changes: Floats) -> Floats:
    """(P,) the largest of the changes (n,) that `probes` of each parameter make."""
    return np.maximum.reduceat(changes, np.flatnonzero(np.diff(params, prepend=-1)))


def audible(synth: Synth, levels: Levels, notes: Floats | None = None) -> NDArray[np.bool_]:
    """(n, P) where a parameter of (n, P) levels has an effect: another of its levels sounds different.

    It finds more than the space knows: an attack that lasts until the note ends leaves no time for decay and sustain.
    notes: (n, 3) what plays them, by default the synth's own note. What can't be rendered shows no difference; of a
    patch that can't, what `ParamSpace.active` says counts.
    """
    space = synth.space
    params, at = probes(space)
    found = space.active(levels)
    for item, right in enumerate(levels):
        note = None if notes is None else notes[item]
        values = space.values_of_levels(right[None])
        own = synth.render_all(values, note=note)
        if own.failures:
            continue
        others = np.repeat(right[None], len(params) + 1, axis=0)
        others[np.arange(len(params)), params] = at  # the last row stays: what differs in it is noise
        changes = np.zeros(len(others))
        for first in range(0, len(others), BATCH):
            rows = space.values_of_levels(others[first : first + BATCH])
            rendered = synth.render_all(rows, note=note)
            differences = np.linalg.norm(rendered.sounds - own.sounds[0], axis=1)
            differences[list(rendered.failures)] = 0
            changes[first : first + BATCH] = differences
        least = max(INAUDIBLE * np.linalg.norm(own.sounds[0]), NOISE * changes[-1])
        found[item] = largest(params, changes[:-1]) > least
    return found


class AudibleTest:
    """Which parameters of a search's patches change what they score; apart from its budget of renders.

    Where that would take too much of its seconds, the conditions of the space are used instead.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._params, self._levels = probes(evaluator.grid.space)
        self._cache: dict[bytes, NDArray[np.bool_]] = {}

    def __call__(self, x: Floats) -> NDArray[np.bool_]:
        """(P,) True where a parameter of a patch x (P,) is audible."""
        key = x.tobytes()
        if key not in self._cache:
            grid, count = self.evaluator.grid, len(self._params)
            active: NDArray[np.bool_] = grid.active(x[None])[0]
            left_s = self.evaluator.budget.left_s()
            if (count + 1) * self.evaluator.render_s > max(OVERTIME_S, TIME_SHARE * left_s):
                return active
            rows = np.repeat(x[None], count + 1, axis=0)
            rows[np.arange(count), self._params] = self._levels / grid.steps[self._params]
            distances = distance(self.evaluator.measure(rows))
            changes = np.where(np.isfinite(distances[:-1]), np.abs(distances[:-1] - distances[-1]), 0)
            self._cache[key] = active & (largest(self._params, changes) > INAUDIBLE_DISTANCE * distances[-1])
        return self._cache[key]
