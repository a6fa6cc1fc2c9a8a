"""Ports of the system's MIDI, by RtMidi: to receivers, which may go away and come back, and from devices.

Sending doesn't wait for a receiver. RtMidi hands a message to the system and returns: it opens ALSA's sequencer without
blocking, and for JACK it puts messages into a ring that the server empties, whether a receiver reads or not. Only
if the server hangs does the ring fill up; RtMidi would then wait for ever, so a sink checks that the server runs.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from typing import Any

from ..errors import InversynthError, UsageError
from ..system.devices import Followed, keep_forever, pick, quiet
from .jack import Server, has_sequencer, jack_server
from .messages import Message

LOOK_S = 1.0
"""How often to check that a receiver's port is still there; sending to a missing one raises nothing."""
RING = 16384
"""Bytes of RtMidi's ring for JACK (JACK_RINGBUFFER_SIZE), in which a message has four more for its length."""
_newest_server: Server | None = None
"""The JACK server at which this process opened its last client."""

QUEUED = 4096
"""How many messages an input keeps; those that come when they aren't taken are lost."""


class PortSink:
    """A MIDI output port: that of a receiver, or a virtual one that receivers connect to.

    name: a port's, a part of it, or its number. What has gone away, be it the receiver or the JACK server, is
    searched for every `LOOK_S` and opened again by its name (see `devices.Followed`); until then, and while the server
    hangs, messages are dropped.
    """

    SETTLE_S = 0.1
    """What is sent sooner after a port was opened can get lost in JACK, which connects between its periods."""

    def __init__(self, name: str, virtual: bool = False) -> None:
        self._name = name
        self._midi: Any = rtmidi_output()
        self._server = jack_server()
        self._trace: list[str] = []
        self._in_ring = 0  # at most, of JACK's
        self._stands = False
        self._away = False
        self._ready_at: float | None = None
        self._looked = time.monotonic()
        with quiet():
            names: list[str] = [] if virtual else self._midi.get_ports()
            self._followed = None if virtual else Followed(names, pick(names, name, "MIDI output port", True))
            self._open()
        self.description = (
            f"virtual MIDI port {name!r}" if self._followed is None else f"MIDI port {self._followed.name!r}"
        )

    def _open(self) -> None:
        if self._followed is None:
            _open_virtual(self._midi, self._name)
        elif self._followed.at is None:
            raise InversynthError(f"the MIDI port {self._followed.name!r} is away")
        else:
            try:
                self._midi.open_port(self._followed.at, "out")
            except (OSError, RuntimeError) as error:
                raise InversynthError(f"can't open the MIDI port {self._followed.name!r}: {error}") from None

    def _still_there(self) -> bool:
        """Whether the port has been there since the last check."""
        if self._followed is None:
            return True
        return not self._followed.update(self._midi.get_ports()) and self._followed.at is not None

    @property
    def prompt(self) -> bool:
        """Whether a message never waits: it goes to JACK's ring."""
        return self._server is not None

    def send(self, message: Message, at_s: float) -> None:
        """Sends at once, whatever `at_s`; dropped while the port is away."""
        if self._away or self._stands:
            return
        if self._server is not None:
            self._in_ring += len(message) + 4
            if self._in_ring > RING // 4 and not self._moves() and self._in_ring > RING * 3 // 8:
                self._stands = True
                return
        try:
            self._midi.send_message(message)
        except (OSError, RuntimeError):  # on Windows: a device was unplugged
            self._away = True

    def returned(self) -> bool:
        """Checks the port at most every `LOOK_S`, opens it again, and returns True once when it is back."""
        now = time.monotonic()
        if self._ready_at is not None:
            if now < self._ready_at:
                return False
            self._ready_at, self._away = None, False
            return True
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        if self._server is not None and not self._server.runs:
            self._leave()
        elif not self._moves():
            return False
        elif not self._away and self._still_there():
            stood, self._stands = self._stands, False
            return stood
        self._away = True
        with quiet(), contextlib.suppress(UsageError, InversynthError):
            self._reopen()
            self._ready_at = now + self.SETTLE_S
        return False

    def _moves(self) -> bool:
        """Whether the JACK server has moved since the last call, and so has emptied the ring of what was in it."""
        if self._server is None:
            return True
        before, self._trace = self._trace, self._server.trace()
        if not self._server.moved(before, self._trace):
            return False
        self._in_ring = 0
        return True

    def _leave(self) -> None:
        """Closes the client, unless its server is gone and others were opened since: libjack would crash."""
        if self._midi is None:
            return
        if _newest_server == self._server and (self._server is None or self._server.moves()):
            with quiet():
                self._midi.close_port()
                self._midi.delete()
        else:
            _abandon(self._midi)
        self._midi = None

    def _reopen(self) -> None:
        if self._midi is None:
            server = jack_server()
            if server is None:
                raise UsageError("no JACK server")
            self._midi, self._server = rtmidi_output(), server
            self._stands = False
        else:
            self._midi.close_port()
        if self._followed is not None:
            self._followed.update(self._midi.get_ports())
        self._open()

    def close(self) -> None:
        """Closes the port."""
        self._leave()


class InputPort:
    """A MIDI input port: that of a device, or a virtual one that others connect to. What comes waits to be taken.

    name: a port's, a part of it, or its number.
    """

    def __init__(self, name: str, virtual: bool = False) -> None:
        self.lost = 0
        """Messages that came while `QUEUED` others waited."""
        self._messages: queue.Queue[Message] = queue.Queue(QUEUED)
        self._midi: Any = _rtmidi("MidiIn")
        self._followed: Followed | None = None
        self._away, self._looked = False, time.monotonic()
        with quiet():
            if virtual:
                _open_virtual(self._midi, name)
                self.description = f"virtual MIDI port {name!r}"
            else:
                names: list[str] = self._midi.get_ports()
                at = pick(names, name, "MIDI input port", True)
                self._followed = Followed(names, at)
                self._midi.open_port(at, "in")
                self.description = f"MIDI port {names[at]!r}"
        self._midi.ignore_types(sysex=False)
        self._midi.set_callback(self._keep)

    def _keep(self, event: tuple[list[int], float], data: object) -> None:
        try:
            self._messages.put_nowait(bytes(event[0]))
        except queue.Full:
            self.lost += 1

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, whole; None if none comes within `timeout_s`."""
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def left(self) -> bool:
        """Checks the port at most every `LOOK_S`: True once when it is gone; one that is back is opened again."""
        now = time.monotonic()
        if self._followed is None or now - self._looked < LOOK_S:
            return False
        self._looked = now
        with quiet():
            back = self._followed.update(self._midi.get_ports())
            if self._followed.at is None or (back and not self._away):
                left, self._away = not self._away, True
                if left:
                    self._midi.close_port()
            else:
                left = False
            if back and self._followed.at is not None:
                self._midi.open_port(self._followed.at, "in")
                self._midi.set_callback(self._keep)  # closing has taken it
                self._away = False
        return left

    def close(self) -> None:
        """Closes the port."""
        server = jack_server()
        if server is not None and not server.moves():
            _abandon(self._midi)
            return
        with quiet():
            self._midi.cancel_callback()
            self._midi.close_port()
            self._midi.delete()


def _open_virtual(midi: Any, name: str) -> None:
    try:
        midi.open_virtual_port(name)
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"can't make the virtual MIDI port {name!r}: {error}") from None


def _abandon(midi: Any) -> None:
    """Keeps RtMidi's client for ever: closing it would wait for a hanging server, or crash."""
    keep_forever(midi)


def output_ports() -> list[str]:
    """The names of the MIDI ports that messages can be sent to; raises `UsageError` if there is no MIDI system."""
    return _ports(rtmidi_output())


def input_ports() -> list[str]:
    """The names of the MIDI ports that messages come from; raises `UsageError` if there is no MIDI system."""
    return _ports(_rtmidi("MidiIn"))


def _ports(midi: Any) -> list[str]:
    with quiet():
        names: list[str] = midi.get_ports()
        midi.delete()
    return names


def rtmidi_output() -> Any:
    """An RtMidi output of the system's MIDI; on Linux ALSA's, or JACK's where there is no sequencer device."""
    return _rtmidi("MidiOut")


def _rtmidi(kind: str) -> Any:
    try:
        import rtmidi
    except ImportError:
        raise UsageError(
            "MIDI ports need python-rtmidi: pip install python-rtmidi, or use --midi-file or --dry-run"
        ) from None
    global _newest_server
    api = rtmidi.API_UNSPECIFIED
    if sys.platform.startswith("linux"):
        api = rtmidi.API_LINUX_ALSA if has_sequencer() else rtmidi.API_UNIX_JACK
    try:
        with quiet():
            client = getattr(rtmidi, kind)(rtapi=api, name="inversynth")
    except (OSError, RuntimeError):
        raise UsageError(
            "no MIDI system: there is neither the ALSA sequencer (/dev/snd/seq) nor a JACK server; "
            "load snd-seq or start JACK (jackd -r -d dummy needs no hardware), or use --midi-file or --dry-run"
        ) from None
    _newest_server = jack_server()
    return client
