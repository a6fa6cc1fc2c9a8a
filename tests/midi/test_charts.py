"""Charts of devices: what is a target and what isn't, choices, and that what is written is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inversynth import Param, ParamSpace, UsageError, synths
from inversynth.cli import main
from inversynth.midi import ControlChange, Profile, profiles
from inversynth.midi.profiles import charts

PAPER, SINE = synths.load("paper"), synths.load("sine")
HEADER = (
    "manufacturer,device,section,parameter_name,parameter_description,cc_msb,cc_lsb,cc_min_value,cc_max_value,"
    "cc_default_value,nrpn_msb,nrpn_lsb,nrpn_min_value,nrpn_max_value,nrpn_default_value,orientation,notes,usage\n"
)


def row(section: str, name: str, cc: int, usage: str = "", high: int = 127) -> str:
    return f"Acme,One,{section},{name},,{cc},,0,{high},,,,,,,0-based,,{usage}\n"


def read(tmp_path: Path, *rows: str, synth: synths.Synth = PAPER) -> tuple[Profile, list[str]]:
    """The profile of a chart, and what was said of it; it is also written and read."""
    said: list[str] = []
    (tmp_path / "one.csv").write_text(HEADER + "".join(rows))
    profile = charts.read_chart(tmp_path / "one.csv", synth, said.append)
    (tmp_path / "one.toml").write_text(profiles.to_toml(profile, synth.name))
    assert profiles.load(tmp_path / "one.toml", synth) == profile
    return profile, said


CUTOFF = row("Filter", "Cutoff", 74)


@pytest.mark.parametrize(
    ("left_out", "why"),
    [
        (row("General", "Sustain pedal", 64), "MIDI 1.0 reserves the number (the damper pedal)"),
        (row("General", "Sustain pedal", 20), "it is a pedal or a switch"),
        (row("Envelope", "Decay/release", 20), "it names decay and release"),
        (row("Envelope", "Amp decay sustain", 20), "it names decay and sustain"),
        (row("Effects", "Reverb decay", 20), "it is an effect's"),
        (row("Compressor", "Attack", 20), "it is an effect's"),
        (row("Filter", "Resonance EG intensity", 20), "it is a depth, a sensitivity or key follow"),
        (row("Filter", "Resonance key follow", 20), "it is a depth, a sensitivity or key follow"),
        (row("LFO", "Attack", 20), "it is a low-frequency oscillator's"),
        (row("Filter", "Resonance", 0), "MIDI 1.0 reserves the number (bank select)"),
        (row("Filter", "Resonance", 6), "MIDI 1.0 reserves the number (data entry)"),
        (row("Filter", "Resonance", 43), "MIDI 1.0 reserves the number (the LSB of controller 11)"),
        (row("Filter", "Resonance", 20, "0-63: low; 64-127: high"), "it has choices, and resonance has none"),
        (row("Filter 1", "Resonance", 20) + row("Filter 2", "Resonance", 21), "several rows name resonance"),
    ],
)
def test_what_is_no_target_is_left_out_with_a_reason(left_out: str, why: str, tmp_path: Path) -> None:
    profile, said = read(tmp_path, CUTOFF, left_out)
    assert [(each.param.name, each.address) for each in profile.driven] == [("cutoff", ControlChange(74))]
    assert said
    assert all(line.startswith("left out: ") and why in line for line in said)
    assert len(profile.others) == left_out.count("\n")  # named all the same
    none = "[parameters.cutoff]"
    assert none in (tmp_path / "one.toml").read_text()


def test_rows_that_name_none_of_ours_are_no_reason_for_a_line(tmp_path: Path) -> None:
    profile, said = read(tmp_path, CUTOFF, row("General", "Portamento", 5), row("Filter", "EG intensity", 21))
    assert said == []
    assert [each.name for each in profile.others] == ["Portamento", "EG intensity"]


def test_an_effect_of_ours_takes_the_effects_row(tmp_path: Path) -> None:
    space = ParamSpace(
        [Param("reverb_decay", "d", 0, 1, role="effect"), Param("decay", "d", 0, 1, role="envelope time")]
    )
    synth = replace(SINE, name="wet", space=space)
    profile, said = read(tmp_path, row("Effects", "Reverb decay", 20), row("Amp", "Decay", 21), synth=synth)
    assert [each.address for each in profile.driven] == [ControlChange(20), ControlChange(21)]
    assert said == []


def test_one_number_for_two_parameters_is_refused_at_import(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one.csv: parameters.resonance: CC 74 is already that of cutoff"):
        read(tmp_path, CUTOFF, row("Filter", "Resonance", 74))


def test_a_chart_that_drives_nothing_is_an_error_that_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no row can drive a parameter of the synth paper; name rows as its"):
        read(tmp_path, row("General", "Portamento", 5))
    with pytest.raises(UsageError, match=r"paper \(left out: Sustain pedal \(CC 64\): MIDI 1.0 reserves"):
        read(tmp_path, row("General", "Sustain pedal", 64))


SHAPE = ParamSpace([Param.choice("shape", "s", ("sine", "square", "saw")), Param("rate", "r", 0, 1)])
SHAPED = replace(SINE, name="shaped", space=SHAPE)


def test_the_choices_of_a_chart_are_those_of_ours_with_their_names(tmp_path: Path) -> None:
    usage = "0-42: Square; 43-85: Saw; 86-127: Sine"
    profile, _ = read(tmp_path, row("Oscillator", "Shape", 70, usage), row("LFO", "Wave", 71, usage), synth=SHAPED)
    (control,) = profile.driven
    assert control.table == (106, 21, 64)  # the middles of sine, square and saw
    x = SHAPE["shape"].x_of_level([0, 1, 2])
    assert control.value_of_x(x).tolist() == [106, 21, 64]
    assert control.x_of_value([106, 21, 64]).tolist() == x.tolist()
    assert [(each.name, each.choices) for each in profile.others] == [
        ("Wave", ((21, "Square"), (64, "Saw"), (106, "Sine")))
    ]


@pytest.mark.parametrize("usage", ["", "0~127: amount", "0: a; 1", "5-1: a; 7: b", "0: a; 500: b"])
def test_a_usage_that_lists_no_choices_makes_none(usage: str, tmp_path: Path) -> None:
    profile, _ = read(tmp_path, row("Oscillator", "Shape", 70, usage), row("X", "Other", 71, usage), synth=SHAPED)
    assert profile.driven[0].table == ()
    assert profile.others[0].choices == ()


def test_the_command_says_what_was_left_out_and_writes_nothing_that_check_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart, out = tmp_path / "one.csv", tmp_path / "one.toml"
    chart.write_text(HEADER + CUTOFF + row("General", "Sustain pedal", 64) + row("X", 'odd ""name""\x7f \\', 90))
    assert main(["profiles", "import", str(chart), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "left out: Sustain pedal (CC 64)" in said.err
    assert main(["profiles", "check", str(out)]) == 0
    sound = ["live", "--file", str(Path(__file__).parents[2] / "demo" / "recording.flac"), "--fast", "--dry-run"]
    assert main([*sound, "--profile", str(out), "--duration", "0.1"]) == 0
    out.unlink()
    chart.write_text(HEADER + row("General", "Sustain pedal", 64))
    assert main(["profiles", "import", str(chart), "--out", str(out)]) == 2
    assert not out.exists()
