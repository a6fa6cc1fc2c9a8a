"""Kinds, choices, groups, conditions and symmetries of parameters, and notes."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from numpy.typing import ArrayLike

from inversynth import synths
from inversynth.errors import UsageError
from inversynth.spec import CATEGORICAL, ORDINAL, AllOf, AnyOf, Condition, Note, Param, ParamSpace, Symmetry

LFO = Param("lfo_speed", "s", 0, 99, levels=100)
DEPTHS = [Param(f"depth_{i}", f"d{i}", 0, 99, levels=100) for i in range(2)]


def of_speed(condition: Condition) -> ParamSpace:
    """The speed of an LFO that has no effect under a condition on two depths."""
    return ParamSpace([dataclasses.replace(LFO, inert_when=condition), *DEPTHS])


# -- kinds and choices ---------------------------------------------------------------------------


def test_a_choice_has_a_text_for_each_level() -> None:
    wave = Param.choice("wave", "w", ("saw", "square", "sine"), group="lfo", role="waveform")
    assert (wave.kind, wave.levels, wave.values.tolist()) == (CATEGORICAL, 3, [0, 1, 2])
    assert [wave.text(value) for value in wave.values] == ["saw", "square", "sine"]
    assert DEPTHS[0].text(3) is None


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"kind": "fuzzy"}, "kind 'fuzzy' is not one of continuous, ordinal, categorical"),
        ({"role": "loudness"}, "role 'loudness' is not one of pitch, level"),
        ({"kind": ORDINAL, "choices": ("a", "b")}, "2 choices for 16 levels; give as many"),
        ({"choices": tuple("abcdefghijklmnop")}, "a continuous parameter has no choices"),
    ],
)
def test_what_a_parameter_cannot_be_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Param("depth", "d", 0, 1, **fields)  # type: ignore[arg-type]


def test_kind_and_choices_change_what_a_label_means_but_group_role_and_controller_do_not() -> None:
    plain = ParamSpace([Param("wave", "w", 0, 2, levels=3)])
    named = Param("wave", "w", 0, 2, levels=3, group="lfo", role="waveform", midi=20)
    assert ParamSpace([named]).fingerprint == plain.fingerprint
    ordinal = ParamSpace([dataclasses.replace(named, kind=ORDINAL)])
    chosen = ParamSpace([dataclasses.replace(named, kind=CATEGORICAL, choices=("a", "b", "c"))])
    assert len({plain.fingerprint, ordinal.fingerprint, chosen.fingerprint}) == 3
    assert plain.differences(chosen) == [
        "wave: kind is categorical, not None",
        "wave: choices is ['a', 'b', 'c'], not None",
    ]
    assert ParamSpace.from_data(json.loads(json.dumps(chosen.to_data()))) == chosen


def test_the_fingerprints_of_the_synths_are_those_of_all_versions_so_far() -> None:
    found = {name: synths.load(name).space.fingerprint for name in ("paper", "sine")}
    assert found == {"paper": "c4bbfb6609b2a7fc", "sine": "c900517b149b4992"}


def test_parameters_are_found_by_what_they_are() -> None:
    space = synths.load("paper").space
    assert space.of_role("pitch").sum() == 4
    assert [name for name, use in zip(space.names, space.of_role("envelope time"), strict=True) if use] == [
        "attack",
        "decay",
        "release",
    ]
    assert not space.of_kind(CATEGORICAL).any()
    assert list(space.groups) == ["sin", "saw", "tri", "sqr", "gate"]
    (oscillators,) = space.interchangeable
    assert oscillators.tolist() == [[4 * i + j for j in range(4)] for i in range(4)]
    assert synths.load("sine").space.interchangeable == ()


# -- conditions ----------------------------------------------------------------------------------

CONDITIONS: list[tuple[Condition, list[bool]]] = [
    (("depth_0", 0), [True, True, False, False]),
    (AnyOf(("depth_0", 0), ("depth_1", 0)), [True, True, True, False]),
    (AllOf(("depth_0", 0), ("depth_1", 0)), [True, False, False, False]),
    (AnyOf(AllOf(("depth_0", 0), ("depth_1", 0)), AllOf(("depth_0", 5), ("depth_1", 5))), [True, False, False, True]),
    (AnyOf(), [False] * 4),
    (AllOf(), [True] * 4),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_a_parameter_is_inert_where_any_or_all_of_its_conditions_hold(condition: Condition, holds: list[bool]) -> None:
    space = of_speed(condition)
    levels = np.array([(7, a, b) for a, b in itertools.product((0, 5), (0, 5))])
    assert space.active(levels)[:, 0].tolist() == [not inert for inert in holds]
    assert space.canonical(levels)[:, 0].tolist() == [0 if inert else 7 for inert in holds]
    back = ParamSpace.from_data(json.loads(json.dumps(space.to_data())))
    assert back == space
    assert back["lfo_speed"].inert_when == condition


def test_a_condition_on_what_is_not_there_is_refused_however_deep() -> None:
    with pytest.raises(UsageError, match="names 'depth_2' at level 0, which is not there"):
        of_speed(AnyOf(("depth_0", 0), AllOf(("depth_2", 0))))
    with pytest.raises(UsageError, match="names 'depth_1' at level 100, which is not there"):
        of_speed(AllOf(("depth_1", 100)))


@pytest.mark.parametrize("data", [{"some": []}, {"any": [], "all": []}, "depth_0", ["depth_0"], 3, {"any": 3}])
def test_what_is_no_condition_is_refused(data: object) -> None:
    fields = DEPTHS[0].meaning | {"inert_when": data}
    with pytest.raises(UsageError, match="not the description of a parameter"):
        Param.from_meaning(fields)


# -- symmetries ----------------------------------------------------------------------------------


def operators(count: int = 3, when: Condition | None = None) -> ParamSpace:
    """Operators that may change places, each of a level that silences its ratio, and an algorithm."""
    params = [Param.choice("algorithm", "alg", ("parallel", "chain"))]
    for i in range(count):
        params += [
            Param(f"op{i}_level", "l", 0, 99, levels=100, group=f"op{i}"),
            Param(f"op{i}_ratio", "r", 0, 31, levels=32, group=f"op{i}", inert_when=(f"op{i}_level", 0)),
        ]
    return ParamSpace(params, [Symmetry(tuple(f"op{i}" for i in range(count)), when)])


def test_patches_that_differ_only_in_the_order_of_symmetric_groups_are_one() -> None:
    space = operators()
    parts = [(99, 1), (50, 3), (50, 2)]
    orders = [[0, *itertools.chain(*order)] for order in itertools.permutations(parts)]
    found = space.canonical(orders)
    assert (found == found[0]).all()
    assert found[0].tolist() == [0, 50, 2, 50, 3, 99, 1]
    assert np.array_equal(space.canonical(found), found)


def test_what_has_no_effect_does_not_keep_symmetric_groups_apart() -> None:
    space = operators(2)
    assert np.array_equal(*space.canonical([[0, 0, 31, 9, 4], [0, 9, 4, 0, 17]])[:, None])


def test_a_symmetry_may_hold_under_a_condition_alone() -> None:
    space = operators(2, when=("algorithm", 0))
    one, other = [5, 1], [4, 2]
    parallel, chain = space.canonical([[0, *one, *other]])[0], space.canonical([[1, *one, *other]])[0]
    assert parallel.tolist() == [0, 4, 2, 5, 1]
    assert chain.tolist() == [1, 5, 1, 4, 2]


def test_a_space_with_symmetries_comes_back_from_its_data_and_has_a_fingerprint_of_its_own() -> None:
    space, free = operators(3, when=("algorithm", 0)), ParamSpace(operators(3))
    back = ParamSpace.from_data(json.loads(json.dumps(space.to_data())))
    assert back == space
    assert space != free
    assert free.differences(space) == ["other groups may change places"]
    levels = [[0, 9, 1, 8, 2, 7, 3]]
    assert np.array_equal(back.canonical(levels), space.canonical(levels))


@pytest.mark.parametrize("groups", [("op0",), ("op0", "op0"), ("op0", "op9"), ("op0", "lfo")])
def test_groups_that_are_not_alike_cannot_change_places(groups: tuple[str, ...]) -> None:
    params = [*operators(2), Param("lfo_level", "l", 0, 99, levels=100, group="lfo")]
    with pytest.raises(UsageError, match="can't change places"):
        ParamSpace(params, [Symmetry(groups)])


@pytest.mark.parametrize("data", [{}, {"params": []}, {"params": [], "symmetries": [{"groups": [[]], "when": None}]}])
def test_what_is_no_space_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match="not the description of a parameter space"):
        ParamSpace.from_data(data)


# -- notes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [Note(60, 90, 0.5), (60, 90, 0.5), [[60, 90, 0.5]], [[60, 90, 0.5]] * 4])
def test_one_note_is_for_all_patches_or_there_is_one_for_each(given: Note | ArrayLike) -> None:
    rows = Note.rows(given, 4)
    assert rows.dtype == np.float64
    assert rows.tolist() == [[60, 90, 0.5]] * 4


def test_a_note_is_held_to_the_end_by_default() -> None:
    assert Note().row == (69, 100, np.inf)


@pytest.mark.parametrize(
    ("note", "what"),
    [
        ((128, 90, 1), "a note's key of 128 is outside 0..127"),
        ((60, 0, 1), "a note's velocity of 0 is outside 1..127"),
        ((60, 90, -1), "a note's hold of -1 s is outside 0..inf s"),
        ((60, np.nan, 1), "a note's velocity of nan is outside"),
        ((60, 90), r"must have the shape \(3,\) or \(2, 3\), not \(2,\)"),
        ("C4", "notes must be numbers"),
    ],
)
def test_what_is_no_note_is_refused(note: ArrayLike, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Note.rows(note, 2)
