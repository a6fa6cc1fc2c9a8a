"""A synth of ours as an instrument: notes and changes of its patch come in as they are played, sound goes out.

    MIDI port, pipe or file -> Player -> ring -> voices -> device or file
    a thread of its own                  the audio callback, in C alone

What a player does becomes events in a ring (see ext/engines/voices.h). PortAudio calls the voices themselves: the
audio thread runs no Python, waits for no lock and takes no memory, whatever the rest of the process does.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _native
from ..audio.sources import _sounddevice, find_device, list_devices, open_stream
from ..errors import InversynthError, UsageError, one_line
from ..midi import LOOK_S as PORT_LOOK_S
from ..midi import Control, InputPort, Message, Nrpn, PatchReader, Profile, Receiver, input_ports
from ..midi.messages import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    CONTROL_CHANGE,
    DAMPER,
    END_OF_SYSEX,
    NOTE_OFF,
    NOTE_ON,
    PITCH_BEND,
    RESET,
    SYSEX,
)
from ..spec import AudioFormat
from ..synths.synth import Synth
from ..system.devices import pick, quiet
from ..system.realtime import hurrying

Sound: TypeAlias = NDArray[np.float32]

LOOK_S = 0.05
AHEAD_S = 0.5
"""A file's messages are put into the ring so long before their time."""
VOICES = 8
MOST_RENDERED = 1 << 30
"""Samples of 4 bytes that a WAV file can hold."""
GAIN_DB = -18.0
"""Random patches of the paper's synth peak at 2.6 (median; 5 in 100 above 6.5): most notes stay below the limiter."""
TOP_VELOCITY = 127
BEND_MIDDLE = 1 << 13
BEND_SEMITONES = 2.0
"""What the pitch wheel bends by at either end: the range that MIDI 1.0 recommends."""


class Voices:
    """Notes of a synth's patch, polyphonic.

    synth: one with voices; values: (P,) the patch, in units; voices: how many notes sound at a time, 1..64; gain_db: of
    their sum. Notes are MIDI's, 0..127; the synth's own `NOTE` plays the patch as it is, others are so many semitones
    higher or lower. `at` is the sample at which something happens, counted from the first that is played; what comes
    later than that happens at once, and all of it in the order in which it is given.

    A note of velocity v sounds at (v / 127)^2 of the patch's level: the curve of the MIDI Association's Downloadable
    Sounds, 40 log10(v / 127) dB. Above half of full scale the sum is limited, 1 - 1 / (4 x) for x, and never exceeds 1.
    """

    def __init__(
        self,
        synth: Synth,
        values: ArrayLike,
        sample_rate: int,
        voices: int = VOICES,
        gain_db: float = GAIN_DB,
        channels: int = 1,
    ) -> None:
        if synth.open_voices is None:
            raise UsageError(f"{synth.name} can't be played")
        if not 1 <= voices <= _native.Voices.MOST:
            raise UsageError(f"{voices} voices are outside 1..{_native.Voices.MOST}")
        if not -120 <= gain_db <= 24:
            raise UsageError(f"a gain of {gain_db:g} dB is outside -120..24")
        rate = AudioFormat(sample_rate, 1.0).sample_rate
        row = synth.checked(np.asarray(values)[None], rate)[0]
        self.synth, self.sample_rate, self.channels = synth, rate, channels
        self.native = synth.open_voices(row, rate, voices, 10 ** (gain_db / 20), channels)
        self.lost = 0
        """Events that found the ring full: nothing has played for so long."""

    def note_on(self, note: int, velocity: int = TOP_VELOCITY, at: int = 0) -> None:
        """Begins a note; one that is held begins anew. With all voices sounding it takes that of the oldest note that
        is released already, or else of the oldest, which fades out over 10 ms."""
        self._push(_native.Voices.NOTE_ON, note, (velocity / TOP_VELOCITY) ** 2, at)

    def note_off(self, note: int, at: int = 0) -> None:
        """Releases a note from where its envelope is; a note lasts at least a millisecond."""
        self._push(_native.Voices.NOTE_OFF, note, 0.0, at)

    def set(self, index: int, value: float, at: int = 0) -> None:
        """Gives parameter `index` a value in its unit, within its range; what sounds fades over to it in 10 ms."""
        param = self.synth.space[index]
        if not param.low <= value <= param.high:
            raise UsageError(f"{param.name}: {value:g} is outside {param.low:g}..{param.high:g} {param.unit}".rstrip())
        self._push(_native.Voices.SET, index, value, at)

    def bend(self, semitones: float, at: int = 0) -> None:
        """Makes all notes, also those to come, so much higher; what sounds fades over to it in 10 ms."""
        self._push(_native.Voices.BEND, 0, semitones, at)

    def notes_off(self, at: int = 0) -> None:
        """Releases all notes."""
        self._push(_native.Voices.NOTES_OFF, 0, 0.0, at)

    def sound_off(self, at: int = 0) -> None:
        """Fades everything out over 10 ms."""
        self._push(_native.Voices.SOUND_OFF, 0, 0.0, at)

    def process(self, samples: int) -> NDArray[np.float32]:
        """The next samples, (samples, channels) float32: for files; a device calls `native.callback`."""
        out = np.empty((samples, self.channels), np.float32)
        self.native.process(out)
        return out

    def _push(self, kind: int, index: int, value: float, at: int) -> None:
        if not self.native.push(kind, index, value, at):
            self.lost += 1


# -- what plays them ----------------------------------------------------------------------------


def fine_profile(synth: Synth, channel: int = 1) -> Profile:
    """What every player takes beside its own profile: NRPN 0:i, 14 bits, for parameter i of its synth."""
    controls = tuple(Control.of(param, Nrpn(0, i)) for i, param in enumerate(synth.space))
    return Profile("fine", synth.space, controls, channel)


class Player:
    """Voices that are played by the MIDI messages of a profile's channel, and those of `fine_profile` on the same.

    velocity: 1..127 of all notes; by default each has its own. `notes` and `changes` count what came.
    """

    def __init__(self, voices: Voices, profile: Profile, velocity: int | None = None) -> None:
        if velocity is not None and not 1 <= velocity <= TOP_VELOCITY:
            raise UsageError(f"a velocity of {velocity} is outside 1..{TOP_VELOCITY}")
        self.voices, self._velocity = voices, velocity
        self.notes = self.changes = 0
        self._channel = profile.channel
        self._pedal = False
        self._sustained: set[int] = set()  # notes that only the pedal holds
        self._one_at_a_time = threading.Lock()
        self._readers = [PatchReader(each) for each in (profile, fine_profile(voices.synth, profile.channel))]

    def receive(self, message: Message, at: int = 0) -> None:
        """Does what a whole message says; others than notes, the pitch wheel, the damper pedal, what ends notes and
        the profile's are ignored.

        For any thread: inputs may share a player.
        """
        with self._one_at_a_time:
            self._receive(message, at)

    def _receive(self, message: Message, at: int) -> None:
        kind, channel = message[0] & 0xF0, (message[0] & 0x0F) + 1
        ours = kind < SYSEX and channel == self._channel
        controller = message[1] if ours and kind == CONTROL_CHANGE else None
        if ours and kind == NOTE_ON and message[2]:
            self.notes += 1
            self._sustained.discard(message[1])
            self.voices.note_on(message[1], self._velocity or message[2], at)
        elif ours and kind in (NOTE_ON, NOTE_OFF):
            if self._pedal:
                self._sustained.add(message[1])
            else:
                self.voices.note_off(message[1], at)
        elif ours and kind == PITCH_BEND:
            self._bend(message[1] + 128 * message[2], at)
        elif controller == ALL_SOUND_OFF:
            self._sustained.clear()
            self.voices.sound_off(at)
        elif controller is not None and controller >= ALL_NOTES_OFF:  # the modes beyond mean it, too
            self._sustained.clear()
            self.voices.notes_off(at)
        elif controller == RESET:
            self._damp(False, at)
            self._bend(BEND_MIDDLE, at)
        else:
            found = [each for reader in self._readers if (each := reader.feed(message)) is not None]
            for index, x in found[:1]:
                param = self.voices.synth.space[index]
                self.changes += 1
                self.voices.set(index, float(np.clip(param.value_of_x(x), param.low, param.high)), at)
            if controller == DAMPER and not found:
                self._damp(message[2] >= 64, at)

    def _bend(self, wheel: int, at: int) -> None:
        self.voices.bend(BEND_SEMITONES * (wheel - BEND_MIDDLE) / BEND_MIDDLE, at)

    def _damp(self, pedal: bool, at: int) -> None:
        self._pedal = pedal
        if not pedal:
            for note in sorted(self._sustained):
                self.voices.note_off(note, at)
            self._sustained.clear()

    def summary(self) -> str:
        """What was played, in one line."""
        samples, blocks, underflows, _ = self.voices.native.played()
        line = f"{samples / self.voices.sample_rate:.1f} s, {self.notes} notes, {self.changes} changes of the patch"
        if blocks:
            line += f"; {blocks} blocks, {underflows} xruns"
        return f"{line}, {self.voices.lost} events lost"


def initial_patch(synth: Synth, silent: bool = False) -> NDArray[np.float64]:
    """(P,) the values that an instrument begins with; silent: all at their lowest."""
    return np.array([param.low if silent else synth.initial.get(param.name, param.low) for param in synth.space])


def read_patch(file: str | Path, synth: Synth) -> NDArray[np.float64]:
    """(P,) the values of a patch that `match` wrote, a JSON list of objects with `name` and `value`."""
    try:
        rows = json.loads(Path(file).read_text(encoding="utf-8"))
        values = {str(row["name"]): float(row["value"]) for row in rows}
    except OSError as error:
        raise UsageError(f"the patch {file} can't be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise UsageError(f"{file} is not a patch ({one_line(error)}); give the patch.json that match writes") from None
    for name in synth.space.names:
        if name not in values:
            raise UsageError(f"{file}: {name} is missing; is it a patch of the synth {synth.name}?")
    try:
        return np.asarray(synth.space.check_values([[values[name] for name in synth.space.names]])[0])
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


# -- where messages come from -------------------------------------------------------------------


class Input(Protocol):
    """What plays a player; `description` says it to the user."""

    description: str
    ended: bool
    """Nothing more will come."""

    def look(self, samples: int) -> None:
        """Is called every `LOOK_S` at least, with the number of samples that have been played."""

    def close(self) -> None:
        """Plays no more."""


class Splitter:
    """Cuts a stream of MIDI bytes into whole messages: with running status, without real-time bytes between them."""

    LENGTHS: Mapping[int, int] = {0xC0: 2, 0xD0: 2, 0xF1: 2, 0xF2: 3, 0xF3: 2, 0xF4: 1, 0xF5: 1, 0xF6: 1}
    """By status or kind of channel message, where it isn't 3; a system exclusive message goes to its end."""

    def __init__(self) -> None:
        self._part = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        for byte in data:
            if byte >= 0xF8:
                continue
            part = self._part
            if byte == END_OF_SYSEX and part[:1] == bytes((SYSEX,)):
                part.append(byte)
                yield bytes(part)
                part.clear()
                continue
            if byte >= 0x80:
                part.clear()
            elif not part:
                continue  # of a message whose beginning was missed
            part.append(byte)
            status = part[0]
            if status != SYSEX and len(part) == self.LENGTHS.get(status if status > SYSEX else status & 0xF0, 3):
                yield bytes(part)
                del part[1 if status < SYSEX else 0 :]


class PortInput(InputPort):
    """A MIDI input that plays at once. One that vanishes releases all notes, and is opened again when it is back."""

    ended = False

    def __init__(self, name: str, player: Player, virtual: bool = False) -> None:
        self._player, self._virtual, self._away, self._looked = player, virtual, False, time.monotonic()
        names = [name] if virtual else input_ports()
        self._name = name if virtual else names[pick(names, name, "MIDI input port")]
        super().__init__(self._name, virtual)

    def _keep(self, event: tuple[list[int], float], data: object) -> None:
        self._player.receive(bytes(event[0]))

    def look(self, samples: int) -> None:
        """Looks, at most every `midi.LOOK_S`, whether the port is still there."""
        now = time.monotonic()
        if self._virtual or now - self._looked < PORT_LOOK_S:
            return
        self._looked = now
        with quiet():
            names: list[str] = self._midi.get_ports()
            if self._name not in names and not self._away:
                self._away = True
                self._midi.close_port()
                self._player.voices.notes_off()
            elif self._name in names and self._away:
                self._midi.open_port(names.index(self._name), "in")
                self._midi.set_callback(self._keep)  # closing has taken it
                self._away = False


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

    def look(self, samples: int) -> None:
        """The thread reads; what came last has been played once samples were played after it."""
        self.ended = self._end is not None and samples > self._end

    def close(self) -> None:
        """The thread ends with the process."""


class FileInput:
    """A standard MIDI file, its messages a little ahead of their time and each on its sample."""

    def __init__(self, file: str | Path, player: Player) -> None:
        self._events = read_midi(file)
        self._player, self._rate = player, player.voices.sample_rate
        self._next = 0
        self.ended = False
        self.seconds = self._events[-1][0] if self._events else 0.0
        self.description = f"{file} ({len(self._events)} messages, {self.seconds:.4g} s)"

    def look(self, samples: int) -> None:
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


def read_midi(file: str | Path) -> list[tuple[float, Message]]:
    """(seconds, message) of all messages of a standard MIDI file of type 0 or 1, in order of time."""
    import mido

    try:
        at_s, events = 0.0, []
        opened = mido.MidiFile(str(file), clip=True)
        if opened.ticks_per_beat <= 0:
            raise UsageError("its time is not in ticks a beat; save it again so")
        for message in opened:
            at_s += message.time
            if not message.is_meta:
                events.append((at_s, bytes(message.bytes())))
        return events
    except OSError as error:
        raise UsageError(f"the MIDI file {file} can't be read: {error.strerror or one_line(error)}") from None
    except (EOFError, LookupError):
        raise UsageError(f"{file} is not a whole MIDI file: it is cut off or damaged; save or copy it again") from None
    except Exception as error:  # mido raises whatever a damaged file leads to
        raise UsageError(f"{file} is not a MIDI file that can be played ({one_line(error)})") from None


# -- where sound goes ---------------------------------------------------------------------------


class Output:
    """An audio output that plays voices. PortAudio calls their code in C: no Python runs in its thread.

    row: of `list_outputs`; block_samples: any, 0 leaves it to the device. Raises `UsageError` if it can't be opened.
    """

    DEAD_S = 3.0
    """A device that asks for nothing for so long has stopped, whatever PortAudio says."""
    CLOSE_S = 0.5
    """How long to wait for its next block, at the end, before its stream is closed."""

    def __init__(self, row: dict[str, Any], voices: Voices, block_samples: int = 0) -> None:
        self.description = f"{row['name']} ({row['hostapi']}, {voices.sample_rate} Hz, {voices.channels} channels)"
        self._voices, self._gone = voices, False
        self._patience_s = self.CLOSE_S + 2 * block_samples / voices.sample_rate
        self._stream = open_stream("output", row, voices.sample_rate, block_samples, voices.channels, voices.native)
        self._blocks, self._asked = 0, time.monotonic()

    def start(self) -> None:
        """From now on it is heard."""
        with quiet(), hurrying():
            self._stream.start()
        self._asked = time.monotonic()

    def check(self) -> None:
        """Raises `InversynthError` if the device has stopped."""
        blocks, now = self._voices.native.played()[1], time.monotonic()
        if blocks != self._blocks:
            self._blocks, self._asked = blocks, now
        if not self._stream.active or now - self._asked > self.DEAD_S:
            self._abandon()
            raise InversynthError(f"{self.description} has stopped: is it unplugged, or its server gone?")

    def close(self) -> None:
        """Stops and closes the stream, if its device still asks for sound."""
        if not self._gone and not self._asks():
            self._abandon()
        if not self._gone:
            with quiet():
                self._stream.close()

    def _asks(self) -> bool:
        """Whether another block is asked for soon, or none can be since the stream isn't active."""
        blocks, end = self._voices.native.played()[1], time.monotonic() + self._patience_s
        while self._stream.active:
            if self._voices.native.played()[1] != blocks:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def _abandon(self) -> None:
        """Leaves the stream open: PortAudio hangs in closing one whose server is gone or stands still, and aborts in
        being ended. What the callback uses is kept for ever, in case that it is called again."""
        self._gone = True
        atexit.unregister(getattr(_sounddevice(), "_exit_handler", print))
        for used in (self._stream, self._voices.native):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(used))


def list_outputs() -> list[dict[str, Any]]:
    """The audio outputs, as `audio.list_devices`."""
    return list_devices("output", "--out-file")


def find_output(device: str | None = None) -> dict[str, Any]:
    """The output of an index or a part of a name, by default the system's own; raises `UsageError`."""
    outputs = list_outputs()
    if device is None:
        own = _sounddevice().default.device[1]
        return next((row for row in outputs if row["index"] == own), outputs[0])
    return find_device(outputs, device, "output")


# -- playing ------------------------------------------------------------------------------------


def perform(
    player: Player, output: Output, inputs: Sequence[Input], stop: threading.Event, duration: float | None = None
) -> None:
    """Plays until `stop` is set, the seconds are over, or all inputs have ended and the last note has died away.

    Raises `InversynthError` if the output stops.
    """
    for each in inputs:
        each.look(0)
    output.start()
    while not stop.wait(LOOK_S):
        samples, _, _, sounding = player.voices.native.played()
        if duration is not None and samples >= duration * player.voices.sample_rate:
            return
        if not sounding and all(each.ended for each in inputs):
            return
        for each in inputs:
            each.look(samples)
        output.check()


def render(player: Player, file: FileInput, duration: float | None = None, block_samples: int = 1024) -> Sound:
    """(samples,) what is played of a MIDI file until its last note has died away, or for so many seconds.

    Raises `UsageError` from `MOST_RENDERED` samples on.
    """
    blocks, samples, sounding = [], 0, 0
    rate = player.voices.sample_rate
    end = math.inf if duration is None else round(duration * rate)
    if min(end, file.seconds * rate) > MOST_RENDERED:
        raise UsageError(
            f"{file.description} lasts longer than the {MOST_RENDERED / rate:.0f} s that a WAV file can hold "
            f"at {rate} Hz; give a --duration"
        )
    while samples < end and not (file.ended and not sounding):
        file.look(samples)
        blocks.append(player.voices.process(int(min(block_samples, end - samples)))[:, 0])
        samples, _, _, sounding = player.voices.native.played()
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


# -- for the live bridge ------------------------------------------------------------------------

PIPE_BAUD = 3_125_000.0
"""The pace of a pipe: a hundred times a MIDI cable's, at which a whole patch takes 1 ms."""
PIPE_OPTIONS = ("--silent", "--velocity", f"{TOP_VELOCITY}", "--gain", "-6")
"""Nothing is to be heard before a patch was; a patch has the level of what was heard in it, and at this gain its full
scale is below the limiter."""


class ProcessSink:
    """`inversynth play` as a process of its own, that messages go to through a pipe.

    So nothing that is computed here can delay its sound, and one whose device or server is gone just ends: it is
    started again every `RETRY_S` until it plays. One that doesn't read until its pipe is full counts as gone.
    options: of `inversynth play`. Raises `UsageError` with what it says if it doesn't play at first.
    """

    START_S = 30.0
    RETRY_S = 2.0
    END_S = 3.0

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "inversynth", "play", "--midi-in", "-", *PIPE_OPTIONS, *options]
        self._away = False
        self._start()
        self._ready.wait(self.START_S)
        if not self._playing:
            self._end()
            raise UsageError(self._said[-1] if self._said else "inversynth play doesn't start")
        self.description = f"a process {self._said[-1]}"

    def _start(self) -> None:
        self._retry_at = time.monotonic() + self.RETRY_S
        self._said: deque[str] = deque(maxlen=8)
        self._ready, self._playing = threading.Event(), False
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours; it ends with its pipe
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        with contextlib.suppress(OSError, AttributeError):  # Windows, before Python 3.12
            os.set_blocking(self._pipe, False)
        args = self._process, self._said, self._ready
        threading.Thread(target=self._listen, args=args, name="player", daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes], said: deque[str], ready: threading.Event) -> None:
        """Keeps what it says; it is ready when it plays, or has ended."""
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                said.append(line.decode(errors="replace").strip().removeprefix("inversynth: error: "))
                if said[-1].startswith("playing ") and process is self._process:
                    self._playing = True
                    ready.set()
        ready.set()

    def _end(self, patience_s: float = 0.0) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        self._process.wait()

    def send(self, message: Message, at_s: float) -> None:
        """Sends at once, whatever `at_s`; while it is away, to nobody."""
        if not self._away:
            try:
                os.write(self._pipe, message)
            except OSError:
                self._lose()

    def returned(self) -> bool:
        """Starts it again if it has ended, and says so once it plays."""
        ended = self._process.poll() is not None
        if not self._away:
            if ended:
                self._lose()
            return False
        if self._playing and not ended:
            self._away = False
            return True
        if ended and time.monotonic() >= self._retry_at:
            self._start()
        return False

    def _lose(self) -> None:
        self._away, self._playing = True, False
        self._end()

    def close(self) -> None:
        """Lets the last notes die away, and ends it."""
        self._end(self.END_S)


def receiver(synth: Synth, *options: str) -> Receiver:
    """What the live bridge plays a synth of ours through, as a process of its own; options: of `inversynth play`.

    It is sent 14 bits a parameter, much faster than a MIDI cable would. The synth's `note` plays the patch as it is.
    """
    return Receiver(fine_profile(synth), ProcessSink("--synth", synth.origin or synth.name, *options), PIPE_BAUD)
