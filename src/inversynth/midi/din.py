"""A DIN wire by itself: a serial line or a raw MIDI device of the system, as a file that bytes are written to."""

from __future__ import annotations

import os
import time

from ..errors import UsageError
from .messages import Message, RunningStatus
from .ports import LOOK_S


class DinSink:
    """Writes the bytes that go over the wire to a device, such as /dev/snd/midiC1D0 or a serial line at 31,250 baud.

    running_status: leaves out status bytes that repeat, as the receiver's pace then counts on. Nothing waits: if the
    device is full or gone, messages are dropped until it is opened again, `LOOK_S` later.
    """

    def __init__(self, path: str, running_status: bool = True) -> None:
        self._path, self._uses_running = path, running_status
        self.description = f"MIDI wire {path}"
        if os.path.isfile(path) and os.path.getsize(path):
            raise UsageError(
                f"{path} is a file that holds something, not a MIDI device; for a MIDI file give --midi-file"
            )
        try:
            self._open()
        except OSError as error:
            raise UsageError(f"can't write to {path}: {error.strerror}; give a MIDI device or a serial line") from None
        self._looked = 0.0

    def _open(self) -> None:
        self._device = os.open(self._path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
        self._running = RunningStatus() if self._uses_running else None
        self._away = False

    def send(self, message: Message, at_s: float) -> None:
        """Writes a message, without its status byte if it repeats; dropped while the device is away."""
        if self._away:
            return
        data = message if self._running is None else self._running.on_wire(message, at_s)
        try:
            self._away = os.write(self._device, data) != len(data)
        except OSError:
            self._away = True
        if self._away:
            self._looked = time.monotonic()

    def returned(self) -> bool:
        """Opens a device that was full or gone again, at most every `LOOK_S`; True once when it is back."""
        if not self._away or time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        self.close()
        try:
            self._open()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Closes the device."""
        if self._device >= 0:
            os.close(self._device)
            self._device = -1
