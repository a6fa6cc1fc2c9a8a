"""A synth's own profile by what its parameters are, values by their kinds, and messages that carry a whole patch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fake_synth
from inversynth import Param, ParamSpace, UsageError, synths
from inversynth.midi import Control, ControlChange, ControlChange14, Nrpn, PatchReader, Profile, Receiver, messages
from inversynth.midi.profiles import default_profile, load, nrpn_profile, to_toml

SINE, FAKE = synths.load("sine"), fake_synth.SYNTH


class Wire:
    """A sink that keeps messages."""

    description = "a list"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, message: bytes, at_s: float) -> None:
        self.sent.append(message)

    def returned(self) -> bool:
        return False

    def close(self) -> None: ...

    def take(self) -> list[bytes]:
        sent, self.sent = self.sent, []
        return sent


def drain(to: Receiver, now: float) -> float:
    while (at := to.pump(now)) is not None:
        now = at
    return now


# -- a synth's own profile ----------------------------------------------------------------------


def test_a_synth_without_control_change_numbers_has_nrpns() -> None:
    profile = default_profile(FAKE)
    assert [each.address for each in profile.driven] == [Nrpn(i // 128, i % 128) for i in range(150)]
    assert profile.name == "fake"
    assert [each.address for each in nrpn_profile(FAKE, 3).driven] == [each.address for each in profile.driven]
    assert nrpn_profile(FAKE, 3).channel == 3


def test_parameters_with_numbers_are_there_and_the_others_on_nrpns() -> None:
    space = ParamSpace([Param("a", "a", 0, 1, midi=20), Param("b", "b", 0, 1)])
    addresses = [each.address for each in default_profile(replace(SINE, space=space)).driven]
    assert addresses == [ControlChange(20), Nrpn(0, 1)]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((64, 65), "a: midi = 64 can't be its control change number: MIDI 1.0 reserves it (the damper pedal)"),
        ((200, 65), "a: midi = 200 can't be its control change number: it is not one of 0..127"),
        ((20, 20), "the synth sine: parameters.b: CC 20 is already that of a"),
    ],
)
def test_numbers_that_midi_has_no_room_for_are_refused(numbers: tuple[int, int], message: str) -> None:
    space = ParamSpace(Param(name, name, 0, 1, midi=midi) for name, midi in zip("ab", numbers, strict=True))
    with pytest.raises(UsageError, match=re.escape(message)):
        default_profile(replace(SINE, space=space))


def test_more_parameters_than_nrpns_are_refused() -> None:
    space = ParamSpace(Param(f"p{i}", "p", 0, 1) for i in range(16384))
    with pytest.raises(UsageError, match="of more than 16383 parameters has no NRPN for each"):
        nrpn_profile(replace(SINE, space=space))


# -- kinds --------------------------------------------------------------------------------------


def test_every_level_of_a_synth_of_all_kinds_comes_back() -> None:
    profile = default_profile(FAKE)
    for seed in range(20):
        levels = FAKE.draw(seed, 0, 1).levels[0]
        values = FAKE.space.values_of_levels(levels[None])[0]
        sent = profile.values_of_x(FAKE.space.x_of_values(values[None])[0])
        x = [float(control.x_of_value(value)) for control, value in zip(profile.driven, sent, strict=True)]
        back = FAKE.space.values_of_x([x])[0]
        np.testing.assert_array_equal(FAKE.space.levels_of_values(back[None])[0], levels)
        exact = ~FAKE.space.of_kind("continuous")
        np.testing.assert_array_equal(back[exact], values[exact])


def test_levels_lie_evenly_and_what_lies_between_is_the_nearest() -> None:
    shape = Param.choice("shape", "s", ("sine", "square", "saw", "noise"))
    found = Control.of(shape, ControlChange(20))
    np.testing.assert_array_equal(found.value_of_x([0, 1 / 3, 2 / 3, 1, 0.4]), [0, 42, 85, 127, 42])
    np.testing.assert_allclose(found.x_of_value([0, 20, 42, 64, 127]), [0, 0, 1 / 3, 2 / 3, 1])
    profile = Profile("p", ParamSpace([shape]), (found,))
    np.testing.assert_array_equal(profile.values_of_x(np.array([0.4])), [42])


def test_a_message_without_room_for_all_choices_is_refused(tmp_path: Path) -> None:
    many = Param.choice("many", "m", tuple(map(str, range(200))))
    synth = replace(SINE, name="many", space=ParamSpace([many]), dump=None)
    assert not Control.of(many, ControlChange(20)).exact
    assert Control.of(many, ControlChange14(3)).exact
    file = tmp_path / "a.toml"
    for text, message in (
        ("cc = 20", "CC 20 doesn't have a value for each of the 200 choices of many"),
        ("cc14 = 3\ntable = [1, 2]", "is not 200 integers, one for each choice of many"),
        ("cc14 = 3\nrange = [0, 5]", "is not for many, whose choices have no order"),
    ):
        file.write_text(f"[parameters.many]\n{text}\n")
        with pytest.raises(UsageError, match=message):
            load(file, synth)
    file.write_text("[parameters.many]\ncc14 = 3\n")
    assert load(file, synth).driven == [Control.of(many, ControlChange14(3))]


# -- a whole patch in a message -----------------------------------------------------------------

SPACE = ParamSpace(Param(f"p{i}", "p", 0, 127, levels=128) for i in range(145))


def dump(values: NDArray[np.float64], channel: int) -> tuple[bytes, ...]:
    """A message of 163 bytes: head, 155 data bytes of which 145 are the patch, and end."""
    data = np.zeros(155, np.uint8)
    data[:145] = np.rint(values)
    return (bytes((0xF0, 0x43, channel - 1, 0x00, 0x01, 0x1B, 0x00, *data.tolist(), 0xF7)),)


PATCH = np.arange(145.0) % 128
"""What `x_of` is in units."""
DUMPING = replace(SINE, name="dumping", space=SPACE, dump=dump)


def receiver() -> tuple[Receiver, Wire]:
    wire = Wire()
    return Receiver(default_profile(DUMPING), wire), wire


def x_of(*changed: tuple[int, int]) -> NDArray[np.float64]:
    x = np.arange(145) % 128 / 127
    for i, value in changed:
        x[i] = value / 127
    return x


ALL = np.ones(145, bool)


def test_a_whole_patch_goes_in_one_message_and_is_then_known() -> None:
    to, wire = receiver()
    to.offer(x_of(), ALL)
    drain(to, 0.0)
    assert wire.take() == [*dump(PATCH, 1)]
    assert to.sent_bytes == 163
    to.offer(x_of(), ALL)
    assert to.pump(9.0) is None


def test_as_many_changes_as_take_no_longer_than_the_dump_go_one_by_one() -> None:
    each = 12  # bytes of an NRPN of 14 bits
    for count in (1, 163 // each, 163 // each + 1):
        to, wire = receiver()
        to.offer(x_of(), ALL)
        drain(to, 0.0)
        wire.take()
        to.offer(x_of(*((i, 127 - i) for i in range(count))), ALL)
        drain(to, 1.0)
        sent = wire.take()
        assert (sent[0][0] == 0xF0) == (count * each > 163), count
        assert to.sent_bytes == 163 + min(count * each, 163)


def test_no_dump_is_sent_while_a_note_sounds_and_what_waits_goes_in_one_after_it() -> None:
    to, wire = receiver()
    to.note_on(60, 100)
    to.pump(0.0)
    to.offer(x_of(), ALL)
    now = 0.0
    for _ in range(8):
        now = to.pump(now) or now
    assert {message[0] for message in wire.sent} == {0x90, 0xB0}
    to.note_off(60)
    drain(to, now)
    sent = wire.take()
    off = sent.index(messages.note_off(1, 60))
    assert sent[off + 1 :] in ([*dump(PATCH, 1)], [*sent[off + 1 : -1], *dump(PATCH, 1)])
    assert sent[-1][0] == 0xF0
    assert len(sent) < 20


def test_a_receiver_that_is_back_gets_the_dump_again_and_a_device_profile_says_whether_it_takes_it(
    tmp_path: Path,
) -> None:
    to, wire = receiver()
    to.offer(x_of(), ALL)
    now = drain(to, 0.0)
    wire.take()
    to.forget()
    drain(to, now)
    assert wire.take() == [*messages.silence(1), *dump(PATCH, 1)]
    file = tmp_path / "device.toml"
    file.write_text("dump = true\n[parameters.p0]\ncc = 20\n")
    profile = load(file, DUMPING)
    assert profile.dump is dump
    file.write_text(to_toml(profile, "dumping"))
    assert load(file, DUMPING) == profile
    file.write_text("[parameters.p0]\ncc = 20\n")
    assert load(file, DUMPING).dump is None
    file.write_text("dump = true\n[parameters.frequency_1]\ncc = 20\n")
    with pytest.raises(UsageError, match="the synth sine has no messages of a whole patch"):
        load(file, SINE)


def test_without_a_dump_nothing_is_different() -> None:
    wire = Wire()
    to = Receiver(default_profile(replace(DUMPING, dump=None)), wire)
    to.offer(x_of(), ALL)
    drain(to, 0.0)
    assert len(wire.sent) == 4 * 145
    reader = PatchReader(to.profile)
    found = dict(each for message in wire.sent if (each := reader.feed(message)) is not None)
    np.testing.assert_allclose([found[i] for i in range(145)], x_of(), atol=1e-4)


# -- nulls --------------------------------------------------------------------------------------


def test_with_nulls_nothing_is_entered_before_something_was_selected() -> None:
    space = ParamSpace([Param("a", "a", 0, 1)])
    wire = Wire()
    profile = Profile("null", space, (Control.of(space[0], Nrpn(0, 5)),), nrpn_null=True)
    to = Receiver(profile, wire)
    for forgets in (False, True):
        if forgets:
            to.forget()
        to.offer(np.array([0.5]), np.array([True]))
        drain(to, 9.0 * forgets)
        numbers = [message[1:] for message in wire.take() if message[1] not in (120, 123)]
        assert numbers[:2] == [bytes((99, 127)), bytes((98, 127))]
        assert [number for number, _ in numbers[2:]] == [38, 99, 98, 6, 38, 99, 98]
