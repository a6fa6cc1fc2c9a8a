"""The search from the network's distributions to patches that are nearer: what it finds, and that it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.search import evaluator, moves, refine
from inversynth.search.refine import Progress, Refinement
from inversynth.search.scoring import Scorer
from inversynth.spec import AudioFormat
from inversynth.synths import sampling
from inversynth.synths.synth import NativeTarget, Synth

PAPER = synths.load("paper")
WITHOUT_SOLVER = replace(PAPER, solver=None)
SHORT = replace(synths.load("sine"), format=AudioFormat(4096, 0.125))
"""A synth without an analysis of its own, quick to score."""
RIGHT = np.array([3, 8, 12, 1])


def uniform(of: Synth) -> list[NDArray[np.float64]]:
    return [np.full(param.levels, 1.0) for param in of.space]


def around(of: Synth, levels: NDArray[np.int64], sure: float = 0.9) -> list[NDArray[np.float64]]:
    """Distributions that are sure of these levels, and else of nothing."""
    rows = [np.full(param.levels, (1 - sure) / param.levels) for param in of.space]
    for row, level in zip(rows, levels, strict=True):
        row[level] += sure
    return rows


def sound(of: Synth, levels: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(of.render(of.space.values_of_levels(levels[None]))[0])


@pytest.fixture(scope="module")
def hidden() -> NDArray[np.int64]:
    """A patch of the paper's synth, all of whose parameters are audible: a short attack, no faint oscillator."""
    levels = sampling.draw(PAPER.space, 4, 0, 1024, sampling.TEST)
    early = levels[:, PAPER.space.index("attack")] < 4
    loud = (levels[:, [2, 6, 10, 14]] > 4).all(axis=1)
    return np.asarray(levels[early & loud & PAPER.space.active(levels).all(axis=1)][0])


@pytest.fixture(scope="module")
def wrong(hidden: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same, as a network might infer it: two oscillators have each other's note, other levels are near."""
    levels = hidden.copy()
    a, b = PAPER.space.index("saw_frequency"), PAPER.space.index("sqr_frequency")
    levels[[a, b]] = levels[[b, a]]
    for name, step in (("decay", 3), ("sin_amplitude", -2), ("resonance", 2), ("tri_mod_frequency", 4)):
        i = PAPER.space.index(name)
        levels[i] = levels[i] + step if 0 <= levels[i] + step < 16 else levels[i] - step
    return levels


@pytest.fixture(scope="module")
def found(hidden: NDArray[np.int64], wrong: NDArray[np.int64]) -> Refinement:
    return refine.refine(PAPER, sound(PAPER, hidden), around(PAPER, wrong), renders=6000, variations=4, seed=1)


# -- what it finds -------------------------------------------------------------------------------


def test_a_patch_of_a_small_synth_is_found_from_nothing() -> None:
    found = refine.refine(SHORT, sound(SHORT, RIGHT), uniform(SHORT), renders=5000)
    np.testing.assert_array_equal(found.best[0].levels, RIGHT)
    assert found.best[0].log_l1 == pytest.approx(0, abs=1e-6)
    assert found.renders < 5000
    assert "can't be distinguished" in found.stopped
    assert found.method == "search"


def test_what_the_network_inferred_wrongly_is_mended(found: Refinement, hidden: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(found.best[0].levels, hidden)
    np.testing.assert_allclose(found.best[0].values, PAPER.space.values_of_levels(hidden[None])[0])
    assert found.best[0].residual_db < -80
    assert found.start.rho_stft < 0.99 < found.best[0].rho_stft


def test_scores_are_those_of_the_measures(found: Refinement, hidden: NDArray[np.int64]) -> None:
    target = sound(PAPER, hidden)
    for candidate in (found.start, *found.best):
        other = PAPER.render(candidate.values[None])
        measures = metrics.sound_measures(target[None], other)
        assert candidate.rho_stft == pytest.approx(measures["rho_stft"][0], abs=1e-4)
        logs = metrics.log_spectrograms(target[None], other)
        assert candidate.log_l1 == pytest.approx(np.abs(logs[0] - logs[1]).mean(), abs=1e-4)
        norm = np.linalg.norm(target)
        assert candidate.residual == pytest.approx(np.linalg.norm(other[0] - target) / norm, abs=1e-4)
        np.testing.assert_array_equal(candidate.levels, PAPER.space.levels_of_values(candidate.values[None])[0])


def test_progress_begins_with_the_network_and_only_gets_better(found: Refinement, wrong: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(found.start.levels, wrong)
    first, last = found.progress[0], found.progress[-1]
    assert first.renders == 1
    assert first.rho_stft == pytest.approx(found.start.rho_stft)
    assert last.rho_stft == pytest.approx(found.best[0].rho_stft)
    for before, after in itertools.pairwise(found.progress):
        assert after.distance < before.distance
        assert after.seconds >= before.seconds
        assert after.renders > before.renders


def test_variations_are_other_settings_that_are_audible(found: Refinement, hidden: NDArray[np.int64]) -> None:
    assert len(found.best) == 4
    scorer = Scorer(PAPER, sound(PAPER, hidden))
    for better, worse in itertools.combinations(found.best, 2):
        assert refine.distance(scorer(better.values[None])) <= 1.1 * refine.distance(scorer(worse.values[None]))
        far = np.flatnonzero(
            np.abs(
                PAPER.space.x_of_values(better.values[None])[0] * 15
                - PAPER.space.x_of_values(worse.values[None])[0] * 15
            )
            > 1.5
        )
        ends = np.repeat(better.values[None], 2 * len(far), axis=0)
        for row, i in enumerate(far):
            ends[2 * row, i], ends[2 * row + 1, i] = PAPER.space[int(i)].low, PAPER.space[int(i)].high
        at = refine.distance(scorer(better.values[None]))
        changes = np.abs(refine.distance(scorer(ends)) - at).reshape(-1, 2).max(axis=1)
        assert (changes > 0.01 * at).sum() >= 3


def test_a_value_between_the_levels_is_found_unless_levels_alone_are_wanted(hidden: NDArray[np.int64]) -> None:
    values = PAPER.space.values_of_levels(hidden[None])
    i = PAPER.space.index("cutoff")
    values[0, i] = 1234.0
    target = PAPER.render(values)[0]
    likely = around(PAPER, PAPER.space.levels_of_values(values)[0])
    free = refine.refine(PAPER, target, likely, renders=4000).best[0]
    bound = refine.refine(PAPER, target, likely, renders=4000, levels_only=True).best[0]
    np.testing.assert_allclose(bound.values, PAPER.space.values_of_levels(bound.levels[None])[0])
    assert free.values[i] == pytest.approx(1234.0, abs=10)
    assert free.log_l1 < 0.5 * bound.log_l1


def test_a_parameter_without_effect_stays_as_the_network_had_it(hidden: NDArray[np.int64]) -> None:
    levels = hidden.copy()
    levels[PAPER.space.index("tri_mod_amplitude")] = 0
    levels[PAPER.space.index("tri_mod_frequency")] = 11
    found = refine.refine(PAPER, sound(PAPER, levels), around(PAPER, levels), renders=500)
    np.testing.assert_array_equal(found.best[0].levels, levels)


# -- how it goes ---------------------------------------------------------------------------------


class Watched:
    """A target that notes what is scored."""

    def __init__(self, target: NativeTarget, rows: list[NDArray[np.float64]]) -> None:
        self.target, self.rows = target, rows

    def score(self, values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        self.rows.append(values.copy())
        self.target.score(values, out)


def test_no_patch_of_the_levels_is_scored_twice_nor_one_with_another_inert_knob(wrong: NDArray[np.int64]) -> None:
    rows: list[NDArray[np.float64]] = []
    make_target = PAPER.make_target
    assert make_target
    watched = replace(PAPER, make_target=lambda sound, note, rate: Watched(make_target(sound, note, rate), rows))
    refine.refine(watched, sound(PAPER, wrong[::-1]), uniform(PAPER), renders=3000, levels_only=True, workers=1)
    scored = PAPER.space.canonical(PAPER.space.levels_of_values(np.concatenate(rows)[:2000]))
    assert len(np.unique(scored, axis=0)) == 2000


def test_renders_alone_are_repeatable_on_any_number_of_threads(wrong: NDArray[np.int64]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16384)
    runs = [
        refine.refine(PAPER, noise, around(PAPER, wrong), renders=2500, seed=seed, workers=workers)
        for seed, workers in ((7, 1), (7, 2), (8, 1))
    ]
    one, same, other = ([(step.renders, step.distance) for step in run.progress] for run in runs)
    assert one == same != other
    np.testing.assert_array_equal(runs[0].best[0].values, runs[1].best[0].values)
    assert [run.renders for run in runs] == [2500] * 3
    assert runs[0].stopped == "its 2,500 renders are used up"


def test_it_ends_when_its_time_is_over(wrong: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(evaluator, "time", SimpleNamespace(perf_counter=lambda: 0.01 * next(ticks)))
    found = refine.refine(WITHOUT_SOLVER, sound(PAPER, wrong), uniform(PAPER), seconds=2.0)
    assert 2.0 <= found.seconds < 2.1
    assert found.stopped == "its 2 s are over"


def test_it_ends_when_it_cannot_improve() -> None:
    target = np.random.default_rng(1).normal(0, 0.1, SHORT.format.samples)
    space = SHORT.space
    found = refine.refine(SHORT, target, around(SHORT, RIGHT), renders=10**6, levels_only=True)
    assert "nothing better" in found.stopped
    scorer, best = Scorer(SHORT, target), found.best[0]
    for i in range(len(space)):
        for level in range(16):
            other = best.levels.copy()
            other[i] = level
            assert refine.distance(scorer(space.values_of_levels(other[None]))) >= refine.distance(
                scorer(best.values[None])
            )


def test_with_seconds_left_it_begins_again_instead_of_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    target = np.random.default_rng(1).normal(0, 0.1, SHORT.format.samples)
    ended = refine.refine(SHORT, target, around(SHORT, RIGHT), renders=10**6)
    assert "nothing better" in ended.stopped
    ticks = itertools.count()
    monkeypatch.setattr(evaluator, "time", SimpleNamespace(perf_counter=lambda: 0.004 * next(ticks)))
    longer = refine.refine(SHORT, target, around(SHORT, RIGHT), seconds=30.0)
    assert longer.stopped == "its 30 s are over"
    assert longer.renders > 2 * ended.renders
    assert longer.progress[-1].distance <= ended.progress[-1].distance


def test_an_interrupt_ends_it_and_it_gives_what_it_has(wrong: NDArray[np.int64]) -> None:
    def watch(now: Progress) -> None:
        if now.renders > 1000:
            raise KeyboardInterrupt

    found = refine.refine(WITHOUT_SOLVER, sound(PAPER, wrong), uniform(PAPER), seconds=60, watch=watch)
    assert found.stopped == "it was interrupted"
    assert 1000 < found.renders < 3000
    assert found.best[0].rho_stft > found.start.rho_stft


@pytest.mark.parametrize("budget", [{"renders": 1}, {"seconds": 1e-9}])
def test_the_first_is_the_network_however_little_it_may_cost(budget: dict[str, float]) -> None:
    target = sound(SHORT, RIGHT[::-1])
    found = refine.refine(SHORT, target, around(SHORT, RIGHT), variations=5, **budget)  # type: ignore[arg-type]
    assert found.renders == 1
    assert [list(candidate.levels) for candidate in found.best] == [list(RIGHT)]


def test_a_solver_of_the_synths_own_sounds_comes_first(hidden: NDArray[np.int64], wrong: NDArray[np.int64]) -> None:
    solver = PAPER.solver
    assert solver
    own = sound(PAPER, hidden)
    solution = PAPER.space.values_of_levels(hidden[None])
    asked: list[tuple[int, int, bool]] = []

    def solve(
        target: NDArray[np.float32], likely: Sequence[NDArray[np.float64]], seconds: float
    ) -> NDArray[np.float64]:
        asked.append((len(target), len(likely), 0 < seconds <= solver.most_s))
        return solution

    def solved_by(solve: Callable[..., NDArray[np.float64]]) -> Synth:
        return replace(PAPER, solver=replace(solver, solve=solve))

    found = refine.refine(solved_by(solve), own, around(PAPER, wrong), seconds=30)
    assert (found.method, found.best[0].residual_db < -80, asked) == ("pursuit", True, [(16384, 23, True)])
    np.testing.assert_array_equal(found.best[0].levels, hidden)
    foreign = np.random.default_rng(1).normal(0, 0.1, 16384)
    for sound_of, synth in ((foreign, solved_by(solve)), (own, solved_by(lambda *_: np.empty((0, 23))))):
        found = refine.refine(synth, sound_of, around(PAPER, wrong), seconds=30, renders=1000)
        assert found.method == "search"
    timeless = solved_by(lambda *_: pytest.fail("it has no time"))
    assert refine.refine(timeless, own, around(PAPER, wrong), renders=1000).method == "search"


# -- its parts -----------------------------------------------------------------------------------


def test_a_parameter_without_a_group_is_a_group_of_its_own() -> None:
    assert moves.groups_of(PAPER.space) == [
        *(tuple(range(i, i + 4)) for i in (0, 4, 8, 12)),
        *((i,) for i in range(16, 23)),
    ]
    assert moves.groups_of(SHORT.space) == [(0, 1), (2, 3)]


def test_groups_are_exchanged_whose_ranges_are_the_same() -> None:
    (oscillators,) = PAPER.space.interchangeable
    np.testing.assert_array_equal(oscillators, np.arange(16).reshape(4, 4))
    assert SHORT.space.interchangeable == ()


def test_changes_that_gained_are_joined_the_best_of_each_parameter() -> None:
    base = np.zeros(3, int)
    rows = np.array([[1, 0, 0], [2, 0, 0], [0, 5, 0], [0, 0, 7], [0, 0, 8]])
    joined = moves.joined(base, rows, np.array([0.5, 0.4, 0.6, 0.3, 1.5]), 1.0)
    assert joined.tolist() == [[0, 5, 7], [0, 0, 7], [2, 0, 7], [2, 5, 7]]
    assert moves.joined(base, rows, np.full(5, 2.0), 1.0).shape == (0, 3)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "seconds, renders, or both"),
        ({"seconds": 0}, "0 s to refine are outside"),
        ({"seconds": -1.5}, "-1.5 s to refine are outside"),
        ({"seconds": float("nan")}, "nan s to refine are outside"),
        ({"seconds": float("inf")}, "inf s to refine are outside"),
        ({"renders": 0}, "0 renders to refine"),
        ({"renders": 10, "variations": 0}, "0 variations are outside 1..100"),
        ({"renders": 10, "variations": 101}, "101 variations are outside 1..100"),
        ({"renders": 10, "seed": -1}, "seed -1 is not"),
    ],
)
def test_a_wrong_budget_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refine.refine(SHORT, sound(SHORT, RIGHT), uniform(SHORT), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([np.ones(16)] * 3, r"distributions of 3 parameters"),
        ([np.ones(16)] * 3 + [np.ones(15)], r"amplitude_2: .* \(15,\)"),
        ([np.ones(16)] * 3 + [np.zeros(16)], "amplitude_2: "),
        ([np.ones(16)] * 3 + [np.full(16, np.nan)], "amplitude_2: "),
        ([np.ones(16)] * 3 + [np.arange(16) - 1.0], "amplitude_2: "),
    ],
)
def test_distributions_of_another_space_are_refused(rows: list[NDArray[np.float64]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refine.refine(SHORT, sound(SHORT, RIGHT), rows, renders=10)


def test_a_silent_target_is_refused() -> None:
    with pytest.raises(UsageError, match="silent"):
        refine.refine(SHORT, np.zeros(512), uniform(SHORT), renders=10)
