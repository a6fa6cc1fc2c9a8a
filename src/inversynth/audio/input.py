"""An audio input as a source, opened in a process of its own."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InversynthError, UsageError
from ..spec import AudioFormat
from ..system.devices import Followed
from ..system.processes import Helper
from ..system.realtime import realtime_threads
from .devices import device_names, find_device, list_devices, open_stream
from .shared_ring import SharedRing
from .sources import BLOCK_SAMPLES, RING_S, Source, WallClock, check_block

LIKELY_RATE_HZ = 48000
"""The ring is made before the device's own rate is known."""


class DeviceSource(Source):
    """The first channel of an audio input, by its index or a part of its name.

    sample_rate: in Hz, by default the device's own; block_samples: any, 0 leaves it to the device.
    Raises `UsageError`, saying what there is or what to do, if it can't be opened that way.

    The device is opened in a process of its own: no Python code here can delay its callback, and a PortAudio whose
    device or server is gone, which hangs and never finds another, is ended with it. Then `away` is True, and the same
    device (see `Followed`) is searched for every `RETRY_S`, and resampled if it has another rate when it is back.
    """

    DEAD_S = 3.0
    """A device that delivers nothing for this long has stopped, even if PortAudio says otherwise."""
    RETRY_S = 1.0
    PATIENCE_S = 30.0
    """How long opening a device may take."""

    def __init__(self, device: str, sample_rate: int | None = None, block_samples: int = BLOCK_SAMPLES) -> None:
        if sample_rate is not None:
            AudioFormat(sample_rate, 1.0)
        check_block(block_samples or 1)
        self._block_samples = block_samples
        self._shared = SharedRing(max(round(RING_S * (sample_rate or LIKELY_RATE_HZ)), 4 * block_samples))
        self._helper: Helper | None = Helper(serve, self._shared, device, sample_rate, block_samples)
        try:
            if not self._helper.pipe.poll(self.PATIENCE_S):
                raise UsageError(f"can't open the audio input {device!r}: it hangs; restart its server")
            opened = self._helper.pipe.recv()
        except (EOFError, OSError):
            opened = UsageError(f"can't open the audio input {device!r}: PortAudio crashed; restart its server")
        except BaseException:
            self._helper.end()
            raise
        if not isinstance(opened, Opened):
            self._helper.end()
            raise opened
        super().__init__(opened.description, opened.sample_rate, block_samples or 1, WallClock())
        self._followed, self._resampler = opened.followed, None
        self._came = self._retry_at = time.perf_counter()

    def start(self) -> None:
        """Starts the stream."""
        if self._helper is not None:
            self._helper.pipe.send("start")
        self._came = time.perf_counter()

    def read(self) -> NDArray[np.float32] | None:
        """The samples since the last call, or none after `nap_s`."""
        self._shared.wait(self.nap_s, self.patience)
        blocks = self._shared.take()
        now = time.perf_counter()
        if blocks:
            self._came = now
            for block, self.delivered_s in blocks:
                self.deliver(block if self._resampler is None else self._resampler.resample_chunk(block))
            self.overflows += self._shared.take_overflows()
        elif self.away:
            self._seek(now)
        elif self._helper is None or not self._helper.alive or now - self._came > self.DEAD_S:
            self._lose(now)
        return self._ring.read()

    def close(self) -> None:
        """Stops and closes the stream."""
        if self._helper is not None:
            self._helper.end(0.5)
            self._helper = None

    def _lose(self, now: float) -> None:
        if self._helper is not None:
            self._helper.end()
        self.away, self._helper = True, None
        self._followed.lose()
        self._retry_at = now + self.RETRY_S

    def _seek(self, now: float) -> None:
        """Searches for the device, without waiting for the answer."""
        if self._helper is None:
            if now >= self._retry_at:
                self._shared.clear()
                self._helper = Helper(serve, self._shared, self._followed, self.sample_rate, self._block_samples)
                self._came = now
            return
        opened: Any = None
        try:
            if self._helper.pipe.poll():
                opened = self._helper.pipe.recv()
            elif now - self._came < self.PATIENCE_S:
                return
            if isinstance(opened, Opened):
                self._followed = opened.followed
                self._resampler = _resampler(opened.sample_rate, self.sample_rate)
                self._helper.pipe.send("start")
                self.away, self._came = False, now
                return
        except (EOFError, OSError):
            pass
        self._lose(now)


def _resampler(rate: int, to_rate: int) -> Any:
    import soxr

    return None if rate == to_rate else soxr.ResampleStream(rate, to_rate, 1, dtype="float32", quality="VHQ")


# -- the process of an input ---------------------------------------------------------------------


class Opened(NamedTuple):
    """What the process of an input says once it is open."""

    followed: Followed
    description: str
    sample_rate: int


def serve(
    pipe: Connection,
    shared: SharedRing,
    device: str | Followed,
    sample_rate: int | None,
    block_samples: int,
) -> None:
    """Opens an input, reports that (or the error) through the pipe, and writes its blocks into the ring until the pipe
    ends.

    device: an index or a part of a name, or one that was open before; of that any rate will do.
    """
    again = isinstance(device, Followed)
    try:
        rows = list_devices()
        names = device_names(rows)
        if isinstance(device, Followed):
            followed = device
            followed.update(names)
        else:
            followed = Followed(names, rows.index(find_device(rows, device)))
        if followed.at is None:
            raise UsageError(f"the audio input {followed.name!r} isn't back")
        row = rows[followed.at]
        own = round(row["default_samplerate"])
        rate = sample_rate or own
        try:
            stream = open_stream("input", row, rate, block_samples, 1, shared.native)
        except UsageError:
            if not again:
                raise
            rate = own
            stream = open_stream("input", row, rate, block_samples, 1, shared.native)
    except InversynthError as error:
        pipe.send(error)
        return
    description = f"{row['name']} ({row['hostapi']}, {rate} Hz)"
    pipe.send(Opened(followed, description, rate))
    pipe.recv()
    with realtime_threads():
        stream.start()
    while stream.active and not pipe.poll(0.1):
        pass
