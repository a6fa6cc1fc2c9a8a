"""Where a device keeps a value, and the messages that set it: control changes, NRPNs, system exclusive, the program."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from . import messages
from .messages import DATA_MAX, DATA_MAX_14, LSB_OFFSET, Message


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
    top = DATA_MAX

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
    top = DATA_MAX_14

    @property
    def places(self) -> tuple[Hashable, ...]:
        """Both numbers."""
        return self.number, self.number + LSB_OFFSET

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """The MSB, then the LSB."""
        return messages.control_change_14(channel, self.number, value)

    def __str__(self) -> str:
        return f"CC {self.number}+{self.number + LSB_OFFSET}"


@dataclass(frozen=True)
class Nrpn:
    """A non-registered parameter; with 7 bits only the MSB of data entry is sent."""

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
    number), and `vv` for the value, or `mm` and `ll` for the upper and the lower seven bits of one of 14.
    """

    template: str

    @property
    def top(self) -> int:
        """127 or 16383."""
        return DATA_MAX if "vv" in self.template.split() else DATA_MAX_14

    @property
    def places(self) -> tuple[Hashable, ...]:
        """The template."""
        return (self.template.upper(),)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One message."""
        variable = {"vv": value, "mm": value >> 7, "ll": value & DATA_MAX}
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
        parts = {word: byte for word, byte in zip(words, message, strict=True) if word in ("vv", "mm", "ll")}
        value = parts.get("vv", parts.get("mm", 0) << 7 | parts.get("ll", 0))
        return value if self.messages(channel, value) == (message,) else None

    def __str__(self) -> str:
        return f"sysex {self.template}"


@dataclass(frozen=True)
class Program:
    """The program; only for settings."""

    top = DATA_MAX

    @property
    def places(self) -> tuple[Hashable, ...]:
        """Programs have no address."""
        return ("program",)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One program change."""
        return (messages.program_change(channel, value),)

    def __str__(self) -> str:
        return "program"
