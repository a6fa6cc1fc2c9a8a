"""Parameters, parameter spaces and audio formats: what every other module derives its shapes from.

A parameter has exactly three coordinates: `value` (in its unit), `x` (0..1 along its curve) and
`level` (an integer class). Levels are evenly spaced in x, and both ends of the range are levels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import MismatchError, UsageError

CURVES = ("linear", "exponential")
MAX_LEVELS = 1 << 16


@dataclass(frozen=True)
class Param:
    """One parameter of a synth.

    `low` and `high` are in `unit`; `curve` says how x runs between them: "linear", or
    "exponential" (equal ratios, as the notes of a keyboard). `inert_when` names a condition under
    which the parameter is not heard, as (name of another parameter, its level). `midi` is the
    default control change number.
    """

    name: str
    symbol: str
    low: float
    high: float
    unit: str = ""
    curve: str = "linear"
    levels: int = 16
    midi: int | None = None
    inert_when: tuple[str, int] | None = None

    def __post_init__(self) -> None:
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
    def meaning(self) -> dict[str, Any]:
        """What a label means: the fields that enter a fingerprint (not the MIDI number)."""
        return {
            "name": self.name,
            "symbol": self.symbol,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "curve": self.curve,
            "levels": self.levels,
            "inert_when": list(self.inert_when) if self.inert_when else None,
        }

    @classmethod
    def from_meaning(cls, fields: Mapping[str, Any]) -> Param:
        """The parameter that `meaning` described; raises `UsageError` if a field is missing or unknown."""
        given = dict(fields)
        inert = given.pop("inert_when", None)
        try:
            if not all(isinstance(given[key], str) for key in ("name", "symbol", "unit", "curve")):
                raise TypeError("a text is none")
            return cls(**given, inert_when=(str(inert[0]), int(inert[1])) if inert else None)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise UsageError(f"not the description of a parameter: {fields!r} ({error})") from None


class ParamSpace(Sequence[Param]):
    """An ordered, named sequence of parameters; P is its length throughout these docstrings."""

    def __init__(self, params: Iterable[Param]) -> None:
        self._params = tuple(params)
        self._index = {param.name: i for i, param in enumerate(self._params)}
        if len(self._index) != len(self._params):
            raise UsageError("two parameters of a space have the same name")
        for param in self._params:
            if param.inert_when is not None:
                other, level = param.inert_when
                if other not in self._index or not 0 <= level < self[other].levels:
                    raise UsageError(f"{param.name}: inert_when names {other!r} at level {level}, which is not there")

    @overload
    def __getitem__(self, key: int | str) -> Param: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Param, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Param | tuple[Param, ...]:
        return self._params[self.index(key)] if isinstance(key, str) else self._params[key]

    def __len__(self) -> int:
        return len(self._params)

    def __iter__(self) -> Iterator[Param]:
        return iter(self._params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParamSpace) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<ParamSpace of {len(self)}: {', '.join(self.names)}>"

    def index(self, name: Any, start: int = 0, stop: int | None = None) -> int:
        """The position of a parameter, by its name (or the parameter itself)."""
        key = name.name if isinstance(name, Param) else name
        if key not in self._index:
            raise UsageError(f"no parameter {key!r}; there are {', '.join(self.names)}")
        return self._index[key]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(param.name for param in self._params)

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """(P,) the number of levels of each parameter."""
        return np.array([param.levels for param in self._params], np.int64)

    # -- coordinates -------------------------------------------------------------------------

    def values_of_levels(self, levels: ArrayLike) -> NDArray[np.float64]:
        """(n, P) integer levels to (n, P) float64 values in units."""
        at = self.check_levels(levels)
        return np.stack([param.value_of_level(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def levels_of_values(self, values: ArrayLike) -> NDArray[np.int64]:
        """(n, P) values in units to (n, P) nearest integer levels."""
        at = self.check_values(values)
        return np.stack([param.level_of_value(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def values_of_x(self, x: ArrayLike) -> NDArray[np.float64]:
        """(n, P) x (0..1) to (n, P) values in units."""
        at = np.asarray(x, np.float64)
        return np.stack([param.value_of_x(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def x_of_values(self, values: ArrayLike) -> NDArray[np.float64]:
        """(n, P) values in units to (n, P) x (0..1)."""
        at = self.check_values(values)
        return np.stack([param.x_of_value(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def check_levels(self, levels: ArrayLike) -> NDArray[np.int64]:
        """`levels` as (n, P) int64; raises `UsageError` unless each is one of its parameter's levels."""
        at = np.asarray(levels)
        if at.ndim != 2 or at.shape[1] != len(self) or not np.issubdtype(at.dtype, np.integer):
            raise UsageError(f"levels must be integers of shape (n, {len(self)}), not {at.dtype} of shape {at.shape}")
        wrong = np.argwhere((at < 0) | (at >= self.levels))
        if len(wrong):
            row, column = wrong[0]
            param = self._params[column]
            raise UsageError(f"{param.name}: level {at[row, column]} is outside 0..{param.levels - 1}")
        return at.astype(np.int64)

    def check_values(self, values: ArrayLike) -> NDArray[np.float64]:
        """`values` as (n, P) float64; raises `UsageError` unless each is within its parameter's range.

        A value may miss the range by rounding (a millionth of it) and is then set to its end.
        """
        try:
            at = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"values must be numbers of shape (n, {len(self)})") from None
        if at.ndim != 2 or at.shape[1] != len(self):
            raise UsageError(f"values must have the shape (n, {len(self)}), not {at.shape}")
        low, high = self._bounds
        slack = 1e-6 * (high - low)
        wrong = np.argwhere(~((at >= low - slack) & (at <= high + slack)))
        if len(wrong):
            row, column = wrong[0]
            param = self._params[column]
            given = f"{at[row, column]:g} {param.unit}".rstrip()
            allowed = f"{param.low:g}..{param.high:g} {param.unit}".rstrip()
            raise UsageError(f"{param.name}: {given} in patch {row} is outside {allowed}")
        return np.clip(at, low, high)

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (
            np.array([param.low for param in self._params]),
            np.array([param.high for param in self._params]),
        )

    # -- parameters without effect -----------------------------------------------------------

    def active(self, levels: ArrayLike) -> NDArray[np.bool_]:
        """(n, P) True where a parameter is heard in that patch, from (n, P) levels."""
        at = np.asarray(levels)
        heard = np.ones(at.shape, bool)
        for i, param in enumerate(self._params):
            if param.inert_when is not None:
                other, level = param.inert_when
                heard[:, i] = at[:, self._index[other]] != level
        return heard

    def canonical(self, levels: ArrayLike) -> NDArray[np.int64]:
        """(n, P) levels with every parameter that is not heard at level 0: equal rows sound equal."""
        at = np.asarray(levels, np.int64)
        return np.where(self.active(at), at, 0)

    # -- identity ----------------------------------------------------------------------------

    def to_list(self) -> list[dict[str, Any]]:
        """The space as plain data, for JSON; `from_list` reads it back."""
        return [param.meaning for param in self._params]

    @classmethod
    def from_list(cls, params: Iterable[Mapping[str, Any]]) -> ParamSpace:
        """The space that `to_list` described (without MIDI numbers); raises `UsageError`."""
        return cls(Param.from_meaning(fields) for fields in params)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over what changes meaning: names, order, ranges, curves, levels."""
        text = json.dumps(self.to_list(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: ParamSpace) -> list[str]:
        """One line for each parameter in which `other` differs; empty if they mean the same."""
        lines = []
        for name in dict.fromkeys(self.names + other.names):
            if name not in other._index:
                lines.append(f"{name} is missing")
            elif name not in self._index:
                lines.append(f"{name} is not expected")
            else:
                mine, theirs = self[name].meaning, other[name].meaning
                lines += [
                    f"{name}: {key} is {theirs[key]}, not {mine[key]}" for key in mine if mine[key] != theirs[key]
                ]
        if not lines and self.names != other.names:
            lines.append("the parameters stand in another order")
        return lines

    def require(self, other: ParamSpace, what: str) -> None:
        """Raises `MismatchError`, naming the parameters that differ, unless `other` means the same."""
        lines = self.differences(other)
        if lines:
            more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
            raise MismatchError(f"{what} has another parameter space: {'; '.join(lines[:3])}{more}")


@dataclass(frozen=True)
class AudioFormat:
    """Mono audio of a fixed length: `sample_rate` in Hz, `seconds`; `samples` is its length."""

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

    @property
    def samples(self) -> int:
        """Length in samples, rounded to the nearest."""
        return round(self.sample_rate * self.seconds)
