"""Where MIDI messages go, behind one method, `send`: here text and files, in `ports` the system's MIDI."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol, TextIO

from ..errors import UsageError
from ..system import files
from .messages import (
    CONTROL_CHANGE,
    DATA_ENTRY,
    LSB_OFFSET,
    NOTE_OFF,
    NOTE_ON,
    NRPN_LSB,
    NRPN_MSB,
    NULL,
    PROGRAM_CHANGE,
    SYSEX,
    Message,
)


class Sink(Protocol):
    """Where messages go; `description` says it to the user.

    A sink whose `prompt` is true never makes its caller wait.
    """

    description: str

    def send(self, message: Message, at_s: float) -> None:
        """Sends one whole message; `at_s` counts from the start of listening."""

    def returned(self) -> bool:
        """True once if the receiver was away and has come back: it may have forgotten everything."""

    def close(self) -> None:
        """Finishes; a file is written here."""


class TextSink:
    """Prints the commands of SendMIDI (https://github.com/gbevin/SendMIDI), which replays them with their times.

    Pairs of messages are printed as the one command they are: `cc14` for the MSBs in `pairs` (0..31) and their
    LSBs, `nrpn` for data entry. A value whose LSB is still to come waits for it.
    """

    description = "standard output, as SendMIDI commands"

    def __init__(self, stream: TextIO, pairs: Collection[int] = ()) -> None:
        self._stream, self._pairs = stream, pairs
        self._selected = list(NULL)
        self._msb: tuple[Message, float] | None = None

    def send(self, message: Message, at_s: float) -> None:
        """Prints `HH:MM:SS.mmm ch 1 cc 74 64`; a system exclusive message has no channel, and its bytes are decimal."""
        kind, channel = message[0] & 0xF0, (message[0] & 0x0F) + 1
        if kind == CONTROL_CHANGE:
            self._control_change(message, at_s)
        elif kind == SYSEX:
            self._print(at_s, "syx", *message[1:-1])
        else:
            words = {NOTE_ON: "on", NOTE_OFF: "off", PROGRAM_CHANGE: "pc"}
            self._print(at_s, f"ch {channel} {words[kind]}", *message[1:])

    def _control_change(self, message: Message, at_s: float) -> None:
        channel, number, value = (message[0] & 0x0F) + 1, message[1], message[2]
        msb, self._msb = self._msb, None
        if msb is not None:
            first, first_at_s = msb
            if (first[0], first[1] + LSB_OFFSET) == (message[0], number):
                self._value(channel, first[1], first[2] << 7 | value, first_at_s)
                return
            self._value((first[0] & 0x0F) + 1, first[1], first[2] << 7, first_at_s)
        if number in (NRPN_MSB, NRPN_LSB):
            self._selected[NRPN_MSB - number] = value
        elif number in self._pairs or (number == DATA_ENTRY and self._selected != list(NULL)):
            self._msb = message, at_s
        else:
            self._print(at_s, f"ch {channel} cc", number, value)

    def _value(self, channel: int, number: int, value: int, at_s: float) -> None:
        if number == DATA_ENTRY:
            self._print(at_s, f"ch {channel} nrpn", self._selected[0] << 7 | self._selected[1], value)
        else:
            self._print(at_s, f"ch {channel} cc14", number, value)

    def _print(self, at_s: float, command: str, *numbers: int) -> None:
        seconds, ms = divmod(round(at_s * 1000), 1000)
        stamp = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
        print(stamp, command, *numbers, file=self._stream, flush=True)

    def returned(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Prints what still waited for its LSB."""
        if self._msb is not None:
            (status, number, value), at_s = self._msb
            self._msb = None
            self._value((status & 0x0F) + 1, number, value << 7, at_s)


class MidiFileSink:
    """A standard MIDI file of one track (Standard MIDI Files 1.0, format 0), which appears whole when it is closed.

    mido encodes the events. They go to a temporary file as they come: a long session has millions of them, and
    mido's own file holds all in memory.
    """

    TICKS_PER_BEAT = 960
    TEMPO_US = 500_000
    """Microseconds a beat: 120 beats a minute, so a tick is 0.52 ms."""
    _HEAD = struct.pack(">4sIHHH4s", b"MThd", 6, 0, 1, TICKS_PER_BEAT, b"MTrk")

    def __init__(self, path: str | Path) -> None:
        import mido
        from mido.midifiles.meta import encode_variable_int

        if Path(path).is_dir():
            raise UsageError(f"{path} is a folder; give the name of a MIDI file, such as out.mid")
        self.description = f"{path} (written at the end)"
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(open(self._stack.enter_context(files.writing(path)), "wb"))  # noqa: SIM115
        self._file.write(self._HEAD + bytes(4))
        self._length, self._end = encode_variable_int, mido.MetaMessage("end_of_track").bytes()
        self._ticks = 0
        self._write(0, mido.MetaMessage("set_tempo", tempo=self.TEMPO_US).bytes())

    def send(self, message: Message, at_s: float) -> None:
        """Adds one message."""
        ticks = max(round(at_s * 1e6 / self.TEMPO_US * self.TICKS_PER_BEAT), self._ticks)
        wait, self._ticks = ticks - self._ticks, ticks
        size = self._length(len(message) - 1) if message[0] == SYSEX else ()
        self._write(wait, (message[0], *size, *message[1:]))

    def _write(self, wait: int, event: Iterable[int]) -> None:
        self._file.write(bytes((*self._length(wait), *event)))

    def returned(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Writes the end, and gives the file its name."""
        with self._stack:
            self._write(0, self._end)
            size = self._file.tell() - len(self._HEAD) - 4
            self._file.seek(len(self._HEAD))
            self._file.write(size.to_bytes(4))
