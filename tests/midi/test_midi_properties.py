"""What holds of every receiver, whatever it is offered and whenever it is asked: tried on random ones."""

from __future__ import annotations

import tracemalloc

import mido
import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth.midi import BAUD, Control, ControlChange, ControlChange14, Nrpn, PatchReader, Profile, Receiver, Sysex
from inversynth.midi.addresses import Address, Program
from inversynth.midi.profile import Setting
from inversynth.spec import Param, ParamSpace

BYTE_S = 10 / BAUD
SEEDS = range(12)


class Wire:
    """A sink that keeps messages with their times."""

    description = "a list"

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []

    def send(self, message: bytes, at_s: float) -> None:
        self.sent.append((at_s, message))

    def returned(self) -> bool:
        return False

    def close(self) -> None:
        pass


def random_profile(random: np.random.Generator) -> Profile:
    """1 to 30 parameters on all kinds of addresses, some turned round, some not driven, on a channel of 1..16."""
    params, controls = [], list[Control | None]()
    for i in range(random.integers(1, 31)):
        kinds: list[Address] = [
            ControlChange(70 + i if i < 26 else 76 + i),
            Nrpn(0, i),
            Nrpn(1, i, bits=7),
            Sysex(f"F0 43 1n 00 {i:02X} vv F7"),
            Sysex(f"F0 7D {i:02X} mm ll F7"),
            *([ControlChange14(1 + i)] if i < 5 else []),
        ]
        address = kinds[random.integers(len(kinds))]
        param = Param(f"p{i}", "p", 0, 1, levels=int(random.integers(2, 129)))
        control = Control.of(param, address)
        if random.random() < 0.3:
            control = control.within(control.high, control.low)
        params.append(param)
        controls.append(None if random.random() < 0.1 else control)
    return Profile(
        "random",
        ParamSpace(params),
        tuple(controls),
        int(random.integers(1, 17)),
        settings=(Setting("program", Program(), 3), Setting("wide", Nrpn(2, 3), 300)),
        nrpn_null=bool(random.random() < 0.5),
        running_status=bool(random.random() < 0.5),
    )


def random_patch(profile: Profile, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """x of random levels, and which of them are active."""
    levels = profile.space.levels
    return random.integers(0, levels) / (levels - 1), random.random(len(levels)) < 0.8


def drain(to: Receiver, now: float) -> float:
    while (at := to.pump(now)) is not None:
        now = at
    return now


@pytest.fixture(params=SEEDS)
def random(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


def wire_bytes(profile: Profile, sent: list[tuple[float, bytes]]) -> NDArray[np.int64]:
    """How many bytes of each message are on the wire: with running status, a status is said again after 0.3 s."""
    sizes, status, said_at = [], None, -np.inf
    for at_s, message in sent:
        repeats = profile.running_status and message[0] == status and at_s - said_at < 0.3
        sizes.append(len(message) - repeats)
        if not repeats:
            status, said_at = (message[0] if message[0] < 0xF0 else None), at_s
    return np.array(sizes)


def test_no_window_of_time_holds_more_bytes_than_the_wire_carries(random: np.random.Generator) -> None:
    profile, wire = random_profile(random), Wire()
    to, now = Receiver(profile, wire), 0.0
    for _ in range(4000):
        now += random.exponential(BYTE_S * 3)
        chance = random.random()
        if chance < 0.01:
            to.offer(*random_patch(profile, random))
        elif chance < 0.02:
            to.note_on(int(random.integers(128)), 100)
        elif chance < 0.03:
            to.note_off(int(random.integers(128)))
        elif chance < 0.0305:
            to.panic()
        to.pump(now)
    assert len(wire.sent) == to.sent > 100
    times = np.array([at for at, _ in wire.sent])
    sizes = wire_bytes(profile, wire.sent)
    assert sizes.sum() == to.sent_bytes
    gone = np.concatenate([[0], np.cumsum(sizes)])  # what went before each message
    for count in (1, 2, 3, 7, 100):  # from the start of one to the start of the count-th after it
        assert (times[count:] - times[:-count] - BYTE_S * (gone[count:-1] - gone[: -count - 1])).min() > -1e-9


def test_all_that_changes_is_sent_in_the_time_the_wire_needs_for_it(random: np.random.Generator) -> None:
    profile, wire = random_profile(random), Wire()
    to = Receiver(profile, wire)
    began = 0.0
    for _ in range(50):
        first = len(wire.sent)
        to.offer(*random_patch(profile, random))
        drain(to, began)
        if len(wire.sent) > first:
            last, _ = wire.sent[-1]
            sizes = wire_bytes(profile, wire.sent)[first:]
            assert last - began == pytest.approx(BYTE_S * sizes[:-1].sum(), abs=1e-9)
        began += 1.0


def read_back(profile: Profile, sent: list[tuple[float, bytes]]) -> dict[int, int]:
    """The device's value of each parameter after all messages, by mido's parser and the MIDI specification."""
    parser = mido.Parser()
    for _, message in sent:
        parser.feed(message)
    controllers, selected, values = dict[int, int](), (127, 127), dict[object, int]()
    for message in parser:
        if message.type == "sysex":
            if message.data[0] == 0x43:
                assert message.data[1] == 0x10 | profile.channel - 1
                values[Sysex(f"F0 43 1n 00 {message.data[3]:02X} vv F7")] = message.data[4]
            else:
                values[Sysex(f"F0 7D {message.data[1]:02X} mm ll F7")] = message.data[2] * 128 + message.data[3]
        elif message.type == "control_change":
            assert message.channel == profile.channel - 1
            number, value = message.control, message.value
            controllers[number] = value
            if number == 99:
                selected = (value, selected[1])
            elif number == 98:
                selected = (selected[0], value)
            elif number == 6:
                values[Nrpn(selected[0], selected[1], 7)] = value
            elif number == 38:
                values[Nrpn(*selected)] = controllers.get(6, 0) * 128 + value
            else:
                values[ControlChange(number)] = value
                if 33 <= number < 64:
                    values[ControlChange14(number - 32)] = controllers[number - 32] * 128 + value
    return {i: values[c.address] for i, c in enumerate(profile.controls) if c is not None and c.address in values}


def test_a_reader_knows_the_offered_levels_however_they_were_overtaken(random: np.random.Generator) -> None:
    profile, wire = random_profile(random), Wire()
    to, now = Receiver(profile, wire), 0.0
    reader, ours = PatchReader(profile), dict[int, float]()
    for _ in range(200):
        x, active = random_patch(profile, random)
        to.offer(x, active)
        for _ in range(random.integers(20)):
            now += random.exponential(BYTE_S * 20)
            to.pump(now)
    drain(to, now)
    values = read_back(profile, wire.sent)
    for _, message in wire.sent:
        if (found := reader.feed(message)) is not None:
            ours[found[0]] = found[1]
    for i, control in enumerate(profile.controls):
        if control is None:
            assert i not in values
            continue
        level = control.param.level_of_x(x[i])
        turned = control.low > control.high
        assert values[i] == np.rint(abs(int(turned) - x[i]) * control.address.top)
        assert control.param.level_of_x(ours[i]) == level


def test_two_days_pass_as_a_minute_does() -> None:
    random = np.random.default_rng(5)
    profile, wire = random_profile(random), Wire()
    to, now = Receiver(profile, wire), 0.0
    tracemalloc.start()
    sizes = []
    try:
        for i, began in enumerate(np.linspace(0, 48 * 3600, 1000)):
            x, active = random_patch(profile, random)
            to.offer(x, active)
            to.note_on(60, 100)
            if i % 2:
                to.note_off(60)
            now = drain(to, float(began))
            assert now - began < 0.2
            count = len(wire.sent)
            assert count > 0
            wire.sent.clear()
            if i in (200, 999):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 20_000  # bytes, over 38 hours
    assert to.pump(now + 1e6) is None
    assert profile.driven
