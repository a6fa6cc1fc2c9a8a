"""Patches as MIDI control changes: the map from parameters to numbers, the pace of the wire, and where they go.

The map and the pacer are pure; ports, files and text are at the end of the module, behind one method, `send`.
"""

from __future__ import annotations

import contextlib
import sys
import time
import tomllib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import files
from .devices import pick, quiet
from .errors import InversynthError, UsageError
from .spec import ParamSpace

BAUD = 31250
"""Bits a second on a MIDI cable (MIDI 1.0)."""
BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""
CC_BYTES = 3
"""Status, number, value. Running status would save the first, but not every driver uses it."""
TOP = 127
LOOK_S = 1.0
"""How often to look whether a receiver's port is still there; sending to one that isn't raises nothing."""

RESERVED: Mapping[int, str] = {
    0: "bank select",
    6: "data entry",
    **{number: f"the fine half of controller {number - 32}" for number in range(32, 64)},
    64: "the damper pedal",
    65: "the portamento switch",
    66: "the sostenuto pedal",
    67: "the soft pedal",
    68: "the legato switch",
    69: "the hold pedal",
    96: "data increment",
    97: "data decrement",
    98: "NRPN, fine",
    99: "NRPN, coarse",
    100: "RPN, fine",
    101: "RPN, coarse",
    120: "all sound off",
    121: "reset all controllers",
    122: "local control",
    123: "all notes off",
    124: "omni off",
    125: "omni on",
    126: "mono on",
    127: "poly on",
}
"""Numbers that don't hold a continuous value of their own (MIDI 1.0 Detailed Specification, table 3 and its
channel mode messages): halves of 14-bit pairs, switches, parameter selection and modes."""


# -- the map -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ControlMap:
    """The channel (1..16) and the control change number of each parameter of a space, in its order."""

    channel: int
    numbers: tuple[int, ...]


def control_map(space: ParamSpace, file: str | Path | None = None, channel: int | None = None) -> ControlMap:
    """The map of a space: each parameter's own `midi` number, changed by a TOML file.

    The file may hold `channel = 1` and a table `[cc]` of parameter names and numbers; `channel` here
    goes before it. Raises `UsageError`, naming parameter and number, for what MIDI doesn't allow.
    """
    document = _read_toml(file) if file is not None else {}
    unknown = sorted(set(document) - {"channel", "cc"})
    if unknown:
        raise UsageError(f"{file}: unknown key {unknown[0]!r}; a map has `channel` and a table [cc]")
    table = document.get("cc", {})
    if not isinstance(table, dict):
        raise UsageError(f"{file}: `cc` must be a table of parameter names and numbers, not {table!r}")
    for name in table:
        if name not in space.names:
            raise UsageError(f"{file}: no parameter {name!r}; there are {', '.join(space.names)}")
    owner: dict[int, str] = {}
    for param in space:
        name, number = param.name, table.get(param.name, param.midi)
        if number is None:
            raise UsageError(f"{name} has no control change number; give it one in the table [cc] of --map FILE.toml")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= TOP:
            raise UsageError(f"{name}: control change number {number!r} is not an integer of 0..{TOP}")
        if number in RESERVED:
            raise UsageError(f"{name}: control change {number} is reserved in MIDI 1.0 ({RESERVED[number]})")
        if number in owner:
            raise UsageError(f"{name}: control change {number} is already that of {owner[number]}")
        owner[number] = name
    on = document.get("channel", 1) if channel is None else channel
    if isinstance(on, bool) or not isinstance(on, int) or not 1 <= on <= 16:
        raise UsageError(f"MIDI channel {on!r} is not an integer of 1..16")
    return ControlMap(on, tuple(owner))


def _read_toml(file: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the map {file} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the map {file} is not TOML: {error}") from None


def cc_values(space: ParamSpace, levels: ArrayLike) -> NDArray[np.int64]:
    """(P,) levels to (P,) 7-bit values, round(127 x); `levels_of_cc` recovers up to 128 levels."""
    at = space.check_levels(np.asarray(levels)[None])[0]
    return np.array([np.rint(TOP * param.x_of_level(at[i])) for i, param in enumerate(space)]).astype(np.int64)


def levels_of_cc(space: ParamSpace, values: ArrayLike) -> NDArray[np.int64]:
    """(P,) 7-bit values to the (P,) nearest levels."""
    x = np.asarray(values) / TOP
    return np.array([param.level_of_x(x[i]) for i, param in enumerate(space)])


# -- the pace ------------------------------------------------------------------------------------


def message_s(baud: float) -> float:
    """How long a control change takes on a wire of so many bits a second; raises `UsageError` if that is no speed."""
    if not 0 < baud < float("inf"):
        raise UsageError(f"{baud:g} baud is not a speed; a MIDI cable has {BAUD}")
    return CC_BYTES * BITS_PER_BYTE / baud


class Pacer:
    """Which control change to send next, and when: only changes, never faster than the wire.

    It is a bucket that holds one message and fills at the wire's speed. The latest value of a parameter
    replaces one that is still waiting. Of those waiting the biggest change goes first, with what has never
    been sent before all else, and parameters that aren't heard after the rest. Times are in seconds, from the caller.
    """

    def __init__(self, count: int, baud: float = BAUD) -> None:
        self._message_s = message_s(baud)
        self.sent = self.superseded = 0
        self._known = np.full(count, -1)
        self._wanted = np.full(count, -1)
        self._heard = np.ones(count, bool)
        self._free_at = -float("inf")

    def offer(self, values: NDArray[np.int64], heard: NDArray[np.bool_]) -> None:
        """Wants (P,) 7-bit values; `heard` (P,) is False where a parameter has no effect in this patch."""
        waiting = self._wanted != self._known
        self.superseded += int(np.count_nonzero(waiting & (values != self._wanted)))
        self._wanted = np.array(values, np.int64)
        self._heard = np.array(heard, bool)

    def forget(self) -> None:
        """Takes nothing as known to the receiver: everything that is wanted is sent again."""
        self._known[:] = -1

    def next_at(self) -> float | None:
        """The time from which `take` gives a message; None if nothing is waiting."""
        return self._free_at if (self._wanted != self._known).any() else None

    def take(self, now: float) -> tuple[int, int] | None:
        """The parameter's position and value to send at `now`, or None: nothing waits, or the wire is busy."""
        waiting = self._wanted != self._known
        if now < self._free_at or not waiting.any():
            return None
        change = np.where(self._known < 0, TOP + 1, np.abs(self._wanted - self._known))
        at = int(np.argmax(np.where(waiting, change + 2 * TOP * self._heard, -1)))
        self._known[at] = self._wanted[at]
        self._free_at = now + self._message_s
        self.sent += 1
        return at, int(self._wanted[at])


# -- where messages go ---------------------------------------------------------------------------


class Sink(Protocol):
    """Where control changes go; `description` says it to the user."""

    description: str

    def send(self, channel: int, number: int, value: int, at_s: float) -> None:
        """Sends one control change; `at_s` counts from the start of listening."""

    def returned(self) -> bool:
        """True once if the receiver was away and has come back: it may have forgotten everything."""

    def close(self) -> None:
        """Finishes; a file is written here."""


class TextSink:
    """Prints the commands of SendMIDI (https://github.com/gbevin/SendMIDI), which replays them with their times."""

    description = "standard output, as SendMIDI commands"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, channel: int, number: int, value: int, at_s: float) -> None:
        """Prints `HH:MM:SS.mmm ch 1 cc 74 64`."""
        seconds, ms = divmod(round(at_s * 1000), 1000)
        stamp = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
        print(f"{stamp} ch {channel} cc {number} {value}", file=self._stream, flush=True)

    def returned(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing is left to do."""


class MidiFileSink:
    """Keeps the messages, and writes them as a standard MIDI file of one track when it is closed."""

    TICKS_PER_BEAT = 960
    TEMPO_US = 500_000
    """Microseconds a beat: 120 beats a minute, so a tick is 0.52 ms."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise UsageError(f"{path} is a folder; give the name of a MIDI file, such as out.mid")
        files.make_folder(self._path.parent)
        self.description = f"{path} (written at the end)"
        self._times = array("d")
        self._messages = bytearray()

    def send(self, channel: int, number: int, value: int, at_s: float) -> None:
        """Keeps one message."""
        self._times.append(at_s)
        self._messages += bytes((channel - 1, number, value))

    def returned(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Writes the file, whole."""
        import mido

        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=self.TEMPO_US)])
        ticks_before = 0
        for i, at_s in enumerate(self._times):
            ticks = round(at_s * 1e6 / self.TEMPO_US * self.TICKS_PER_BEAT)
            channel, number, value = self._messages[3 * i : 3 * i + 3]
            track.append(
                mido.Message(
                    "control_change", channel=channel, control=number, value=value, time=max(ticks - ticks_before, 0)
                )
            )
            ticks_before = max(ticks, ticks_before)
        with files.writing(self._path) as temporary:
            mido.MidiFile(type=0, ticks_per_beat=self.TICKS_PER_BEAT, tracks=[track]).save(str(temporary))


class PortSink:
    """A MIDI output port: that of a receiver, or a virtual one that receivers connect to."""

    SETTLE_S = 0.1
    """What is sent sooner after a port was opened can get lost in JACK, which connects between its periods."""

    def __init__(self, name: str, virtual: bool = False) -> None:
        self._rtmidi = _rtmidi_output()
        self._wanted = name
        self._virtual = virtual
        self._away = False
        self._looked = time.monotonic()
        with quiet():
            if virtual:
                try:
                    self._rtmidi.open_virtual_port(name)
                except (OSError, NotImplementedError, RuntimeError) as error:
                    raise UsageError(f"can't make the virtual MIDI port {name!r}: {error}") from None
                self.description = f"virtual MIDI port {name!r}"
            else:
                self._name = self._open()
                self.description = f"MIDI port {self._name!r}"

    def _open(self) -> str:
        names: list[str] = self._rtmidi.get_ports()
        at = pick(names, self._wanted, "MIDI output port")
        try:
            self._rtmidi.open_port(at, "out")
        except (OSError, RuntimeError) as error:
            raise InversynthError(f"can't open the MIDI port {names[at]!r}: {error}") from None
        return names[at]

    def send(self, channel: int, number: int, value: int, at_s: float) -> None:
        """Sends at once, whatever `at_s`; while the port is away, to nobody."""
        if self._away:
            return
        try:
            self._rtmidi.send_message((0xB0 | channel - 1, number, value))
        except (OSError, RuntimeError) as error:
            raise InversynthError(f"can't send to {self.description}: {error}") from None

    def returned(self) -> bool:
        """Looks for the port at most every `LOOK_S`, opens it again by its name, and says so once."""
        now = time.monotonic()
        if self._virtual or now - self._looked < LOOK_S:
            return False
        self._looked = now
        with quiet():
            if self._name in self._rtmidi.get_ports() and not self._away:
                return False
            self._away = True
            self._rtmidi.close_port()
            with contextlib.suppress(UsageError, InversynthError):
                self._name = self._open()
                self._away = False
                time.sleep(self.SETTLE_S)
        return not self._away

    def close(self) -> None:
        """Closes the port."""
        with quiet():
            self._rtmidi.close_port()
            self._rtmidi.delete()


def output_ports() -> list[str]:
    """The names of the MIDI output ports; raises `UsageError` if there is no MIDI system."""
    output = _rtmidi_output()
    with quiet():
        names: list[str] = output.get_ports()
        output.delete()
    return names


def _rtmidi_output() -> Any:
    """An RtMidi output of the system's MIDI; on Linux ALSA's, or JACK's where there is no sequencer device."""
    try:
        import rtmidi
    except ImportError:
        raise UsageError(
            "MIDI ports need python-rtmidi: pip install python-rtmidi, or use --midi-file or --dry-run"
        ) from None
    api = rtmidi.API_UNSPECIFIED
    if sys.platform.startswith("linux"):
        api = rtmidi.API_LINUX_ALSA if Path("/dev/snd/seq").exists() else rtmidi.API_UNIX_JACK
    try:
        with quiet():
            return rtmidi.MidiOut(rtapi=api, name="inversynth")
    except (OSError, RuntimeError):
        raise UsageError(
            "no MIDI system: there is neither the ALSA sequencer (/dev/snd/seq) nor a JACK server; "
            "load snd-seq or start JACK (jackd -r -d dummy needs no hardware), or use --midi-file or --dry-run"
        ) from None
