"""MIDI ports on a real JACK server: receivers and servers go away and come back, and a profile is learned."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jack_server
from inversynth import cli, midi, synths
from inversynth.midi import ControlChange, ControlChange14, Nrpn, messages, profiles
from jack_server import RATE, Server, until

jack_server.require()
SINE = synths.load("sine")
pytest.importorskip("rtmidi")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server("inversynth-midi")
    yield made
    made.stop()


@pytest.fixture
def inside(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, for ports of this process too; ports are looked for all the time."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(midi.ports, "LOOK_S", 0.0)
    return server


DUMP = re.compile(r"control change \(channel +(\d+)\): controller +(\d+), value +(\d+)")


def received(lines: list[str]) -> list[tuple[int, int]]:
    """(number, value) of the control changes that the monitor printed."""
    return [(int(m[2]), int(m[3])) for line in lines if (m := DUMP.search(line))]


def test_a_receiver_that_went_away_and_came_back_is_reached_again(inside: Server) -> None:
    monitor, port = inside.started(lambda: inside.start("jack_midi_dump"), ":input", "")
    sink = midi.PortSink(port)
    assert not sink.returned()
    sink.send(bytes((0xB0, 74, 64)), 0.0)
    until(lambda: received(monitor.lines) == [(74, 64)], "the message")
    monitor.leave()
    until(lambda: port not in inside.ports(), "the receiver to leave")
    assert not sink.returned()
    sink.send(bytes((0xB0, 74, 65)), 0.0)  # dropped, and not kept
    monitor, again = inside.started(lambda: inside.start("jack_midi_dump"), ":input", "")
    assert again == port
    until(sink.returned, "the return")
    assert not sink.returned()
    sink.send(bytes((0xB0, 74, 66)), 0.0)
    until(lambda: received(monitor.lines) == [(74, 66)], f"the message after the return in {monitor.lines}")
    sink.close()
    monitor.leave()


def test_a_patch_is_sent_to_a_receiver(inside: Server, tmp_path: Path) -> None:
    rows = [{"name": param.name, "value": param.high} for param in SINE.space]
    (tmp_path / "patch.json").write_text(json.dumps(rows))
    monitor, port = inside.started(lambda: inside.start("jack_midi_dump"), ":input", "")
    assert cli.main(["send", f"{tmp_path}/patch.json", "--synth", "sine", "--midi-out", port]) == 0
    until(lambda: len(received(monitor.lines)) == 4, f"four messages in {monitor.lines}")
    assert sorted(received(monitor.lines)) == [(20, 127), (21, 127), (22, 127), (23, 127)]
    monitor.leave()


COUNTER = """
import sys, time
from inversynth.midi import PortSink, ports
ports.LOOK_S = 0.05
sink = PortSink("count", virtual=True)
print("ready", flush=True)
for n in range(100_000):
    if sink.returned():
        print("returned", flush=True)
    sink.send(bytes((0xB0, 74, n % 128)), 0.0)
    time.sleep(0.002)
"""


def test_a_server_that_was_killed_and_started_again_is_found_again() -> None:
    server = Server("inversynth-again")
    try:
        counter, port = server.started(lambda: server.start(sys.executable, "-c", COUNTER), ":count", "ready")
        for again in range(2):
            monitor, input_ = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
            server.connect(port, input_)
            until(lambda: len(received(monitor.lines)) > 10, "messages")  # noqa: B023
            monitor.leave()
            if again:
                break
            server.jackd.process.kill()
            server.jackd.stop()
            time.sleep(0.5)
            name = server.environment["JACK_DEFAULT_SERVER"]
            server.jackd = server.start("jackd", "-r", "-n", name, "-d", "dummy", "-r", str(RATE), "-p", "1024")
            counter.wait_for("returned")
            port = until(lambda: next((each for each in server.ports() if each.endswith(":count")), ""), "the port")
        assert counter.process.poll() is None
        assert counter.lines.count("returned") == 1
        server.processes.remove(server.jackd)
        server.processes.insert(0, server.jackd)
    finally:
        server.stop()


FLOOD = """
import sys, time
from inversynth.midi import PortSink, ports
ports.LOOK_S = 0.1
sink = PortSink("flood", virtual=True)
print("ready", flush=True)
sys.stdin.readline()
for n in range(20_000):  # RtMidi's ring holds 2340 of them
    sink.send(bytes((0xB0, 74, n % 128)), 0.0)
print("sent", flush=True)
while not sink.returned():
    time.sleep(0.01)
print("returned", flush=True)
for n in range(10):
    sink.send(bytes((0xB1, 75, n)), 0.0)
sys.stdin.readline()
sink.close()
"""


@pytest.mark.parametrize("stopped", ["server", "receiver"])
def test_who_does_not_read_stalls_nothing(stopped: str, server: Server) -> None:
    flood, port = server.started(lambda: server.start(sys.executable, "-c", FLOOD), ":flood", "ready")
    monitor, input_ = server.started(lambda: server.start("jack_midi_dump"), ":input", "")
    server.connect(port, input_)
    process = (server.jackd if stopped == "server" else monitor).process
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(0.2)
        flood.tell()
        flood.wait_for("sent")
    finally:
        process.send_signal(signal.SIGCONT)
    if stopped == "server":
        flood.wait_for("returned")  # and then what is sent arrives whole
        until(lambda: received(monitor.lines)[-10:] == [(75, n) for n in range(10)], "the messages after the return")
        flood.tell()
    flood.stop()
    monitor.leave()


def test_what_is_sent_to_a_port_arrives_whole(inside: Server) -> None:
    port = midi.InputPort("in", virtual=True)
    (name,) = [each for each in midi.output_ports() if each.endswith(":in")]
    sink = midi.PortSink(name)
    sent = [
        bytes((0xB0, 74, 64)),
        messages.note_on(3, 60, 100),
        bytes((0xF0, 0x43, 0x10, *range(120), 0xF7)),
        messages.program_change(2, 9),
    ]
    time.sleep(midi.PortSink.SETTLE_S)
    for message in sent:
        sink.send(message, 0.0)
    assert [port.receive(5.0) for _ in sent] == sent
    assert port.receive(0.01) is None
    sink.close()
    port.close()


def test_a_profile_is_learned_from_a_devices_port(inside: Server, tmp_path: Path) -> None:
    device = midi.PortSink("knobs", virtual=True)
    out = tmp_path / "learned.toml"
    words = [sys.executable, "-m", "inversynth", "profiles", "learn", "--midi-in", "knobs", "--synth", "sine"]
    learner = inside.start(*words, "--out", out, error=True)
    moves = {
        "frequency_1": [messages.control_change(2, 74, value) for value in range(128)],
        "amplitude_1": [each for value in range(16000, 0, -100) for each in messages.control_change_14(2, 5, value)],
        "amplitude_2": [each for value in range(10, 100) for each in messages.nrpn(2, 1, 20, value)],
    }
    for name in SINE.space.names:
        learner.wait_for(f"{name}: move")
        time.sleep(0.2)
        for message in moves.get(name, ()):
            device.send(message, 0.0)
            time.sleep(0.001)
        if name not in moves:
            learner.tell()
    until(lambda: learner.process.poll() is not None, "the end")
    device.close()
    learned = profiles.load(out, SINE)
    assert learned.channel == 2
    assert [(each.param.name, each.address, each.low, each.high) for each in learned.driven] == [
        ("frequency_1", ControlChange(74), 0, 127),
        ("amplitude_1", ControlChange14(5), 16383, 0),
        ("amplitude_2", Nrpn(1, 20), 10, 99),
    ]
