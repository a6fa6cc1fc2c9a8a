"""What a stream of controllers means: non-registered parameters as the MIDI 1.0 specification has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inversynth import Param, ParamSpace, synths
from inversynth.midi import Address, Control, ControlChange14, Nrpn, PatchReader, Profile, Receiver, messages
from inversynth.midi.decoding import Readings
from inversynth.midi.messages import control_change, nrpn, select_nrpn, select_rpn
from inversynth.midi.profiles import nrpn_profile

SPACE = ParamSpace(
    [
        Param("wide", "w", 0, 16383, levels=16384),
        Param("narrow", "n", 0, 127, levels=128),
        Param("pair", "p", 0, 16383, levels=16384),
        Param.choice("shape", "s", ("sine", "square", "saw")),
    ]
)
ADDRESSES: tuple[Address, ...] = (Nrpn(1, 23), Nrpn(1, 24, 7), ControlChange14(3), Nrpn(2, 0))
PROFILE = Profile("all", SPACE, tuple(Control.of(*each) for each in zip(SPACE, ADDRESSES, strict=True)))
MSB, LSB = messages.DATA_ENTRY, messages.DATA_ENTRY_LSB


def cc(number: int, value: int) -> bytes:
    return control_change(1, number, value)


def values(*sent: bytes, reader: PatchReader | None = None) -> dict[str, float]:
    """The values that the parameters have after some messages."""
    reader = reader or PatchReader(PROFILE)
    found = {}
    for message in sent:
        if (each := reader.feed(message)) is not None:
            param = SPACE[each[0]]
            found[param.name] = float(np.round(param.value_of_x(each[1]), 6))
    return found


WIDE, NARROW, SHAPE = select_nrpn(1, 1, 23), select_nrpn(1, 1, 24), select_nrpn(1, 2, 0)


def test_the_msb_sets_and_the_lsb_refines() -> None:
    assert values(*WIDE, cc(MSB, 100), cc(LSB, 5)) == {"wide": 100 * 128 + 5}


def test_an_lsb_that_comes_first_is_kept_for_its_msb() -> None:
    assert values(*WIDE, cc(LSB, 5), cc(MSB, 100)) == {"wide": 100 * 128 + 5}
    assert values(*WIDE, cc(LSB, 5), cc(MSB, 100), cc(LSB, 9), cc(MSB, 50)) == {"wide": 50 * 128 + 9}
    assert values(*WIDE, cc(LSB, 5)) == {}


def test_the_numbers_of_a_parameter_may_come_in_either_order() -> None:
    assert values(*WIDE[::-1], cc(MSB, 100), cc(LSB, 5)) == {"wide": 100 * 128 + 5}
    assert values(*WIDE, cc(MSB, 1), cc(messages.NRPN_LSB, 24), cc(MSB, 7)) == {"wide": 128, "narrow": 7}


def test_an_msb_alone_takes_the_lsb_to_0() -> None:
    assert values(*WIDE, cc(MSB, 100)) == {"wide": 100 * 128}
    assert values(*WIDE, cc(MSB, 100), cc(LSB, 5), cc(MSB, 101)) == {"wide": 101 * 128}
    assert values(cc(3, 100), cc(35, 5), cc(3, 101)) == {"pair": 101 * 128}
    assert values(*NARROW, cc(MSB, 100)) == {"narrow": 100}


def test_the_bytes_of_another_parameter_are_its_own() -> None:
    assert values(*NARROW, cc(MSB, 99), *WIDE, cc(LSB, 5)) == {"narrow": 99}
    first = (*WIDE, cc(MSB, 100), cc(LSB, 5), *NARROW, cc(MSB, 99))
    assert values(*first, *WIDE, cc(LSB, 6)) == {"wide": 100 * 128 + 6, "narrow": 99}


def test_data_increment_and_decrement_go_on_from_what_is_known() -> None:
    up, down = cc(messages.DATA_INCREMENT, 0), cc(messages.DATA_DECREMENT, 0)
    assert values(*WIDE, cc(MSB, 100), cc(LSB, 127), up, up, down) == {"wide": 100 * 128 + 128}
    assert values(*NARROW, cc(MSB, 126), up, up, up) == {"narrow": 127}
    assert values(*NARROW, cc(MSB, 0), down) == {"narrow": 0}
    assert values(*SHAPE, cc(MSB, 0), cc(LSB, 0), up) == {"shape": 1}  # a choice, and no 16383rd of one
    known = PatchReader(PROFILE, x=np.array([0.5, 1.0, 0.0, 0.0]))
    assert values(*NARROW, down, reader=known) == {"narrow": 126}
    assert values(*NARROW, down) == {}  # from nowhere
    assert values(up) == {}


def test_data_entry_that_points_to_nothing_or_to_a_registered_parameter_sets_nothing() -> None:
    up = cc(messages.DATA_INCREMENT, 0)
    assert values(cc(MSB, 5), cc(LSB, 5), up) == {}
    assert values(*WIDE, *select_nrpn(1, 127, 127), cc(MSB, 5), cc(LSB, 5)) == {}
    assert values(*WIDE, *select_rpn(1, 1, 23), cc(MSB, 5), cc(LSB, 5), up) == {}
    assert values(*WIDE, cc(messages.RESET, 0), cc(MSB, 5), cc(LSB, 5)) == {}


def test_the_bend_range_is_kept_in_semitones_and_hundredths() -> None:
    reader = PatchReader(PROFILE)
    assert reader.bend_semitones == 2
    for message in (*select_rpn(1, 0, 0), cc(MSB, 12)):
        assert reader.feed(message) is None
    assert reader.bend_semitones == 12
    reader.feed(cc(LSB, 50))
    assert reader.bend_semitones == 12.5
    for message in (*select_rpn(1, 0, 1), cc(MSB, 64), *select_rpn(1), cc(MSB, 1), cc(messages.RESET, 0)):
        reader.feed(message)
    assert reader.bend_semitones == 12.5


def test_of_two_profiles_the_first_has_an_address_whatever_its_bits() -> None:
    general = Profile("general", SPACE, tuple(Control.of(p, Nrpn(1, 24 + i)) for i, p in enumerate(SPACE)))
    reader = PatchReader(PROFILE, general)
    found = values(*nrpn(1, 1, 24, 16383), *nrpn(1, 1, 25, 16383), reader=reader)
    assert found == {"narrow": 127}  # not "wide", whose number in `general` it is
    assert values(*select_nrpn(1, 1, 25), cc(MSB, 127), reader=PatchReader(general)) == {
        "narrow": pytest.approx(127 * 127 * 128 / 16383, abs=1e-6)
    }


# -- the default numbers ------------------------------------------------------------------------


def test_three_hundred_parameters_have_numbers_that_are_data_bytes_and_come_back() -> None:
    space = ParamSpace(Param(f"p{i}", "p", 0, 1, levels=128) for i in range(300))
    profile = nrpn_profile(replace(synths.load("sine"), space=space))
    sent: list[bytes] = []

    class Wire:
        description = "a list"

        def send(self, message: bytes, at_s: float) -> None:
            sent.append(message)

        def returned(self) -> bool:
            return False

        def close(self) -> None: ...

    receiver, x = Receiver(profile, Wire(), baud=1e9), np.random.default_rng(3).integers(0, 128, 300) / 127
    receiver.offer(x, np.ones(300, bool))
    now: float | None = 0.0
    while now is not None:
        now = receiver.pump(now)
    assert all(message[0] == 0xB0 and max(message[1:]) < 0x80 for message in sent)
    selected = [(a[2], b[2]) for a, b in zip(sent[::4], sent[1::4], strict=True)]
    assert sorted(selected) == [(i // 128, i % 128) for i in range(300)]
    reader, found = PatchReader(profile), np.full(300, np.nan)
    for message in sent:
        if (each := reader.feed(message)) is not None:
            found[each[0]] = each[1]
    np.testing.assert_array_equal(np.rint(found * 127), np.rint(x * 127))


@pytest.mark.parametrize("channel", [1, 16])
def test_readings_are_those_of_one_channel(channel: int) -> None:
    readings = Readings(channel)
    assert readings.feed(control_change(channel, 74, 5)) != []
    assert readings.feed(control_change(channel % 16 + 1, 74, 5)) == []
