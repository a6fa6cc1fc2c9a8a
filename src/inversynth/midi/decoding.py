"""Decoding of messages: controllers and parameters with their values, and a patch from a profile's messages.

The rules are those of the MIDI 1.0 Detailed Specification: of a value of 14 bits the MSB comes first and takes the LSB
to 0, the LSB then refines it; each non-registered parameter has a value of its own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from .addresses import Address, ControlChange, ControlChange14, Nrpn, Sysex
from .messages import (
    CONTROL_CHANGE,
    DATA_DECREMENT,
    DATA_ENTRY,
    DATA_ENTRY_LSB,
    DATA_INCREMENT,
    LSB_OFFSET,
    NRPN_LSB,
    NRPN_MSB,
    NULL,
    RESET,
    RPN_LSB,
    RPN_MSB,
    Message,
)
from .profile import Control, Profile

BEND_RANGE = 0, 0
"""The registered parameter (MSB, LSB) that is the range of the pitch wheel: semitones, and hundredths of one."""
BEND_SEMITONES = 2.0
"""What the pitch wheel bends by at either end: the range that MIDI 1.0 recommends."""


class DataEntry:
    """Which parameter data entry points to, and the bytes that each has been given."""

    def __init__(self) -> None:
        self.registered = False
        self._numbers = {True: list(NULL), False: list(NULL)}
        self._given: dict[tuple[bool, int, int], tuple[int | None, int]] = {}
        self._lsb_first: bool | None = None

    @property
    def selected(self) -> tuple[int, int] | None:
        """The number (MSB, LSB) of the selected parameter, `registered` or not; None if there is none."""
        msb, lsb = self._numbers[self.registered]
        return None if (msb, lsb) == NULL else (msb, lsb)

    def select(self, number: int, value: int) -> None:
        """One of the four controllers that select."""
        self.registered = number in (RPN_MSB, RPN_LSB)
        self._numbers[self.registered][number in (RPN_LSB, NRPN_LSB)] = value
        self._lsb_first = None

    def select_none(self) -> None:
        """As the number 127, 127."""
        self._numbers = {True: list(NULL), False: list(NULL)}

    def enter(self, number: int, value: int) -> tuple[int | None, int]:
        """The MSB and the LSB of the selected parameter after one of them came; an MSB of None has never come.

        An LSB that comes first after the selection stays when the MSB comes.
        """
        assert self.selected is not None
        key = (self.registered, *self.selected)
        msb, lsb = self._given.get(key, (None, 0))
        if self._lsb_first is None:
            self._lsb_first = number == DATA_ENTRY_LSB
        if number == DATA_ENTRY_LSB:
            lsb = value
        else:
            msb, lsb = value, lsb if self._lsb_first else 0
        self._given[key] = msb, lsb
        return msb, lsb


class Readings:
    """Reads the messages of one channel (1..16): which values they can mean, each at an address.

    A controller below 32 is one by itself, and the MSB of a pair; only the device knows which. So the LSB gives
    both, and data entry a value of 7 bits and one of 14. `bend_semitones`: the range that the pitch wheel was given.
    """

    def __init__(self, channel: int) -> None:
        self.bend_semitones = BEND_SEMITONES
        self._status = CONTROL_CHANGE | channel - 1
        self._msb = [0] * LSB_OFFSET
        self._entry = DataEntry()

    def feed(self, message: Message) -> list[tuple[Address, int]]:
        """All (address, value) that a message means after those before it; none for other messages and channels."""
        if message[0] != self._status:
            return []
        number, value = message[1], message[2]
        if number in (NRPN_MSB, NRPN_LSB, RPN_MSB, RPN_LSB):
            self._entry.select(number, value)
            return []
        if number in (DATA_ENTRY, DATA_ENTRY_LSB):
            return [] if self._entry.selected is None else self._entered(number, value)
        if number in (DATA_INCREMENT, DATA_DECREMENT) and self._entry.selected is not None:
            return []  # see `step_of`
        if number == RESET:
            self._entry.select_none()
        if number < LSB_OFFSET:
            self._msb[number] = value
        plain: list[tuple[Address, int]] = [(ControlChange(number), value)]
        if LSB_OFFSET <= number < 2 * LSB_OFFSET:
            plain.append((ControlChange14(number - LSB_OFFSET), self._msb[number - LSB_OFFSET] << 7 | value))
        return plain

    def _entered(self, number: int, value: int) -> list[tuple[Address, int]]:
        selected = self._entry.selected
        assert selected is not None
        msb, lsb = self._entry.enter(number, value)
        if msb is None:
            return []
        if self._entry.registered:
            if selected == BEND_RANGE:
                self.bend_semitones = msb + lsb / 100
            return []
        found: list[tuple[Address, int]] = [(Nrpn(*selected, 7), value)] if number == DATA_ENTRY else []
        if number == DATA_ENTRY_LSB or lsb:
            found.append((Nrpn(*selected), msb << 7 | lsb))
        return found

    def step_of(self, message: Message) -> tuple[int, tuple[int, int]] | None:
        """1 or -1 for data increment or decrement, and the number of the non-registered parameter; else None."""
        selected = self._entry.selected
        if message[0] != self._status or selected is None or self._entry.registered:
            return None
        by = {DATA_INCREMENT: 1, DATA_DECREMENT: -1}.get(message[1])
        return None if by is None else (by, selected)


class PatchReader:
    """Follows a patch by the messages that profiles make of it: the other end of a `Receiver`.

    profiles: of one space, on the channel of the first; what goes to an address is the first's that has it. x: (P,)
    x (0..1) of the patch to begin with, NaN where it isn't known. Data increment and decrement go on from what is
    known, and mean nothing elsewhere.
    """

    def __init__(self, *profiles: Profile, x: NDArray[np.float64] | None = None) -> None:
        self._channel = profiles[0].channel
        self._readings = Readings(self._channel)
        self._controls: dict[Address, tuple[int, Control]] = {}
        taken: set[Hashable] = set()
        for profile in profiles:
            own = {c.address: (i, c) for i, c in enumerate(profile.controls) if c and not taken & set(c.address.places)}
            taken.update(place for address in own for place in address.places)
            self._controls |= own
        self._sysex = [address for address in self._controls if isinstance(address, Sysex)]
        self._x = np.full(len(profiles[0].space), math.nan) if x is None else np.array(x, np.float64)

    @property
    def bend_semitones(self) -> float:
        """What the pitch wheel bends by at either end: registered parameter 0."""
        return self._readings.bend_semitones

    def feed(self, message: Message) -> tuple[int, float] | None:
        """The position of the parameter that a message sets and its x (0..1); None if it sets none."""
        found = self._set(message) or self._stepped(message)
        if found is not None:
            self._x[found[0]] = found[1]
        return found

    def _set(self, message: Message) -> tuple[int, float] | None:
        readings = self._readings.feed(message)
        for address in self._sysex:
            value = address.value_of(self._channel, message)
            if value is not None:
                readings.append((address, value))
        for reading, value in readings:
            if reading in self._controls:
                i, control = self._controls[reading]
                return i, float(control.x_of_value(value))
        for reading, value in readings:
            wide = _of_14_bits(reading)  # whose MSB this is, with an LSB of 0
            if wide is not None and wide in self._controls:
                i, control = self._controls[wide]
                return i, float(control.x_of_value(value << 7))
        return None

    def _stepped(self, message: Message) -> tuple[int, float] | None:
        step = self._readings.step_of(message)
        if step is None:
            return None
        by, number = step
        found: tuple[int, Control] | None = next(
            (self._controls[each] for each in (Nrpn(*number), Nrpn(*number, 7)) if each in self._controls), None
        )
        if found is None or math.isnan(self._x[found[0]]):
            return None
        i, control = found
        return i, control.step(float(self._x[i]), by)


def _of_14_bits(address: Address) -> Address | None:
    """The address of 14 bits whose MSB goes to an address of 7."""
    match address:
        case ControlChange(number) if number < LSB_OFFSET:
            return ControlChange14(number)
        case Nrpn(msb, lsb, 7):
            return Nrpn(msb, lsb)
    return None
