"""Notes and audio formats: what is played, and the form of its sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError


@dataclass(frozen=True)
class Note:
    """A note that plays a patch: `key` (MIDI's numbers; parts of a semitone are allowed), `velocity` (1..127), and
    `hold_s`, how long the key is held, in seconds; infinite for one that is held to the end.
    """

    key: float = 69.0
    velocity: float = 100.0
    hold_s: float = math.inf

    def __post_init__(self) -> None:
        Note.rows([[self.key, self.velocity, self.hold_s]], 1)

    @property
    def row(self) -> tuple[float, float, float]:
        """Its three numbers, as they stand in an array of notes."""
        return self.key, self.velocity, self.hold_s

    def __str__(self) -> str:
        held = "to the end" if self.hold_s == math.inf else f"{self.hold_s:g} s"
        return f"key {self.key:g}, velocity {self.velocity:g}, held {held}"

    def to_data(self) -> dict[str, float | None]:
        """The note as plain data, for JSON; a hold to the end is None."""
        return {"key": self.key, "velocity": self.velocity, "hold_s": None if self.hold_s == math.inf else self.hold_s}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Note:
        """The note that `to_data` described; raises `UsageError` for anything else."""
        try:
            key, velocity, hold_s = (data[name] for name in ("key", "velocity", "hold_s"))
            return cls(float(key), float(velocity), math.inf if hold_s is None else float(hold_s))
        except (TypeError, ValueError, LookupError) as error:
            raise UsageError(f"not the description of a note ({error})") from None

    @staticmethod
    def rows(notes: Note | ArrayLike, count: int) -> NDArray[np.float64]:
        """(count, 3) float64 key, velocity and hold in seconds of `count` notes, of one for all or one for each.

        notes: a `Note`, or an array (3,), (1, 3) or (count, 3). Raises `UsageError` for another shape, and for what is
        outside a note's ranges.
        """
        try:
            at = np.asarray(notes.row if isinstance(notes, Note) else notes, np.float64)
        except (TypeError, ValueError):
            raise UsageError("notes must be numbers: key, velocity and hold in seconds") from None
        if at.shape not in ((3,), (1, 3), (count, 3)):
            raise UsageError(f"notes must have the shape (3,) or ({count}, 3), not {at.shape}")
        rows = np.ascontiguousarray(np.broadcast_to(at, (count, 3)))
        for i, (name, low, high, unit) in enumerate(NOTE_RANGES):
            wrong = np.flatnonzero(~((rows[:, i] >= low) & (rows[:, i] <= high)))
            if len(wrong):
                raise UsageError(f"a note's {name} of {rows[wrong[0], i]:g}{unit} is outside {low:g}..{high:g}{unit}")
        return rows


NOTE_RANGES = (("key", 0.0, 127.0, ""), ("velocity", 1.0, 127.0, ""), ("hold", 0.0, math.inf, " s"))
"""The columns of an array of notes: name, least and largest value, unit."""


@dataclass(frozen=True, eq=False)
class AudioFormat:
    """Mono audio of a fixed length: `sample_rate` in Hz, `seconds`; `samples` is its length.

    Two of as many samples at the same rate are equal.
    """

    sample_rate: int
    seconds: float

    def __post_init__(self) -> None:
        if (
            isinstance(self.sample_rate, bool)
            or self.sample_rate != int(self.sample_rate)
            or not 1000 <= self.sample_rate <= 768_000
        ):
            raise UsageError(f"sample rate {self.sample_rate} Hz is outside 1000..768000")
        if not 0 < self.seconds <= 3600 or self.samples < 1:
            raise UsageError(f"a length of {self.seconds} s is outside (0, 3600] or less than a sample")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AudioFormat) and self._size == other._size

    def __hash__(self) -> int:
        return hash(self._size)

    @property
    def _size(self) -> tuple[int, int]:
        return self.sample_rate, self.samples

    @property
    def samples(self) -> int:
        """Length in samples, rounded to the nearest."""
        return round(self.sample_rate * self.seconds)
