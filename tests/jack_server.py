"""A JACK server without hardware, and around it a player, a recorder, `inversynth live` and a monitor of MIDI."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 48000
PATIENCE_S = 20.0

T = TypeVar("T")

PLAYER = """
import sys, threading, sounddevice, soundfile
sound, rate = soundfile.read(sys.argv[1], dtype="float32")
at, go, done = 0, False, threading.Event()
def callback(out, frames, times, status):
    global at
    part = sound[at : at + frames] if go else sound[:0]
    out[: len(part), 0] = part
    out[len(part) :] = 0
    at += len(part)
    if at >= len(sound):
        done.set()
with sounddevice.OutputStream(device="system", channels=1, samplerate=rate, callback=callback, dtype="float32"):
    print("ready", flush=True)
    sys.stdin.readline()
    go = True
    done.wait()
    print("played", flush=True)
    sys.stdin.readline()
"""

RECORDER = """
import sys, queue, numpy, sounddevice
blocks, wanted = queue.SimpleQueue(), False
def callback(block, frames, times, status):
    if wanted:
        blocks.put(block[:, 0].copy())
with sounddevice.InputStream(device="system", channels=1, callback=callback, dtype="float32"):
    print("ready", flush=True)
    for line in sys.stdin:
        samples, path = line.rstrip().split(" ", 1)
        sound, wanted = numpy.empty(0, "float32"), True
        while len(sound) < int(samples):
            sound = numpy.concatenate([sound, blocks.get()])
        wanted = False
        while not blocks.empty():
            blocks.get()
        numpy.save(path, sound[: int(samples)])
        print("recorded", path, flush=True)
"""


def require() -> None:
    """Skips the module that calls it, with the reason, where there is no JACK or no PortAudio."""
    for tool in ("jackd", "jack_lsp", "jack_connect", "jack_midi_dump"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs JACK's {tool} (Debian: jackd2)", allow_module_level=True)
    try:
        importlib.import_module("sounddevice")
    except OSError:
        pytest.skip("needs the PortAudio library (Debian: libportaudio2)", allow_module_level=True)


class Process:
    """A process whose lines are kept as they come."""

    def __init__(self, words: list[str | Path], environment: dict[str, str], error: bool = False) -> None:
        self.process = subprocess.Popen(
            [str(word) for word in words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if error else subprocess.PIPE,
            stderr=subprocess.PIPE if error else subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or self.process.stdout or ():
            self.lines.append(line.rstrip("\n"))

    def stop(self) -> None:
        """Ends it, however it fares; once more does no harm."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def wait_for(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines), f"{text!r} in {self.lines}")

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def leave(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


def until(true: Callable[[], T], what: str) -> T:
    """Waits until it is true, and returns what it then is."""
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Server:
    """A JACK server of its own, and the processes around it."""

    def __init__(self, name: str = "inversynth-test") -> None:
        self.environment = {
            **os.environ,
            "JACK_DEFAULT_SERVER": f"{name}-{os.getpid()}",
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
        }
        self.processes: list[Process] = []
        self._folder = tempfile.TemporaryDirectory()
        self.jackd = self.serve(RATE)

    def serve(self, rate: int) -> Process:
        """Starts the server itself."""
        name = self.environment["JACK_DEFAULT_SERVER"]
        made = self.start("jackd", "-R", "-n", name, "-d", "dummy", "-r", str(rate), "-p", "1024")
        until(lambda: "system:capture_1" in self.ports(), "the server")
        return made

    def ports(self) -> list[str]:
        done = subprocess.run(["jack_lsp"], env=self.environment, capture_output=True, text=True)
        return done.stdout.split()

    def connected(self, port: str) -> bool:
        """Whether a port is connected, as PortAudio connects those of a stream that has started."""
        done = subprocess.run(["jack_lsp", "-c", port], env=self.environment, capture_output=True, text=True)
        return len(done.stdout.splitlines()) > 1

    def connect(self, source: str, target: str) -> None:
        subprocess.run(["jack_connect", source, target], env=self.environment, check=True, capture_output=True)

    def start(self, *words: str | Path, error: bool = False) -> Process:
        made = Process(list(words), self.environment, error)
        self.processes.append(made)
        return made

    def started(self, make: Callable[[], Process], port: str, ready: str) -> tuple[Process, str]:
        """Starts a process and waits for `ready`; also the full name of the port of that name that it has made."""
        before = set(self.ports())
        process = make()
        if ready:
            process.wait_for(ready)
        return process, until(
            lambda: next((name for name in self.ports() if name.endswith(port) and name not in before), ""), port
        )

    def player(self, path: Path) -> tuple[Process, str]:
        return self.started(lambda: self.start(sys.executable, "-c", PLAYER, path), ":out_0", "ready")

    def recorder(self) -> Recorder:
        """A recorder whose input is silent until something is connected to `input`."""
        process, port = self.started(lambda: self.start(sys.executable, "-c", RECORDER), ":in_0", "ready")
        return Recorder(process, port, Path(self._folder.name))

    def live(self, *words: str | Path) -> tuple[Process, str]:
        """`inversynth live` with a virtual port `cc`, and its audio input."""
        command = [sys.executable, "-m", "inversynth", "live", "--in", "system", "--virtual", "cc", *words]
        return self.started(lambda: self.start(*command, error=True), ":in_0", "sending to")

    def receiver(self) -> Process:
        """JACK's own MIDI monitor, connected to the bridge."""
        monitor, port = self.started(lambda: self.start("jack_midi_dump"), ":input", "")
        self.connect("inversynth:cc", port)
        return monitor

    def stop(self) -> None:
        """Ends the processes, and then the server: one that loses clients while it ends may hang and be killed."""
        others = [process for process in self.processes if process is not self.jackd]
        for process in reversed(others):
            process.stop()
        try:
            until(lambda: all(name.startswith("system:") for name in self.ports()), "the clients to leave")
        finally:
            self.jackd.stop()
            self._folder.cleanup()


class Recorder:
    """Records from its `input`, one recording after the other."""

    def __init__(self, process: Process, port: str, folder: Path) -> None:
        self.process, self.input, self._folder = process, port, folder
        self._count = 0

    def begin(self, seconds: float) -> Path:
        """Begins a recording of that length; `result` waits for its end."""
        self._count += 1
        path = self._folder / f"{self.input.replace('/', '-')}-{self._count}.npy"
        self.process.tell(f"{round(seconds * RATE)} {path}")
        return path

    def result(self, path: Path) -> NDArray[np.float32]:
        """(samples,) at `RATE`."""
        self.process.wait_for(f"recorded {path}")
        sound: NDArray[np.float32] = np.load(path)
        return sound

    def record(self, seconds: float) -> NDArray[np.float32]:
        """(samples,) at `RATE`, from now on."""
        return self.result(self.begin(seconds))

    def runs(self, patience_s: float = 2.0) -> bool:
        """Whether the server runs it, and so what is connected to it."""
        path, end = self.begin(0.02), time.monotonic() + patience_s
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        return path.exists()
