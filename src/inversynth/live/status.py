"""The status of the bridge: a snapshot while it runs, and a summary at the end; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Status:
    """A snapshot of the bridge, P parameters, for displays.

    level_db: the peak of the input in dBFS, -inf for silence; clipped: samples of the input at full scale so far;
    sounding: whether a note does; note: its MIDI number where it is known; x, confidence: (P,) the patch that is
    wanted, on its curves, and how probable the latest estimate is, None before the first; active: (P,) False where a
    parameter has no effect in it; messages, overflows, predictions: so far; refused: predictions that moved nothing, by
    the gate; away: the audio device is waited for; refined: a background search has improved the patch.
    """

    seconds: float
    level_db: float
    clipped: int
    sounding: bool
    note: int | None
    x: NDArray[np.float64] | None
    confidence: NDArray[np.float64] | None
    active: NDArray[np.bool_] | None
    messages: int
    overflows: int
    predictions: int = 0
    refused: int = 0
    away: bool = False
    refined: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run did. `damaged` counts invalid samples, `superseded` values that a later one replaced.

    notes: that moved something, of `notes_found`; refusals: predictions that moved nothing, by the gate, for each of
    its reasons; inference_s: of the latest predictions.
    """

    seconds: float
    blocks: int
    overflows: int
    damaged: int
    notes: int
    notes_found: int
    predictions: int
    refusals: Mapping[str, int]
    refined: int
    inference_s: NDArray[np.float64]
    sent: int
    superseded: int

    @property
    def refused(self) -> int:
        """Predictions that moved nothing, by the gate."""
        return sum(self.refusals.values())

    def lines(self) -> list[str]:
        """For the user."""
        notes, predictions = _count(self.notes_found, "note"), _count(self.predictions, "prediction")
        of_all = "" if self.notes == self.notes_found else f"{self.notes} of "
        line = f"{of_all}{notes}, {predictions}, {self.refused} refused"
        if self.refusals:
            line += f" ({', '.join(f'{count} {reason}' for reason, count in self.refusals.items())})"
        if self.refined:
            line += f", {self.refined} refined"
        if len(self.inference_s):
            p50, p99, most = np.percentile(self.inference_s, [50, 99, 100]) * 1e3
            line += f"; inference p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms"
        return [
            f"{self.seconds:.1f} s, {self.blocks} blocks, {self.overflows} overflows, {self.damaged} damaged samples",
            line,
            f"{self.sent} messages sent, {self.superseded} dropped (superseded before they were sent)",
        ]


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
