"""Profiles of devices: what TOML may say, what is refused and how, and how the values run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from inversynth import profiles
from inversynth.errors import UsageError
from inversynth.midi import RESERVED, Control, ControlChange, ControlChange14, Nrpn, Sysex
from inversynth.render import SYNTHS, synth

PAPER = synth("paper").space


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def control(tmp_path: Path, text: str, name: str = "cutoff") -> Control:
    """The control of one parameter of the paper's synth, from the lines of its table."""
    profile = profiles.load(written(tmp_path / "a.toml", f"[parameters.{name}]\n{text}\n"))
    (found,) = profile.driven
    return found


@pytest.mark.parametrize("name", SYNTHS)
def test_every_synth_has_a_profile_of_its_own_that_midi_allows(name: str) -> None:
    profile = profiles.load(name)
    numbers = [each.address.number for each in profile.driven if isinstance(each.address, ControlChange)]
    assert numbers == [param.midi for param in SYNTHS[name].space]
    assert len(set(numbers)) == len(SYNTHS[name].space)
    assert not set(numbers) & set(RESERVED)
    assert profile.channel == 1


def test_a_synths_own_values_span_seven_bits_and_levels_come_back() -> None:
    profile = profiles.load("paper")
    for level in range(16):
        x = np.full(len(PAPER), level / 15)
        values = profile.values_of_x(x)
        np.testing.assert_array_equal(values, np.full(len(PAPER), round(127 * level / 15)))
        back = [each.param.level_of_x(each.x_of_value(at)) for each, at in zip(profile.driven, values, strict=True)]
        assert back == [level] * len(PAPER)


def test_a_file_says_everything_about_a_device(tmp_path: Path) -> None:
    text = """
maker = "Ours"
model = "One"
channel = 3
running_status = true
nrpn_null = true
unreserved = [40]
[source]
document = "manual"
page = "7"
url = "https://example.org"
[parameters.cutoff]
cc14 = 7
[parameters.resonance]
nrpn = [1, 23]
low = 100
high = 50
[parameters.attack]
sysex = "f0 43 1n 04 vv F7"
[parameters.decay]
cc = 40
[[settings]]
name = "bank"
cc = 0
value = 5
[[settings]]
program = true
value = 9
[[settings]]
name = "on"
sysex = "F0 7D 01 F7"
[[others]]
name = "chorus"
nrpn = [0, 4]
bits = 7
high = 3
"""
    profile = profiles.load(written(tmp_path / "one.toml", text))
    assert (profile.name, profile.maker, profile.model, profile.channel) == ("one", "Ours", "One", 3)
    assert (profile.source.document, profile.source.page, profile.source.url) == ("manual", "7", "https://example.org")
    assert profile.running_status
    assert profile.nrpn_null
    assert {each.param.name: each.address for each in profile.driven} == {
        "attack": Sysex("F0 43 1n 04 vv F7"),
        "decay": ControlChange(40),
        "cutoff": ControlChange14(7),
        "resonance": Nrpn(1, 23),
    }
    assert profile.pairs == {7}
    sent = [message for each in profile.settings for message in each.address.messages(3, each.value)]
    assert sent == [bytes((0xB2, 0, 5)), bytes((0xC2, 9)), bytes.fromhex("F0 7D 01 F7")]
    assert [(each.name, each.address, each.low, each.high) for each in profile.others] == [
        ("chorus", Nrpn(0, 4, 7), 0, 3)
    ]
    again = profiles.load(written(tmp_path / "again.toml", profiles.to_toml(profile)))
    assert again == profile


def test_a_profile_changes_another(tmp_path: Path) -> None:
    text = 'base = "paper"\nchannel = 3\n[parameters.cutoff]\ncc = 19\n'
    profile = profiles.load(written(tmp_path / "mine.toml", text))
    assert profile.channel == 3
    numbers = {each.param.name: each.address for each in profile.driven}
    assert numbers.pop("cutoff") == ControlChange(19)
    assert numbers == {
        param.name: ControlChange(param.midi) for param in PAPER if param.name != "cutoff" and param.midi
    }
    assert profiles.load(tmp_path / "mine.toml", PAPER, 16).channel == 16


# -- how values run ---------------------------------------------------------------------------


def test_values_run_evenly_with_x_between_low_and_high(tmp_path: Path) -> None:
    found = control(tmp_path, "cc = 19\nlow = 10\nhigh = 110")
    np.testing.assert_array_equal(found.value_of_x([0, 0.25, 0.5, 1]), [10, 35, 60, 110])
    turned = control(tmp_path, "cc = 19\nlow = 110\nhigh = 10")
    np.testing.assert_array_equal(turned.value_of_x([0, 0.25, 0.5, 1]), [110, 85, 60, 10])
    np.testing.assert_allclose(turned.x_of_value([110, 85, 60, 10]), [0, 0.25, 0.5, 1])


def test_a_device_with_another_range_and_curve_gets_our_value_on_its_own_scale(tmp_path: Path) -> None:
    found = control(tmp_path, 'cc = 19\nrange = [20, 20480]\ncurve = "exponential"')
    for hz in (200, 640, 1280, 4000):  # ten octaves on 127 steps
        assert found.value_of_x(PAPER["cutoff"].x_of_value(hz)) == round(127 * np.log2(hz / 20) / 10)
    narrow = control(tmp_path, "cc = 19\nrange = [1000, 2000]")
    np.testing.assert_array_equal(
        narrow.value_of_x(PAPER["cutoff"].x_of_value([200, 1000, 1500, 2000, 4000])), [0, 0, 64, 127, 127]
    )
    np.testing.assert_allclose(
        PAPER["cutoff"].value_of_x(found.x_of_value([0, 127])), [200, 4000], err_msg="beyond ours"
    )


def test_a_table_holds_the_devices_values(tmp_path: Path) -> None:
    found = control(tmp_path, "cc = 19\ntable = [0, 100, 110]")
    np.testing.assert_array_equal(found.value_of_x([0, 0.25, 0.5, 0.75, 1]), [0, 50, 100, 105, 110])
    np.testing.assert_array_equal(found.x_of_value([0, 99, 110]), [0, 0.5, 1])


@pytest.mark.parametrize("name", SYNTHS)
def test_every_level_comes_back_from_a_finer_device(name: str) -> None:
    for param in SYNTHS[name].space:
        for address in (ControlChange(20), ControlChange14(1), Nrpn(0, 1), Sysex("F0 7D vv F7")):
            whole = Control.of(param, address)
            levels = np.arange(param.levels)
            np.testing.assert_array_equal(
                param.level_of_x(whole.x_of_value(whole.value_of_x(param.x_of_level(levels)))), levels
            )


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[parameters.cutof]\ncc = 5", "bad.toml: parameters: no parameter 'cutof'; there are sin_frequency"),
        ("[parameters.cutoff]\ncc = 128", "bad.toml: parameters.cutoff: cc = 128 is not an integer of 0..127"),
        ("[parameters.cutoff]\ncc = -1", "cc = -1 is not an integer of 0..127"),
        ("[parameters.cutoff]\ncc = 1.5", "cc = 1.5 is not an integer of 0..127"),
        ("[parameters.cutoff]\ncc = true", "cc = true is not an integer of 0..127"),
        ("[parameters.cutoff]\ncc = 0", "cc = 0 is not free: MIDI 1.0 reserves it (bank select)"),
        ("[parameters.cutoff]\ncc = 38", "MIDI 1.0 reserves it (the fine half of controller 6)"),
        ("[parameters.cutoff]\ncc = 64", "(the damper pedal)"),
        ("[parameters.cutoff]\ncc = 101", "(RPN, coarse)"),
        ("[parameters.cutoff]\ncc = 123", "(all notes off)"),
        ("[parameters.cutoff]\ncc14 = 32", "cc14 = 32 is not an integer of 0..31"),
        ("[parameters.cutoff]\ncc14 = 6", "cc14 = 6 is not free: MIDI 1.0 reserves it (data entry)"),
        ("[parameters.cutoff]\nnrpn = 5", "nrpn = 5 is not a list of 2 integers of 0..127"),
        ("[parameters.cutoff]\nnrpn = [5]", "nrpn = [5] is not a list of 2 integers of 0..127"),
        ("[parameters.cutoff]\nnrpn = [127, 127]", "nrpn = [127, 127] is not a parameter"),
        ("[parameters.cutoff]\nnrpn = [0, 1]\nbits = 8", "bits = 8 is not 7"),
        ("[parameters.cutoff]\ncc = 20\nbits = 7", "bits = 7 is not for cc; only an nrpn has it"),
        ("[parameters.cutoff]\nsysex = 'F0 80 vv F7'", "is not bytes in hexadecimal from F0 to F7, below 80"),
        ("[parameters.cutoff]\nsysex = 'F0 7D 01 F7'", "is not a message with the value in it, once"),
        ("[parameters.cutoff]\nsysex = 'F0 7D mm F7'", "is not a message with the value in it, once"),
        ("[parameters.cutoff]", "parameters.cutoff: give one of cc, cc14, nrpn, sysex; it has none"),
        ("[parameters.cutoff]\ncc = 20\ncc14 = 1", "it has cc and cc14"),
        ("[parameters.cutoff]\ncc = 20\nlow = 128", "low = 128 is not an integer of 0..127"),
        ("[parameters.cutoff]\ncc = 20\nhigh = 0", "high = 0 is not another value than the other end"),
        ("[parameters.cutoff]\ncc = 20\nrange = [5, 1]", "range = [5, 1] is not two numbers in Hz, the lower first"),
        ("[parameters.cutoff]\ncc = 20\nrange = [5000, 9000]", "is not within reach of cutoff, 200..4000 Hz"),
        ("[parameters.cutoff]\ncc = 20\ncurve = 'bent'", 'curve = "bent" is not one of linear, exponential'),
        (
            "[parameters.sin_mod_amplitude]\ncc = 20\ncurve = 'exponential'",
            "an exponential range must start above 0, not at 0.0; give it a `range`",
        ),
        ("[parameters.cutoff]\ncc = 20\ntable = [1]", "table = [1] is not two or more integers of 0..127"),
        ("[parameters.cutoff]\ncc = 20\ntable = [1, 2]\nlow = 1", "without low, high, range or curve"),
        ("[parameters.cutoff]\ncc = 20\nhihg = 1", "parameters.cutoff: unknown key 'hihg'; there are cc, cc14"),
        (
            "[parameters.cutoff]\ncc = 20\n[parameters.decay]\ncc = 20",
            "parameters.cutoff: CC 20 is already that of decay",
        ),
        (
            "unreserved = [33]\n[parameters.attack]\ncc14 = 1\n[parameters.decay]\ncc = 33",
            "parameters.decay: CC 33 is already that of attack",
        ),
        ("channel = 17", "bad.toml: channel = 17 is not an integer of 1..16"),
        ("channel = 'one'", 'channel = "one" is not an integer of 1..16'),
        ("chanel = 1", "bad.toml: unknown key 'chanel'; there are name, maker"),
        ("synth = 'none'", 'synth = "none" is not one of paper, sine'),
        ("base = 'none'", "no profile 'none'; give a TOML file, or one of paper, sine"),
        ("parameters = 5", "parameters = 5 is not a table"),
        ("settings = 5", "settings = 5 is not a list of tables, each headed [[settings]]"),
        ("nrpn_null = 1", "nrpn_null = 1 is not true or false"),
        ("maker = 1", "maker = 1 is not a text"),
        ("[source]\nurrl = ''", "bad.toml: source: unknown key 'urrl'; there are document, page, url"),
        ("[[settings]]\ncc = 7", "bad.toml: settings 1: value is missing; it is an integer of 0..127"),
        ("[[others]]\nname = 'x'", "bad.toml: others 1: give one of cc, cc14, nrpn, sysex; it has none"),
        ("", "no parameter is driven; give [parameters.sin_frequency] a cc"),
        ("[parameters", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_value_and_what_is_allowed(text: str, message: str, tmp_path: Path) -> None:
    if text.startswith(("[[", "maker", "nrpn_null", "[source", "settings")):
        text = f"{text}\n[parameters.cutoff]\ncc = 20\n"
    with pytest.raises(UsageError, match=re.escape(message)):
        profiles.load(written(tmp_path / "bad.toml", text))


def test_a_profile_that_is_not_there_or_for_another_synth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no profile '.*nothing.toml'; give a TOML file, or one of paper, sine"):
        profiles.load(tmp_path / "nothing.toml")
    with pytest.raises(UsageError, match="the profile paper drives the parameters of the synth paper, not these"):
        profiles.load("paper", synth("sine").space)
    with pytest.raises(UsageError, match=r"MIDI channel 17 is not an integer of 1\.\.16"):
        profiles.load("paper", channel=17)


# -- the documentation ------------------------------------------------------------------------

DOCS = Path(__file__).parents[1] / "docs"


def test_the_live_page_lists_the_numbers_of_the_paper_synth() -> None:
    listed = {name: int(number) for name, number in re.findall(r"`(\w+)` \| (\d+) \|", (DOCS / "live.md").read_text())}
    assert listed == {param.name: param.midi for param in PAPER}


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", (DOCS / "midi.md").read_text(), re.DOTALL))
def test_the_profiles_on_the_page_are_ones(example: str, tmp_path: Path) -> None:
    assert profiles.load(written(tmp_path / "a.toml", example)).driven
