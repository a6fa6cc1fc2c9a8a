"""What is played to the bridge, and what plays it: a simulated device, or a process on a JACK server of its own.

That process plays by the loop player, a callback in C, so that no Python delays what is to be measured.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from ... import _native
from ...audio.devices import find_device, list_devices, open_stream
from ...audio.input import DeviceSource
from ...audio.sources import Source, WallClock
from ...errors import InversynthError, UsageError
from ...midi import PortSink
from ...synths.synth import Synth
from ...system.devices import quiet
from ...system.processes import Helper
from .timed import Timed

RATE_HZ = 48000
SEED, PATCHES = 11, 16
PEAK = 0.5
REST_S = 0.5
"""Before each note."""
TOOLS = ("jackd", "jack_lsp", "jack_connect")
POLL_S = 1e-3
WAIT_S = 20.0


def sounds(synth: Synth, rate: int) -> dict[str, NDArray[np.float32]]:
    """What is played of a synth, at a sample rate in Hz, again and again: `patches`, `notes`, `silence`."""
    drawn = synth.draw(SEED, 0, PATCHES)
    each = synth.render_all(synth.space.values_of_levels(drawn.levels), rate, note=drawn.notes).sounds
    each *= PEAK / np.maximum(np.abs(each).max(axis=1, keepdims=True), 1e-6)
    rests = np.zeros((PATCHES, round(REST_S * rate)), np.float32)
    notes = np.concatenate([rests, each], axis=1)
    return {"patches": each.ravel(), "notes": notes.ravel(), "silence": np.zeros(rate, np.float32)}


class Simulated(Source):
    """A device without hardware or server: a thread delivers a block of a sound, over and over, when it is due."""

    def __init__(self, period: int) -> None:
        super().__init__(f"simulated device, {RATE_HZ} Hz", RATE_HZ, period, WallClock())
        self.sound = np.zeros(period, np.float32)
        self._period = period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _play(self) -> None:
        began, count = self.clock.now(), 0
        while not self._over.is_set():
            count += 1
            self.clock.sleep_until(began + count * self._period / self.sample_rate)
            at = np.arange((count - 1) * self._period, count * self._period) % len(self.sound)
            self.deliver(self.sound[at])

    def read(self) -> NDArray[np.float32] | None:
        began = self.clock.now()
        while not len(block := self._ring.read()) and self.clock.now() - began < self.nap_s:
            time.sleep(POLL_S)
        return block

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()


class TimedSimulated(Timed, Simulated):
    """A simulated device that remembers."""

    def start(self) -> None:
        super().start()
        self.begin()


class TimedDevice(Timed, DeviceSource):
    """The JACK server's input that remembers; when it starts it is connected to the player, which then begins."""

    def __init__(self, period: int, play: Callable[[], None]) -> None:
        super().__init__("system", RATE_HZ, period)
        self._play = play

    def start(self) -> None:
        words = ["jack_connect", _wait_for(r":out_\d+"), _wait_for(r":in_\d+")]
        super().start()
        end = time.monotonic() + WAIT_S
        while subprocess.run(words, capture_output=True).returncode:  # until the device's process has started
            if time.monotonic() > end:
                raise InversynthError(f"{words[1]} can't be connected to {words[2]}")
            time.sleep(0.02)
        self._play()
        self.begin()


OpenSource = Callable[[str], Timed]
"""Opens a source to which one of `sounds` is played; the caller closes it."""


@contextlib.contextmanager
def simulated(synth: Synth, period: int) -> Iterator[OpenSource]:
    """Devices simulated in this process."""
    made = sounds(synth, RATE_HZ)

    def open_source(what: str) -> Timed:
        source = TimedSimulated(period)
        source.sound = made[what]
        return source

    yield open_source


@contextlib.contextmanager
def jack(synth: Synth, period: int) -> Iterator[OpenSource]:
    """A JACK server of its own with a dummy driver, and a process that plays into it."""
    os.environ |= {"JACK_DEFAULT_SERVER": f"inversynth-bench-{os.getpid()}", "JACK_NO_START_SERVER": "1"}
    words = ["jackd", "-R", "-n", os.environ["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", str(RATE_HZ)]
    made = sounds(synth, RATE_HZ)
    with contextlib.ExitStack() as stack:
        server = subprocess.Popen([*words, "-p", str(period)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        _wait_for("system:capture_1")
        player = Helper(play_sounds, list(made.values()))
        stack.callback(player.end, WAIT_S)

        def play(what: str) -> None:
            try:
                player.pipe.send(list(made).index(what))
            except OSError:
                raise InversynthError("the player has ended") from None

        play("silence")
        if not player.pipe.poll(WAIT_S):
            raise InversynthError(f"the player did not start within {WAIT_S:g} s")
        if (error := player.pipe.recv()) is not None:
            raise error

        def open_source(what: str) -> Timed:
            play("silence")
            return TimedDevice(period, lambda: play(what))

        yield open_source


def play_sounds(pipe: Connection, made: list[NDArray[np.float32]]) -> None:
    """Plays one sound after another, each over and over until the pipe gives the number of the next.

    Reports by the pipe that it plays, or the error.
    """
    player = _native.LoopPlayer(np.concatenate(made), np.cumsum([len(sound) for sound in made]))
    player.play(pipe.recv())
    try:
        stream = open_stream("output", find_device(list_devices("output"), "system", "output"), RATE_HZ, 0, 1, player)
    except UsageError as error:
        pipe.send(error)
        return
    with stream:
        pipe.send(None)
        while True:
            player.play(pipe.recv())


def _wait_for(ending: str) -> str:
    """The name of the JACK port with such an ending, a regular expression, once it is there."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        done = subprocess.run(["jack_lsp"], capture_output=True, text=True)
        if found := re.search(f"^.*{ending}$", done.stdout, re.MULTILINE):
            return found[0]
        time.sleep(0.02)
    raise InversynthError(f"no JACK port *{ending} appeared within {WAIT_S:g} s")


def has_jack() -> bool:
    """Whether a JACK server can be started here, and be reached."""
    if any(shutil.which(tool) is None for tool in TOOLS) or not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, ImportError), quiet():
        import sounddevice  # noqa: F401

        return True
    return False


@contextlib.contextmanager
def open_port() -> Iterator[PortSink | None]:
    """A virtual MIDI port, where the system has them."""
    try:
        port = PortSink("inversynth bench", virtual=True)
    except UsageError:
        yield None
        return
    try:
        yield port
    finally:
        port.close()
