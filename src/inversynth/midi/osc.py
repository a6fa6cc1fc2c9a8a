"""Open Sound Control over UDP: a profile of OSC addresses, and the sink that their packets go to.

For each parameter a bundle goes out with two messages: `/inversynth/<parameter>` with its value in its unit, and
`/inversynth/<parameter>/x` with its place 0..1, both 32-bit floats. `/inversynth/note` has a key and a velocity
(int32; 0 ends the note), `/inversynth/panic` nothing, and other MIDI goes as `/inversynth/midi`: a message of a
channel as OSC's type `m`, a system exclusive one as a blob.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Hashable
from dataclasses import dataclass

from ..errors import UsageError
from ..spec import Param, ParamSpace
from .messages import ALL_NOTES_OFF, ALL_SOUND_OFF, CONTROL_CHANGE, NOTE_OFF, NOTE_ON, SYSEX, Message
from .ports import LOOK_S
from .profile import Control, Profile

ROOT = "/inversynth"
OSC_BAUD = 10_000_000
"""Bits a second (of ten a byte) for OSC: some 10,000 parameters a second."""


@dataclass(frozen=True)
class Osc:
    """The OSC address of a parameter; a value is a millionth of its x."""

    path: str
    param: Param
    top = 1_000_000

    @property
    def places(self) -> tuple[Hashable, ...]:
        """The path."""
        return (self.path,)

    def messages(self, channel: int, value: int) -> tuple[Message, ...]:
        """One bundle of value and x; `channel` is MIDI's and not used."""
        x = value / self.top
        return (_bundle((self.path, float(self.param.value_of_x(x))), (f"{self.path}/x", x)),)

    def __str__(self) -> str:
        return f"OSC {self.path}"


def osc_profile(space: ParamSpace) -> Profile:
    """Each parameter of a space at `/inversynth/<name>`."""
    controls = tuple(Control.of(param, Osc(f"{ROOT}/{param.name}", param)) for param in space)
    return Profile("osc", space, controls, maker="inversynth", model="OSC")


def check_osc(profile: Profile, to_osc: bool) -> None:
    """Raises `UsageError` if a profile of MIDI is sent by OSC, or the other way."""
    for control in profile.driven:
        if isinstance(control.address, Osc) != to_osc:
            what = "an output of OSC (--osc)" if not to_osc else "a MIDI output"
            raise UsageError(
                f"the profile {profile.name} has {control.address} for {control.param.name}, which is for {what}"
            )


class OscSink:
    """Sends packets to HOST:PORT.

    Nothing waits: what can't be sent is dropped. While the host reports (by ICMP) that the port is closed, an empty
    message goes to `/inversynth` every `LOOK_S`, until it is open.
    """

    prompt = True

    def __init__(self, to: str) -> None:
        host, _, port = to.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError(f"{to!r} is an invalid OSC address; give HOST:PORT, such as 127.0.0.1:9000")
        try:
            family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind)
            self._socket.setblocking(False)
            self._socket.connect(address)
        except OSError as error:
            raise UsageError(f"can't send OSC to {to}: {error.strerror or error}") from None
        self.description = f"OSC at {to}"
        self._away = False
        self._looked = time.monotonic()

    def send(self, message: Message, at_s: float) -> None:
        """Sends a packet of OSC, or a MIDI message as one; dropped while the port is closed."""
        if not self._away:
            self._try(message if message[:1] in b"/#" else _of_midi(message))

    def _try(self, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except OSError:
            self._away = True

    def returned(self) -> bool:
        """Tries at most every `LOOK_S`; True once when a packet has arrived after a failure."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        was = self._away
        self._away = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        if was:
            self._try(_message(ROOT))
        return was and not self._away

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def _of_midi(message: Message) -> bytes:
    kind = message[0] & 0xF0
    if kind in (NOTE_ON, NOTE_OFF):
        return _message(f"{ROOT}/note", message[1], message[2] if kind == NOTE_ON else 0)
    if kind == CONTROL_CHANGE and message[1] in (ALL_SOUND_OFF, ALL_NOTES_OFF):
        return _message(f"{ROOT}/panic")
    return _message(f"{ROOT}/midi", message if message[0] == SYSEX else (0, *message.ljust(3, b"\0")))


_KINDS = {int: "i", float: "f", tuple: "m", bytes: "b"}


def _message(path: str, *values: int | float | tuple[int, ...] | bytes) -> bytes:
    from pythonosc.osc_message_builder import OscMessageBuilder

    builder = OscMessageBuilder(path)
    for value in values:
        builder.add_arg(value, _KINDS[type(value)])
    return bytes(builder.build().dgram)


def _bundle(*messages: tuple[str, float]) -> bytes:
    """Messages of a float each that take effect at once; a bundle's element is a message after its size."""
    parts = [_message(*each) for each in messages]
    return b"#bundle\0" + (1).to_bytes(8) + b"".join(len(part).to_bytes(4) + part for part in parts)
