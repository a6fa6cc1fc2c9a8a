"""Where a player's messages come from: a MIDI port, a pipe, or a standard MIDI file."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Protocol

from ...midi import InputPort, Splitter, check_channel, read_midi
from .player import Player

AHEAD_S = 0.5
"""How long before their time a file's messages are put into the ring."""


class Input(Protocol):
    """What plays a player; `description` says it to the user."""

    description: str
    ended: bool
    """Nothing more will come."""

    def poll(self, samples: int) -> None:
        """Is called every `LOOK_S` at least, with the number of samples that have been played."""

    def close(self) -> None:
        """Plays no more."""


class PortInput(InputPort):
    """A MIDI input that plays at once. One that vanishes releases all notes, and is opened again when it is back."""

    ended = False

    def __init__(self, name: str, player: Player, virtual: bool = False) -> None:
        self._player = player
        super().__init__(name, virtual)

    def _keep(self, event: tuple[list[int], float], data: object) -> None:
        self._player.receive(bytes(event[0]))

    def poll(self, samples: int) -> None:
        """Checks, at most every `midi.LOOK_S`, whether the port is still there."""
        if self.left():
            self._player.voices.notes_off()


class PipeInput:
    """MIDI's bytes from a file descriptor, as they come; its end releases all notes."""

    def __init__(self, descriptor: int, player: Player) -> None:
        self.description, self.ended = "standard input", False
        self._descriptor, self._player = descriptor, player
        self._end: int | None = None
        threading.Thread(target=self._read, name="MIDI", daemon=True).start()

    def _read(self) -> None:
        splitter = Splitter()
        with contextlib.suppress(OSError):
            while data := os.read(self._descriptor, 4096):
                for message in splitter.feed(data):
                    self._player.receive(message)
        self._player.voices.notes_off()
        self._end = self._player.voices.native.played()[0]

    def poll(self, samples: int) -> None:
        """The thread reads; what came last has been played once samples were played after it."""
        self.ended = self._end is not None and samples > self._end

    def close(self) -> None:
        """The thread ends with the process."""


class FileInput:
    """A standard MIDI file, its messages a little ahead of their time and each on its sample.

    Raises `UsageError` if it can't be read, or all its notes are on other channels than the player's.
    """

    def __init__(self, file: str | Path, player: Player) -> None:
        self._events = read_midi(file)
        check_channel(file, self._events, player.channel)
        self._player, self._rate = player, player.voices.sample_rate
        self._next = 0
        self.ended = False
        self.seconds = self._events[-1][0] if self._events else 0.0
        self.description = f"{file} ({len(self._events)} messages, {self.seconds:.4g} s)"

    def poll(self, samples: int) -> None:
        """Plays what is due in the next `AHEAD_S`."""
        while self._next < len(self._events):
            at_s, message = self._events[self._next]
            at = round(at_s * self._rate)
            if at >= samples + AHEAD_S * self._rate:
                return
            self._player.receive(message, at)
            self._next += 1
            if self._next == len(self._events):
                self._player.voices.notes_off(at)
        self.ended = not self._events or samples > round(self._events[-1][0] * self._rate)

    def close(self) -> None:
        """Nothing is left to do."""
