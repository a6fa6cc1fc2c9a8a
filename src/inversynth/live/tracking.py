"""From probabilities to a patch that moves smoothly, where an estimate is sure and far enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..spec import CATEGORICAL, ORDINAL, ParamSpace

STEPS = 1.5
"""A parameter stays where it is if the goal is less than this many of its levels away."""
ENVELOPE = ("envelope time", "envelope level")
"""The roles of parameters that can't be inferred without the note's beginning."""

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """(P,) levels, and (P,) how probable they are with their neighbours."""

    levels: NDArray[np.int64]
    confidence: Floats


def estimate(space: ParamSpace, rows: Sequence[NDArray[np.float32]], likeliest: bool = False) -> Estimate:
    """What P distributions (levels,) say of a patch.

    The estimate is the distribution's median, or the likeliest level, which is what `match` takes; of a categorical
    parameter always the likeliest, and without neighbours. While little of a note is known the sounds of medians come
    nearer: see benchmarks/confidence.py.
    """
    found = Estimate(np.empty(len(space), np.int64), np.empty(len(space)))
    _native.estimate(rows, space.levels, likeliest, space.of_kind(CATEGORICAL).view(np.uint8), *found)
    return found


class Tracker:
    """The patch (P,) x that is wanted at a time, from what a network infers; times are in seconds, and rise.

    confidence: how probable an estimate must be to be moved to (see `estimate`); smooth_s: how long a move takes.
    """

    def __init__(self, space: ParamSpace, confidence: float, smooth_s: float) -> None:
        self._space, self._least, self._smooth_s = space, confidence, smooth_s
        self._steps = space.levels - 1
        self._jumps, self._stepped = space.of_kind(CATEGORICAL), space.of_kind(ORDINAL)
        self._far = np.where(self._jumps | (self._steps < STEPS), 0.5, STEPS)
        self._not_envelope = ~space.of_role(*ENVELOPE)
        self._from = self._goal = np.zeros(len(space))
        self._since = np.zeros(len(space))
        self.known = False
        """Whether there was an estimate yet."""
        self._keeps = False  # what the network isn't sure of
        self.confidence = np.zeros(len(space))
        """(P,) how probable the latest estimate is."""

    def begin(self) -> None:
        """A note begins."""
        self._keeps = self.known

    def update(self, found: Estimate, at_s: float, settle: bool = False, sliding: bool = False) -> None:
        """Takes an estimate as of a time.

        settle: this is the final estimate of a note, and sure parameters move to it, however near; sliding: the
        note's beginning wasn't in the window. Until the first note is settled or another begins, unsure parameters
        move, too: no better value is known.
        """
        goal, self.confidence = found.levels / self._steps, found.confidence
        moves = np.abs(goal - self._goal) * self._steps >= (0.5 if settle else self._far)
        if self._keeps:
            moves &= self.confidence >= self._least
        if sliding:
            moves &= self._not_envelope
        self._move(goal, moves if self.known else np.ones(len(goal), bool), at_s)
        self._keeps |= settle

    def settle(self, x: Floats, at_s: float) -> None:
        """Moves to a patch (P,) x that is known better than by an estimate."""
        self._move(x, x != self._goal, at_s)

    def _move(self, goal: Floats, moves: NDArray[np.bool_], at_s: float) -> None:
        begin = goal
        if self.known and self._smooth_s:
            begin = np.where(self._jumps, goal, self.x(at_s))
        self._from = np.where(moves, begin, self._from)
        self._since = np.where(moves, at_s, self._since)
        self._goal = np.where(moves, goal, self._goal)
        self.known = True

    def x(self, at_s: float) -> Floats:
        """(P,) x at a time: on straight lines to the goals, which are reached exactly; ordinal ones level by level."""
        if not self._smooth_s:
            return self._goal
        done = (at_s - self._since) / self._smooth_s
        between = self._from + (self._goal - self._from) * done
        if self._stepped.any():
            between = np.where(self._stepped, np.rint(between * self._steps) / self._steps, between)
        return np.where(done >= 1, self._goal, between)

    def moving(self, at_s: float) -> bool:
        """Whether x changes after a time."""
        if not self._smooth_s:
            return False
        return bool(((self._from != self._goal) & (at_s - self._since < self._smooth_s)).any())

    @property
    def active(self) -> NDArray[np.bool_]:
        """(P,) False where a parameter has no effect in the patch that is the goal."""
        levels = np.rint(self._goal * self._steps).astype(np.int64)
        return np.asarray(self._space.active(levels[None])[0])
