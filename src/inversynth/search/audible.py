"""Which parameters of a patch can be heard, by rendering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..synths.synth import Synth

INAUDIBLE = 1e-5
"""A relative residual below this (-100 dB) is no difference."""


def audible(synth: Synth, levels: NDArray[np.int64], notes: NDArray[np.float64] | None = None) -> NDArray[np.bool_]:
    """(n, P) where a parameter of (n, P) levels has an effect: its lowest or its highest level sounds different.

    More than the space says of itself: an attack that lasts until the note ends leaves decay and sustain no place.
    notes: (n, 3) what plays them, by default the synth's own note. A patch that fails counts as silence.
    """
    space = synth.space
    columns = np.arange(len(space))
    found = np.empty(levels.shape, bool)
    for item, right in enumerate(levels):
        others = np.repeat(right[None], 2 * len(space), axis=0)
        others[2 * columns, columns], others[2 * columns + 1, columns] = 0, space.levels - 1
        note = None if notes is None else notes[item]
        target = synth.render_all(space.values_of_levels(right[None]), note=note).sounds[0]
        changes = np.linalg.norm(synth.render_all(space.values_of_levels(others), note=note).sounds - target, axis=1)
        found[item] = changes.reshape(-1, 2).max(axis=1) > INAUDIBLE * np.linalg.norm(target)
    return found
