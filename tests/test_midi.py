"""Patches as control changes: the map, the pace of the wire, and what the sinks write."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import mido
import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth.errors import UsageError
from inversynth.midi import (
    BAUD,
    RESERVED,
    MidiFileSink,
    Pacer,
    TextSink,
    cc_values,
    control_map,
    levels_of_cc,
    output_ports,
)
from inversynth.render import SYNTHS, Synth, synth
from inversynth.spec import Param, ParamSpace

PAPER = synth("paper").space
WIRE_S = 30 / 31250
"""A message of three bytes, ten bits each, on a MIDI cable."""

Values = NDArray[np.int64]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# -- the map ----------------------------------------------------------------------------------


@pytest.mark.parametrize("each", SYNTHS.values(), ids=SYNTHS)
def test_every_synth_has_a_map_of_its_own_that_midi_allows(each: Synth) -> None:
    controls = control_map(each.space)
    assert controls.channel == 1
    assert controls.numbers == tuple(param.midi for param in each.space)
    assert len(set(controls.numbers)) == len(each.space)
    assert not set(controls.numbers) & set(RESERVED)


def test_a_file_changes_channel_and_numbers(tmp_path: Path) -> None:
    file = written(tmp_path / "map.toml", "channel = 3\n[cc]\ncutoff = 23\nsin_mod_amplitude = 74\n")
    controls = control_map(PAPER, file)
    assert controls.channel == 3
    assert controls.numbers[PAPER.index("cutoff")] == 23
    assert controls.numbers[PAPER.index("sin_mod_amplitude")] == 74
    assert controls.numbers[PAPER.index("resonance")] == PAPER["resonance"].midi
    assert control_map(PAPER, file, channel=16).channel == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cc]\ncutof = 5", "no parameter 'cutof'; there are sin_frequency"),
        ("[cc]\ncutoff = 128", "cutoff: control change number 128 is not an integer of 0..127"),
        ("[cc]\ncutoff = -1", "cutoff: control change number -1 is not an integer of 0..127"),
        ("[cc]\ncutoff = 1.5", "cutoff: control change number 1.5 is not an integer"),
        ("[cc]\ncutoff = true", "cutoff: control change number True is not an integer"),
        ("[cc]\ncutoff = 71", "resonance: control change 71 is already that of cutoff"),
        ("[cc]\ncutoff = 0", "cutoff: control change 0 is reserved in MIDI 1.0 (bank select)"),
        ("[cc]\ncutoff = 38", "cutoff: control change 38 is reserved in MIDI 1.0 (the fine half of controller 6)"),
        ("[cc]\ncutoff = 64", "(the damper pedal)"),
        ("[cc]\ncutoff = 101", "(RPN, coarse)"),
        ("[cc]\ncutoff = 123", "(all notes off)"),
        ("channel = 17", "MIDI channel 17 is not an integer of 1..16"),
        ("channel = 'one'", "MIDI channel 'one' is not an integer of 1..16"),
        ("chanel = 1", "unknown key 'chanel'"),
        ("cc = 5", "`cc` must be a table"),
        ("[cc", "is not TOML"),
    ],
)
def test_a_map_that_midi_does_not_allow_is_refused_by_name_and_number(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        control_map(PAPER, written(tmp_path / "map.toml", text))


def test_a_map_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        control_map(PAPER, tmp_path / "nothing.toml")


def test_a_parameter_without_a_number_needs_one(tmp_path: Path) -> None:
    space = ParamSpace([Param("pitch", "p", 0, 1)])
    with pytest.raises(UsageError, match="pitch has no control change number"):
        control_map(space)
    assert control_map(space, written(tmp_path / "map.toml", "[cc]\npitch = 20")).numbers == (20,)


def test_the_reserved_numbers_are_those_of_the_midi_1_tables() -> None:
    modes = set(range(120, 128))
    halves_and_data = {0, 6} | set(range(32, 64))
    assert set(RESERVED) == halves_and_data | set(range(64, 70)) | set(range(96, 102)) | modes


def test_values_span_seven_bits_and_levels_come_back() -> None:
    space = ParamSpace([Param(f"p{n}", "p", 0, 1, levels=n, midi=20) for n in (2, 16, 100, 128)])
    for fraction in np.linspace(0, 1, 128):
        levels = np.rint(fraction * (space.levels - 1)).astype(np.int64)
        values = cc_values(space, levels)
        np.testing.assert_array_equal(
            values, [round(127 * at / (p.levels - 1)) for at, p in zip(levels, space, strict=True)]
        )
        np.testing.assert_array_equal(levels_of_cc(space, values), levels)


# -- the pace ---------------------------------------------------------------------------------


def drained(pacer: Pacer, now: float) -> list[tuple[float, int, int]]:
    """(time, parameter, value) of everything the pacer sends from `now` on, asked at the times that it names."""
    out = []
    while (at := pacer.next_at()) is not None:
        now = max(now, at)
        message = pacer.take(now)
        assert message is not None
        out.append((now, *message))
    return out


def offer(pacer: Pacer, values: list[int], heard: list[bool] | None = None) -> None:
    pacer.offer(np.array(values), np.array(heard or [True] * len(values)))


def test_n_changes_are_sent_in_the_time_the_wire_needs_for_n() -> None:
    pacer = Pacer(23)
    offer(pacer, list(range(23)))
    sent = drained(pacer, 5.0)
    assert len(sent) == 23
    assert sent[0][0] == 5.0
    assert sent[-1][0] + WIRE_S == pytest.approx(5.0 + 23 * WIRE_S)
    assert pacer.take(99.0) is None


def test_no_window_of_time_holds_more_than_the_wire_carries() -> None:
    random = np.random.default_rng(4)
    pacer = Pacer(23)
    times: list[float] = []
    now = 0.0
    for _ in range(20_000):
        now += random.exponential(WIRE_S / 3)
        if random.random() < 0.01:
            offer(pacer, random.integers(0, 128, 23).tolist())
        if pacer.take(now) is not None:
            times.append(now)
    assert len(times) == pacer.sent > 1000
    at = np.array(times)
    for count in (1, 2, 5, 23, 200):  # that many messages after the first need that much time
        assert (at[count:] - at[:-count]).min() >= count * WIRE_S * (1 - 1e-9)


@pytest.mark.parametrize("baud", [31250, 1_000_000])
def test_the_wire_is_as_fast_as_asked(baud: float) -> None:
    pacer = Pacer(2, baud)
    offer(pacer, [1, 2])
    first, second = drained(pacer, 0.0)
    assert second[0] - first[0] == pytest.approx(30 / baud)


@pytest.mark.parametrize("baud", [0, -1, float("nan"), float("inf")])
def test_a_wire_needs_a_speed(baud: float) -> None:
    with pytest.raises(UsageError, match=f"a MIDI cable has {BAUD}"):
        Pacer(2, baud)


def test_only_changes_are_sent() -> None:
    pacer = Pacer(3)
    offer(pacer, [10, 20, 30])
    assert len(drained(pacer, 0)) == 3
    offer(pacer, [10, 20, 30])
    assert pacer.next_at() is None
    offer(pacer, [10, 21, 30])
    assert [message[1:] for message in drained(pacer, 1)] == [(1, 21)]


def test_the_biggest_change_goes_first_what_is_new_before_it_and_what_is_not_heard_last() -> None:
    pacer = Pacer(3)
    offer(pacer, [50, 50, 50])
    drained(pacer, 0)
    offer(pacer, [51, 20, 60])
    assert [message[1] for message in drained(pacer, 1)] == [1, 2, 0]
    offer(pacer, [127, 21, 61], heard=[False, True, True])
    assert [message[1] for message in drained(pacer, 2)] == [1, 2, 0]

    pacer = Pacer(3)
    offer(pacer, [0, 50, 127], heard=[True, False, True])
    assert [message[1] for message in drained(pacer, 0)] == [0, 2, 1]


def test_the_latest_value_wins_and_what_it_replaced_is_counted() -> None:
    pacer = Pacer(3)
    offer(pacer, [1, 2, 3])
    assert pacer.take(0.0) == (0, 1)
    offer(pacer, [1, 99, 3])
    offer(pacer, [1, 98, 3])
    assert [message[1:] for message in drained(pacer, 1)] == [(1, 98), (2, 3)]
    assert pacer.superseded == 2
    assert pacer.sent == 3


def test_a_change_taken_back_before_it_was_sent_is_not_sent() -> None:
    pacer = Pacer(1)
    offer(pacer, [5])
    drained(pacer, 0)
    offer(pacer, [6])
    offer(pacer, [5])
    assert pacer.next_at() is None


def test_a_receiver_that_has_forgotten_gets_everything_again() -> None:
    pacer = Pacer(2)
    pacer.forget()
    assert pacer.next_at() is None
    offer(pacer, [5, 6])
    drained(pacer, 0)
    pacer.forget()
    assert sorted(message[1:] for message in drained(pacer, 1)) == [(0, 5), (1, 6)]


# -- where messages go ------------------------------------------------------------------------


def test_a_dry_run_prints_the_commands_and_times_of_sendmidi() -> None:
    out = io.StringIO()
    sink = TextSink(out)
    for at_s in (0.0, 1.0234, 3723.9996):
        sink.send(16, 74, 64, at_s)
    assert out.getvalue().splitlines() == [
        "00:00:00.000 ch 16 cc 74 64",
        "00:00:01.023 ch 16 cc 74 64",
        "01:02:04.000 ch 16 cc 74 64",
    ]


def test_a_midi_file_holds_every_message_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "out.mid"
    sink = MidiFileSink(path)
    times = np.cumsum(np.random.default_rng(1).exponential(0.01, 500))
    for i, at_s in enumerate(times):
        sink.send(2, 20 + i % 10, i % 128, float(at_s))
    assert not path.exists()
    sink.close()
    messages = [message for message in mido.MidiFile(path).tracks[0] if not message.is_meta]
    assert [(m.type, m.channel, m.control, m.value) for m in messages] == [
        ("control_change", 1, 20 + i % 10, i % 128) for i in range(500)
    ]
    elapsed = np.cumsum([m.time for m in mido.MidiFile(path) if m.type == "control_change"])
    np.testing.assert_allclose(elapsed, times, atol=0.0003)  # half a tick, without drift


def test_a_midi_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        MidiFileSink(tmp_path)


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


# -- the documentation ------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "live.md").read_text()


def test_the_page_lists_the_numbers_of_the_paper_synth() -> None:
    listed = {name: int(number) for name, number in re.findall(r"`(\w+)` \| (\d+) \|", PAGE)}
    assert listed == {param.name: param.midi for param in PAPER}


def test_the_map_on_the_page_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    controls = control_map(PAPER, written(tmp_path / "map.toml", example))
    assert controls.channel == 2
    assert controls.numbers[PAPER.index("cutoff")] == 19
