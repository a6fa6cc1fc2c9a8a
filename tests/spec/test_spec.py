"""Parameters and parameter spaces: one walk over every table, then the rules of a space."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import reference
from inversynth import synths
from inversynth.errors import MismatchError, UsageError
from inversynth.spec import AudioFormat, Param, ParamSpace
from inversynth.synths.paper import table as paper

SYNTHS = [synths.load(name) for name in synths.names()]
EVERY = [pytest.param(param, id=f"{synth.name}-{param.name}") for synth in SYNTHS for param in synth.space]


def small() -> ParamSpace:
    return ParamSpace(
        [
            Param("rate", "v", 1.0, 30.0, "Hz", levels=4, inert_when=("depth", 0)),
            Param("depth", "B", 0.0, 100.0, "Hz", levels=3),
            Param("pitch", "f", 100.0, 400.0, "Hz", "exponential", levels=5, midi=20),
        ]
    )


@pytest.mark.parametrize("param", EVERY)
def test_every_level_survives_every_conversion(param: Param) -> None:
    levels = np.arange(param.levels)
    values = param.value_of_level(levels)
    assert values[0] == pytest.approx(param.low)
    assert values[-1] == pytest.approx(param.high)
    assert np.all(np.diff(values) > 0)
    assert np.array_equal(param.level_of_value(values), levels)
    assert np.array_equal(param.level_of_x(param.x_of_level(levels)), levels)
    assert param.value_of_x(param.x_of_value(values)) == pytest.approx(values)


@pytest.mark.parametrize("param", EVERY)
def test_a_value_between_two_levels_goes_to_the_nearer(param: Param) -> None:
    x = (np.arange(param.levels - 1) + 0.49) / (param.levels - 1)
    assert np.array_equal(param.level_of_x(x), np.arange(param.levels - 1))
    assert np.array_equal(param.level_of_x(x + 0.02 / (param.levels - 1)), np.arange(1, param.levels))


def test_the_notes_of_the_paper_are_the_tempered_scale_from_a4() -> None:
    assert paper.SPACE["sin_frequency"].value_of_level([0, 1, 3, 12, 15]) == pytest.approx(
        [440.0, 466.16, 523.25, 880.0, 1046.50], abs=0.005
    )


def test_the_linear_levels_of_the_paper_are_evenly_spaced_in_units() -> None:
    assert paper.SPACE["cutoff"].value_of_level([0, 1, 15]) == pytest.approx([200.0, 200 + 3800 / 15, 4000.0])


def test_the_paper_has_23_parameters_of_16_levels_in_its_order() -> None:
    names = [f"{w}_{what}" for w in ("sin", "saw", "tri", "sqr") for what in ("frequency", "mod_frequency")]
    assert paper.SPACE.names[:2] == tuple(names[:2])
    assert paper.SPACE.names[16:] == ("attack", "decay", "sustain", "release", "cutoff", "resonance", "gate_frequency")
    assert paper.SPACE.levels.tolist() == [16] * 23
    assert all(paper.SPACE.index(name) % 4 == i % 2 for i, name in enumerate(names))


def test_every_control_change_number_of_a_synth_is_its_own_and_not_reserved() -> None:
    for synth in SYNTHS:
        numbers = [param.midi for param in synth.space if param.midi is not None]
        assert len(set(numbers)) == len(numbers)
        assert all(1 <= number <= 119 and number not in (6, 38, 96, 97, 98, 99, 100, 101) for number in numbers)


def test_levels_and_values_of_a_whole_space_go_there_and_back() -> None:
    space = small()
    levels = np.array([[0, 0, 0], [3, 2, 4], [1, 1, 2]])
    values = space.values_of_levels(levels)
    assert values[:, 2] == pytest.approx([100.0, 400.0, 200.0])
    assert np.array_equal(space.levels_of_values(values), levels)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0, 0.0, 401.0], ["pitch", "401 Hz", "100..400 Hz"]),
        ([0.5, 0.0, 100.0], ["rate", "0.5 Hz", "1..30 Hz"]),
        ([1.0, float("nan"), 100.0], ["depth", "nan Hz", "0..100 Hz"]),
        ([1.0, float("inf"), 100.0], ["depth", "inf Hz", "0..100 Hz"]),
    ],
)
def test_a_value_outside_its_range_is_named_with_its_unit_and_range(row: list[float], message: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        small().check_values([[1.0, 0.0, 100.0], row])
    assert all(part in str(error.value) for part in [*message, "patch 1"])


def test_a_value_off_its_end_by_rounding_is_set_to_it() -> None:
    assert small().check_values([[30.000001, -1e-6, 100.0]])[0].tolist() == [30.0, 0.0, 100.0]


@pytest.mark.parametrize("values", [[1.0, 0.0, 100.0], [[1.0, 0.0]], [["a", "b", "c"]], [[1.0], [2.0, 3.0]]])
def test_values_of_another_shape_or_kind_are_refused(values: object) -> None:
    with pytest.raises(UsageError, match=r"\(n, 3\)"):
        small().check_values(values)  # type: ignore[arg-type]


def test_levels_outside_their_range_or_not_integers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"depth: level 3 is outside 0\.\.2"):
        small().check_levels([[0, 3, 0]])
    with pytest.raises(UsageError, match="pitch: level -1"):
        small().check_levels([[0, 0, -1]])
    with pytest.raises(UsageError, match="integers"):
        small().check_levels([[0.5, 0.0, 0.0]])


def test_a_parameter_is_inactive_under_the_condition_it_names() -> None:
    levels = [[2, 0, 1], [2, 1, 1]]
    assert small().active(levels).tolist() == [[False, True, True], [True, True, True]]
    assert small().canonical(levels).tolist() == [[0, 0, 1], [2, 1, 1]]


def test_the_paper_names_b_0_as_what_silences_each_modulation_rate() -> None:
    for w in reference.WAVEFORMS:
        assert paper.SPACE[f"{w}_mod_frequency"].inert_when == (f"{w}_mod_amplitude", 0)
    assert sum(param.inert_when is not None for param in paper.SPACE) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"low": 99.0},
        {"high": 401.0},
        {"curve": "linear"},
        {"levels": 6},
        {"name": "note"},
        {"unit": "kHz"},
        {"inert_when": ("depth", 1)},
    ],
)
def test_the_fingerprint_covers_what_changes_meaning(change: dict[str, object]) -> None:
    rate, depth, pitch = small()
    other = ParamSpace([rate, depth, dataclasses.replace(pitch, **change)])  # type: ignore[arg-type]
    assert other.fingerprint != small().fingerprint
    assert other != small()
    with pytest.raises(MismatchError, match=r"the file has another.*(pitch|note)"):
        small().require(other, "the file")


def test_the_fingerprint_covers_the_order_and_not_the_midi_number() -> None:
    rate, depth, pitch = small()
    assert ParamSpace([rate, depth, dataclasses.replace(pitch, midi=21)]) == small()
    turned = ParamSpace([depth, rate, pitch])
    assert turned != small()
    with pytest.raises(MismatchError, match="another order"):
        small().require(turned, "the file")


def test_a_difference_says_what_it_is_and_what_it_should_be() -> None:
    rate, depth, pitch = small()
    other = ParamSpace([rate, depth, dataclasses.replace(pitch, high=500.0)])
    assert small().differences(other) == ["pitch: high is 500.0, not 400.0"]
    assert small().differences(ParamSpace([depth, pitch])) == ["rate is missing"]
    assert ParamSpace([depth, pitch]).differences(small()) == ["rate is not expected"]


@pytest.mark.parametrize("name", synths.names())
def test_a_space_goes_through_json_and_back(name: str) -> None:
    space = synths.load(name).space
    back = ParamSpace.from_data(json.loads(json.dumps(space.to_data())))
    assert back == space
    assert back.fingerprint == space.fingerprint
    assert back.differences(space) == []


@pytest.mark.parametrize(
    "fields", [{"name": "x"}, {"name": "x", "symbol": "x", "low": 0, "high": 1, "colour": 3}, {"low": "a"}, {}]
)
def test_what_does_not_describe_a_parameter_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ParamSpace.from_data([fields])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "must be below high"),
        ({"low": 0.0, "high": 1.0, "curve": "exponential"}, "start above 0"),
        ({"low": 0.0, "high": 1.0, "curve": "cubic"}, "linear, exponential"),
        ({"low": 0.0, "high": 1.0, "levels": 1}, "1 levels; .* 2..65536"),
        ({"low": 0.0, "high": 1.0, "levels": 65537}, "65537 levels"),
        ({"low": 0.0, "high": 1.0, "levels": 2.5}, "2.5 levels"),
        ({"low": 0.0, "high": float("inf")}, "finite"),
        ({"low": float("nan"), "high": 1.0}, "must be below high"),
    ],
)
def test_an_impossible_parameter_is_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=rf"odd: .*{message}"):
        Param("odd", "o", **fields)  # type: ignore[arg-type]


def test_a_space_refuses_two_of_a_name_and_conditions_on_nothing() -> None:
    rate, depth, _ = small()
    with pytest.raises(UsageError, match="same name"):
        ParamSpace([depth, depth])
    with pytest.raises(UsageError, match="'depth' at level 0, which is not there"):
        ParamSpace([rate])


def test_an_unknown_name_is_refused_with_a_list_of_the_known() -> None:
    with pytest.raises(UsageError, match="no parameter 'pich'; there are rate, depth, pitch"):
        small()["pich"]


def test_an_audio_format_rounds_its_length_to_samples() -> None:
    assert AudioFormat(16384, 1.0).samples == 16384
    assert AudioFormat(44100, 0.1).samples == 4410
    assert AudioFormat(44100, 1 / 3).samples == 14700


@pytest.mark.parametrize(
    ("rate", "seconds"), [(0, 1.0), (-1, 1.0), (999, 1.0), (10**9, 1.0), (16384.5, 1.0), (True, 1.0)]
)
def test_an_impossible_sample_rate_is_refused(rate: int, seconds: float) -> None:
    with pytest.raises(UsageError, match="sample rate"):
        AudioFormat(rate, seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 3601.0, 1e-9])
def test_an_impossible_length_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="length"):
        AudioFormat(16384, seconds)


def test_formats_of_as_many_samples_at_the_same_rate_are_equal() -> None:
    third = AudioFormat(44100, 0.3333)  # 14698.5 samples, rounded
    assert third == AudioFormat(44100, third.samples / 44100)
    assert hash(third) == hash(AudioFormat(44100, third.samples / 44100))
    assert third != AudioFormat(44100, 0.3334)
    assert third != AudioFormat(48000, third.samples / 48000)
    assert third != (44100, 0.3333)


@pytest.mark.parametrize("field", ["name", "symbol", "unit", "group"])
@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "a\u2028b", "\ud800", 3])
def test_the_texts_of_a_parameter_are_of_one_line(field: str, text: Any) -> None:
    with pytest.raises(UsageError, match=field):
        dataclasses.replace(Param("level", "a", 0, 1), **{field: text})


def test_a_parameter_has_a_name_and_may_have_any_letters() -> None:
    with pytest.raises(UsageError, match="the name of a parameter is empty"):
        Param(" ", "a", 0, 1)
    with pytest.raises(UsageError, match=r"wave: a choice is 'saw\\tdown'"):
        Param.choice("wave", "w", ["sine", "saw\tdown"])
    strange = Param.choice("\N{GRINNING FACE} [red] <b>", "$w_{$", ["", "\u97f3", "=1+1", "x" * 200], unit="\xa0")
    assert strange.text(1) == "\u97f3"
