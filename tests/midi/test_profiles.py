"""Profiles of devices: what TOML may say, what is refused and how, and how the values run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inversynth import synths
from inversynth.cli import main
from inversynth.errors import UsageError
from inversynth.midi import RESERVED, Control, ControlChange, ControlChange14, Nrpn, Profile, Sysex, messages, profiles
from inversynth.midi.profiles import charts, learning

SYNTH, SINE = synths.load("paper"), synths.load("sine")
PAPER = SYNTH.space


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def control(tmp_path: Path, text: str, name: str = "cutoff") -> Control:
    """The control of one parameter of the paper's synth, from the lines of its table."""
    profile = profiles.load(written(tmp_path / "a.toml", f"[parameters.{name}]\n{text}\n"), SYNTH)
    (found,) = profile.driven
    return found


@pytest.mark.parametrize("name", synths.names())
def test_every_synth_has_a_profile_of_its_own_that_midi_allows(name: str) -> None:
    profile = profiles.load(name, synths.load(name))
    numbers = [each.address.number for each in profile.driven if isinstance(each.address, ControlChange)]
    assert numbers == [param.midi for param in synths.load(name).space]
    assert len(set(numbers)) == len(synths.load(name).space)
    assert not set(numbers) & set(RESERVED)
    assert profile.channel == 1


def test_a_synths_own_values_span_seven_bits_and_levels_come_back() -> None:
    profile = profiles.load("paper", SYNTH)
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
    profile = profiles.load(written(tmp_path / "one.toml", text), SYNTH)
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
    again = profiles.load(written(tmp_path / "again.toml", profiles.to_toml(profile, "paper")), SYNTH)
    assert again == profile


def test_a_profile_changes_another(tmp_path: Path) -> None:
    text = 'base = "paper"\nchannel = 3\n[parameters.cutoff]\ncc = 19\n'
    profile = profiles.load(written(tmp_path / "mine.toml", text), SYNTH)
    assert profile.channel == 3
    numbers = {each.param.name: each.address for each in profile.driven}
    assert numbers.pop("cutoff") == ControlChange(19)
    assert numbers == {
        param.name: ControlChange(param.midi) for param in PAPER if param.name != "cutoff" and param.midi
    }
    assert profiles.load(tmp_path / "mine.toml", SYNTH, 16).channel == 16


def test_a_base_is_looked_for_beside_its_profile(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path / "common.toml", 'base = "paper"\n[parameters.cutoff]\ncc = 19\n')
    profile = profiles.load(written(tmp_path / "sub" / "mine.toml", "base = '../common.toml'\nchannel = 5\n"), SYNTH)
    assert profile.channel == 5
    assert {each.param.name: each.address for each in profile.driven}["cutoff"] == ControlChange(19)


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


@pytest.mark.parametrize("name", synths.names())
def test_every_level_comes_back_from_a_finer_device(name: str) -> None:
    for param in synths.load(name).space:
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
        ("[parameters.cutoff]\ncc = 38", "MIDI 1.0 reserves it (the LSB of controller 6)"),
        ("[parameters.cutoff]\ncc = 64", "(the damper pedal)"),
        ("[parameters.cutoff]\ncc = 101", "(RPN, MSB)"),
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
        ("[parameters.cutoff]\nosc = 'cutoff'", 'osc = "cutoff" is not an address of OSC'),
        ("[parameters.cutoff]", "parameters.cutoff: give one of cc, cc14, nrpn, sysex, osc; it has none"),
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
        ("synth = 'none'", 'synth = "none" is not paper, the synth whose parameters are to be driven'),
        ("base = 'none'", "no profile 'none'; give a TOML file, or one of paper, nrpn, osc"),
        ("parameters = 5", "parameters = 5 is not a table"),
        ("settings = 5", "settings = 5 is not a list of tables, each headed [[settings]]"),
        ("nrpn_null = 1", "nrpn_null = 1 is not true or false"),
        ("maker = 1", "maker = 1 is not a text"),
        ("[source]\nurrl = ''", "bad.toml: source: unknown key 'urrl'; there are document, page, url"),
        ("[[settings]]\ncc = 7", "bad.toml: settings 1: value is missing; it is an integer of 0..127"),
        ("[[others]]\nname = 'x'", "bad.toml: others 1: give one of cc, cc14, nrpn, sysex; it has none"),
        ("", "no parameter is driven; give [parameters.sin_frequency] a cc"),
        ("[parameters", "is not TOML"),
        (f"a = {'[' * 5000}", "is not TOML"),
        (f"channel = {'1' * 5000}", "is not TOML"),
        (
            "[parameters.cutoff]\ncc = 20\nrange = [20, inf]",
            "range = [20, Infinity] is not two numbers",
        ),
        (
            f"[parameters.cutoff]\ncc = 20\nrange = [1, 1{'0' * 400}]",
            "is not two numbers in Hz, the lower first, and within",
        ),
        ("[[settings]]\nprogram = 5\nvalue = 5", "settings 1: program = 5 is not true; the program is the `value`"),
    ],
)
def test_what_is_wrong_is_said_with_file_key_value_and_what_is_allowed(text: str, message: str, tmp_path: Path) -> None:
    if text.startswith(("[[", "maker", "nrpn_null", "[source", "settings")):
        text = f"{text}\n[parameters.cutoff]\ncc = 20\n"
    with pytest.raises(UsageError, match=re.escape(message)):
        profiles.load(written(tmp_path / "bad.toml", text), SYNTH)


def test_a_profile_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "round.toml"
    with pytest.raises(UsageError, match=r'round\.toml" is not another profile: it leads back to this one'):
        profiles.load(written(file, f"base = '{file}'"), SYNTH)


def test_a_byte_order_mark_is_no_part_of_a_profile(tmp_path: Path) -> None:
    file = written(tmp_path / "marked.toml", "\ufeff[parameters.cutoff]\ncc = 20\n")
    assert [each.address for each in profiles.load(file, SYNTH).driven] == [ControlChange(20)]


def test_a_profile_that_is_not_there_or_for_another_synth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no profile '.*nothing.toml'; give a TOML file, or one of paper, nrpn, osc"):
        profiles.load(tmp_path / "nothing.toml", SYNTH)
    with pytest.raises(UsageError, match=r"no profile 'paper'; give a TOML file, or one of sine, nrpn, osc, hexter"):
        profiles.load("paper", SINE)
    with pytest.raises(
        UsageError, match=r'hexter.toml: synth = "paper" is not sine, the synth whose parameters are to be'
    ):
        profiles.load("hexter", SINE)
    with pytest.raises(UsageError, match=r"MIDI channel 17 is not an integer of 1\.\.16"):
        profiles.load("paper", SYNTH, channel=17)


# -- the shipped ones -------------------------------------------------------------------------

DEVICES = [name for name in profiles.names() if name not in {"nrpn", "osc"}]


@pytest.mark.parametrize("name", DEVICES)
def test_a_shipped_profile_names_its_document_and_leaves_our_values_apart(name: str) -> None:
    profile = profiles.load(name, SYNTH)
    assert profile.name == name
    assert profile.maker
    assert profile.model
    assert profile.source.document
    assert profile.source.page
    assert profile.source.url.startswith("https://")
    assert profile.others
    driven = {place for control in profile.driven for place in control.address.places}
    assert not driven & {place for other in profile.others for place in other.address.places}
    for control in profile.driven:
        values = control.value_of_x(np.linspace(0, 1, control.param.levels))
        assert ((values >= 0) & (values <= control.address.top)).all()
        assert abs(values[-1] - values[0]) >= 8  # the nine places of a drawbar, at least
        np.testing.assert_array_equal(np.sign(np.diff(values)) * np.sign(values[-1] - values[0]) >= 0, True)


def test_oscillators_in_semitones_get_the_notes_of_our_frequencies() -> None:
    profile = profiles.load("prophet-08", SYNTH)
    control = next(each for each in profile.driven if each.param.name == "saw_frequency")
    notes = control.value_of_x(control.param.x_of_level(np.arange(16)))
    np.testing.assert_array_equal(notes, 69 + np.arange(16))  # A 440 is MIDI's note 69, and ours step in semitones


def test_drawbars_are_pulled_out_by_small_values() -> None:
    control = next(each for each in profiles.load("setbfree", SYNTH).driven if each.param.name == "sin_amplitude")
    np.testing.assert_array_equal(control.value_of_x([0, 1]), [127, 0])


# -- charts -----------------------------------------------------------------------------------

HEADER = (
    "manufacturer,device,section,parameter_name,parameter_description,cc_msb,cc_lsb,cc_min_value,cc_max_value,"
    "cc_default_value,nrpn_msb,nrpn_lsb,nrpn_min_value,nrpn_max_value,nrpn_default_value,orientation,notes,usage"
)
ROWS = """
Acme,One,Filter,Filter cutoff,,43,,0,127,,,,,,,0-based,,
Acme,One,Filter,Resonance,,16,48,0,127,,,,,,,0-based,,
Acme,One,Filter envelope,Attack,,20,,0,127,,,,,,,0-based,,
Acme,One,Amp envelope,Attack,,21,,0,127,,,,,,,0-based,"a ""note"", with a comma",
Acme,One,Amp envelope,Decay,,,,,,,1,23,0,200,,0-based,,
Acme,One,LFO,Wave,,30,,0,3,,,,,,,0-based,,0: sine; 1: square
Acme,One,General,Panic,,,,,,,,,,,,,,
"""


def test_a_chart_becomes_a_profile_that_drives_what_has_our_names(tmp_path: Path) -> None:
    profile = charts.read_chart(written(tmp_path / "one.csv", HEADER + ROWS), SYNTH)
    assert (profile.maker, profile.model) == ("Acme", "One")
    assert [(each.param.name, each.address, each.low, each.high) for each in profile.driven] == [
        ("attack", ControlChange(21), 0, 127),
        ("decay", Nrpn(1, 23), 0, 200),
        ("resonance", ControlChange14(16), 0, 16383),
    ]
    assert [(each.name, each.address, each.low, each.high, each.choices) for each in profile.others] == [
        ("Filter cutoff", ControlChange(43), 0, 127, ()),  # MIDI reserves the number
        ("Attack", ControlChange(20), 0, 127, ()),
        ("Wave", ControlChange(30), 0, 3, ((0, "sine"), (1, "square"))),
    ]
    # What was written is read again.
    assert profiles.load(written(tmp_path / "one.toml", profiles.to_toml(profile, "paper")), SYNTH) == profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column 'manufacturer'; a chart has manufacturer, device"),
        (HEADER + "\n", "the chart has no rows"),
        (HEADER + "\nA,B,C,Cutoff,,x,,,,,,,,,,,,\n", "chart.csv: line 2: cc_msb = 'x' is not an integer of 0..127"),
        (HEADER + f"\nA,B,C,Cutoff,,{'9' * 5000},,,,,,,,,,,,\n", "line 2: cc_msb = '999"),
        (HEADER + "\nA,B,C,Cutoff,,,,,,,127,127,,,,,,\n", "there is nothing to send"),
        (HEADER + "\nA,B,C,Cutoff,,200,,,,,,,,,,,,\n", "line 2: cc_msb = '200' is not an integer of 0..127"),
        (HEADER + "\nA,B,C,Cutoff,,,,,,,1,2,0,99999,,,,\n", "nrpn_max_value = '99999' is not an integer of 0..16383"),
        (HEADER + "\nA,B,C,Cutoff,,,,,,,,,,,,,,\n", "there is nothing to send"),
    ],
)
def test_what_is_no_chart_is_said_with_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        charts.read_chart(written(tmp_path / "chart.csv", text), SYNTH)


# -- learning ---------------------------------------------------------------------------------


class Device:
    """Sends a list of messages for each line that it is asked, at 100 a second; an empty list, or a text, is typed."""

    def __init__(self, moves: Sequence[list[bytes] | str]) -> None:
        self._moves, self._coming = list(moves), list[bytes]()
        self._typed: str | None = None
        self.now = 0.0
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
        if "move its control" in line:
            move = self._moves.pop(0)
            self._coming = [] if isinstance(move, str) else list(move)
            self._typed = None if self._coming else f"{''.join(map(str, move))}\n"

    def receive(self, timeout_s: float) -> bytes | None:
        self.now += 0.01 if self._coming else timeout_s
        return self._coming.pop(0) if self._coming else None

    def entered(self) -> str | None:
        typed, self._typed = self._typed, None
        return typed

    def learn(self) -> list[tuple[int | None, Control]]:
        found = learning.learn(SINE.space, self.receive, self.entered, self.say, lambda: self.now)
        return [(channel, control) for _, channel, control in found if control is not None]


def test_a_control_is_learned_by_what_it_sends_and_enter_skips() -> None:
    device = Device(
        [
            [messages.control_change(5, 74, value) for value in range(3, 127)],
            [],
            [each for value in range(0, 16384, 64) for each in messages.control_change_14(5, 9, value)],
            [each for value in range(100, 20, -1) for each in messages.nrpn(5, 1, 2, value, bits=7)],
        ]
    )
    assert [(on, each.param.name, each.address, each.low, each.high) for on, each in device.learn()] == [
        (5, "frequency_1", ControlChange(74), 0, 127),
        (5, "frequency_2", ControlChange14(9), 0, 16383),
        (5, "amplitude_2", Nrpn(1, 2, 7), 100, 21),
    ]
    assert "  skipped" in device.lines


def moves(number: int) -> list[bytes]:
    return [messages.control_change(1, number, value) for value in range(128)]


def test_b_goes_back_and_q_ends_and_keeps_what_was_moved() -> None:
    device = Device([moves(74), moves(75), "b", moves(76), "q"])
    assert [(each.param.name, each.address) for _, each in device.learn()] == [
        ("frequency_1", ControlChange(74)),
        ("amplitude_1", ControlChange(75)),
        ("amplitude_1", ControlChange(76)),
    ]
    asked = [line.split(":")[0] for line in device.lines if "move its control" in line]
    assert asked == ["frequency_1", "amplitude_1", "frequency_2", "amplitude_1", "frequency_2"]
    assert "Enter skips it, b and Enter goes back to the one before, q and Enter ends" in device.lines[0]


def test_what_was_gone_back_to_is_taken_back_and_its_control_is_free() -> None:
    device = Device([moves(74), "B", moves(75), moves(74), "b", [], [], []])
    found = learning.learn(SINE.space, device.receive, device.entered, device.say, lambda: device.now)
    assert [(param.name, control and control.address) for param, _, control in found] == [
        ("frequency_1", ControlChange(74)),
        ("frequency_1", None),
        ("frequency_1", ControlChange(75)),
        ("amplitude_1", ControlChange(74)),
        ("amplitude_1", None),
    ]


def test_notes_and_what_stands_still_are_no_controls_and_none_is_taken_twice() -> None:
    cutoff = [messages.control_change(1, 74, value) for value in range(128)]
    other = [messages.control_change(1, 75, value) for value in range(20, 60)]
    resting = [messages.control_change(1, 1, 64), messages.note_on(1, 60, 100)]
    device = Device([list(cutoff), list(cutoff), other, [*resting, *[resting[0]] * 20, *cutoff[::-1]], [], []])
    found = device.learn()
    assert [(each.param.name, each.address, each.low, each.high) for _, each in found] == [
        ("frequency_1", ControlChange(74), 0, 127),
        ("amplitude_1", ControlChange(75), 20, 59),
    ]
    assert device.lines.count("  CC 74 is already that of frequency_1; move another") == 2


def test_a_controller_of_the_fine_halves_numbers_is_one_by_itself_if_no_coarse_half_is_sent(tmp_path: Path) -> None:
    cutoff = [messages.control_change(1, 43, value) for value in range(128)]  # as KORG's minilogue sends it
    expression = [messages.control_change(1, 11, value) for value in range(100)]
    device = Device([expression, cutoff, [], []])
    found = device.learn()
    assert [each.address for _, each in found] == [ControlChange(11), ControlChange(43)]
    controls = (*(each for _, each in found), None, None)
    learned = Profile("learned", SINE.space, controls)
    assert profiles.load(written(tmp_path / "learned.toml", profiles.to_toml(learned, "sine")), SINE) == learned


def test_exclusive_messages_are_learned_by_the_bytes_that_change(tmp_path: Path) -> None:
    one = [bytes.fromhex("F0 43 10 7F 1C 05 30 00 16") + bytes([value, 0xF7]) for value in range(128)]  # reface DX
    two = [
        bytes([0xF0, 0x7D, 1, 2, value & 127, value >> 7, 0xF7]) for value in range(3000, 100, -7)
    ]  # the fine one first
    summed = [bytes([0xF0, 0x41, 5, 6, value, 127 - value, value ^ 5, 0xF7]) for value in range(100)]
    device = Device([one, two, summed, []])
    found = device.learn()
    assert [(on, str(each.address), each.low, each.high) for on, each in found] == [
        (None, "sysex F0 43 10 7F 1C 05 30 00 16 vv F7", 0, 127),
        (None, "sysex F0 7D 01 02 ll mm F7", 3000, 102),
    ]
    assert any("more than one value changes" in line for line in device.lines)
    learned = Profile("learned", SINE.space, (*(each for _, each in found), None, None))
    assert profiles.load(written(tmp_path / "learned.toml", profiles.to_toml(learned, "sine")), SINE) == learned


def test_each_control_is_given_as_soon_as_it_was_moved() -> None:
    device = Device([[messages.control_change(1, 74, value) for value in range(128)]])
    given = learning.learn(SINE.space, device.receive, device.entered, device.say, lambda: device.now)
    assert next(given)[2] == Control.of(SINE.space[0], ControlChange(74))  # so that Ctrl-C keeps it


# -- the command ------------------------------------------------------------------------------


def test_the_command_lists_shows_checks_and_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*synths.names(), *profiles.names()]
    for name in [*synths.names(), *profiles.names()]:
        assert main(["profiles", "show", name]) == 0
        shown = written(tmp_path / f"{name}.toml", capsys.readouterr().out)
        assert main(["profiles", "check", str(shown)]) == 0
        synth = synths.load(name) if name in synths.names() else SYNTH
        assert f"{len(profiles.load(name, synth).driven)} of " in capsys.readouterr().out
        assert profiles.load(shown, synth).driven == profiles.load(name, synth).driven
    chart = written(tmp_path / "one.csv", HEADER + ROWS)
    assert main(["profiles", "import", str(chart), "--out", str(tmp_path / "one.toml")]) == 0
    assert "3 of 23 parameters driven, 3 other parameters of the device named" in capsys.readouterr().out
    assert len(profiles.load(tmp_path / "one.toml", SYNTH).driven) == 3


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = written(tmp_path / "bad.toml", "[parameters.cutoff]\ncc = 300\n")
    assert main(["profiles", "check", str(bad)]) == 2
    error = capsys.readouterr().err
    assert error == f"inversynth: error: {bad}: parameters.cutoff: cc = 300 is not an integer of 0..127\n"


# -- the documentation ------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


def test_the_live_page_lists_the_numbers_of_the_paper_synth() -> None:
    listed = {name: int(number) for name, number in re.findall(r"`(\w+)` \| (\d+) \|", (DOCS / "live.md").read_text())}
    assert listed == {param.name: param.midi for param in PAPER}


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", (DOCS / "midi.md").read_text(), re.DOTALL))
def test_the_profiles_on_the_page_are_ones(example: str, tmp_path: Path) -> None:
    assert profiles.load(written(tmp_path / "a.toml", example), SYNTH).driven
