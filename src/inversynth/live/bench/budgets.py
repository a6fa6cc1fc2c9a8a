"""What the figures of a measurement mean, and the budget of each; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAINING_S = 2e-3
"""A control change takes half of this on a MIDI cable."""
MIB = 1 << 20


@dataclass(frozen=True)
class Budget:
    """A limit: the keys of its figure in what `measure` returns, what it is called, its unit."""

    keys: tuple[str, ...]
    name: str
    most: float
    unit: str

    def figure(self, found: dict[str, Any]) -> float | None:
        """The figure, None where it could not be measured."""
        at: Any = found
        for key in self.keys:
            at = None if at is None else at.get(key)
        return None if at is None else float(at)

    def shown(self, figure: float) -> str:
        """A figure to three digits at least."""
        return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.3g}"

    def met(self, figure: float) -> bool:
        """Whether a figure is within the limit."""
        return figure <= self.most


BUDGETS = (
    Budget(("path_ms", "p50"), "block to message, p50", 3.0, "ms"),
    Budget(("path_ms", "p99"), "block to message, p99", 10.0, "ms"),
    Budget(("path_ms", "spread"), "block to message, p99 - p50", 5.0, "ms"),
    Budget(("inference_ms", "p99"), "inference, p99", 2.0, "ms"),
    Budget(("first_message_ms", "p99"), "onset to first message, p99", 100.0, "ms"),
    Budget(("idle_percent",), "a core, while it is silent", 10.0, "%"),
    Budget(("overflows",), "overflows", 0.0, ""),
    Budget(("growth_mib",), "growth of memory", 1.0, "MiB"),
)


def percentiles(seconds: ArrayLike) -> dict[str, float] | None:
    """p50, p99, p99 - p50 (`spread`) and max in ms, and how many there were; None of none."""
    at = np.asarray(seconds, np.float64)
    if not len(at):
        return None
    p50, p99, most = (round(float(figure), 3) for figure in np.percentile(at, [50, 99, 100]) * 1e3)
    return {"p50": p50, "p99": p99, "spread": round(p99 - p50, 3), "max": most, "count": len(at)}


def path_s(came_s: ArrayLike, done_s: ArrayLike, sent_s: ArrayLike) -> NDArray[np.float64]:
    """From the delivery of a prediction's newest block to the return of the first send that it caused, in seconds.

    Of predictions done while messages of the one before still went out (one within `DRAINING_S`) none is counted,
    nor of those that sent none.
    """
    came, done, sent = (np.asarray(times, np.float64) for times in (came_s, done_s, sent_s))
    next_done = np.append(done[1:], np.inf)
    first = np.searchsorted(sent, done)
    last_before = np.where(first > 0, np.append(sent, 0)[np.maximum(first - 1, 0)], -np.inf)
    at = np.append(sent, np.inf)[first]
    return (at - came)[(at < next_done) & (last_before < done - DRAINING_S)]


def onsets(sound: NDArray[np.float32], threshold: float, rest: int) -> NDArray[np.int64]:
    """The samples of a sound at which it exceeds a threshold after at least `rest` samples at or below it."""
    loud = np.flatnonzero(np.abs(sound) > threshold)
    return loud[np.diff(loud, prepend=-1) > rest]


def first_after_s(begins_s: ArrayLike, sent_s: ArrayLike) -> NDArray[np.float64]:
    """From each beginning to the first send before the next one, in seconds; of those without a send none."""
    begins, sent = np.asarray(begins_s, np.float64), np.asarray(sent_s, np.float64)
    at = np.append(sent, np.inf)[np.searchsorted(sent, begins)]
    return (at - begins)[at < np.append(begins[1:], np.inf)]


def growth_mib(seen: Sequence[int]) -> float | None:
    """From the second quarter to the last the growth of the memory's median, in MiB; in the first, rings fill."""
    quarter = len(seen) // 4
    if not quarter:
        return None
    return round(float(np.median(seen[-quarter:]) - np.median(seen[quarter : 2 * quarter])) / MIB, 3)
