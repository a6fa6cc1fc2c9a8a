"""The bridge on a real JACK server without hardware: one process plays, `inversynth live` listens, another receives."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

import jack_server
import onnx_file
from inversynth import synths
from inversynth.audio.files import read_file, resample
from inversynth.predict.shipped import default_model, shipped
from jack_server import RATE, Server

jack_server.require()
pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

PAPER = synths.load("paper")
DEMO = Path(__file__).parents[2] / "demo" / "recording.flac"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network for the paper's synth, written by hand."""
    path = tmp_path_factory.mktemp("model") / "paper.onnx"
    path.write_bytes(onnx_file.model(PAPER))
    return str(path)


@pytest.fixture(scope="module")
def trained() -> str:
    """The shipped model of the paper's synth, which infers the same patch in sounds that differ little."""
    folder = shipped().get(default_model(synths.load("paper")))
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


EVERYTHING = ["--anything", "--confidence", "0"]
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
    live, listening = server.live("--model", trained, *EVERYTHING)
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
    messages = received(monitor.lines)
    monitor.leave()

    summary = "\n".join(live.lines)
    assert "Traceback" not in summary
    assert "2 notes" in summary
    assert f"{len(messages)} messages sent" in summary
    assert "JACK Audio Connection Kit, 48000 Hz" in live.lines[0]

    words = [sys.executable, "-m", "inversynth", "live", "--file", recording, "--fast", "--dry-run", "--model", trained]
    words += EVERYTHING
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, timeout=60)
    from_file = [(int(number), int(value)) for number, value in re.findall(r"cc (\d+) (\d+)", done.stdout)]
    got = np.rint(15 / 127 * np.array(last_values(messages)))
    expected = np.rint(15 / 127 * np.array(last_values(from_file)))
    assert np.abs(got - expected).max() <= 1, f"{got} but {expected} from the file"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_with_a_summary(server: Server, model: str, number: signal.Signals) -> None:
    live, _ = server.live("--model", model, "--mode", "follow")
    assert live.leave(number) == 0
    assert re.search(r"\d+ blocks, \d+ overflows", live.lines[-3])
    assert live.lines[-2] == "0 notes, 0 predictions, 0 refused"
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


def test_a_server_that_goes_away_is_waited_for_and_read_again_at_another_rate(
    trained: str, recording: Path, tmp_path: Path
) -> None:
    server = Server("inversynth-going")
    try:
        command = [sys.executable, "-m", "inversynth", "live", "--in", "system", "--model", trained, *EVERYTHING]
        live, _ = server.started(
            lambda: server.start(*command, "--midi-file", tmp_path / "out.mid", error=True), ":in_0", "sending to"
        )
        server.jackd.stop()
        live.wait_for("is away; waiting for it")
        server.jackd = server.serve(44100)
        live.wait_for("is back")
        soundfile.write(tmp_path / "a.wav", resample(*read_file(recording), 44100), 44100, subtype="FLOAT")
        player, output = server.player(tmp_path / "a.wav")
        server.connect(output, next(name for name in server.ports() if name.endswith(":in_0")))
        player.tell()
        live.wait_for("note 2")
        assert live.leave() == 0
        assert not any("Traceback" in line for line in live.lines)
    finally:
        server.stop()
    got = {m.control: m.value for m in mido.MidiFile(tmp_path / "out.mid") if m.type == "control_change"}
    assert len(got) == len(PAPER.space)
