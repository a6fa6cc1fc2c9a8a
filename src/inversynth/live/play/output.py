"""An audio output that calls voices, and is opened again when its device is back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ...audio.devices import device_names, find_device, list_devices, open_stream
from ...audio.internals import leave_portaudio_open, load_sounddevice, rescan_devices
from ...errors import InversynthError
from ...system.devices import Followed, keep_forever, quiet
from ...system.realtime import realtime_threads
from .voices import Voices


class Output:
    """An audio output that plays voices. PortAudio calls their code in C: no Python runs in its thread.

    row: of `list_outputs`; block_samples: any, 0 leaves it to the device; say: shows a line. A device that has stopped,
    since it was unplugged, is searched for by its name and opened again; until then the voices play on unheard.
    Raises `UsageError` if it can't be opened.
    """

    DEAD_S = 3.0
    """A device that asks for no sound for this long has stopped, even if PortAudio says otherwise."""
    CLOSE_S = 0.5
    """How long to wait for its next block, or for PortAudio, at the end, before its stream is given up."""
    RETRY_S = 1.0

    def __init__(
        self,
        row: Mapping[str, Any],
        voices: Voices,
        block_samples: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.description = f"{row['name']} ({row['hostapi']}, {voices.sample_rate} Hz, {voices.channels} channels)"
        self._voices, self._block_samples, self._say = voices, block_samples, say
        self._patience_s = self.CLOSE_S + 2 * block_samples / voices.sample_rate
        rows = list_outputs()
        self._followed = Followed(device_names(rows), [each["index"] for each in rows].index(row["index"]))
        self._is_jack = "JACK" in row["hostapi"]
        self._gone = False  # for good
        self._away_since: float | None = None
        self._retry_at = 0.0
        self._open(row)

    def _open(self, row: Mapping[str, Any]) -> None:
        voices = self._voices
        self._stream = open_stream(
            "output", dict(row), voices.sample_rate, self._block_samples, voices.channels, voices.native
        )
        self._blocks, self._asked = voices.native.played()[1], time.monotonic()

    def start(self) -> None:
        """From now on it is audible. Raises `InversynthError` if the device refuses."""
        try:
            with quiet(), realtime_threads():
                self._stream.start()
        except Exception as error:  # of a library that is not imported here
            raise InversynthError(f"can't start {self.description}: {error}") from None
        self._asked = time.monotonic()

    def check(self) -> None:
        """Checks whether the device still asks for sound, and searches for one that is away.

        Raises `InversynthError` if it has stopped and can't be closed: JACK, whose server is gone or stands still.
        """
        now = time.monotonic()
        if self._away_since is not None:
            self._pass(now)
            if now >= self._retry_at:
                self._retry_at = now + self.RETRY_S
                self._seek()
            return
        blocks = self._voices.native.played()[1]
        if blocks != self._blocks:
            self._blocks, self._asked = blocks, now
        if self._stream.active and now - self._asked <= self.DEAD_S:
            return
        if self._is_jack or not self._closed():
            self._abandon()
            raise InversynthError(f"{self.description} has stopped: is it unplugged, or its server gone?")
        self._voices.sound_off()
        self._away_since, self._retry_at = now, now
        self._say(f"{self.description} is away; it is opened again when it is back")

    def _pass(self, now: float) -> None:
        """Plays and drops what a device would have asked for since the last call."""
        assert self._away_since is not None
        self._voices.process(min(round((now - self._away_since) * self._voices.sample_rate), self._voices.sample_rate))
        self._away_since = now

    def _seek(self) -> None:
        """Opens the device again, if it is back."""
        with contextlib.suppress(InversynthError):  # there is no output at all, or this one can't be opened yet
            rescan_devices()
            rows = list_outputs()
            self._followed.update(device_names(rows))
            if self._followed.at is None:
                return
            self._open(rows[self._followed.at])
            try:
                self.start()
            except InversynthError:
                self._closed()
                return
            self._away_since = None
            self._say(f"{self.description} is back")

    def _closed(self) -> bool:
        """Closes the stream in a thread of its own: whether that ended in time."""
        with quiet():
            closing = threading.Thread(target=self._stream.close, daemon=True)
            closing.start()
            closing.join(self._patience_s)
        return not closing.is_alive()

    def close(self) -> None:
        """Stops and closes the stream, if its device still asks for sound."""
        if self._gone or self._away_since is not None:
            return
        if not self._asks():
            self._abandon()
        else:
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
        leave_portaudio_open()
        for used in (self._stream, self._voices.native):
            keep_forever(used)


def list_outputs() -> list[dict[str, Any]]:
    """The audio outputs, as `audio.list_devices`."""
    return list_devices("output", "--out-file")


def find_output(device: str | None = None) -> dict[str, Any]:
    """The output of an index or a part of a name, by default the system's own; raises `UsageError`."""
    outputs = list_outputs()
    if device is None:
        own = load_sounddevice().default.device[1]
        return next((row for row in outputs if row["index"] == own), outputs[0])
    return find_device(outputs, device, "output")
