"""The baselines: that each chooses what it says, within its budget, and the same each time."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from inversynth import synths
from inversynth.errors import UsageError
from inversynth.search import baselines
from inversynth.search.baselines import BASELINES
from inversynth.search.scoring import Scorer, Scores
from inversynth.synths import sampling

PAPER = synths.load("paper")
RIGHT = sampling.draw(PAPER.space, 9, 0, 1, sampling.TEST)
RENDERS = 150


class Counted(Scorer):
    """A scorer that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(PAPER, PAPER.render(PAPER.space.values_of_levels(RIGHT))[0])
        self.asked: list[NDArray[np.float64]] = []

    def __call__(self, values: Any, workers: int | None = None) -> Scores:
        self.asked.append(np.asarray(values))
        return super().__call__(values, workers)


@pytest.fixture
def scorer() -> Counted:
    return Counted()


@pytest.fixture(scope="module")
def distributions() -> list[NDArray[np.float64]]:
    """Half of the probability is at the right level but for the first parameter, where it is at another."""
    rows = [np.full(16, 0.5 / 15) for _ in PAPER.space]
    for row, level in zip(rows, RIGHT[0], strict=True):
        row[level] = 0.5
    rows[0] = np.roll(rows[0], 1)
    return rows


def distance(values: NDArray[np.float64]) -> float:
    """What the refinement makes small, by the definition."""
    target, sound = (
        reference.spectrogram(PAPER.render(at)[0].astype(np.float64))
        for at in (PAPER.space.values_of_levels(RIGHT), values[None])
    )
    logs, others = (np.log(np.maximum(magnitudes, 1e-4 * target.max())) for magnitudes in (target, sound))
    rho = np.corrcoef(logs.ravel(), others.ravel())[0, 1]
    convergence = np.linalg.norm(sound - target) / np.linalg.norm(target)
    return float(np.abs(logs - others).mean() + 3 * (1 - rho) + 0.3 * convergence)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_to_its_budget_and_finds_the_same_again(
    name: str, scorer: Counted, distributions: list[NDArray[np.float64]]
) -> None:
    if name == "CMA-ES":
        pytest.importorskip("cma", reason="needs the extra `baselines`")
    found = BASELINES[name](scorer, distributions, RENDERS, 3)
    assert found.shape == (23,)
    PAPER.space.check_values(found[None])
    asked = sum(len(rows) for rows in scorer.asked)
    assert asked == (0 if name in ("mean parameter", "network alone") else RENDERS)
    np.testing.assert_array_equal(BASELINES[name](scorer, distributions, RENDERS, 3), found)
    if asked:
        every = np.concatenate(scorer.asked)[:RENDERS]
        best = min(every, key=distance)
        np.testing.assert_allclose(found, best)


def test_the_mean_parameter_is_the_middle_of_the_range(scorer: Counted) -> None:
    found = dict(zip(PAPER.space.names, baselines.mean_parameter(scorer, [], 1, 0), strict=True))
    assert found["cutoff"] == pytest.approx(2100.0)
    assert found["sin_frequency"] == pytest.approx(440 * 2 ** (7.5 / 12))


def test_the_network_alone_is_its_likeliest_levels(scorer: Counted, distributions: list[NDArray[np.float64]]) -> None:
    found = PAPER.space.levels_of_values(baselines.network_alone(scorer, distributions, 1, 0)[None])[0]
    assert found[1:].tolist() == RIGHT[0, 1:].tolist()
    assert found[0] == (RIGHT[0, 0] + 1) % 16


def test_the_bank_is_the_same_for_every_seed_and_random_search_is_not(
    scorer: Counted, distributions: list[NDArray[np.float64]]
) -> None:
    for seed in (1, 2):
        baselines.nearest_neighbour(scorer, distributions, 20, seed)
        baselines.random_search(scorer, distributions, 20, seed)
    bank, drawn, bank_again, drawn_again = scorer.asked
    np.testing.assert_array_equal(bank, bank_again)
    np.testing.assert_array_equal(bank, PAPER.space.values_of_levels(sampling.draw(PAPER.space, 0, 0, 20)))
    assert (drawn != drawn_again).any()


def test_the_networks_samples_follow_its_distributions_and_begin_with_its_patch(
    scorer: Counted, distributions: list[NDArray[np.float64]]
) -> None:
    baselines.network_sampling(scorer, distributions, 2000, 1)
    drawn = PAPER.space.levels_of_values(np.concatenate(scorer.asked))
    assert drawn.shape == (2000, 23)
    assert drawn[0].tolist() == [int(np.argmax(row)) for row in distributions]
    for column, row in zip(drawn.T, distributions, strict=True):
        np.testing.assert_allclose(np.bincount(column, minlength=16) / 2000, row, atol=0.04)


def test_cma_es_comes_nearer_with_more_renders(scorer: Counted, distributions: list[NDArray[np.float64]]) -> None:
    pytest.importorskip("cma", reason="needs the extra `baselines`")
    few, many = (distance(baselines.cma_es(scorer, distributions, renders, 1)) for renders in (32, 1500))
    middle = distance(baselines.mean_parameter(scorer, distributions, 1, 1))
    assert many < few < middle


def test_without_the_library_cma_es_says_what_to_install(scorer: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(UsageError, match=r"pip install 'inversynth\[baselines\]'"):
        baselines.cma_es(scorer, [], 10, 1)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"outside 1\.\.1048576"):
        baselines.check(0)
