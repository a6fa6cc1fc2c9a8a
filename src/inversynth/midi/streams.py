"""Messages from streams of bytes and from standard MIDI files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import UsageError, one_line
from .messages import END_OF_SYSEX, NOTE_ON, SYSEX, Message

MAX_SYSEX = 1 << 20
"""Bytes of the longest system exclusive message that is kept; longer ones are dropped."""


class Splitter:
    """Cuts a stream of MIDI bytes into whole messages: with running status, without real-time bytes between them.

    mido's parser knows no running status, and drops a message with a real-time byte in it.
    """

    LENGTHS: Mapping[int, int] = {0xC0: 2, 0xD0: 2, 0xF1: 2, 0xF2: 3, 0xF3: 2, 0xF4: 1, 0xF5: 1, 0xF6: 1}
    """By status or kind of channel message, where it isn't 3; a system exclusive message goes to its end."""
    _STATUS = re.compile(rb"[\x80-\xff]")

    def __init__(self) -> None:
        self._part = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        at = 0
        while at < len(data):
            found = self._STATUS.search(data, at)
            end = len(data) if found is None else found.start()
            yield from self._data(data[at:end])
            if found is not None:
                yield from self._status(data[end])
            at = end + 1

    def _status(self, byte: int) -> Iterator[Message]:
        part = self._part
        if byte >= 0xF8:
            return
        if byte != END_OF_SYSEX:
            part[:] = bytes((byte,))
            yield from self._data(b"")
            return
        if part[:1] == bytes((SYSEX,)) and len(part) < MAX_SYSEX:
            yield bytes((*part, byte))
        part.clear()

    def _data(self, data: bytes) -> Iterator[Message]:
        """The messages that bytes below 0x80 complete; those of a message whose beginning was missed are dropped."""
        part = self._part
        if not part:
            return
        status = part[0]
        if status == SYSEX:
            part += data[: MAX_SYSEX - len(part)]
            return
        length = self.LENGTHS.get(status if status > SYSEX else status & 0xF0, 3)
        part += data
        while len(part) >= length:
            yield bytes(part[:length])
            if status < SYSEX:
                del part[1:length]  # running status
            else:
                part.clear()


def read_midi(file: str | Path) -> list[tuple[float, Message]]:
    """(seconds, message) of all messages of a standard MIDI file of type 0 or 1, in order of time."""
    import mido

    try:
        at_s, events = 0.0, []
        opened = mido.MidiFile(str(file), clip=True)
        if opened.ticks_per_beat <= 0:
            raise UsageError("its time is not in ticks a beat; save it with ticks a beat")
        for message in opened:
            at_s += message.time
            if not message.is_meta:
                events.append((at_s, bytes(message.bytes())))
        return events
    except OSError as error:
        raise UsageError(f"the MIDI file {file} can't be read: {error.strerror or one_line(error)}") from None
    except (EOFError, LookupError):
        raise UsageError(f"{file} is not a whole MIDI file: it is cut off or damaged; save or copy it again") from None
    except Exception as error:  # mido raises any error for a damaged file
        raise UsageError(f"{file} is not a MIDI file that can be played ({one_line(error)})") from None


def check_channel(file: str | Path, events: list[tuple[float, Message]], channel: int) -> None:
    """Raises `UsageError` if a file's notes are all on other channels than this one of 1..16."""
    found = {(message[0] & 0x0F) + 1 for _, message in events if message[0] & 0xF0 == NOTE_ON and message[2]}
    if found and channel not in found:
        *others, last = sorted(found)
        listed = f"channels {', '.join(map(str, others))} and {last}" if others else f"channel {last}"
        raise UsageError(f"{file} has notes on {listed}, none on channel {channel}; give --channel {min(found)}")
