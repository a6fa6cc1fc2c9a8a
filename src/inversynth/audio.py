"""Sound from files, mixed to mono, resampled, and cut to the window that a model wants; and sound as it comes.

A source delivers mono float32 blocks into a ring, from an audio device or from a file, and whoever
listens reads them from there.
"""

from __future__ import annotations

import atexit
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .devices import pick, quiet
from .errors import InversynthError, UsageError
from .spec import AudioFormat


def read_file(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Reads any file that libsndfile reads, mixed to mono.

    Returns (samples,) float32 and the sample rate in Hz. Raises `UsageError` for what isn't there,
    isn't audio, is empty, or holds samples that aren't finite.
    """
    import soundfile

    if not Path(path).is_file():
        raise UsageError(f"{path} is not a file; give the path of a recording")
    try:
        data, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
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

    `description` says to the user what is listened to, and `clock` is the time it runs in.
    """

    def __init__(self, description: str, sample_rate: int, block_samples: int, clock: Clock) -> None:
        self.description, self.sample_rate, self.clock = description, sample_rate, clock
        self.blocks = self.overflows = 0
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
        super().__init__(f"{path} ({len(self._sound) / rate:.2f} s at {rate} Hz)", rate, block_samples, clock)
        self._block_samples = _check_block(block_samples)
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
    """

    POLL_S = 0.001
    WAIT_S = 0.05
    DEAD_S = 5.0
    """A device that delivers nothing for so long has stopped, whatever PortAudio says."""

    def __init__(self, device: str, sample_rate: int | None = None, block_samples: int = BLOCK_SAMPLES) -> None:
        inputs = list_devices()
        if device.isdecimal():
            at = next((i for i, row in enumerate(inputs) if row["index"] == int(device)), None)
            if at is None:
                there = ", ".join(f"{row['index']} {row['name']!r}" for row in inputs)
                raise UsageError(f"no audio input {device}; there are {there}")
        else:
            at = pick([row["name"] for row in inputs], device, "audio input")
        row = inputs[at]
        rate = round(row["default_samplerate"]) if sample_rate is None else AudioFormat(sample_rate, 1.0).sample_rate
        super().__init__(
            f"{row['name']} ({row['hostapi']}, {rate} Hz)", rate, _check_block(block_samples or 1), WallClock()
        )
        self._stream = self._open(row, block_samples)
        self._came = time.perf_counter()
        self._gone = False

    def _open(self, row: dict[str, Any], block_samples: int) -> Any:
        sounddevice = _sounddevice()
        try:
            with quiet():
                return sounddevice.InputStream(
                    device=row["index"],
                    channels=1,
                    samplerate=self.sample_rate,
                    blocksize=block_samples,
                    dtype="float32",
                    latency="low",
                    callback=self._callback,
                )
        except (sounddevice.PortAudioError, ValueError) as error:
            reason = str(error).split(": ", 1)[-1]
            raise UsageError(
                f"can't open {row['name']!r} at {self.sample_rate} Hz ({reason}); "
                f"its own rate is {row['default_samplerate']:g} Hz: try without --sample-rate"
            ) from None

    def _callback(self, block: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        self.deliver(block[:, 0])
        if status.input_overflow:
            self.overflows += 1

    def start(self) -> None:
        """Starts the stream."""
        with quiet():
            self._stream.start()
        self._came = time.perf_counter()

    def read(self) -> NDArray[np.float32] | None:
        """What has come since the last call, or nothing after `WAIT_S`; raises if the device has stopped."""
        began = time.perf_counter()
        while True:
            block, now = self._ring.read(), time.perf_counter()
            if len(block):
                self._came = now
            elif not self._stream.active or now - self._came > self.DEAD_S:
                # PortAudio hangs in closing a stream whose JACK server is gone, and aborts in being ended.
                self._gone = True
                atexit.unregister(getattr(_sounddevice(), "_exit_handler", print))
                raise InversynthError(f"{self.description} has stopped: is it unplugged, or its server gone?")
            if len(block) or now - began > self.WAIT_S:
                return block
            time.sleep(self.POLL_S)

    def close(self) -> None:
        """Stops and closes the stream."""
        if not self._gone:
            with quiet():
                self._stream.close()


def _check_block(samples: int) -> int:
    if not 1 <= samples <= 1 << 20:
        raise UsageError(f"a block of {samples} samples is outside 1..{1 << 20}")
    return samples


def list_devices() -> list[dict[str, Any]]:
    """The audio inputs: rows of `index`, `name`, `hostapi`, `max_input_channels`, `default_samplerate` (Hz).

    Raises `UsageError`, saying what to do, without the PortAudio library or any input.
    """
    sounddevice = _sounddevice()
    with quiet():
        apis = sounddevice.query_hostapis()
        rows = [dict(row) | {"hostapi": apis[row["hostapi"]]["name"]} for row in sounddevice.query_devices()]
    inputs = [row for row in rows if row["max_input_channels"] > 0]
    if not inputs:
        raise UsageError(
            "no audio input: connect a device, or start a server (JACK without hardware: jackd -r -d dummy -r 48000 "
            "-p 256), or use --file"
        )
    return inputs


def _sounddevice() -> Any:
    try:
        with quiet():
            import sounddevice
    except (OSError, ImportError) as error:
        raise UsageError(
            f"audio devices need the PortAudio library ({error}); install it (Debian, Ubuntu: "
            "apt install libportaudio2), or use --file"
        ) from None
    return sounddevice
