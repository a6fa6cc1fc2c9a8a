"""The search in a space of all kinds of parameters, uneven, and by renderers that fail, are slow, or have noise."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from inversynth.errors import InversynthError
from inversynth.search import baselines, evaluator
from inversynth.search.audible import audible
from inversynth.search.evaluator import Budget, Evaluator, SearchEndError
from inversynth.search.evolution import NEIGHBOURS
from inversynth.search.grid import Grid
from inversynth.search.moves import Moves
from inversynth.search.population import Population
from inversynth.search.refine import INTERRUPTED, refine
from inversynth.search.scoring import Scorer
from inversynth.spec import CATEGORICAL, CONTINUOUS, ORDINAL, AudioFormat, Note, Param, ParamSpace, Symmetry
from inversynth.synths.function import from_function
from inversynth.synths.sampling import Drawn
from inversynth.synths.synth import Synth

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]


def voice(number: int) -> list[Param]:
    group = str(number)
    return [
        Param.choice(f"wave_{number}", f"w{number}", ("sine", "square", "saw", "off"), group=group),
        Param(f"pitch_{number}", f"p{number}", 0, 24, "st", levels=25, kind=ORDINAL, group=group),
        Param(f"level_{number}", f"l{number}", 0.1, 1, levels=11, inert_when=(f"wave_{number}", 3), group=group),
    ]


SPACE = ParamSpace(
    [
        *voice(1),
        *voice(2),
        Param("decay", "d", 1.0, 20.0, "1/s", levels=7),
        Param("unused", "u", 0, 1, levels=5, kind=ORDINAL),
        Param.choice("switch", "s", ("one octave", "two")),
    ],
    symmetries=[Symmetry(("1", "2"))],
)
FORMAT = AudioFormat(8000, 0.1)
RIGHT = np.array([1, 7, 9, 2, 12, 4, 3, 0, 1])
WRONG = np.array([2, 10, 5, *RIGHT[3:]])


def play(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
    """Two voices of three waveforms, at the note's key; the last sample's place is unused."""
    time = np.arange(samples) / sample_rate
    sounds = np.zeros((len(values), samples))
    for wave, pitch, level in values[:, :6].reshape(-1, 2, 3).transpose(1, 2, 0):
        key = notes[:, 0] + pitch - 12 * (1 - values[:, 8])
        phase = np.mod(440 * 2 ** ((key[:, None] - 69) / 12) * time, 1)
        waves = np.stack([np.sin(2 * np.pi * phase), np.sign(0.5 - phase), 2 * phase - 1, 0 * phase])
        sounds += level[:, None] * waves[np.rint(wave).astype(int), np.arange(len(values))]
    return np.asarray(sounds * np.exp(-values[:, 6:7] * time))


def play_but_fail(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
    """No saw in the first voice."""
    if (values[:, 0] == 2).any():
        raise RuntimeError("this saw is blunt")
    return play(values, notes, sample_rate, samples)


MIXED = from_function("mixed", SPACE, FORMAT, play)
FAILING = from_function("failing", SPACE, FORMAT, play_but_fail)


def sound(levels: ArrayLike, of: Synth = MIXED, note: Note | None = None) -> NDArray[np.float32]:
    return np.asarray(of.render(of.space.values_of_levels(np.array([levels])), note=note)[0])


def around(levels: ArrayLike, space: ParamSpace = SPACE, sure: float = 0.5) -> list[Floats]:
    """Distributions that are sure of these levels, and else of nothing."""
    return [
        np.full(param.levels, (1 - sure) / param.levels) + sure * np.eye(param.levels)[level]
        for param, level in zip(space, np.asarray(levels), strict=True)
    ]


def moves(likely: list[Floats], space: ParamSpace = SPACE) -> Moves:
    return Moves(Grid(space), likely, np.random.default_rng(0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Floats]:
    """What is scored, in units."""
    rows: list[Floats] = []
    score = Scorer.__call__

    def noted(self: Scorer, values: ArrayLike, workers: int | None = None) -> object:
        rows.append(np.array(values))
        return score(self, values, workers)

    monkeypatch.setattr(Scorer, "__call__", noted)
    return rows


# -- moves ---------------------------------------------------------------------------------------


def test_a_search_finds_a_patch_of_all_kinds_up_to_the_order_of_its_voices() -> None:
    found = refine(MIXED, sound(RIGHT), around([2, 10, 5, 0, 7, 7, 1, 0, 0]), renders=20000).best[0]
    exchanged = RIGHT[[3, 4, 5, 0, 1, 2, 6, 7, 8]]
    used = np.arange(len(RIGHT)) != SPACE.index("unused")
    assert found.levels[used].tolist() in (RIGHT[used].tolist(), exchanged[used].tolist())
    assert found.log_l1 < 1e-3


@pytest.mark.parametrize("levels_only", [False, True])
def test_only_continuous_parameters_are_rendered_between_their_levels(asked: list[Floats], levels_only: bool) -> None:
    values = SPACE.values_of_levels(RIGHT[None])
    values[0, SPACE.index("level_1")], values[0, SPACE.index("decay")] = 0.777, 6.66
    found = refine(MIXED, MIXED.render(values)[0], around(RIGHT), renders=3000, levels_only=levels_only, variations=2)
    x = SPACE.x_of_values(np.concatenate(asked)) * (SPACE.levels - 1)
    between = (np.abs(x - np.rint(x)) > 1e-6).any(axis=0)
    np.testing.assert_array_equal(between, SPACE.of_kind(CONTINUOUS) & (not levels_only))
    if not levels_only:
        assert found.best[0].values[SPACE.index("decay")] == pytest.approx(6.66, abs=0.05)


def test_the_neighbours_of_a_choice_are_all_other_choices() -> None:
    rows = moves(around(RIGHT)).neighbours(RIGHT, np.ones((len(SPACE), 25), bool), NEIGHBOURS)
    differ = rows != RIGHT
    assert (differ.sum(axis=1) == 1).all()
    assert sorted(rows[differ[:, 0], 0]) == [0, 2, 3]
    np.testing.assert_array_equal(differ.sum(axis=0), SPACE.levels - 1)


def test_a_choice_is_never_stepped_but_drawn_from_the_distributions() -> None:
    """The network excludes two choices; few changes go anywhere, and steps would go there as often as not."""
    space = ParamSpace([Param.choice("wave", "w", tuple("abcde")), Param("level", "l", 0, 1, levels=5)])
    likely = [np.array([0.5, 0, 0.5, 0, 0]), np.array([0.0, 0.0, 1.0, 0.0, 0.0])]
    population = np.array([[0, 2], [2, 2]])
    counts = np.zeros((2, 5))
    mover = moves(likely, space)
    for _ in range(20):
        children = mover.children(population, 1000)
        counts += [np.bincount(column, minlength=5) for column in children.T]
    wave, level = counts / counts.sum(axis=1, keepdims=True)
    assert wave[1] == pytest.approx(wave[3], rel=0.15) == pytest.approx(wave[4], rel=0.15)
    assert level[[1, 3]].min() > 1.5 * wave[[1, 3]].max()


def test_one_member_of_all_interchangeable_groups_moves_as_its_kind_allows() -> None:
    """Children of a patch whose voices are off: a step from the last choice would stay there or at the one before."""
    likely = around(RIGHT, sure=0)
    start = np.array([3, 5, 5, 3, 5, 5, 3, 2, 0])
    children = moves(likely).children(np.repeat(start[None], 2, axis=0), 20000)
    together = children[(children[:, [0, 3]] != 3).all(axis=1)]
    assert set(together[:, 0]) == {0, 1, 2}
    assert np.bincount(together[:, 0], minlength=3)[:3].min() > 0.2 * len(together)


def test_steps_reach_far_in_a_parameter_of_many_levels_and_one_level_too() -> None:
    space = ParamSpace([Param("fine", "f", 0, 1, levels=1001), Param("coarse", "c", 0, 1, levels=16)])
    likely = [np.eye(1001)[500], np.eye(16)[8]]
    children = moves(likely, space).children(np.array([[500, 8]]), 20000)
    steps = np.abs(children[:, 0] - 500)
    assert {1, 2, 10, 20, 60} <= set(steps)
    near = np.abs(children[:, 1] - 8)
    assert (near <= 2).mean() > 0.85


# -- large spaces --------------------------------------------------------------------------------

LARGE = ParamSpace(
    [Param(f"p{i}", f"p{i}", 0, 1, levels=1000, kind=(CONTINUOUS, ORDINAL)[i % 2]) for i in range(120)]
    + [Param(f"c{i}", f"c{i}", 0, 31, levels=32, kind=CATEGORICAL) for i in range(30)]
)


def test_neighbours_in_a_large_space_are_bounded_and_the_likely_ones_come_first() -> None:
    levels = np.zeros(150, np.int64)
    likely = around(np.full(150, 7), LARGE, sure=0.9)
    mover = moves(likely, LARGE)
    rows = mover.neighbours(levels, mover.exists, 200)
    assert rows.shape == (200, 150)
    assert ((rows != 0).sum(axis=1) == 1).all()
    at = rows.max(axis=1)
    assert (at[:100] == 7).mean() > 0.65 > 0.55 > (at[150:] == 7).mean()
    assert (mover.neighbours(levels, mover.exists, 200) != rows).any()


def test_a_large_space_is_searched_within_few_renders() -> None:
    weights = np.random.default_rng(0).uniform(0.2, 1, 150)

    def partials(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        time = np.arange(samples) / sample_rate
        waves = np.sin(2 * np.pi * 25 * np.arange(1, 151)[:, None] * time)
        return np.asarray((weights * values / [param.high for param in LARGE]) @ waves)

    synth = from_function("large", LARGE, AudioFormat(8000, 0.1), partials)
    right = np.random.default_rng(1).integers(0, LARGE.levels)
    wrong = np.where(np.arange(150) % 5, right, (right + LARGE.levels // 2) % LARGE.levels)
    found = refine(synth, sound(right, synth), around(wrong, LARGE), renders=3000, variations=2)
    assert found.renders == 3000
    assert found.best[0].log_l1 < 0.5 * found.start.log_l1
    assert len(found.best) == 2


# -- symmetries, and which patches are distinct --------------------------------------------------


def test_a_patch_with_its_voices_exchanged_is_not_scored_again() -> None:
    grid = Grid(SPACE)
    population = Population(grid, Evaluator(grid, Scorer(MIXED, sound(RIGHT)), Budget(renders=100)))
    exchanged = RIGHT[[3, 4, 5, 0, 1, 2, 6, 7, 8]]
    np.testing.assert_array_equal(population.fresh(np.array([exchanged, RIGHT])), [exchanged])
    off = np.array([3, 1, 8, 3, 1, 2, 0, 0, 0])
    np.testing.assert_array_equal(population.fresh(off[None]), [[3, 1, 0, 3, 1, 0, 0, 0, 0]])


def test_distinct_patches_differ_in_audible_parameters_by_choices_or_by_levels() -> None:
    found = refine(MIXED, sound(RIGHT), around(RIGHT), renders=4000, variations=4)
    assert len(found.best) == 4
    steps = SPACE.levels - 1
    least = np.where(SPACE.of_kind(CATEGORICAL), 1, np.minimum(2, steps)) - 0.5
    for one, other in itertools.combinations(found.best, 2):
        far = np.abs(SPACE.x_of_values(np.array([one.values, other.values])) @ np.diag(steps))
        differ = np.abs(far[0] - far[1]) > least
        differ[SPACE.index("unused")] = False
        assert differ.sum() >= 3


# -- what is audible -----------------------------------------------------------------------------


def test_a_parameter_is_audible_if_any_of_its_levels_sounds_different() -> None:
    for levels, silent in (
        (RIGHT, ["unused"]),
        ([3, 0, 5, 0, 0, 3, 2, 0, 0], ["pitch_1", "level_1", "unused"]),
        ([3, 0, 5, 3, 0, 3, 2, 0, 0], ["pitch_1", "level_1", "pitch_2", "level_2", "decay", "unused", "switch"]),
    ):
        found = audible(MIXED, np.array([levels]))[0]
        assert [param.name for param, yes in zip(SPACE, found, strict=True) if not yes] == silent


def test_a_choice_is_audible_even_if_its_first_and_its_last_sound_the_same() -> None:
    space = ParamSpace([Param.choice("wave", "w", tuple("abc")), Param("level", "l", 0, 1)])

    def middle(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        return np.asarray((values[:, :1] == 1) + np.zeros(samples) + 0.5)

    synth = from_function("middle", space, FORMAT, middle)
    assert audible(synth, np.array([[0, 3], [1, 3], [2, 3]])).tolist() == [[True, False]] * 3


def test_what_fails_is_no_difference_and_noise_is_none() -> None:
    noise = np.random.default_rng(0)

    def noisy(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        return play_but_fail(values, notes, sample_rate, samples) + noise.normal(0, 1e-3, (len(values), samples))

    synth = from_function("noisy", SPACE, FORMAT, noisy)
    found = audible(synth, np.array([RIGHT, [2, *RIGHT[1:]]]))
    np.testing.assert_array_equal(found[0], [param.name != "unused" for param in SPACE])
    assert found[1].all()  # it can't be rendered; the space knows of nothing without effect


# -- notes and windows ---------------------------------------------------------------------------


def test_the_note_that_plays_the_candidates_is_the_one_given() -> None:
    note = Note(50, 90, 0.05)
    own, given = (Scorer(MIXED, sound(RIGHT, note=note), note=at) for at in (None, note))
    values = SPACE.values_of_levels(RIGHT[None])
    assert given(values).log_l1[0] == 0 < own(values).log_l1[0]
    found = refine(MIXED, sound(RIGHT, note=note), around(RIGHT), renders=10, note=note)
    assert found.start.log_l1 == 0


def test_the_window_is_the_synths_and_the_native_analysis_has_one_alone() -> None:
    """The window of this synth is 256 samples, the native analysis has 512."""
    other_windows = replace(MIXED, make_target=lambda *_: pytest.fail("it has other windows"))
    target, other = sound(RIGHT), sound([0, *RIGHT[1:]])
    found = Scorer(other_windows, target)(SPACE.values_of_levels(np.array([[0, *RIGHT[1:]]])))
    logs = []
    for samples in (target, other):
        padded = np.pad(samples.astype(np.float64), (64, 256))
        frames = np.array([padded[at : at + 256] for at in range(0, len(samples), 128)])
        logs.append(np.abs(np.fft.rfft(frames * np.hanning(257)[:256])))
    floor = 1e-4 * logs[0].max()
    expected = np.abs(np.diff([np.log(np.maximum(each, floor)) for each in logs], axis=0)).mean()
    assert found.log_l1[0] == pytest.approx(expected, rel=1e-6)


# -- renderers that fail, have noise, or are slow ------------------------------------------------


def test_a_patch_that_cannot_be_rendered_is_infinitely_bad() -> None:
    scores = Scorer(FAILING, sound(RIGHT))(SPACE.values_of_levels(np.array([[2, *RIGHT[1:]], RIGHT])))
    assert [scores.rho_stft[0], scores.log_l1[0], scores.convergence[0], scores.residual[0]] == [-1, *[np.inf] * 3]
    assert scores.log_l1[1] == 0


def test_a_search_that_begins_with_a_failure_finds_what_can_be_rendered() -> None:
    found = refine(FAILING, sound(RIGHT), around([2, *RIGHT[1:]]), renders=3000, variations=5)
    assert found.start.levels[0] == 2
    assert found.start.log_l1 == np.inf
    assert found.best[0].log_l1 < 1e-3
    assert all(candidate.levels[0] != 2 and np.isfinite(candidate.log_l1) for candidate in found.best)
    assert np.isfinite([step.distance for step in found.progress]).all()


def test_a_search_in_which_nothing_can_be_rendered_says_why() -> None:
    def fail(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        raise RuntimeError("no licence")

    broken = from_function("broken", SPACE, FORMAT, fail)
    with pytest.raises(InversynthError, match=r"none of the 300 patches .* by broken: RuntimeError: no licence"):
        refine(broken, sound(RIGHT), around(RIGHT), renders=300, variations=2)


class Interrupted:
    """The renderer of `SPACE`, which meets Ctrl-C at its call of a number, from 0 on."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt
        return play(values, notes, sample_rate, samples)


def test_ctrl_c_before_the_first_patch_ends_a_search_without_a_result() -> None:
    with pytest.raises(KeyboardInterrupt):
        refine(from_function("stopped", SPACE, FORMAT, Interrupted(0)), sound(RIGHT), around(RIGHT), renders=300)


def test_ctrl_c_while_the_variations_are_chosen_keeps_the_best_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()  # so that chunks, whose size depends on the time they take, are the same each time
    monkeypatch.setattr(evaluator, "time", SimpleNamespace(perf_counter=lambda: 0.001 * next(ticks)))
    counted = Interrupted(1 << 30)
    whole = refine(
        from_function("whole", SPACE, FORMAT, counted), sound(RIGHT), around(WRONG), renders=300, variations=3
    )
    assert len(whole.best) == 3
    last = (1 << 30) - counted.left - 1  # of the calls: it renders where the search began
    for call in (last, last - 1):
        late = from_function("late", SPACE, FORMAT, Interrupted(call))
        found = refine(late, sound(RIGHT), around(WRONG), renders=300, variations=3)
        assert found.stopped == INTERRUPTED
        assert np.array_equal(found.best[0].values, whole.best[0].values)


def test_a_renderer_with_noise_is_searched_to_the_end() -> None:
    noise = np.random.default_rng(0)

    def noisy(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
        return play(values, notes, sample_rate, samples) + noise.normal(0, 0.01, (len(values), samples))

    found = refine(
        from_function("noisy", SPACE, FORMAT, noisy), sound(RIGHT), around(WRONG), renders=6000, variations=2
    )
    assert found.renders == 6000
    assert found.best[0].rho_stft > found.start.rho_stft
    assert found.best[0].levels[0] == RIGHT[0]


class Clock:
    """Time that passes while sounds are rendered, `render_s` each."""

    def __init__(self, render_s: float) -> None:
        self.render_s, self.now = render_s, 0.0

    def slowed(self, synth: Synth) -> Synth:
        def render(values: Floats, notes: Floats, sample_rate: int, samples: int) -> Floats:
            self.now += self.render_s * len(values)
            return play(values, notes, sample_rate, samples)

        return from_function("slow", synth.space, synth.format, render)


@pytest.mark.parametrize("renders_a_second", [50, 100, 500])
@pytest.mark.parametrize("variations", [1, 3])
def test_a_slow_renderer_is_searched_in_the_seconds_given(
    renders_a_second: int, variations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1 / renders_a_second)
    monkeypatch.setattr(evaluator, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    target = sound(RIGHT, note=Note(69.2))  # no patch reaches it
    found = refine(clock.slowed(MIXED), target, around(WRONG), seconds=2, variations=variations)
    assert 1.4 * renders_a_second <= found.renders <= 2 * renders_a_second + 1
    assert 2 <= found.seconds <= 2.3
    assert found.progress[-1].distance < 0.8 * found.progress[0].distance
    assert len(found.best) == variations


def test_a_chunk_is_no_longer_than_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.1)
    monkeypatch.setattr(evaluator, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    grid, slow = Grid(SPACE), clock.slowed(MIXED)
    score = Evaluator(grid, Scorer(slow, sound(RIGHT)), Budget(seconds=0.55)).score
    score(grid.x_of(RIGHT[None]))
    with pytest.raises(SearchEndError, match=r"its 0\.55 s are over"):
        score(grid.x_of(np.repeat(RIGHT[None], 50, axis=0)))
    assert clock.now == pytest.approx(0.6)


# -- baselines -----------------------------------------------------------------------------------


def test_the_mean_parameter_is_a_level_where_nothing_is_between_and_the_most_frequent_choice() -> None:
    class Skewed:
        name = "skewed"

        def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
            return Drawn(np.random.default_rng(seed).integers(0, space.levels, (count, len(space))) // 2)

    synth = replace(MIXED, prior=Skewed())
    found = dict(zip(SPACE.names, baselines.mean_parameter(Scorer(synth, sound(RIGHT)), [], 1, 0), strict=True))
    assert found["level_1"] == pytest.approx(0.55)
    assert found["pitch_1"] == 12
    assert found["unused"] == 0.5
    assert found["switch"] == 0
    assert found["wave_1"] in (0, 1)


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_render_levels_where_nothing_is_between_and_choose_no_failure(name: str, asked: list[Floats]) -> None:
    if name == "CMA-ES":
        pytest.importorskip("cma", reason="needs the extra `baselines`")
    values = baselines.BASELINES[name](Scorer(FAILING, sound(RIGHT)), around(RIGHT), 400, 1)
    for rows in (*asked, values[None]):
        x = SPACE.x_of_values(rows) * (SPACE.levels - 1)
        on_levels = np.abs(x - np.rint(x)) < 1e-6
        assert on_levels[:, ~SPACE.of_kind(CONTINUOUS)].all()
    if asked:
        assert values[0] != 2
