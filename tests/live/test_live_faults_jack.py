"""Servers and receivers that go, come back, stop and don't read, on a real JACK server and the whole command."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import jack_server
import onnx_file
from inversynth import synths
from inversynth.midi import LOOK_S
from jack_server import PATIENCE_S, Process, Server, until

jack_server.require()
pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

PAPER = synths.load("paper")
COUNT = len(PAPER.space)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network for the paper's synth, written by hand."""
    path = tmp_path_factory.mktemp("model") / "paper.onnx"
    path.write_bytes(onnx_file.model(PAPER))
    return str(path)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, to be mistreated."""
    made = Server("inversynth-faults")
    yield made
    made.stop()


DUMP = re.compile(r"control change \(channel +\d+\): controller +(\d+), value +(\d+)")


def values(monitor: Process) -> dict[int, int]:
    """The last value of each parameter's controller that the monitor printed."""
    found = (DUMP.search(line) for line in monitor.lines)
    numbers = {param.midi for param in PAPER.space}
    return {int(each[1]): int(each[2]) for each in found if each is not None and int(each[1]) in numbers}


def note(folder: Path, rate: int, seconds: float = 1.1, times: int = 1) -> Path:
    """A file of notes with rests around them."""
    rest = np.zeros(rate // 4, np.float32)
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    path = folder / f"note-{rate}-{times}.wav"
    soundfile.write(path, np.concatenate([rest, *[sound, rest] * times]), rate, subtype="FLOAT")
    return path


def play(server: Server, path: Path, listening: str) -> Process:
    """Starts to play a file into the bridge."""
    player, output = server.player(path)
    server.connect(output, listening)
    player.tell()
    return player


def printed(live: Process, text: str) -> bool:
    return any(text in line for line in live.lines)


def leaves_quietly(live: Process) -> str:
    """Ends the bridge; its summary."""
    assert live.leave() == 0
    assert not printed(live, "Traceback")
    return "\n".join(live.lines[-3:])


def sending(server: Server, model: str) -> tuple[Process, str, Process, str]:
    """The bridge and its input, and a receiver and its port, to which the bridge sends."""
    monitor, port = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    command = [sys.executable, "-m", "inversynth", "live", "--in", "system", "--midi-out", port, "--anything"]
    live, listening = server.started(
        lambda: server.start(*command, "--model", model, error=True), ":in_0", "sending to"
    )
    return live, listening, monitor, port


def after_note(live: Process, monitor: Process, text: str) -> dict[int, int]:
    """The whole patch, once the bridge has said `text`."""
    live.wait_for(text)
    until(lambda: len(values(monitor)) == COUNT, "the whole patch")
    time.sleep(0.3)  # its last changes
    return values(monitor)


def test_a_killed_server_is_waited_for_and_read_at_its_new_rate_and_gets_the_whole_patch(
    server: Server, model: str, tmp_path: Path
) -> None:
    live, listening, monitor, port = sending(server, model)
    player = play(server, note(tmp_path, 48000), listening)
    before = after_note(live, monitor, "note 1")

    server.jackd.process.kill()
    server.jackd.stop()
    live.wait_for("away")
    for process in (player, monitor):
        process.stop()
    server.jackd = server.serve(44100)
    live.wait_for("back")
    monitor, again = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    assert again == port
    until(lambda: values(monitor) == before, "the patch again")

    listening = next(name for name in server.ports() if re.search(r":in_\d+$", name))
    play(server, note(tmp_path, 44100), listening)
    live.wait_for("note 2")
    assert "2 notes" in leaves_quietly(live)


def test_a_receiver_that_was_killed_gets_the_whole_patch_when_it_is_back(
    server: Server, model: str, tmp_path: Path
) -> None:
    live, listening, monitor, port = sending(server, model)
    play(server, note(tmp_path, 48000), listening)
    before = after_note(live, monitor, "note 1")
    monitor.process.kill()
    until(lambda: port not in server.ports(), "the receiver to leave")
    time.sleep(LOOK_S + 0.2)  # one that is back sooner isn't missed
    monitor, again = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    assert again == port
    until(lambda: values(monitor) == before, "the whole patch again")
    leaves_quietly(live)


def test_a_reader_that_has_stopped_stalls_nothing(server: Server, model: str, tmp_path: Path) -> None:
    live, listening = server.live(
        "--model", model, "--anything", "--mode", "follow", "--rate", "50", "--confidence", "0"
    )
    monitor = server.receiver()
    player = play(server, note(tmp_path, 48000, 2.5), listening)
    monitor.process.send_signal(signal.SIGSTOP)
    try:
        player.wait_for("played")
        summary = leaves_quietly(live)
    finally:
        monitor.process.send_signal(signal.SIGCONT)
    assert int(re.search(r"(\d+) prediction", summary)[1]) > 50  # type: ignore[index]
    assert int(re.search(r"(\d+) messages sent", summary)[1]) >= COUNT  # type: ignore[index]


def test_commands_that_are_not_read_stall_neither_the_sound_nor_the_end(model: str, tmp_path: Path) -> None:
    words = ["--file", note(tmp_path, 16384, 0.5, times=6), "--model", model, "--anything", "--mode", "follow"]
    command = [
        sys.executable,
        "-m",
        "inversynth",
        "live",
        *map(str, words),
        "--rate",
        "50",
        "--smooth",
        "1",
        "--dry-run",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert process.wait(PATIENCE_S) == 0
    _, error = process.communicate()
    assert "Traceback" not in error
    assert re.search(r"0 overflows", error)
