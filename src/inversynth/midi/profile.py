"""What a device takes: where each parameter goes (its address), how it runs there (its control), and the rest.

All of it is pure and frozen; `inversynth.midi.profiles` reads it from TOML.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..spec import Param, ParamSpace
from . import messages
from .messages import LSB, TOP, TOP_14, Message


class Address(Protocol):
    """Where a device keeps a value: `top` is the largest it holds, `places` what no other address may share."""

    @property
    def top(self) -> int:
        """The largest value."""

    @property
    def places(self) -> tuple[Hashable, ...]:
        """The controller numbers (int), or a parameter's own address."""

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """Sets it to a value of 0..top on a channel of 1..16."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class ControlChange:
    """A 7-bit controller."""

    number: int
    top = TOP

    @property
    def places(self) -> tuple[Hashable, ...]:
        """Its number."""
        return (self.number,)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One control change."""
        return (messages.control_change(channel, self.number, value),)

    def __str__(self) -> str:
        return f"CC {self.number}"


@dataclass(frozen=True)
class ControlChange14:
    """A 14-bit controller: the pair of `number` (0..31) and number + 32."""

    number: int
    top = TOP_14

    @property
    def places(self) -> tuple[Hashable, ...]:
        """Both numbers."""
        return self.number, self.number + LSB

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """The coarse half and the fine."""
        return messages.control_change_14(channel, self.number, value)

    def __str__(self) -> str:
        return f"CC {self.number}+{self.number + LSB}"


@dataclass(frozen=True)
class Nrpn:
    """A non-registered parameter; with 7 bits only the coarse half of data entry is sent."""

    msb: int
    lsb: int
    bits: int = 14

    @property
    def top(self) -> int:
        """127 or 16383."""
        return (1 << self.bits) - 1

    @property
    def places(self) -> tuple[Hashable, ...]:
        """The parameter's number."""
        return (("nrpn", self.msb, self.lsb),)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """Selects the parameter, and sets it."""
        return messages.nrpn(channel, self.msb, self.lsb, value, self.bits)

    def __str__(self) -> str:
        return f"NRPN {self.msb}:{self.lsb}"


@dataclass(frozen=True)
class Sysex:
    """A system exclusive message with places for a value.

    `template` is as makers write it: bytes in hexadecimal, `1n` with n for the channel less one (the device
    number), and `vv` for the value, or `mm` and `ll` for its coarse and fine seven bits.
    """

    template: str

    @property
    def top(self) -> int:
        """127 or 16383."""
        return TOP if "vv" in self.template.split() else TOP_14

    @property
    def places(self) -> tuple[Hashable, ...]:
        """The template."""
        return (self.template.upper(),)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One message."""
        variable = {"vv": value, "mm": value >> 7, "ll": value & TOP}
        return (
            bytes(
                variable[word] if word in variable else int(word.replace("n", f"{channel - 1:X}"), 16)
                for word in self.template.split()
            ),
        )

    def value_of(self, channel: int, message: Message) -> int | None:
        """The value in a message of this form; None if it has another."""
        words = self.template.split()
        if len(message) != len(words):
            return None
        halves = {word: byte for word, byte in zip(words, message, strict=True) if word in ("vv", "mm", "ll")}
        value = halves.get("vv", halves.get("mm", 0) << 7 | halves.get("ll", 0))
        return value if self.messages(channel, value) == (message,) else None

    def __str__(self) -> str:
        return f"sysex {self.template}"


@dataclass(frozen=True)
class Program:
    """The program; only for settings."""

    top = TOP

    @property
    def places(self) -> tuple[Hashable, ...]:
        """Programs have no address."""
        return ("program",)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One program change."""
        return (messages.program_change(channel, value),)

    def __str__(self) -> str:
        return "program"


@dataclass(frozen=True)
class Control:
    """How one parameter of ours runs on a device.

    The device's value goes from `low` to `high` (below low if it runs the other way) as ours runs along `span`
    (in our unit) on `curve`; ours beyond it stay at its ends. Or `table` holds the device's values at evenly
    spaced x from 0 to 1, with straight lines between them.
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

    @cached_property
    def axis(self) -> Param | None:
        """`span` and `curve` as a parameter; None where the device's value runs evenly with x."""
        low, high = self.span
        if (low, high, self.curve) == (self.param.low, self.param.high, self.param.curve):
            return None
        return replace(self.param, low=low, high=high, curve=self.curve)

    def value_of_x(self, x: ArrayLike) -> NDArray[np.int64]:
        """The device's nearest value at x (any shape, 0..1)."""
        place = np.clip(np.asarray(x, np.float64), 0, 1)
        if self.table:
            return np.rint(np.interp(place, np.linspace(0, 1, len(self.table)), self.table)).astype(np.int64)
        if self.axis is not None:
            place = self.axis.x_of_value(np.clip(self.param.value_of_x(place), *self.span))
        return np.rint(self.low + (self.high - self.low) * place).astype(np.int64)

    def x_of_value(self, value: ArrayLike) -> NDArray[np.float64]:
        """The x (0..1) of a device's value (any shape); of a table's, that of the nearest entry."""
        at = np.asarray(value, np.float64)
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
    """A parameter of the device that none of ours drives."""

    name: str
    address: Address
    low: int
    high: int


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

    def on_channel(self, channel: int) -> Profile:
        """The same on another channel; raises `UsageError` unless it is 1..16."""
        if not 1 <= channel <= 16:
            raise UsageError(f"MIDI channel {channel} is not an integer of 1..16")
        return replace(self, channel=channel)

    @property
    def pairs(self) -> frozenset[int]:
        """The numbers (0..31) that are the coarse half of a 14-bit controller."""
        addresses = [c.address for c in self.driven] + [s.address for s in self.settings]
        return frozenset(each.number for each in addresses if isinstance(each, ControlChange14))

    @property
    def driven(self) -> list[Control]:
        """The controls there are, in the space's order."""
        return [control for control in self.controls if control is not None]

    @cached_property
    def _even(self) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[int, Control]]]:
        """(P,) lows and reaches of all that run evenly with x, and the positions of the other controls."""
        ends = np.array([(c.low, c.high - c.low) if c is not None else (-1, 0) for c in self.controls], np.float64)
        rest = [(i, c) for i, c in enumerate(self.controls) if c is not None and (c.table or c.axis is not None)]
        return ends[:, 0], ends[:, 1], rest

    def values_of_x(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """(P,) values of the device at (P,) x (0..1); -1 where nothing drives it."""
        low, reach, rest = self._even
        values = np.rint(low + reach * np.minimum(np.maximum(x, 0), 1)).astype(np.int64)
        for i, control in rest:
            values[i] = control.value_of_x(x[i])
        return values
