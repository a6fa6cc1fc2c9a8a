"""Parameters: their three coordinates, what lies between their levels, and their role in the sound.

A parameter has exactly three coordinates: `value` (in its unit), `x` (0..1 along its curve) and
`level` (an integer class). Levels are evenly spaced in x, and both ends of the range are levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError, check_text
from .conditions import Condition, condition_data, condition_of

CURVES = ("linear", "exponential")
MAX_LEVELS = 1 << 16

CONTINUOUS, ORDINAL, CATEGORICAL = KINDS = ("continuous", "ordinal", "categorical")
"""What lies between two levels of a parameter: all values (continuous: its levels are a grid for classes), nothing, but
a level has a next higher one (ordinal), or nothing at all: levels are names without an order (categorical)."""

ROLES: Mapping[str, str] = {
    "pitch": "pitch",
    "level": "level",
    "waveform": "waveform",
    "vibrato rate": "vibrato",
    "vibrato depth": "vibrato",
    "tremolo rate": "tremolo",
    "tremolo depth": "tremolo",
    "modulation": "modulation",
    "envelope time": "envelope",
    "envelope level": "envelope",
    "filter frequency": "filter",
    "filter resonance": "filter",
    "effect": "effect",
}
"""What parameters do in a sound, and the heading under which those of a role are shown and averaged."""


@dataclass(frozen=True)
class Param:
    """One parameter of a synth.

    `low` and `high` are in `unit`; `curve` says how x runs between them: "linear", or
    "exponential" (equal ratios, as the notes of a keyboard). `inert_when`: the condition under
    which the parameter has no effect. `kind`: one of `KINDS`; `choices`: the text of each level, where levels have one.

    The other fields change no label, and aren't part of a fingerprint. `group`: what the parameter is a part of (an
    oscillator, an operator, a filter): its members are exchanged, drawn and shown together. `role`: what it does in the
    sound, one of `ROLES`. `midi`: the default control change number.
    """

    name: str
    symbol: str
    low: float
    high: float
    unit: str = ""
    curve: str = "linear"
    levels: int = 16
    midi: int | None = None
    inert_when: Condition | None = None
    kind: str = CONTINUOUS
    choices: tuple[str, ...] | None = None
    group: str | None = None
    role: str | None = None

    @classmethod
    def choice(cls, name: str, symbol: str, choices: Sequence[str], **more: Any) -> Param:
        """A categorical parameter of these texts; its value is the number of one, from 0 on."""
        return cls(
            name, symbol, 0, len(choices) - 1, levels=len(choices), kind=CATEGORICAL, choices=tuple(choices), **more
        )

    def __post_init__(self) -> None:
        check_text(self.name, "the name of a parameter", least=1)
        texts = {"symbol": self.symbol, "unit": self.unit, "group": self.group or ""}
        for what, text in (*texts.items(), *(("a choice", text) for text in self.choices or ())):
            check_text(text, f"{self.name}: {what}")
        if self.kind not in KINDS:
            raise UsageError(f"{self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.role is not None and self.role not in ROLES:
            raise UsageError(f"{self.name}: role {self.role!r} is not one of {', '.join(ROLES)}")
        if self.choices is not None and len(self.choices) != self.levels:
            raise UsageError(f"{self.name}: {len(self.choices)} choices for {self.levels} levels; give as many")
        if self.choices is not None and self.kind == CONTINUOUS:
            raise UsageError(f"{self.name}: a continuous parameter has no choices; make it ordinal or categorical")
        if self.curve not in CURVES:
            raise UsageError(f"{self.name}: curve {self.curve!r} is not one of {', '.join(CURVES)}")
        if not -math.inf < self.low < self.high < math.inf:
            raise UsageError(f"{self.name}: low {self.low} must be below high {self.high}, and both finite")
        if self.curve == "exponential" and self.low <= 0:
            raise UsageError(f"{self.name}: an exponential range must start above 0, not at {self.low}")
        if type(self.levels) is not int or not 2 <= self.levels <= MAX_LEVELS:
            raise UsageError(f"{self.name}: {self.levels} levels; a parameter has a whole number of 2..{MAX_LEVELS}")

    def value_of_x(self, x: ArrayLike) -> NDArray[np.float64]:
        """Values in `unit` at x (any shape, 0..1)."""
        at = np.asarray(x, np.float64)
        if self.curve == "exponential":
            return np.asarray(self.low * (self.high / self.low) ** at)
        return np.asarray(self.low + (self.high - self.low) * at)

    def x_of_value(self, value: ArrayLike) -> NDArray[np.float64]:
        """x of values in `unit` (any shape); the inverse of `value_of_x`."""
        at = np.asarray(value, np.float64)
        if self.curve == "exponential":
            return np.asarray(np.log(at / self.low) / np.log(self.high / self.low))
        return np.asarray((at - self.low) / (self.high - self.low))

    def level_of_x(self, x: ArrayLike) -> NDArray[np.int64]:
        """The nearest level of x (any shape, 0..1)."""
        return np.rint(np.asarray(x, np.float64) * (self.levels - 1)).astype(np.int64)

    def x_of_level(self, level: ArrayLike) -> NDArray[np.float64]:
        """x of integer levels (any shape, 0..levels-1)."""
        return np.asarray(level, np.float64) / (self.levels - 1)

    def level_of_value(self, value: ArrayLike) -> NDArray[np.int64]:
        """The nearest level of values in `unit`."""
        return self.level_of_x(self.x_of_value(value))

    def value_of_level(self, level: ArrayLike) -> NDArray[np.float64]:
        """Values in `unit` of integer levels."""
        return self.value_of_x(self.x_of_level(level))

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(levels,) values in `unit` of all levels."""
        return self.value_of_level(np.arange(self.levels))

    @property
    def heading(self) -> str:
        """The heading it is shown under: its group, else that of its role, else "other"."""
        return self.group or ROLES.get(self.role or "", "other")

    def text(self, value: float) -> str | None:
        """The choice that a value in `unit` is, where the parameter has choices."""
        if self.choices is None:
            return None
        return self.choices[int(np.clip(self.level_of_value(value), 0, self.levels - 1))]

    @property
    def meaning(self) -> dict[str, Any]:
        """What a label means: the fields that enter a fingerprint. `kind` and `choices` do where they are given."""
        more: dict[str, Any] = {} if self.kind == CONTINUOUS else {"kind": self.kind}
        more |= {} if self.choices is None else {"choices": list(self.choices)}
        return {
            "name": self.name,
            "symbol": self.symbol,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "curve": self.curve,
            "levels": self.levels,
            "inert_when": None if self.inert_when is None else condition_data(self.inert_when),
            **more,
        }

    @classmethod
    def from_meaning(cls, fields: Mapping[str, Any]) -> Param:
        """The parameter that `meaning` described; raises `UsageError` if a field is missing or unknown."""
        given = dict(fields)
        inert, choices = given.pop("inert_when", None), given.pop("choices", None)
        try:
            if not all(isinstance(given[key], str) for key in ("name", "symbol", "unit", "curve")):
                raise TypeError("a text is missing")
            if not (choices is None or all(isinstance(text, str) for text in choices)):
                raise TypeError("a choice isn't a text")
            return cls(
                **given,
                inert_when=None if inert is None else condition_of(inert),
                choices=None if choices is None else tuple(choices),
            )
        except (TypeError, ValueError, LookupError, RecursionError) as error:
            raise UsageError(f"not the description of a parameter: {fields!r} ({error})") from None
