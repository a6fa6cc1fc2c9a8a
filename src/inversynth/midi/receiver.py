"""One output: a device's profile, a sink, and a scheduler of its own for what goes there and when."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from . import messages
from .addresses import Address, Nrpn
from .messages import BAUD, BITS_PER_BYTE, NOTE_OFF, NOTE_ON, NULL, SYSEX, Message, RunningStatus
from .profile import Profile
from .sinks import Sink


def byte_s(baud: float) -> float:
    """How long a byte takes on a wire of `baud` bits a second; raises `UsageError` for an invalid speed."""
    if not 0 < baud < math.inf:
        raise UsageError(f"{baud:g} baud is not a speed; a MIDI cable has {BAUD}")
    return BITS_PER_BYTE / baud


class Changes:
    """Which parameter to send next: only changes, the latest value wins.

    Of those that wait what has never been sent goes first, then the biggest change in x; parameters that
    aren't active go after the rest.
    """

    def __init__(self, count: int) -> None:
        self.superseded = 0
        self._known, self._wanted = np.full(count, -1), np.full(count, -1)
        self._known_x, self._wanted_x = np.zeros(count), np.zeros(count)
        self._active = np.ones(count, bool)

    def offer(self, values: NDArray[np.int64], x: NDArray[np.float64], active: NDArray[np.bool_]) -> None:
        """Wants (count,) values of the device, at (count,) x; a value of -1 is not sent."""
        self.superseded += int(np.count_nonzero(self.waiting & (self._wanted >= 0) & (values != self._wanted)))
        self._wanted[:], self._wanted_x[:], self._active[:] = values, x, active

    def forget(self) -> None:
        """Takes nothing as known to the receiver: everything that is wanted is sent again."""
        self._known[:] = -1

    @property
    def waiting(self) -> NDArray[np.bool_]:
        """(count,) which are to be sent."""
        waiting: NDArray[np.bool_] = self._wanted != self._known
        return waiting

    def take(self) -> tuple[int, int] | None:
        """The position and the value of the next, which is then known; None if nothing waits."""
        waiting = self.waiting
        if not waiting.any():
            return None
        change = np.where(self._known < 0, 2.0, np.abs(self._wanted_x - self._known_x))
        at = int(np.argmax(np.where(waiting, change + 3.0 * self._active, -1.0)))
        self._known[at], self._known_x[at] = self._wanted[at], self._wanted_x[at]
        return at, int(self._known[at])

    @property
    def wanted_x(self) -> NDArray[np.float64]:
        """(count,) x of the patch that is wanted."""
        return self._wanted_x

    def take_all(self) -> None:
        """Takes all that is wanted as known."""
        self._known[:], self._known_x[:] = self._wanted, self._wanted_x


class Receiver:
    """Sends patches and notes to a sink in the messages of a profile, never faster than the wire.

    The bucket holds one message and fills at the wire's speed in bytes, so that a message starts when the one
    before has gone over the wire. Notes go first, also between the messages of one value, which else stay
    together; then the profile's settings, and then the changes, see `Changes`. Where the profile has a `dump`, and the
    changes that wait would take longer than it does, it is sent instead, unless a note sounds. What waits is bounded: a
    note on and a note off a key, a value a parameter. Nothing here is thread-safe; times are in seconds from the start
    of listening.
    """

    def __init__(self, profile: Profile, sink: Sink, baud: float = BAUD, running_status: bool | None = None) -> None:
        self.profile, self.sink = profile, sink
        self.sent = self.sent_bytes = 0
        """Messages, and the bytes they have on the wire."""
        self._byte_s = byte_s(baud)
        wants_running = profile.running_status if running_status is None else running_status
        self._running = RunningStatus() if wants_running else None
        self._changes = Changes(len(profile.controls))
        self._bytes = self._bytes_of_changes()
        self._dump: Sequence[Message] | None = None  # of what is wanted, once it was asked for
        self._free_at = -math.inf
        self._notes: list[Message] = []
        self._unit: deque[Message] = deque()
        self._settings = deque(profile.settings)
        self._selected: tuple[int, int] | None = None
        self._sounding: set[int] = set()

    @property
    def description(self) -> str:
        """The sink's."""
        return self.sink.description

    @property
    def superseded(self) -> int:
        """How many values were replaced before they were sent."""
        return self._changes.superseded

    # -- what is wanted -------------------------------------------------------------------------

    def offer(self, x: NDArray[np.float64], active: NDArray[np.bool_]) -> None:
        """Wants the patch at (P,) x (0..1); `active` (P,) is False where a parameter has no effect in it."""
        self._changes.offer(self.profile.values_of_x(x), x, active)
        self._dump = None

    def forget(self) -> None:
        """Takes the receiver as new: it is silenced, and gets the settings and the whole patch again."""
        self._settings = deque(self.profile.settings)
        self._changes.forget()
        self._unit.clear()
        self._selected = None
        if self._running is not None:
            self._running = RunningStatus()
        self.panic()

    def note_on(self, note: int, velocity: int) -> None:
        """A key (0..127) goes down, with a velocity of 1..127; it replaces one of the same key that waits."""
        self._drop(NOTE_ON, note)
        self._notes.append(messages.note_on(self.profile.channel, note, velocity))

    def note_off(self, note: int) -> None:
        """A key comes up. A note that waits is not sent then."""
        self._drop(NOTE_ON, note)
        self._drop(NOTE_OFF, note)
        if note in self._sounding:
            self._notes.append(messages.note_off(self.profile.channel, note))

    def panic(self) -> None:
        """Ends the notes that sound, then all notes, then all sound."""
        channel = self.profile.channel
        self._notes = [messages.note_off(channel, note) for note in sorted(self._sounding)]
        self._notes += messages.silence(channel)

    def _drop(self, kind: int, note: int) -> None:
        self._notes = [each for each in self._notes if (each[0] & 0xF0, each[1]) != (kind, note)]

    # -- what is sent ---------------------------------------------------------------------------

    def pump(self, now: float) -> float | None:
        """Sends what may be sent at `now`; returns the time of the next message, None if none waits."""
        if self.sink.returned():
            self.forget()
        while now >= self._free_at:
            message = self._next()
            if message is None:
                return None
            self.sink.send(message, now)
            size = len(message if self._running is None else self._running.on_wire(message, now))
            self._free_at = now + size * self._byte_s
            self.sent += 1
            self.sent_bytes += size
        waits = self._notes or self._unit or self._settings or self._changes.waiting.any()
        return self._free_at if waits else None

    def _next(self) -> Message | None:
        if self._notes:
            message = self._notes.pop(0)
            if message[0] & 0xF0 == NOTE_ON:
                self._sounding.add(message[1])
            elif message[0] & 0xF0 == NOTE_OFF:
                self._sounding.discard(message[1])
            return message
        if not self._unit:
            if self._settings:
                setting = self._settings.popleft()
                self._unit.extend(self._messages(setting.address, setting.value))
            elif (dump := self._shorter_dump()) is not None:
                self._changes.take_all()
                self._unit.extend(dump)
            elif (change := self._changes.take()) is not None:
                control = self.profile.controls[change[0]]
                assert control is not None
                self._unit.extend(self._messages(control.address, change[1]))
        return self._unit.popleft() if self._unit else None

    def _shorter_dump(self) -> Sequence[Message] | None:
        """The dump of what is wanted, if it may be sent and takes less time than the changes that wait."""
        if self.profile.dump is None or self._sounding:
            return None
        waiting = self._changes.waiting
        if not waiting.any():
            return None
        if self._dump is None:
            values = self.profile.space.values_of_x(self._changes.wanted_x[None])[0]
            self._dump = tuple(self.profile.dump(values, self.profile.channel))
        return self._dump if sum(map(len, self._dump)) < self._bytes[waiting].sum() else None

    def _bytes_of_changes(self) -> NDArray[np.int64]:
        """(P,) the bytes on the wire of a change of each parameter, after one of another; 0 where nothing drives it."""
        sizes, self._selected = [], NULL
        for control in self.profile.controls:
            unit = () if control is None else self._messages(control.address, control.low)
            repeats = sum(each[0] < SYSEX for each in unit) if self._running is not None else 0
            sizes.append(sum(map(len, unit)) - repeats)
        self._selected = None
        return np.array(sizes, np.int64)

    def _messages(self, address: Address, value: int) -> tuple[Message, ...]:
        """An address's messages, with an NRPN selected only if it isn't yet."""
        unit, channel = address.messages(self.profile.channel, value), self.profile.channel
        if not isinstance(address, Nrpn):
            return unit
        selected, self._selected = self._selected, (address.msb, address.lsb)
        if self.profile.nrpn_null:
            # Data entry that repeats itself is dropped by some devices even for another parameter: move it first, while
            # it points to none.
            self._selected = NULL
            none, (*_, (status, number, last)) = messages.select_nrpn(channel, *NULL), unit
            return (*(() if selected == NULL else none), bytes((status, number, last ^ 1)), *unit, *none)
        return unit[2:] if selected == self._selected else unit
