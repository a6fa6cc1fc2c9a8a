"""Sound from files, mixed to mono, resampled, and cut to the window that a model wants; and sound as it comes.

A source delivers mono float32 blocks into a ring, from an audio device or from a file, and whoever
listens reads them from there.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..errors import InversynthError, UsageError
from ..spec import AudioFormat
from ..system.devices import pick, quiet
from ..system.processes import CONTEXT, Helper
from ..system.realtime import hurrying


def read_file(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Reads any file that libsndfile reads, mixed to mono.

    Returns (samples,) float32 and the sample rate in Hz. Raises `UsageError` for what isn't there,
    isn't audio, is empty, doesn't say its length, or holds samples that aren't finite.
    """
    import soundfile

    if not Path(path).is_file():
        raise UsageError(f"{path} is not a file; give the path of a recording")
    alone = threading.current_thread() is threading.main_thread() and sys.stderr is not None
    try:
        with quiet() if alone else contextlib.nullcontext():
            data, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except UnicodeError:
        raise UsageError(f"{path} has a name that can't be opened in this locale; rename the file") from None
    except (ValueError, MemoryError):
        raise UsageError(
            f"{path} doesn't say how long it is, or is too long; write it again, its first note alone"
        ) from None
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise UsageError(
            f"{path} is not audio that can be read ({reason}); give a WAV, FLAC, AIFF, OGG or MP3 file"
        ) from None
    if not len(data):
        raise UsageError(f"{path} holds no sound: its length is 0; give a recording of a note")
    if not np.isfinite(data).all():
        raise UsageError(f"{path} holds NaN or infinite samples; write it again from its source")
    try:
        AudioFormat(int(rate), 1.0)
    except UsageError as error:
        raise UsageError(f"{path} can't be heard: its {error}") from None
    return data.mean(axis=1), int(rate)


def resample(sound: NDArray[np.float32], rate: int, to_rate: int) -> NDArray[np.float32]:
    """(samples,) float32 from one sample rate (Hz) to another, by soxr at its highest quality."""
    import soxr

    if rate == to_rate:
        return sound
    return np.asarray(soxr.resample(sound, rate, to_rate, quality="VHQ"), np.float32)


# -- sound as it comes ---------------------------------------------------------------------------

BLOCK_SAMPLES = 256
RING_S = 8.0
"""What a source keeps for a listener that is late."""


class Ring:
    """A ring of float32 samples for one thread that writes and one that reads, without a lock.

    Each side moves a counter of its own, and only after the samples are in place.
    """

    def __init__(self, samples: int) -> None:
        self._buffer = np.zeros(samples, np.float32)
        self._written = 0
        self._taken = 0

    def write(self, block: NDArray[np.float32]) -> int:
        """Copies as much of a block (samples,) as there is room for; returns how many samples that were."""
        size = len(self._buffer)
        count = min(len(block), size - (self._written - self._taken))
        at = self._written % size
        first = min(count, size - at)
        self._buffer[at : at + first] = block[:first]
        self._buffer[: count - first] = block[first:count]
        self._written += count
        return count

    def read(self) -> NDArray[np.float32]:
        """Everything that was written and not yet read, as a copy."""
        size = len(self._buffer)
        count = self._written - self._taken
        at = self._taken % size
        first = min(count, size - at)
        out = np.concatenate([self._buffer[at : at + first], self._buffer[: count - first]])
        self._taken += count
        return out


class Clock(Protocol):
    """Seconds, and waiting for them."""

    def now(self) -> float:
        """The time in seconds from a fixed but unknown start."""

    def sleep_until(self, at_s: float) -> None:
        """Returns when it is `at_s`."""


class WallClock:
    """Real time."""

    def now(self) -> float:
        """`time.perf_counter`."""
        return time.perf_counter()

    def sleep_until(self, at_s: float) -> None:
        """Sleeps."""
        time.sleep(max(0.0, at_s - self.now()))


class StreamClock:
    """Time that passes only by being waited for: a file is heard as fast as it can be."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """The latest time that was waited for."""
        return self._now

    def sleep_until(self, at_s: float) -> None:
        """It is `at_s` now."""
        self._now = max(self._now, at_s)


class Source:
    """Blocks of mono float32 at `sample_rate`, read from a ring; `blocks` and `overflows` count deliveries and losses.

    `description` says to the user what is listened to, and `clock` is the time it runs in; `away`: the device has
    gone, and is waited for; `delivered_s`: when (`time.perf_counter`) a device delivered the block that is read;
    `patience`: so many samples of a device may gather, before `read` returns, while nothing is urgent; `nap_s`: how
    long it waits for a device at most.
    """

    WAIT_S = 0.05

    def __init__(self, description: str, sample_rate: int, block_samples: int, clock: Clock) -> None:
        self.description, self.sample_rate, self.clock = description, sample_rate, clock
        self.block_samples = block_samples
        self.blocks = self.overflows = 0
        self.away, self.delivered_s, self.patience, self.nap_s = False, 0.0, 0, self.WAIT_S
        self._ring = Ring(max(round(RING_S * sample_rate), 4 * block_samples))

    def deliver(self, block: NDArray[np.float32]) -> None:
        """Copies a block (samples,) into the ring, and counts it."""
        self.blocks += 1
        if self._ring.write(block) < len(block):
            self.overflows += 1

    def start(self) -> None:
        """From now on blocks are delivered."""

    def read(self) -> NDArray[np.float32] | None:
        """What has come since the last call, perhaps nothing, after a short wait; None at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Delivers no more."""


class FileSource(Source):
    """A file, delivered block by block at the time of each by `clock`, as a device would."""

    def __init__(self, path: str | Path, clock: Clock, block_samples: int = BLOCK_SAMPLES) -> None:
        self._sound, rate = read_file(path)
        block_samples = check_block(block_samples)
        super().__init__(f"{path} ({len(self._sound) / rate:.2f} s at {rate} Hz)", rate, block_samples, clock)
        self._block_samples = block_samples
        self._at = 0
        self._began = clock.now()

    def start(self) -> None:
        """The first block is due one block later."""
        self._began = self.clock.now()

    def read(self) -> NDArray[np.float32] | None:
        """The next block, when its last sample is due."""
        block = self._sound[self._at : self._at + self._block_samples]
        if not len(block):
            return None
        self._at += len(block)
        self.clock.sleep_until(self._began + self._at / self.sample_rate)
        self.deliver(block)
        return self._ring.read()


class DeviceSource(Source):
    """The first channel of an audio input, by its index or a part of its name.

    sample_rate: in Hz, by default the device's own; block_samples: any, 0 leaves it to the device.
    Raises `UsageError`, saying what there is or what to do, if it can't be opened that way.

    The device is opened in a process of its own: no Python of ours can delay its callback, and a PortAudio whose
    device or server is gone, which hangs and never finds another, is ended with it. Then `away` is True, and the device
    is looked for by its name every `RETRY_S`, and resampled if it has another rate when it is back.
    """

    DEAD_S = 3.0
    """A device that delivers nothing for so long has stopped, whatever PortAudio says."""
    RETRY_S = 1.0
    PATIENCE_S = 30.0
    """So long opening a device may take."""

    def __init__(self, device: str, sample_rate: int | None = None, block_samples: int = BLOCK_SAMPLES) -> None:
        if sample_rate is not None:
            AudioFormat(sample_rate, 1.0)
        check_block(block_samples or 1)
        self._block_samples = block_samples
        self._line = Line(max(round(RING_S * (sample_rate or LIKELY_RATE)), 4 * block_samples))
        self._helper: Helper | None = Helper(serve, self._line, device, sample_rate, block_samples, False)
        try:
            if not self._helper.pipe.poll(self.PATIENCE_S):
                raise UsageError(f"can't open the audio input {device!r}: it hangs; is its server well?")
            opened = self._helper.pipe.recv()
        except (EOFError, OSError):
            opened = UsageError(f"can't open the audio input {device!r}: PortAudio crashed; is its server well?")
        except BaseException:
            self._helper.end()
            raise
        if not isinstance(opened, Opened):
            self._helper.end()
            raise opened
        super().__init__(opened.description, opened.sample_rate, block_samples or 1, WallClock())
        self._name, self._resampler = opened.name, None
        self._came = self._retry_at = time.perf_counter()

    def start(self) -> None:
        """Starts the stream."""
        if self._helper is not None:
            self._helper.pipe.send("start")
        self._came = time.perf_counter()

    def read(self) -> NDArray[np.float32] | None:
        """What has come since the last call, or nothing after `nap_s`."""
        self._line.wait(self.nap_s, self.patience)
        blocks = self._line.take()
        now = time.perf_counter()
        if blocks:
            self._came = now
            for block, self.delivered_s in blocks:
                self.deliver(block if self._resampler is None else self._resampler.resample_chunk(block))
            self.overflows += self._line.take_overflows()
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
        self._retry_at = now + self.RETRY_S

    def _seek(self, now: float) -> None:
        """Looks for the device, without waiting for the answer."""
        if self._helper is None:
            if now >= self._retry_at:
                self._line.clear()
                self._helper = Helper(serve, self._line, self._name, self.sample_rate, self._block_samples, True)
                self._came = now
            return
        opened: Any = None
        try:
            if self._helper.pipe.poll():
                opened = self._helper.pipe.recv()
            elif now - self._came < self.PATIENCE_S:
                return
            if isinstance(opened, Opened):
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

LIKELY_RATE = 48000


class Opened(NamedTuple):
    """What the process of an input says once it is open."""

    name: str
    description: str
    sample_rate: int


class Callback(Protocol):
    """What PortAudio calls, in C."""

    def callback(self) -> tuple[int, int]:
        """The addresses of a PaStreamCallback, and of its user data."""


class Line:
    """A ring of blocks in memory that two processes share: a callback writes, the other takes, without a lock."""

    def __init__(self, samples: int) -> None:
        self._memory = CONTEXT.RawArray("B", _native.SharedRing.bytes_of(samples))
        self._news = CONTEXT.Semaphore(0)
        self._view()
        self.clear()

    def __getstate__(self) -> Any:
        return self._memory, self._news

    def __setstate__(self, state: Any) -> None:
        self._memory, self._news = state
        self._view()

    def _view(self) -> None:
        semaphore: Any = self._news
        self.native = _native.SharedRing(np.frombuffer(self._memory, np.uint8), semaphore._semlock.handle)
        self._known = self.native.overflows()

    def wait(self, seconds: float, samples: int = 0) -> None:
        """Returns when so many samples wait, at least one, or so many seconds are over; perhaps earlier."""
        if self.native.want(samples) or self._news.acquire(timeout=seconds):
            while self._news.acquire(block=False):
                pass

    def take(self) -> list[tuple[NDArray[np.float32], float]]:
        """Copies of the blocks that have come, and when (`time.perf_counter`)."""
        blocks = []
        while (samples := self.native.waiting()) >= 0:
            block = np.empty(samples, np.float32)
            blocks.append((block, self.native.take(block)))
        return blocks

    def take_overflows(self) -> int:
        """How many blocks were lost since the last call."""
        known, self._known = self._known, self.native.overflows()
        return self._known - known

    def clear(self) -> None:
        """As new; only while nobody writes."""
        self.native.prepare()
        self._known = 0


def serve(pipe: Connection, line: Line, device: str, sample_rate: int | None, block_samples: int, again: bool) -> None:
    """Opens an input, tells that (or the error) by the pipe, and writes what comes into the line until the pipe ends.

    again: `device` is the whole name of one that was open before, and any rate will do.
    """
    try:
        rows = list_devices()
        row = rows[[row["name"] for row in rows].index(device)] if again else find_device(rows, device)
        own = round(row["default_samplerate"])
        rate = sample_rate or own
        try:
            stream = open_stream("input", row, rate, block_samples, 1, line.native)
        except UsageError:
            if not again:
                raise
            rate = own
            stream = open_stream("input", row, rate, block_samples, 1, line.native)
    except (InversynthError, ValueError) as error:
        pipe.send(error)
        return
    pipe.send(Opened(row["name"], f"{row['name']} ({row['hostapi']}, {rate} Hz)", rate))
    pipe.recv()
    with hurrying():
        stream.start()
    while stream.active and not pipe.poll(0.1):
        pass


def find_device(rows: Sequence[dict[str, Any]], device: str, what: str = "input") -> dict[str, Any]:
    """The row of `list_devices` of an index or a part of a name; raises `UsageError` that says which there are."""
    if not device.isdecimal():
        return rows[pick([row["name"] for row in rows], device, f"audio {what}")]
    for row in rows:
        if row["index"] == int(device):
            return row
    there = ", ".join(f"{row['index']} {row['name']!r}" for row in rows)
    raise UsageError(f"no audio {what} {device}; there are {there}")


def open_stream(
    kind: str, row: dict[str, Any], sample_rate: int, block_samples: int, channels: int, native: Callback
) -> Any:
    """A stream of sounddevice of the `kind` "input" or "output" that calls C alone: no Python runs in its thread.

    row: of `list_devices`; native: lives as long as the stream. Raises `UsageError` if it can't be opened.
    """
    sounddevice = _sounddevice()
    cast, (callback, state) = sounddevice._ffi.cast, native.callback()
    try:
        with quiet():
            # The base class of sounddevice's streams is for those who bring a callback in C.
            return sounddevice._StreamBase(
                kind,
                device=row["index"],
                channels=channels,
                samplerate=sample_rate,
                blocksize=block_samples,
                dtype="float32",
                latency="low",
                callback=cast("void *", callback),
                userdata=cast("void *", state),
            )
    except (sounddevice.PortAudioError, ValueError) as error:
        reason = str(error).split(": ", 1)[-1]
        raise UsageError(
            f"can't open {row['name']!r} at {sample_rate} Hz ({reason}); "
            f"its own rate is {row['default_samplerate']:g} Hz: try without --sample-rate"
        ) from None


def check_block(samples: int) -> int:
    """Raises `UsageError` for a number of samples that no block has."""
    if not 1 <= samples <= 1 << 20:
        raise UsageError(f"a block of {samples} samples is outside 1..{1 << 20}")
    return samples


def list_devices(what: str = "input", instead: str = "--file") -> list[dict[str, Any]]:
    """The audio inputs: rows of `index`, `name`, `hostapi`, `max_input_channels`, `default_samplerate` (Hz).

    Or, with "output", the outputs, and their `max_output_channels`.

    Raises `UsageError`, saying what to do, without the PortAudio library or any input; instead: the option that needs
    none.
    """
    sounddevice = _sounddevice()
    with quiet():
        apis = sounddevice.query_hostapis()
        rows = [dict(row) | {"hostapi": apis[row["hostapi"]]["name"]} for row in sounddevice.query_devices()]
    found = [row for row in rows if row[f"max_{what}_channels"] > 0]
    if not found:
        raise UsageError(
            f"no audio {what}: connect a device, or start a server (JACK without hardware: jackd -r -d dummy -r 48000 "
            f"-p 256), or use {instead}"
        )
    return found


def _sounddevice() -> Any:
    try:
        with quiet(), hurrying():  # with JACK the thread of the callback begins here
            import sounddevice
    except (OSError, ImportError) as error:
        raise UsageError(
            f"audio devices need the PortAudio library ({error}); install it (Debian, Ubuntu: "
            "apt install libportaudio2), or use --file"
        ) from None
    except KeyboardInterrupt as error:
        # Its frames hold the library: unloading it under JACK's threads would crash.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(error))
        raise
    return sounddevice
