"""Patches and notes as MIDI: the bytes of messages, the pace of the wire, and what the sinks write."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from inversynth import synths
from inversynth.errors import UsageError
from inversynth.midi import (
    BAUD,
    OSC_BAUD,
    RESERVED,
    Control,
    ControlChange,
    ControlChange14,
    DinSink,
    MidiFileSink,
    Nrpn,
    OscSink,
    PortSink,
    Profile,
    Receiver,
    Sysex,
    TextSink,
    din,
    messages,
    osc,
    output_ports,
    ports,
    profiles,
)
from inversynth.midi.addresses import Address, Program
from inversynth.midi.profile import Setting
from inversynth.spec import Param, ParamSpace

SYNTH = synths.load("paper")
PAPER = SYNTH.space
WIRE_S = 30 / 31250
"""A message of three bytes, ten bits each, on a MIDI cable."""


# -- messages ---------------------------------------------------------------------------------


def parsed(*sent: bytes) -> list[dict[str, object]]:
    """What mido's parser, which is not ours, reads from messages."""
    parser = mido.Parser()
    for message in sent:
        parser.feed(message)
    return [{key: value for key, value in each.dict().items() if key != "time"} for each in parser]


def changes(*sent: bytes) -> list[tuple[int, int, int]]:
    """(channel 1..16, number, value) of control changes, as mido reads them."""
    read = parsed(*sent)
    assert all(each["type"] == "control_change" for each in read)
    return [(each["channel"] + 1, each["control"], each["value"]) for each in read]  # type: ignore[operator, misc]


def test_control_changes_are_those_that_mido_reads() -> None:
    for channel in (1, 16):
        for number, value in [(0, 0), (74, 64), (127, 127)]:
            assert changes(messages.control_change(channel, number, value)) == [(channel, number, value)]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 8191, 8192, 16383])
def test_fourteen_bits_are_an_msb_and_an_lsb(value: int) -> None:
    assert changes(*messages.control_change_14(3, 7, value)) == [(3, 7, value // 128), (3, 39, value % 128)]
    assert changes(*messages.nrpn(3, 1, 23, value)) == [
        (3, 99, 1),
        (3, 98, 23),
        (3, 6, value // 128),
        (3, 38, value % 128),
    ]


def test_an_nrpn_of_seven_bits_has_the_msb_alone_and_nulls_point_to_nothing() -> None:
    assert changes(*messages.nrpn(1, 0, 5, 100, bits=7)) == [(1, 99, 0), (1, 98, 5), (1, 6, 100)]
    assert changes(*messages.select_nrpn(1, 127, 127)) == [(1, 99, 127), (1, 98, 127)]
    assert changes(*messages.select_rpn(1)) == [(1, 101, 127), (1, 100, 127)]


def test_notes_and_programs_are_those_that_mido_reads() -> None:
    assert parsed(messages.note_on(2, 60, 100), messages.note_off(2, 60), messages.program_change(2, 5)) == [
        {"type": "note_on", "channel": 1, "note": 60, "velocity": 100},
        {"type": "note_off", "channel": 1, "note": 60, "velocity": 64},
        {"type": "program_change", "channel": 1, "program": 5},
    ]
    assert changes(*messages.silence(2)) == [(2, 123, 0), (2, 120, 0)]


def test_a_parameter_change_of_the_dx7_and_one_of_the_reface_dx() -> None:
    # Yamaha DX7 owner's manual: F0, 43, 1n, 0gggggpp, 0ppppppp, 0ddddddd, F7; algorithm is parameter 134.
    algorithm = Sysex("F0 43 1n 01 06 vv F7")
    assert algorithm.top == 127
    assert algorithm.messages(3, 31) == (bytes.fromhex("F0 43 12 01 06 1F F7"),)
    (read,) = parsed(*algorithm.messages(3, 31))
    assert read == {"type": "sysex", "data": [0x43, 0x12, 0x01, 0x06, 31]}
    # Yamaha reface DX data list: F0 43 1n 7F 1C 05, an address of three bytes, the data, F7.
    assert Sysex("F0 43 1n 7F 1C 05 30 00 0F vv F7").messages(1, 5) == (
        bytes.fromhex("F0 43 10 7F 1C 05 30 00 0F 05 F7"),
    )
    wide = Sysex("F0 7D mm ll F7")
    assert wide.top == 16383
    assert wide.messages(1, 300) == (bytes((0xF0, 0x7D, 2, 44, 0xF7)),)


def test_the_reserved_numbers_are_those_of_the_midi_1_tables() -> None:
    modes = set(range(120, 128))
    halves_and_data = {0, 6} | set(range(32, 64))
    assert set(RESERVED) == halves_and_data | set(range(64, 70)) | set(range(96, 102)) | modes


# -- the pace ---------------------------------------------------------------------------------


class Wire:
    """A sink that keeps messages with their times; `away` is answered once by `returned`."""

    description = "a list"

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.back = False

    def send(self, message: bytes, at_s: float) -> None:
        self.sent.append((at_s, message))

    def returned(self) -> bool:
        back, self.back = self.back, False
        return back

    def close(self) -> None:
        pass

    def take(self) -> list[bytes]:
        """The messages since the last time."""
        sent, self.sent = [message for _, message in self.sent], []
        return sent


def space(count: int, levels: int = 128) -> ParamSpace:
    return ParamSpace([Param(f"p{i}", "p", 0, 1, levels=levels) for i in range(count)])


def receiver(count: int = 3, *addresses: Address, baud: float = BAUD, **profile: object) -> tuple[Receiver, Wire]:
    """One of `count` parameters on the control changes 20, 21, and so on, or on addresses."""
    params = space(count)
    on = addresses or [ControlChange(20 + i) for i in range(count)]
    controls = tuple(Control.of(param, address) for param, address in zip(params, on, strict=True))
    wire = Wire()
    return Receiver(Profile("test", params, controls, **profile), wire, baud), wire  # type: ignore[arg-type]


def offer(to: Receiver, values: list[int], active: list[bool] | None = None) -> None:
    """A patch, as 7-bit values."""
    to.offer(np.array(values) / 127, np.array(active or [True] * len(values)))


def drain(to: Receiver, now: float) -> float:
    """Pumps from `now` on, at the times that it names, until nothing waits; returns the last of them."""
    while (at := to.pump(now)) is not None:
        assert at > now
        now = at
    return now


def sent(to: Receiver, wire: Wire, now: float) -> list[tuple[int, int]]:
    """(number less 20, value) of the control changes that go out from `now` on."""
    drain(to, now)
    return [(number - 20, value) for _, number, value in changes(*wire.take())]


def test_n_changes_are_sent_in_the_time_the_wire_needs_for_n() -> None:
    to, wire = receiver(23)
    offer(to, list(range(23)))
    drain(to, 5.0)
    times = [at for at, _ in wire.sent]
    assert len(times) == to.sent == 23
    assert times[0] == 5.0
    assert times[-1] + WIRE_S == pytest.approx(5.0 + 23 * WIRE_S)
    assert to.sent_bytes == 69
    assert to.pump(99.0) is None
    assert to.sent == 23


@pytest.mark.parametrize("baud", [31250, 1_000_000])
def test_the_wire_is_as_fast_as_asked(baud: float) -> None:
    to, wire = receiver(2, baud=baud)
    offer(to, [1, 2])
    drain(to, 0.0)
    assert wire.sent[1][0] - wire.sent[0][0] == pytest.approx(30 / baud)


@pytest.mark.parametrize("baud", [0, -1, float("nan"), float("inf")])
def test_a_wire_needs_a_speed(baud: float) -> None:
    with pytest.raises(UsageError, match=f"a MIDI cable has {BAUD}"):
        receiver(baud=baud)


def test_only_changes_are_sent() -> None:
    to, wire = receiver()
    offer(to, [10, 20, 30])
    assert len(sent(to, wire, 0)) == 3
    offer(to, [10, 20, 30])
    assert to.pump(1) is None
    offer(to, [10, 21, 30])
    assert sent(to, wire, 1) == [(1, 21)]


def test_the_biggest_change_goes_first_what_is_new_before_it_and_what_is_not_active_last() -> None:
    to, wire = receiver()
    offer(to, [50, 50, 50])
    drain(to, 0)
    wire.take()
    offer(to, [51, 20, 60])
    assert [at for at, _ in sent(to, wire, 1)] == [1, 2, 0]
    offer(to, [127, 21, 61], active=[False, True, True])
    assert sorted(sent(to, wire, 2)[:2]) == [(1, 21), (2, 61)]

    to, wire = receiver()
    offer(to, [0, 50, 127], active=[True, False, True])
    assert [at for at, _ in sent(to, wire, 0)] == [0, 2, 1]


def test_the_biggest_change_is_the_biggest_in_x_whatever_the_resolution() -> None:
    to, wire = receiver(2, ControlChange14(3), ControlChange(20))
    to.offer(np.array([0.5, 0.5]), np.array([True, True]))
    drain(to, 0)
    wire.take()
    to.offer(np.array([0.6, 0.8]), np.array([True, True]))  # 1638 steps of one, 38 of the other
    drain(to, 1)
    assert [number for _, number, _ in changes(*wire.take())] == [20, 3, 35]


def test_the_latest_value_wins_and_what_it_replaced_is_counted() -> None:
    to, wire = receiver()
    offer(to, [1, 2, 3])
    to.pump(0.0)
    assert changes(*wire.take()) == [(1, 20, 1)]
    offer(to, [1, 99, 3])
    offer(to, [1, 98, 3])
    assert sent(to, wire, 1) == [(1, 98), (2, 3)]
    assert to.superseded == 2
    assert to.sent == 3


def test_a_change_taken_back_before_it_was_sent_is_not_sent() -> None:
    to, _ = receiver(1)
    offer(to, [5])
    drain(to, 0)
    offer(to, [6])
    offer(to, [5])
    assert to.pump(1) is None


def test_what_no_control_drives_is_not_sent() -> None:
    params = space(2)
    wire = Wire()
    to = Receiver(Profile("half", params, (None, Control.of(params[1], ControlChange(21)))), wire)
    offer(to, [5, 6])
    assert sent(to, wire, 0) == [(1, 6)]


def test_a_receiver_that_was_away_is_silenced_and_gets_settings_and_patch_again() -> None:
    setting = Setting("program", Program(), 7)
    to, wire = receiver(2, settings=(setting,))
    offer(to, [5, 6])
    drain(to, 0)
    first = wire.take()
    assert first == [
        messages.program_change(1, 7),
        messages.control_change(1, 20, 5),
        messages.control_change(1, 21, 6),
    ]
    wire.back = True
    drain(to, 1)
    assert wire.take() == [*messages.silence(1), *first]


# -- pairs ------------------------------------------------------------------------------------


def test_a_pair_stays_together_while_values_change() -> None:
    to, wire = receiver(2, ControlChange14(1), Nrpn(0, 5))
    now = 0.0
    random = np.random.default_rng(1)
    for _ in range(500):
        to.offer(random.random(2), np.array([True, True]))
        now += WIRE_S / 2
        to.pump(now)
    numbers = [number for _, number, _ in changes(*wire.take())]
    text = " ".join(str(number) for number in numbers)
    units = text.replace("1 33", "a").replace("99 98 6 38", "b").replace("6 38", "b")
    assert set(units.split()[:-1]) == {"a", "b"}


def test_a_parameter_is_selected_only_when_another_was() -> None:
    to, wire = receiver(2, Nrpn(0, 5), Nrpn(0, 6, bits=7))
    offer(to, [10, 20])
    drain(to, 0)
    assert [number for _, number, _ in changes(*wire.take())] == [99, 98, 6, 38, 99, 98, 6]
    offer(to, [10, 30])
    drain(to, 1)
    assert changes(*wire.take()) == [(1, 6, 30)]
    offer(to, [11, 30])
    drain(to, 2)
    assert [number for _, number, _ in changes(*wire.take())] == [99, 98, 6, 38]


def test_with_nulls_a_parameter_is_selected_each_time() -> None:
    to, wire = receiver(1, Nrpn(0, 5), nrpn_null=True)
    for now, value in enumerate([10, 11]):
        offer(to, [value])
        drain(to, now)
        read = changes(*wire.take())[0 if now else 2 :]  # what the first begins with is below
        assert read[1:3] == [(1, 99, 0), (1, 98, 5)]
        assert read[5:] == [(1, 99, 127), (1, 98, 127)]


@pytest.mark.parametrize("bits", [7, 14])
def test_with_nulls_parameters_of_equal_values_reach_a_device_that_drops_repeated_controllers(bits: int) -> None:
    to, wire = receiver(3, *(Nrpn(0, n, bits) for n in (5, 6, 7)), nrpn_null=True)
    held, received = {99: 127, 98: 127}, dict[int, tuple[int, int]]()
    for now, values in enumerate([[10, 10, 10], [0, 0, 10], [10, 0, 0]]):
        offer(to, values)
        drain(to, now)
        for _, number, value in changes(*wire.take()):
            if held.get(number, 0) != value:  # as hexter does, whose controllers begin at 0
                held[number] = value
                if number in (6, 38) and held[99] != 127:
                    received[held[98]] = held.get(6, 0), held.get(38, 0)
        top = (1 << bits) - 1
        expected = [round(top * value / 127) for value in values]
        assert received == {
            n: (value, 0) if bits == 7 else divmod(value, 128) for n, value in zip((5, 6, 7), expected, strict=True)
        }


# -- notes ------------------------------------------------------------------------------------


def test_notes_go_before_parameters_and_between_the_messages_of_a_pair() -> None:
    to, wire = receiver(2, ControlChange14(1), ControlChange14(2))
    offer(to, [10, 20])
    to.pump(0.0)
    to.note_on(60, 100)
    drain(to, 0.0)
    to.note_off(60)
    drain(to, 1.0)
    read = [each.get("control", each["type"]) for each in parsed(*wire.take())]
    assert read == [1, "note_on", 33, 2, 34, "note_off"]


def test_a_note_that_ended_before_it_was_sent_is_not_sent_and_one_off_a_key_is_enough() -> None:
    to, wire = receiver()
    to.note_on(60, 100)
    to.note_off(60)
    assert to.pump(0) is None
    to.note_on(60, 100)
    drain(to, 1)
    for _ in range(10_000):  # what waits doesn't grow
        to.note_off(60)
        to.note_on(60, 50)
    to.note_off(60)
    drain(to, 2)
    assert [each["type"] for each in parsed(*wire.take())] == ["note_on", "note_off"]


def test_a_panic_ends_what_sounds_and_everything_else() -> None:
    to, wire = receiver()
    to.note_on(60, 100)
    to.note_on(64, 100)
    drain(to, 0)
    wire.take()
    to.note_on(67, 100)
    to.panic()
    drain(to, 1)
    assert wire.take() == [messages.note_off(1, 60), messages.note_off(1, 64), *messages.silence(1)]


# -- where messages go ------------------------------------------------------------------------


def test_a_dry_run_prints_the_commands_and_times_of_sendmidi() -> None:
    out = io.StringIO()
    sink = TextSink(out)
    for at_s in (0.0, 1.0234, 3723.9996):
        sink.send(messages.control_change(16, 74, 64), at_s)
    sink.send(messages.note_on(1, 60, 100), 1.0)
    sink.send(messages.note_off(1, 60), 1.0)
    sink.send(messages.program_change(1, 5), 1.0)
    sink.send(bytes.fromhex("F0 43 10 01 06 1F F7"), 1.0)
    assert out.getvalue().splitlines() == [
        "00:00:00.000 ch 16 cc 74 64",
        "00:00:01.023 ch 16 cc 74 64",
        "01:02:04.000 ch 16 cc 74 64",
        "00:00:01.000 ch 1 on 60 100",
        "00:00:01.000 ch 1 off 60 64",
        "00:00:01.000 ch 1 pc 5",
        "00:00:01.000 syx 67 16 1 6 31",
    ]


def test_a_dry_run_prints_pairs_as_the_one_command_they_are() -> None:
    out = io.StringIO()
    sink = TextSink(out, pairs={3})
    for message in (
        *messages.control_change_14(2, 3, 8191),
        *messages.nrpn(2, 1, 23, 300),
        *messages.data_entry(2, 301),
        *messages.nrpn(2, 0, 7, 90, bits=7),
        *messages.select_nrpn(2, 127, 127),
        messages.control_change(2, 4, 5),
        *messages.nrpn(2, 0, 7, 91, bits=7),
    ):
        sink.send(message, 0.0)
    sink.close()
    assert [line[13:] for line in out.getvalue().splitlines()] == [
        "ch 2 cc14 3 8191",
        "ch 2 nrpn 151 300",
        "ch 2 nrpn 151 301",
        "ch 2 nrpn 7 11520",
        "ch 2 cc 4 5",
        "ch 2 nrpn 7 11648",
    ]


def test_a_midi_file_holds_every_message_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "out.mid"
    sink = MidiFileSink(path)
    times = np.cumsum(np.random.default_rng(1).exponential(0.01, 500))
    kinds = [
        messages.control_change(2, 20, 64),
        messages.note_on(2, 60, 100),
        messages.program_change(2, 9),
        bytes((0xF0, *range(120), *range(120), 0xF7)),
    ]
    for i, at_s in enumerate(times):
        sink.send(kinds[i % 4], float(at_s))
    assert not path.exists()
    sink.close()
    assert [each.name for each in tmp_path.iterdir()] == ["out.mid"]
    file = mido.MidiFile(path)
    assert file.type == 0
    read = [message for message in file.tracks[0] if not message.is_meta]
    assert [bytes(each.bytes()) for each in read] == [kinds[i % 4] for i in range(500)]
    elapsed = np.cumsum([each.time for each in mido.MidiFile(path)])[-501:-1]
    np.testing.assert_allclose(elapsed, times, atol=0.0003)  # half a tick, without drift


def test_a_midi_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        MidiFileSink(tmp_path)


class System:
    """A MIDI system of named ports, in the place of RtMidi; sending to a port that is gone raises, as on Windows."""

    def __init__(self, *names: str) -> None:
        self.names, self.open = list(names), ""
        self.sent: list[tuple[str, bytes]] = []

    def get_ports(self) -> list[str]:
        return self.names

    def open_port(self, at: int, name: str) -> None:
        self.open = self.names[at]

    def close_port(self) -> None:
        self.open = ""

    def delete(self) -> None:
        pass

    def send_message(self, message: bytes) -> None:
        if self.open not in self.names:
            raise OSError("no such device")
        self.sent.append((self.open, message))


def test_a_device_that_is_unplugged_and_gets_another_number_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System("Other:in 16:0", "Synth:in 20:0")
    monkeypatch.setattr(ports, "rtmidi_output", lambda: system)
    monkeypatch.setattr(ports, "jack_server", lambda: None)
    monkeypatch.setattr(ports, "LOOK_S", 0.0)
    monkeypatch.setattr(PortSink, "SETTLE_S", 0.0)
    change = messages.control_change(1, 20, 5)
    sink = PortSink("Synth:in 20:0")
    sink.send(change, 0.0)
    system.names.remove("Synth:in 20:0")
    sink.send(change, 0.1)
    assert not sink.returned()
    system.names.append("Synth:in 24:0")
    assert not sink.returned()  # opened, and then
    assert sink.returned()
    assert not sink.returned()
    sink.send(change, 0.2)
    assert system.sent == [("Synth:in 20:0", change), ("Synth:in 24:0", change)]
    sink.close()


def test_without_a_midi_system_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rtmidi")
    if os.path.exists("/dev/snd/seq"):
        pytest.skip("this machine has the ALSA sequencer")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "none-of-that-name")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    with pytest.raises(UsageError, match=r"no MIDI system: .* start JACK .* --dry-run"):
        output_ports()
    assert capfd.readouterr().err == ""


# -- OSC --------------------------------------------------------------------------------------

Received = list[tuple[str, list[object]]]


@pytest.fixture
def osc_server() -> Iterator[tuple[str, Callable[[], Received]]]:
    """Where python-osc's server, an independent one, listens, and what it has received since it was asked last."""
    received: Received = []
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: received.append((address, list(values))))
    server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
    server.timeout = 0.2

    def take() -> Received:
        before = -1
        while before != len(received):
            before = len(received)
            server.handle_request()
        found, received[:] = list(received), []
        return found

    yield f"127.0.0.1:{server.server_address[1]}", take
    server.server_close()


def test_a_patch_goes_out_by_osc_in_its_units_and_as_x(osc_server: tuple[str, Callable[[], Received]]) -> None:
    to, take = osc_server
    sink = OscSink(to)
    receiver = Receiver(profiles.load("osc", SYNTH), sink, OSC_BAUD)
    x = np.linspace(0, 1, len(PAPER))
    receiver.offer(x, np.ones(len(PAPER), bool))
    receiver.note_on(60, 100)
    drain(receiver, 0.0)
    receiver.note_off(60)
    receiver.panic()
    drain(receiver, 1.0)
    received = take()
    found = dict(received)
    for param, at in zip(PAPER, x, strict=True):
        assert found[f"/inversynth/{param.name}"] == [pytest.approx(float(param.value_of_x(at)), rel=2e-5, abs=1e-3)]
        assert found[f"/inversynth/{param.name}/x"] == [pytest.approx(at, abs=1e-6)]
    assert [values for address, values in received if address == "/inversynth/note"] == [[60, 100], [60, 0]]
    assert [address for address, _ in received[-2:]] == ["/inversynth/panic"] * 2
    assert len(received) == 2 * len(PAPER) + 4
    sink.close()


def test_an_osc_receiver_that_comes_back_gets_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osc, "LOOK_S", 0.02)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    sink = OscSink(f"127.0.0.1:{port}")
    receiver = Receiver(profiles.load("osc", SYNTH), sink, OSC_BAUD)
    receiver.offer(np.full(len(PAPER), 0.5), np.ones(len(PAPER), bool))
    now = 0.0
    for _ in range(5):  # the port is closed
        now = drain(receiver, now + 1.0)
        time.sleep(0.03)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", port))
        there.settimeout(0.05)
        received = b""
        for _ in range(20):
            now = drain(receiver, now + 1.0)
            time.sleep(0.03)
            with contextlib.suppress(TimeoutError):
                while True:
                    received += there.recv(4096)
    assert [name for name in PAPER.names if f"/inversynth/{name}/x\0".encode() not in received] == []
    sink.close()


@pytest.mark.parametrize("to", ["localhost", "localhost:", ":9000", "localhost:x", "localhost:99999"])
def test_an_invalid_osc_address_is_said(to: str) -> None:
    with pytest.raises(UsageError, match="is an invalid OSC address; give HOST:PORT, such as"):
        OscSink(to)


# -- a wire -----------------------------------------------------------------------------------


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe by its name, which takes bytes as a wire does, and the end that reads them."""
    path = tmp_path / "wire"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def test_a_din_wire_leaves_out_repeated_status_bytes_and_the_pace_knows(wire: tuple[Path, int]) -> None:
    path, reader = wire
    sink = DinSink(str(path))
    params = space(20)
    controls = tuple(Control.of(param, ControlChange(20 + i)) for i, param in enumerate(params))
    to = Receiver(Profile("din", params, controls, running_status=True), sink)
    offer(to, list(range(20)))
    last = drain(to, 0.0)
    data = os.read(reader, 1000)
    assert len(data) == to.sent_bytes == 41
    assert last == pytest.approx(39 * 10 / 31250)  # the last of them starts when 39 bytes have gone
    assert data == bytes((0xB0, *(byte for i in range(20) for byte in (20 + i, i))))
    to.note_on(60, 100)
    drain(to, 0.1)
    offer(to, [50] * 20)
    drain(to, 0.2)
    assert os.read(reader, 1000)[:8] == bytes((0x90, 60, 100, 0xB0, 20, 50, 21, 50))
    sink.close()


def test_a_status_is_repeated_for_who_was_plugged_in_meanwhile_and_after_sysex() -> None:
    running = messages.RunningStatus()
    change = messages.control_change(1, 20, 5)
    assert running.on_wire(change, 0.0) == change
    assert running.on_wire(change, 0.2) == change[1:]
    assert running.on_wire(change, 0.4) == change
    running.on_wire(bytes.fromhex("F0 7D 01 F7"), 0.5)
    assert running.on_wire(change, 0.5) == change


def test_a_wire_that_takes_no_more_stalls_nothing_and_gets_everything_again(
    wire: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(din, "LOOK_S", 0.0)
    path, reader = wire
    sink = DinSink(str(path), running_status=False)
    message = messages.control_change(1, 20, 5)
    for _ in range(100_000):  # more than any pipe holds
        sink.send(message, 0.0)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.read(reader, 1 << 20)
    assert sink.returned()
    assert not sink.returned()
    sink.send(message, 0.0)
    assert os.read(reader, 100) == message
    sink.close()


def test_a_file_that_holds_something_is_no_wire(tmp_path: Path) -> None:
    (tmp_path / "song.mid").write_bytes(b"MThd")
    with pytest.raises(UsageError, match=r"song\.mid is a file that holds something"):
        DinSink(str(tmp_path / "song.mid"))
    assert (tmp_path / "song.mid").read_bytes() == b"MThd"


def test_a_wire_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a MIDI device or a serial line"):
        DinSink(str(tmp_path / "nothing"))
