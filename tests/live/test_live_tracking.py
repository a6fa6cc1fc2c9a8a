"""The tracker: what moves, how far at least, how smoothly, and that it arrives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import synths
from inversynth.live import Tracker
from inversynth.live.tracking import estimate
from inversynth.spec import CATEGORICAL, ORDINAL, Param, ParamSpace

PAPER = synths.load("paper").space
SPACE = ParamSpace(
    [
        Param("cutoff", "c", 0, 1),
        Param("wave", "w", 0, 1, levels=4, kind=CATEGORICAL),
        Param("fine", "f", 0, 1, levels=128),
    ]
)

Rows = list[NDArray[np.float32]]


def sure(*levels: int, space: ParamSpace = SPACE, share: float = 1.0) -> Rows:
    """Distributions with `share` on these levels and the rest on all."""
    rows = []
    for param, level in zip(space, levels, strict=True):
        row = np.full(param.levels, (1 - share) / param.levels, np.float32)
        row[level] += np.float32(share)
        rows.append(row)
    return rows


def observe(tracker: Tracker, rows: Rows, at_s: float, settle: bool = False, sliding: bool = False) -> None:
    space = PAPER if len(rows) == len(PAPER) else SPACE
    tracker.update(estimate(space, rows), at_s, settle, sliding)


def levels(tracker: Tracker, at_s: float = 1e9) -> list[float]:
    return [round(float(x * (p.levels - 1)), 6) for x, p in zip(tracker.x(at_s), SPACE, strict=True)]


def test_the_first_note_is_taken_whole_however_unsure_it_is() -> None:
    tracker = Tracker(SPACE, 0.9, 0.0)
    assert not tracker.known
    observe(tracker, sure(3, 2, 100, share=0.6), 0.0)
    assert tracker.known
    assert levels(tracker, 0.0) == [3, 2, 100]
    observe(tracker, sure(9, 1, 20, share=0.6), 1.0)
    assert levels(tracker, 1.0) == [9, 1, 20]
    observe(tracker, sure(10, 1, 21, share=0.6), 2.0, settle=True)
    assert levels(tracker, 2.0) == [10, 1, 21]
    observe(tracker, sure(3, 2, 100, share=0.6), 3.0, sliding=True)
    tracker.begin()
    observe(tracker, sure(3, 2, 100, share=0.6), 4.0)
    observe(tracker, sure(3, 2, 100, share=0.6), 5.0, settle=True)
    assert levels(tracker, 5.0) == [10, 1, 21]


def test_the_first_note_is_over_when_another_begins() -> None:
    tracker = Tracker(SPACE, 0.9, 0.0)
    tracker.begin()
    observe(tracker, sure(3, 2, 100, share=0.6), 0.0)
    tracker.begin()
    observe(tracker, sure(9, 1, 20, share=0.6), 0.4)
    assert levels(tracker, 0.4) == [3, 2, 100]


def test_the_estimate_is_the_median_and_of_a_choice_the_likeliest() -> None:
    rows = sure(0, 0, 0)
    rows[0][[0, 8, 9, 10]] = 0.4, 0.2, 0.2, 0.2
    rows[1][:] = 0.4, 0.3, 0.3, 0
    found, confidence = estimate(SPACE, rows)
    assert found.tolist() == [8, 0, 0]
    np.testing.assert_allclose(confidence, [0.4, 0.4, 1.0], atol=1e-6)


def test_the_likeliest_level_is_as_probable_as_it_is_with_its_neighbours() -> None:
    rows = sure(0, 0, 0)
    rows[0][[0, 1, 8, 9, 10]] = 0.3, 0.1, 0.2, 0.2, 0.2
    found, confidence = estimate(SPACE, rows, likeliest=True)
    assert found.tolist() == [0, 0, 0]
    np.testing.assert_allclose(confidence, [0.4, 1.0, 1.0], atol=1e-6)


def test_the_estimate_is_what_numpy_makes_of_the_distributions() -> None:
    random = np.random.default_rng(4)
    for number in range(200):
        space = (SPACE, PAPER)[number % 2]
        rows = [random.dirichlet(np.full(param.levels, 0.2)).astype(np.float32) for param in space]
        likeliest = number % 3 == 0
        found, confidence = estimate(space, rows, likeliest)
        for param, row, at, sure_of_it in zip(space, rows, found, confidence, strict=True):
            shares = row.astype(np.float64)
            if param.kind == CATEGORICAL:
                assert (at, sure_of_it) == (row.argmax(), shares.max())
            else:
                below = np.cumsum(shares)
                assert at == (shares.argmax() if likeliest else np.argmax(below >= 0.5 * below[-1]))
                assert sure_of_it == pytest.approx(shares[max(at - 1, 0) : at + 2].sum(), rel=1e-12)


def test_rows_of_another_space_are_refused() -> None:
    with pytest.raises(ValueError, match="row 0 has 7 levels, not 16"):
        estimate(SPACE, [np.ones(7, np.float32), *sure(0, 0, 0)[1:]])
    with pytest.raises(ValueError, match="there are 2 rows for 3 parameters"):
        estimate(SPACE, sure(0, 0, 0)[1:])


def test_a_parameter_moves_only_where_the_network_is_sure() -> None:
    tracker = Tracker(SPACE, 0.5, 0.0)
    observe(tracker, sure(3, 2, 100), 0.0, settle=True)
    unsure, certain = sure(9, 1, 20, share=0.2), sure(9, 1, 20, share=0.6)
    observe(tracker, [unsure[0], certain[1], unsure[2]], 1.0)
    assert levels(tracker) == [3, 1, 100]
    observe(tracker, certain, 2.0)
    assert levels(tracker) == [9, 1, 20]


def test_the_neighbours_of_a_level_count_but_not_those_of_a_choice() -> None:
    tracker = Tracker(SPACE, 0.9, 0.0)
    observe(tracker, sure(3, 2, 100), 0.0, settle=True)
    rows = sure(9, 1, 20)
    rows[0][[8, 9, 10]] = 0.3, 0.4, 0.3
    rows[1][:] = 0.3, 0.4, 0.3, 0
    observe(tracker, rows, 1.0)
    assert levels(tracker) == [9, 2, 20]
    np.testing.assert_allclose(tracker.confidence, [1.0, 0.4, 1.0], atol=1e-6)


def test_a_parameter_moves_by_one_and_a_half_of_its_steps_at_least_and_a_choice_by_one() -> None:
    tracker = Tracker(SPACE, 0.5, 0.0)
    observe(tracker, sure(3, 2, 100), 0.0)
    observe(tracker, sure(4, 1, 101), 1.0)
    assert levels(tracker) == [3, 1, 100]
    observe(tracker, sure(5, 1, 102), 2.0)
    assert levels(tracker) == [5, 1, 102]


def test_what_settles_a_note_moves_however_near() -> None:
    tracker = Tracker(SPACE, 0.5, 0.0)
    observe(tracker, sure(3, 2, 100), 0.0)
    observe(tracker, sure(4, 2, 101), 1.0, settle=True)
    assert levels(tracker) == [4, 2, 101]


def test_a_network_that_wavers_between_neighbours_moves_nothing_for_an_hour() -> None:
    tracker, random = Tracker(SPACE, 0.5, 0.1), np.random.default_rng(1)
    observe(tracker, sure(7, 2, 60), 0.0)
    for second in range(1, 3600):
        observe(tracker, sure(7 + int(random.integers(-1, 2)), 2, 60 + int(random.integers(-1, 2))), second)
        assert levels(tracker, second + 0.5) == [7, 2, 60]


def test_a_move_is_a_straight_line_that_ends_exactly_at_the_goal_in_time() -> None:
    tracker = Tracker(SPACE, 0.5, 0.5)
    observe(tracker, sure(0, 0, 0), 0.0)
    observe(tracker, sure(15, 3, 127), 1.0)
    for at_s in np.linspace(1.0, 1.5, 11):
        x = tracker.x(at_s)
        np.testing.assert_allclose(x[[0, 2]], 2 * (at_s - 1.0), atol=1e-12)
        assert x[1] == 1.0  # a choice jumps
        assert tracker.moving(at_s) == (at_s < 1.5)
    np.testing.assert_array_equal(tracker.x(1.5), [1.0, 1.0, 1.0])


def test_a_goal_that_changes_on_the_way_is_reached_from_there() -> None:
    tracker = Tracker(SPACE, 0.5, 1.0)
    observe(tracker, sure(0, 0, 0), 0.0)
    observe(tracker, sure(15, 0, 127), 1.0)
    observe(tracker, sure(0, 0, 127), 1.5)
    assert tracker.x(1.5)[0] == pytest.approx(0.5)
    assert tracker.x(2.0)[0] == pytest.approx(0.25)
    np.testing.assert_array_equal(tracker.x(2.5), [0.0, 0.0, 1.0])
    assert not tracker.moving(2.5)


def test_inferring_the_goal_again_does_not_delay_it() -> None:
    tracker = Tracker(SPACE, 0.5, 1.0)
    observe(tracker, sure(0, 0, 0), 0.0)
    for at_s in np.linspace(1.0, 2.0, 50):
        observe(tracker, sure(15, 0, 127), at_s)
    np.testing.assert_array_equal(tracker.x(2.0), [1.0, 0.0, 1.0])


def test_without_the_beginning_of_a_note_its_envelope_stays() -> None:
    tracker, middle = Tracker(PAPER, 0.5, 0.0), PAPER.levels // 2
    observe(tracker, sure(*middle, space=PAPER), 0.0)
    observe(tracker, sure(*np.zeros(len(PAPER), int), space=PAPER), 1.0, sliding=True)
    moved = {name for name, x in zip(PAPER.names, tracker.x(1.0), strict=True) if x == 0}
    assert set(PAPER.names) - moved == {"attack", "decay", "sustain", "release"}


def test_it_says_what_has_no_effect_in_the_patch() -> None:
    tracker = Tracker(PAPER, 0.5, 0.0)
    levels = PAPER.levels // 2
    levels[PAPER.index("saw_mod_amplitude")] = 0
    observe(tracker, sure(*levels, space=PAPER), 0.0)
    assert [name for name, at in zip(PAPER.names, tracker.active, strict=True) if not at] == ["saw_mod_frequency"]


def test_a_patch_that_was_found_otherwise_is_moved_to_between_levels_too() -> None:
    tracker = Tracker(SPACE, 0.9, 0.2)
    observe(tracker, sure(3, 2, 100), 0.0)
    found = np.array([0.234, 2 / 3, 0.5])
    tracker.settle(found, 1.0)
    assert tracker.x(1.1)[0] == pytest.approx((0.2 + 0.234) / 2)
    np.testing.assert_array_equal(tracker.x(1.2), found)


def test_an_ordinal_parameter_moves_level_by_level_and_is_never_between() -> None:
    space = ParamSpace([Param("octave", "o", 0, 4, levels=5, kind=ORDINAL), Param("cutoff", "c", 0, 1, levels=5)])
    tracker = Tracker(space, 0.0, 1.0)
    tracker.update(estimate(space, sure(0, 0, space=space)), 0.0)
    tracker.update(estimate(space, sure(4, 4, space=space)), 1.0)
    at = np.array([tracker.x(at_s) for at_s in np.linspace(1, 2, 101)])
    assert sorted(set(at[:, 0])) == [0, 0.25, 0.5, 0.75, 1]
    assert (np.diff(at[:, 0]) >= 0).all()
    assert len(set(at[:, 1])) == 101  # a continuous one passes all between


def test_a_switch_of_two_levels_moves_too() -> None:
    space = ParamSpace([Param("sync", "s", 0, 1, levels=2, kind=ORDINAL)])
    tracker = Tracker(space, 0.5, 0.0)
    tracker.update(estimate(space, sure(0, space=space)), 0.0)
    tracker.update(estimate(space, sure(1, space=space)), 1.0)
    assert tracker.x(1.0).tolist() == [1.0]


def test_the_envelope_is_found_by_roles_and_not_by_names() -> None:
    roles = {"attack": None, "rise": "envelope time", "hold": "envelope level", "pitch": "pitch"}
    space = ParamSpace([Param(name, name, 0, 1, role=role) for name, role in roles.items()])
    tracker = Tracker(space, 0.5, 0.0)
    tracker.update(estimate(space, sure(8, 8, 8, 8, space=space)), 0.0)
    tracker.update(estimate(space, sure(0, 0, 0, 0, space=space)), 1.0, sliding=True)
    assert [name for name, x in zip(roles, tracker.x(1.0), strict=True) if x == 0] == ["attack", "pitch"]
