"""The bytes of MIDI messages, each whole: a `Message` is plain `bytes`, from its status byte on.

Forms and numbers are those of the MIDI 1.0 Detailed Specification (MIDI Association, 1996).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Message: TypeAlias = bytes

BAUD = 31250
"""Bits a second on a MIDI cable."""
BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""
DATA_MAX = 127
"""The largest data byte."""
DATA_MAX_14 = 16383
"""The largest value of two data bytes."""
LSB_OFFSET = 32
"""The controllers n and n + 32, for n below it, are the most and the least significant byte (MSB, LSB) of one."""

NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE, PITCH_BEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0
SYSEX, END_OF_SYSEX = 0xF0, 0xF7
DATA_ENTRY, DATA_ENTRY_LSB, DATA_INCREMENT, DATA_DECREMENT = 6, 38, 96, 97
NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB = 98, 99, 100, 101
NULL = DATA_MAX, DATA_MAX
"""The number (MSB, LSB) of no parameter: data entry that points to it changes nothing."""
DAMPER, ALL_SOUND_OFF, RESET, ALL_NOTES_OFF = 64, 120, 121, 123

RESERVED: Mapping[int, str] = {
    0: "bank select",
    DATA_ENTRY: "data entry",
    **{number: f"the LSB of controller {number - LSB_OFFSET}" for number in range(LSB_OFFSET, 2 * LSB_OFFSET)},
    DAMPER: "the damper pedal",
    65: "the portamento switch",
    66: "the sostenuto pedal",
    67: "the soft pedal",
    68: "the legato switch",
    69: "the hold pedal",
    DATA_INCREMENT: "data increment",
    DATA_DECREMENT: "data decrement",
    NRPN_LSB: "NRPN, LSB",
    NRPN_MSB: "NRPN, MSB",
    RPN_LSB: "RPN, LSB",
    RPN_MSB: "RPN, MSB",
    ALL_SOUND_OFF: "all sound off",
    RESET: "reset all controllers",
    122: "local control",
    ALL_NOTES_OFF: "all notes off",
    124: "omni off",
    125: "omni on",
    126: "mono on",
    127: "poly on",
}
"""Numbers that don't hold a continuous value of their own (table 3 and the channel mode messages): bytes of
14-bit pairs, switches, parameter selection and modes."""


def control_change(channel: int, number: int, value: int) -> Message:
    """A controller's value on a channel of 1..16; numbers and values here are 0..127."""
    return bytes((CONTROL_CHANGE | channel - 1, number, value))


def control_change_14(channel: int, number: int, value: int) -> tuple[Message, Message]:
    """A value of 0..16383: the MSB on controller `number` (0..31), then the LSB on number + 32."""
    return control_change(channel, number, value >> 7), control_change(channel, number + LSB_OFFSET, value & DATA_MAX)


def select_nrpn(channel: int, msb: int, lsb: int) -> tuple[Message, Message]:
    """Points data entry to a non-registered parameter; 127, 127 points it to none."""
    return control_change(channel, NRPN_MSB, msb), control_change(channel, NRPN_LSB, lsb)


def select_rpn(channel: int, msb: int = NULL[0], lsb: int = NULL[1]) -> tuple[Message, Message]:
    """Points data entry to a registered parameter; by default to none, the RPN null."""
    return control_change(channel, RPN_MSB, msb), control_change(channel, RPN_LSB, lsb)


def data_entry(channel: int, value: int, bits: int = 14) -> tuple[Message, ...]:
    """The value of the selected parameter: 0..16383 as two messages, or with 7 bits 0..127 as one."""
    if bits == 7:
        return (control_change(channel, DATA_ENTRY, value),)
    return control_change(channel, DATA_ENTRY, value >> 7), control_change(channel, DATA_ENTRY_LSB, value & DATA_MAX)


def nrpn(channel: int, msb: int, lsb: int, value: int, bits: int = 14) -> tuple[Message, ...]:
    """Selects a non-registered parameter, and sets it."""
    return select_nrpn(channel, msb, lsb) + data_entry(channel, value, bits)


def program_change(channel: int, program: int) -> Message:
    """Another program, 0..127."""
    return bytes((PROGRAM_CHANGE | channel - 1, program))


def note_on(channel: int, note: int, velocity: int) -> Message:
    """A key (0..127) goes down, with a velocity of 1..127."""
    return bytes((NOTE_ON | channel - 1, note, velocity))


def note_off(channel: int, note: int) -> Message:
    """A key comes up, with the velocity 64 of a keyboard that measures none."""
    return bytes((NOTE_OFF | channel - 1, note, 64))


def silence(channel: int) -> tuple[Message, Message]:
    """All notes off, then all sound off: the first lets notes release, the second cuts what is left."""
    return control_change(channel, ALL_NOTES_OFF, 0), control_change(channel, ALL_SOUND_OFF, 0)


class RunningStatus:
    """Leaves out a status byte that is that of the message before, as a DIN wire may (Detailed Specification, p. A-1).

    The status is repeated at least every `REPEAT_S`, for receivers that were plugged in meanwhile.
    """

    REPEAT_S = 0.3

    def __init__(self) -> None:
        self._status = 0
        self._said_at = -float("inf")

    def on_wire(self, message: Message, now: float) -> bytes:
        """The bytes to put on the wire at `now` (s) for a message. System exclusive cancels the status."""
        status = message[0]
        if status == self._status and now - self._said_at < self.REPEAT_S:
            return message[1:]
        self._status, self._said_at = status if status < SYSEX else 0, now
        return message
