"""A device's profile: how each parameter is driven at its address (its control), and the rest.

All of it is pure and frozen; `inversynth.midi.profiles` reads it from TOML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..spec import CONTINUOUS, Param, ParamSpace
from .addresses import Address, ControlChange14
from .messages import Message

Dump: TypeAlias = Callable[[NDArray[np.float64], int], Sequence[Message]]
"""Messages that carry a whole patch: of (P,) values in units, on a channel of 1..16."""


class Driven(Protocol):
    """What a profile drives: the part of a synth that MIDI needs."""

    @property
    def name(self) -> str: ...

    @property
    def space(self) -> ParamSpace: ...

    @property
    def dump(self) -> Dump | None: ...


@dataclass(frozen=True)
class Control:
    """How one parameter is driven on a device.

    The device's value goes from `low` to `high` (below low if it is reversed) as the parameter's goes along `span`
    (in its unit) on `curve`; values beyond the span are clipped. Or `table` holds the device's values at evenly
    spaced x from 0 to 1, with straight lines between them. A parameter that isn't continuous is always at one of its
    levels, here and there.
    """

    param: Param
    address: Address
    low: int
    high: int
    span: tuple[float, float]
    curve: str
    table: tuple[int, ...] = ()

    @classmethod
    def of(cls, param: Param, address: Address) -> Control:
        """All of the parameter's range on all of the address, evenly in x."""
        return cls(param, address, 0, address.top, (param.low, param.high), param.curve)

    def within(self, low: int, high: int) -> Control:
        """The same between other values of the device."""
        return replace(self, low=low, high=high)

    @property
    def exact(self) -> bool:
        """Whether each level of the parameter comes back from the device's value for it."""
        levels = np.arange(self.param.levels)
        back = self.x_of_value(self.value_of_x(self.param.x_of_level(levels)))
        return bool((self.param.level_of_x(back) == levels).all())

    @cached_property
    def axis(self) -> Param | None:
        """`span` and `curve` as a parameter; None where the device's value runs evenly with x."""
        low, high = self.span
        if (low, high, self.curve) == (self.param.low, self.param.high, self.param.curve):
            return None
        return replace(self.param, low=low, high=high, curve=self.curve)

    def value_of_x(self, x: ArrayLike) -> NDArray[np.int64]:
        """The device's nearest value at x (any shape, 0..1)."""
        place = self._at_a_level(np.clip(np.asarray(x, np.float64), 0, 1))
        if self.table:
            return np.rint(np.interp(place, np.linspace(0, 1, len(self.table)), self.table)).astype(np.int64)
        if self.axis is not None:
            place = self.axis.x_of_value(np.clip(self.param.value_of_x(place), *self.span))
        return np.rint(self.low + (self.high - self.low) * place).astype(np.int64)

    def x_of_value(self, value: ArrayLike) -> NDArray[np.float64]:
        """The x (0..1) of a device's value (any shape); of a table's, that of the nearest entry."""
        return self._at_a_level(self._x_of_value(np.asarray(value, np.float64)))

    def step(self, x: float, by: int) -> float:
        """The x one step of the device's value up or down (`by` 1 or -1) from x; a level, unless it is continuous."""
        if self.param.kind != CONTINUOUS:
            level = int(self.param.level_of_x(x)) + by
            return float(self.param.x_of_level(min(max(level, 0), self.param.levels - 1)))
        low, high = (min(self.table), max(self.table)) if self.table else sorted((self.low, self.high))
        return float(self.x_of_value(min(max(int(self.value_of_x(x)) + by, low), high)))

    def _at_a_level(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x if self.param.kind == CONTINUOUS else self.param.x_of_level(self.param.level_of_x(x))

    def _x_of_value(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.table:
            nearest = np.abs(at[..., None] - np.array(self.table)).argmin(-1)
            return np.asarray(nearest / (len(self.table) - 1))
        place = np.clip((at - self.low) / (self.high - self.low), 0, 1)
        if self.axis is not None:
            ours = np.clip(self.axis.value_of_x(place), self.param.low, self.param.high)
            place = self.param.x_of_value(ours)
        return np.asarray(place)


@dataclass(frozen=True)
class Setting:
    """A value of the device that is sent before all parameters."""

    name: str
    address: Address
    value: int


@dataclass(frozen=True)
class Other:
    """A parameter of the device that no parameter drives; `choices`: the values and the names of those it has."""

    name: str
    address: Address
    low: int
    high: int
    choices: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """The maker's document that a profile was checked against."""

    document: str = ""
    page: str = ""
    url: str = ""


@dataclass(frozen=True)
class Profile:
    """A device and how it is driven by a space's parameters; `controls` are (P,), None where there is none."""

    name: str
    space: ParamSpace
    controls: tuple[Control | None, ...]
    channel: int = 1
    maker: str = ""
    model: str = ""
    source: Source = Source()
    settings: tuple[Setting, ...] = ()
    others: tuple[Other, ...] = ()
    nrpn_null: bool = False
    """Whether data entry is pointed to no parameter after each NRPN, and moved there before the next repeats it."""
    running_status: bool = False
    """Whether the port is a DIN wire whose repeated status bytes are left out."""
    dump: Dump | None = None
    """Messages that carry a whole patch, where the device takes them."""

    def on_channel(self, channel: int) -> Profile:
        """The same on another channel; raises `UsageError` unless it is 1..16."""
        if not 1 <= channel <= 16:
            raise UsageError(f"MIDI channel {channel} is not an integer of 1..16")
        return replace(self, channel=channel)

    @property
    def pairs(self) -> frozenset[int]:
        """The numbers (0..31) that are the MSB of a 14-bit controller."""
        addresses = [c.address for c in self.driven] + [s.address for s in self.settings]
        return frozenset(each.number for each in addresses if isinstance(each, ControlChange14))

    @property
    def driven(self) -> list[Control]:
        """The controls there are, in the space's order."""
        return [control for control in self.controls if control is not None]

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        """(P,) levels less one of what isn't continuous; 0 elsewhere."""
        return np.array([0 if p.kind == CONTINUOUS else p.levels - 1 for p in self.space], np.float64)

    @cached_property
    def _even(self) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[int, Control]]]:
        """(P,) lows and reaches of all that run evenly with x, and the positions of the other controls."""
        ends = np.array([(c.low, c.high - c.low) if c is not None else (-1, 0) for c in self.controls], np.float64)
        rest = [(i, c) for i, c in enumerate(self.controls) if c is not None and (c.table or c.axis is not None)]
        return ends[:, 0], ends[:, 1], rest

    def values_of_x(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """(P,) values of the device at (P,) x (0..1); -1 where nothing drives it."""
        low, reach, rest = self._even
        place, steps = np.minimum(np.maximum(x, 0), 1), self._steps
        if steps.any():
            place = np.where(steps > 0, np.rint(place * steps) / np.maximum(steps, 1), place)
        values = np.rint(low + reach * place).astype(np.int64)
        for i, control in rest:
            values[i] = control.value_of_x(x[i])
        return values


def check_places(where: object, controls: Mapping[str, Control | None]) -> None:
    """Raises `UsageError`, naming `where` they are, if two parameters have the same address."""
    owner: dict[object, str] = {}
    for name, control in controls.items():
        for place in control.address.places if control else ():
            if place in owner:
                assert control is not None
                raise UsageError(f"{where}: parameters.{name}: {control.address} is already that of {owner[place]}")
            owner[place] = name
