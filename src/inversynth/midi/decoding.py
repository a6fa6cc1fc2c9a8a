"""What messages say: controllers and parameters with their values, and a patch from a profile's messages."""

from __future__ import annotations

from .messages import (
    CONTROL_CHANGE,
    DATA_ENTRY,
    DATA_ENTRY_LSB,
    LSB,
    NRPN_LSB,
    NRPN_MSB,
    RPN_LSB,
    RPN_MSB,
    TOP,
    Message,
)
from .profile import Address, ControlChange, ControlChange14, Nrpn, Profile, Sysex


class Readings:
    """Reads the messages of one channel (1..16): which values they can mean, each at an address.

    A controller below 32 is one by itself, and the coarse half of a pair; which it is only the device knows. So the
    fine half gives both, and so do the two halves of data entry.
    """

    def __init__(self, channel: int) -> None:
        self._status = CONTROL_CHANGE | channel - 1
        self._coarse = [0] * LSB
        self._selected = [TOP, TOP]

    def feed(self, message: Message) -> list[tuple[Address, int]]:
        """All (address, value) that a message means after those before it; none for other messages and channels."""
        if message[0] != self._status:
            return []
        number, value = message[1], message[2]
        if number in (NRPN_MSB, NRPN_LSB):
            self._selected[NRPN_MSB - number] = value
            return []
        if number in (RPN_MSB, RPN_LSB):
            self._selected = [TOP, TOP]
            return []
        if number < LSB:
            self._coarse[number] = value
        if number in (DATA_ENTRY, DATA_ENTRY_LSB):
            if self._selected == [TOP, TOP]:
                return []
            msb, lsb = self._selected
            if number == DATA_ENTRY:
                return [(Nrpn(msb, lsb, 7), value)]
            return [(Nrpn(msb, lsb), self._coarse[DATA_ENTRY] << 7 | value)]
        plain: list[tuple[Address, int]] = [(ControlChange(number), value)]
        if LSB <= number < 2 * LSB:
            plain.append((ControlChange14(number - LSB), self._coarse[number - LSB] << 7 | value))
        return plain


class PatchReader:
    """Follows a patch by the messages that a profile makes of it: the other end of a `Receiver`."""

    def __init__(self, profile: Profile) -> None:
        self._channel = profile.channel
        self._readings = Readings(profile.channel)
        self._controls = {c.address: (i, c) for i, c in enumerate(profile.controls) if c is not None}
        self._sysex = [address for address in self._controls if isinstance(address, Sysex)]

    def feed(self, message: Message) -> tuple[int, float] | None:
        """The position of the parameter that a message sets and its x (0..1); None if it sets none."""
        readings = self._readings.feed(message)
        for address in self._sysex:
            value = address.value_of(self._channel, message)
            if value is not None:
                readings.append((address, value))
        for reading, value in readings:
            if reading in self._controls:
                i, control = self._controls[reading]
                return i, float(control.x_of_value(value))
        return None
