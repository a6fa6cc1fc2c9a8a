"""The instrument on a real JACK server without hardware: what is sent to its MIDI port changes its audio output."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import jack_server
from inversynth import synths
from inversynth.errors import UsageError
from inversynth.live import play
from inversynth.midi import PortSink, Receiver, messages
from inversynth.predict.shipped import default_model, shipped
from jack_server import RATE, Process, Recorder, Server, until

jack_server.require()

PAPER = synths.load("paper")
CUTOFF = PAPER.space["cutoff"].midi or 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("inversynth-play")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _here(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def instrument(server: Server, *words: str) -> tuple[Process, str]:
    """`inversynth play` on the server, and its left output."""
    command = [sys.executable, "-m", "inversynth", "play", "--out", "system", *words]
    return server.started(lambda: server.start(*command, error=True), ":out_0", "playing paper on system")


def recorder(server: Server, output: str) -> Recorder:
    made = server.recorder()
    server.connect(output, made.input)
    return made


def centroid_hz(sound: NDArray[np.float32]) -> float:
    """Of the octaves that the patch sounds in: a gap in a busy machine's recording is measured above them."""
    spectrum, hz = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))), np.fft.rfftfreq(len(sound), 1 / RATE)
    return float((hz * spectrum)[hz < 5000].sum() / spectrum[hz < 5000].sum())


def level_at(sound: NDArray[np.float32], hz: float) -> float:
    """The amplitude of what sounds within 5 Hz of a frequency."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4 / len(sound)
    return float(spectrum[np.abs(np.fft.rfftfreq(len(sound), 1 / RATE) - hz) < 5].max())


def test_notes_and_controllers_that_are_sent_to_its_port_are_audible(server: Server) -> None:
    player, output = instrument(server, "--virtual", "keys")
    sound = recorder(server, output)
    sink = PortSink("keys")  # by its short name, as `live --midi-out keys`
    assert np.abs(sound.record(0.1)).max() == 0

    for number, value in ((CUTOFF, 127), (PAPER.space["gate_frequency"].midi or 0, 127)):
        sink.send(messages.control_change(1, number, value), 0)
    sink.send(messages.note_on(1, 57, 127), 0)
    until(lambda: np.abs(sound.record(0.05)).max() > 0.01, "the note")
    open_sound = sound.record(0.5)
    assert level_at(open_sound, 220.0) > 0.02  # the patch's 440 Hz, an octave lower
    sink.send(messages.control_change(1, CUTOFF, 0), 0)
    until(lambda: centroid_hz(sound.record(0.1)) < 0.7 * centroid_hz(open_sound), "the darker sound")
    dark_hz = centroid_hz(sound.record(0.1))
    sink.send(messages.control_change(1, CUTOFF, 127), 0)
    until(lambda: centroid_hz(sound.record(0.1)) > 1.4 * dark_hz, "the brighter sound")
    sink.send(messages.note_off(1, 57), 0)
    until(lambda: np.abs(sound.record(0.05)).max() == 0, "silence")
    sink.close()

    assert player.leave() == 0
    said = re.fullmatch(
        r"[\d.]+ s, 1 notes, 4 changes of the patch; \d+ blocks, \d+ xruns, 0 events lost", player.lines[-1]
    )
    assert said, player.lines
    assert not any("Traceback" in line for line in player.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(server: Server, number: signal.Signals) -> None:
    player, _ = instrument(server, "--midi-in", "-")
    assert player.leave(number) == 0
    assert player.lines[0] == "MIDI from standard input, channel 1"
    assert "0 notes, 0 changes of the patch" in player.lines[-1]


def test_what_is_not_there_is_one_line_with_what_is(server: Server) -> None:
    sink = PortSink("source", virtual=True)
    for words, message in [
        (["--midi-in", "nothing"], "no MIDI input port 'nothing'; there are "),
        (["--midi-in", "source", "--out", "nothing"], "no audio output 'nothing'; there are 'system'"),
        (["--midi-in", "source", "--out", "9"], "no audio output 9; there are 0 'system'"),
        (["--midi-in", "source", "--sample-rate", "44100"], "its own rate is 48000 Hz"),
    ]:
        failed = server.start(sys.executable, "-m", "inversynth", "play", *words, error=True)
        assert failed.process.wait(20) == 2
        failed.stop()
        assert message in failed.lines[-1]
        assert len(failed.lines) == 1
    listing = server.start(sys.executable, "-m", "inversynth", "play", "--list-ports", "--list-devices")
    assert listing.process.wait(20) == 0
    listing.stop()
    assert "  0  system  (JACK Audio Connection Kit, 2 channels, 48000 Hz)" in listing.lines
    assert any(line.endswith(":source") for line in listing.lines)
    sink.close()


def test_a_port_that_vanishes_releases_its_notes_and_plays_again_when_it_is_back(server: Server) -> None:
    source = PortSink("piano", virtual=True)
    player, output = instrument(server, "--midi-in", "piano")
    sound = recorder(server, output)
    source.send(messages.note_on(1, 69, 127), 0)
    until(lambda: np.abs(sound.record(0.05)).max() > 0.01, "the note")
    source.close()
    until(lambda: np.abs(sound.record(0.05)).max() == 0, "the end of the note")
    source = PortSink("piano", virtual=True)

    def sounds() -> bool:
        source.send(messages.note_on(1, 69, 127), 0)
        return bool(np.abs(sound.record(0.2)).max() > 0.01)

    until(sounds, "the note of the port that is back")
    source.close()
    assert player.leave() == 0


def test_a_process_of_its_own_plays_patches_in_14_bits_and_is_started_again_when_it_ends(server: Server) -> None:
    receiver: list[Receiver] = []

    def start() -> Process:
        receiver.append(play.receiver(PAPER, "--out", "system"))
        return server.jackd

    _, output = server.started(start, ":out_0", "")
    sink = receiver[0].sink
    assert isinstance(sink, play.ProcessSink)
    assert (
        sink.description
        == "a process playing paper on system (JACK Audio Connection Kit, 48000 Hz, 2 channels), 8 voices"
    )
    sound = recorder(server, output)
    x = np.zeros(23)
    for name in ("sin_amplitude", "sustain", "cutoff", "resonance", "gate_frequency"):
        x[PAPER.space.index(name)] = 1.0
    x[PAPER.space.index("sin_frequency")] = 0.5
    receiver[0].offer(x, np.ones(23, bool))
    receiver[0].note_on(round(PAPER.note.key), 127)

    def pumped() -> bool:
        while receiver[0].pump(time.monotonic()) is not None:
            pass
        return level_at(sound.record(0.25), 440 * 2 ** (7.5 / 12)) > 0.02

    until(pumped, "the note of the patch")
    sink._process.kill()
    until(sink.returned, "another process that plays")
    assert not sink.returned()
    sink.close()
    assert sink._process.returncode is not None


def test_live_plays_what_it_infers(server: Server, tmp_path: Path) -> None:
    """A sine of 659 Hz in a file comes out of the audio output as a sine of 659 Hz, of our synth."""
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    if default_model(synths.load("paper")) not in shipped():
        pytest.skip("this copy ships no model of the paper's synth")
    levels = np.zeros((1, 23), np.int64)
    for name in ("sin_amplitude", "sustain", "cutoff"):
        levels[0, PAPER.space.index(name)] = 15
    levels[0, PAPER.space.index("sin_frequency")] = 7
    levels[0, PAPER.space.index("resonance")] = 3
    note = PAPER.render(PAPER.space.values_of_levels(levels), seconds=1.5)[0]
    rest = np.zeros(2 * PAPER.format.sample_rate, np.float32)  # until the recorder is connected
    sound = np.concatenate([rest, note, rest[: len(rest) // 8]])
    soundfile.write(tmp_path / "sine.wav", sound, PAPER.format.sample_rate, subtype="FLOAT")
    command = [sys.executable, "-m", "inversynth", "live", "--file", str(tmp_path / "sine.wav"), "--quiet"]
    live, output = server.started(
        lambda: server.start(*command, "--play", "--out", "system", error=True), ":out_0", "sending to a process"
    )
    recording = recorder(server, output)
    until(lambda: level_at(recording.record(0.25), 440 * 2 ** (7 / 12)) > 0.01, "the sine")
    assert live.process.wait(20) == 0
    live.stop()
    assert any(line.endswith("8 voices; profile nrpn, channel 1") for line in live.lines)


def test_a_process_that_cannot_play_says_why() -> None:
    with pytest.raises(UsageError, match="no audio output 'nothing'; there are 'system'"):
        play.receiver(PAPER, "--out", "nothing")


def test_a_server_that_goes_away_ends_it_with_an_error() -> None:
    server = Server("inversynth-play-going")
    try:
        player, _ = instrument(server, "--virtual", "keys")
        server.jackd.stop()
        assert player.process.wait(20) == 1
        player.stop()
        assert player.lines[-1].startswith("inversynth: error: system")
        assert player.lines[-1].endswith("has stopped: is it unplugged, or its server gone?")
        assert not any("Traceback" in line for line in player.lines)
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, None])
def test_a_server_that_stands_still_holds_nothing_up(number: signal.Signals | None) -> None:
    server = Server("inversynth-play-still")
    try:
        player, output = instrument(server, "--virtual", "keys")
        until(lambda: server.connected(output), "the stream to start")
        server.jackd.process.send_signal(signal.SIGSTOP)
        if number is not None:
            player.process.send_signal(number)
        assert player.process.wait(20) == (1 if number is None else 0)
        player.stop()
        assert ("has stopped" if number is None else "0 notes") in player.lines[-1]
    finally:
        server.jackd.process.send_signal(signal.SIGCONT)
        server.stop()
