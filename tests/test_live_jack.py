"""The bridge on a real JACK server without hardware: one process plays, `inversynth live` listens, another receives."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import onnx_file
from inversynth import midi
from inversynth.audio import read_file, resample
from inversynth.midi import levels_of_cc
from inversynth.predict import default_model, shipped
from inversynth.render import synth

for tool in ("jackd", "jack_lsp", "jack_connect", "jack_midi_dump"):
    if shutil.which(tool) is None:
        pytest.skip(f"needs JACK's {tool} (Debian: jackd2)", allow_module_level=True)
pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
try:
    importlib.import_module("sounddevice")
except OSError:
    pytest.skip("needs the PortAudio library (Debian: libportaudio2)", allow_module_level=True)

RATE = 48000
PATIENCE_S = 20.0
PAPER = synth("paper")
DEMO = Path(__file__).parents[1] / "demo" / "recording.flac"

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

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def leave(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


class Server:
    """A JACK server of its own, and the processes around it."""

    def __init__(self, name: str = "inversynth-test") -> None:
        self.environment = {
            **os.environ,
            "JACK_DEFAULT_SERVER": f"{name}-{os.getpid()}",
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
        }
        words = ["-r", "-n", self.environment["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", str(RATE), "-p", "1024"]
        self.processes: list[Process] = []
        self.jackd = self.start("jackd", *words)
        until(lambda: "system:capture_1" in self.ports(), "the server")

    def ports(self) -> list[str]:
        done = subprocess.run(["jack_lsp"], env=self.environment, capture_output=True, text=True)
        return done.stdout.split()

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
        until(lambda: any(name.endswith(port) for name in set(self.ports()) - before), port)
        return process, next(name for name in set(self.ports()) - before if name.endswith(port))

    def player(self, path: Path) -> tuple[Process, str]:
        return self.started(lambda: self.start(sys.executable, "-c", PLAYER, path), ":out_0", "ready")

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
        for process in reversed(self.processes):
            process.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network for the paper's synth, written by hand."""
    path = tmp_path_factory.mktemp("model") / "paper.onnx"
    path.write_bytes(onnx_file.model(PAPER))
    return str(path)


@pytest.fixture(scope="module")
def trained() -> str:
    """The shipped model of the paper's synth, which hears the same patch in sounds that differ little."""
    folder = shipped().get(default_model("paper"))
    if folder is None:
        pytest.skip("this copy ships no model of the paper's synth")
    return str(folder)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds at the server's rate, silence around them: a patch of the synth, and the demo's recording."""
    patch = PAPER.render(PAPER.space.values_of_levels((PAPER.space.levels // 2)[None]), RATE)[0]
    bass = resample(*read_file(DEMO), RATE)
    rest = np.zeros(RATE // 4, np.float32)
    path = tmp_path_factory.mktemp("sounds") / "two.wav"
    sound = np.concatenate([rest, patch / np.abs(patch).max() / 2, rest, bass, rest])
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return path


DUMP = re.compile(r"control change \(channel +(\d+)\): controller +(\d+), value +(\d+)")


def received(lines: list[str]) -> list[tuple[int, int]]:
    """(number, value) of the control changes that the monitor printed."""
    return [(int(m[2]), int(m[3])) for line in lines if (m := DUMP.search(line))]


def last_values(messages: list[tuple[int, int]]) -> list[int]:
    last = dict(messages)
    return [last[param.midi] for param in PAPER.space if param.midi is not None]


def test_what_is_played_into_the_server_arrives_as_the_control_changes_of_the_file(
    server: Server, trained: str, recording: Path
) -> None:
    player, output = server.player(recording)
    live, listening = server.live("--model", trained)
    monitor = server.receiver()
    server.connect(output, listening)
    player.tell()
    player.wait_for("played")
    live.wait_for("note 2")
    count = -1
    while count != len(monitor.lines):  # until nothing more comes
        count = len(monitor.lines)
        time.sleep(0.3)
    assert live.leave() == 0
    player.tell()
    heard = received(monitor.lines)
    monitor.leave()

    summary = "\n".join(live.lines)
    assert "Traceback" not in summary
    assert "2 notes" in summary
    assert f"{len(heard)} messages sent" in summary
    assert "JACK Audio Connection Kit, 48000 Hz" in live.lines[0]

    words = [sys.executable, "-m", "inversynth", "live", "--file", recording, "--fast", "--dry-run", "--model", trained]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, timeout=60)
    from_file = [(int(number), int(value)) for number, value in re.findall(r"cc (\d+) (\d+)", done.stdout)]
    got = levels_of_cc(PAPER.space, last_values(heard))
    expected = levels_of_cc(PAPER.space, last_values(from_file))
    assert np.abs(got - expected).max() <= 1, f"{got} but {expected} from the file"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_with_a_summary(server: Server, model: str, number: signal.Signals) -> None:
    live, _ = server.live("--model", model, "--mode", "follow")
    assert live.leave(number) == 0
    assert re.search(r"\d+ blocks, \d+ overflows", live.lines[-3])
    assert live.lines[-2] == "0 predictions"
    assert live.lines[-1].startswith("0 messages sent")


def test_devices_and_ports_are_listed_and_what_is_not_there_is_one_line(
    server: Server, model: str, tmp_path: Path
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inversynth", "live", *words]
        return subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=60)

    monitor, port = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    listed = run("--list-devices", "--list-ports")
    assert listed.returncode == 0
    assert listed.stderr == ""
    assert "system" in listed.stdout
    assert port in listed.stdout

    for words, message in [
        (["--in", "nothing", "--dry-run"], "no audio input 'nothing'; there are 'system'"),
        (["--in", "system", "--sample-rate", "44100", "--dry-run"], "its own rate is 48000 Hz"),
        (["--in", "system", "--midi-out", "nothing"], f"no MIDI output port 'nothing'; there are '{port}'"),
    ]:
        failed = run(*words, "--model", model)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert failed.stderr.count("\n") == 1
    monitor.leave()


def test_a_receiver_that_went_away_and_came_back_is_reached_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(midi, "LOOK_S", 0.0)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monitor, port = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    sink = midi.PortSink(port)
    assert not sink.returned()
    sink.send(1, 74, 64, 0.0)
    until(lambda: received(monitor.lines) == [(74, 64)], "the message")
    monitor.leave()
    until(lambda: port not in server.ports(), "the receiver to leave")
    assert not sink.returned()
    sink.send(1, 74, 65, 0.0)  # to nobody, and kept for nobody
    monitor, again = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    assert again == port
    assert sink.returned()
    assert not sink.returned()
    sink.send(1, 74, 66, 0.0)
    until(lambda: received(monitor.lines) == [(74, 66)], f"the message after the return in {monitor.lines}")
    sink.close()
    monitor.leave()


def test_a_server_that_goes_away_ends_it_with_an_error(model: str) -> None:
    server = Server("inversynth-going")
    try:
        live, _ = server.live("--model", model)
        server.jackd.stop()
        assert live.process.wait(PATIENCE_S) == 1
        live.stop()
        assert live.lines[-1].startswith("inversynth: error: system")
        assert live.lines[-1].endswith("has stopped: is it unplugged, or its server gone?")
        assert not any("Traceback" in line for line in live.lines)
    finally:
        server.stop()
