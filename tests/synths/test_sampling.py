"""The counter-based draw: Philox's known answers, and item i as a function of (seed, stream, i) alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth.errors import UsageError
from inversynth.spec import Param, ParamSpace
from inversynth.synths import sampling, sine
from inversynth.synths.paper import table as paper


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


# From the known-answer file of Random123, the authors' own implementation (philox4x32, 10 rounds).
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (" ".join(["ffffffff"] * 4), "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers(counter: str, key: str, answer: str) -> None:
    low, high = words(key)
    result = sampling.philox(np.array([words(counter)], np.uint32), (low, high))
    assert result.tolist() == [words(answer)]


def test_philox_agrees_with_exact_integers_on_many_counters() -> None:
    def slow(counter: list[int], key: list[int]) -> list[int]:
        c, k, mask = list(counter), list(key), 0xFFFFFFFF
        for _ in range(10):
            first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [second >> 32 ^ c[1] ^ k[0], second & mask, first >> 32 ^ c[3] ^ k[1], first & mask]
            k = [k[0] + 0x9E3779B9 & mask, k[1] + 0xBB67AE85 & mask]
        return c

    counters = np.random.default_rng(0).integers(0, 2**32, (50, 4), np.uint64).astype(np.uint32)
    assert sampling.philox(counters, (7, 2**32 - 1)).tolist() == [slow(c, [7, 2**32 - 1]) for c in counters.tolist()]


@pytest.mark.parametrize("space", [paper.SPACE, sine.SPACE])
def test_an_item_is_the_same_whatever_range_it_is_drawn_in(space: ParamSpace) -> None:
    whole = sampling.draw(space, 5, 0, 100)
    assert np.array_equal(sampling.draw(space, 5, 37, 20), whole[37:57])
    assert np.array_equal(np.concatenate([sampling.draw(space, 5, i, 1) for i in range(100)]), whole)
    assert sampling.draw(space, 5, 37, 0).shape == (0, len(space))


def test_items_beyond_32_bits_are_items_of_their_own() -> None:
    first, far = sampling.draw(paper.SPACE, 0, 0, 4), sampling.draw(paper.SPACE, 0, 2**32, 4)
    assert not np.array_equal(first, far)
    across = sampling.draw(paper.SPACE, 0, 2**32 - 2, 4)
    assert np.array_equal(across[2:], far[:2])


def test_seeds_and_streams_are_drawn_independently() -> None:
    draws = [
        sampling.draw(paper.SPACE, seed, 0, 2000, stream)
        for seed in (0, 1, 2**32, 2**64 - 1)
        for stream in (sampling.DATASET, sampling.TRAINING, sampling.VALIDATION, sampling.TEST)
    ]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert np.mean(a == b) == pytest.approx(1 / 16, abs=0.006)


def test_every_level_of_every_parameter_is_as_likely() -> None:
    levels = sampling.draw(paper.SPACE, 3, 0, 32000)
    for column in levels.T:
        counts = np.bincount(column, minlength=16)
        assert len(counts) == 16
        chi_square = float(np.sum((counts - 2000.0) ** 2 / 2000.0))
        assert chi_square < 50  # 15 degrees of freedom: exceeded once in 85,000 columns


def test_parameters_are_drawn_independently_of_each_other() -> None:
    levels = sampling.draw(paper.SPACE, 3, 0, 32000).astype(float)
    off_diagonal = np.corrcoef(levels.T) - np.eye(23)
    assert np.abs(off_diagonal).max() < 0.03


def test_a_number_of_levels_that_is_no_power_of_two_is_drawn_whole() -> None:
    space = ParamSpace([Param("a", "a", 0, 1, levels=3), Param("b", "b", 0, 1, levels=101)])
    levels = sampling.draw(space, 0, 0, 20000)
    assert np.bincount(levels[:, 0]) / 20000 == pytest.approx(np.full(3, 1 / 3), abs=0.015)
    assert np.unique(levels[:, 1]).tolist() == list(range(101))


def test_the_draw_is_fixed_for_ever() -> None:
    """Published datasets depend on these numbers: Philox at counter (i, 0, block, 0), times 16, high word."""

    def expected(item: int, seed: int) -> NDArray[np.int64]:
        counters = np.array([[item, 0, block, 0] for block in range(6)], np.uint32)
        return (sampling.philox(counters, (seed, 0)).ravel()[:23] >> np.uint32(28)).astype(np.int64)

    assert sampling.draw(paper.SPACE, 0, 0, 1)[0, :4].tolist() == [0x6, 0xE, 0xB, 0x9]
    for item in (0, 1, 999):
        assert np.array_equal(sampling.draw(paper.SPACE, 42, item, 1)[0], expected(item, 42))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True])
def test_an_impossible_seed_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match=r"seed .* 0\.\.2\^64-1"):
        sampling.draw(paper.SPACE, seed, 0, 1)


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, -1), (2**48, 1)])
def test_impossible_items_are_refused(start: int, count: int) -> None:
    with pytest.raises(UsageError, match="outside"):
        sampling.draw(paper.SPACE, 0, start, count)


def test_a_permutation_holds_everything_once_in_an_order_of_its_epoch() -> None:
    orders = [sampling.permutation(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, order in enumerate(orders):
        assert np.array_equal(np.sort(order), np.arange(1000))
        assert all(np.mean(order == other) < 0.02 for other in orders[:i])
    assert np.array_equal(sampling.permutation(1000, 1, 2), orders[-1])
    assert sampling.permutation(1, 0, 0).tolist() == [0]


def test_a_permutation_leaves_no_place_preferred() -> None:
    orders = np.stack([sampling.permutation(10, 0, epoch) for epoch in range(4000)])
    for place in orders.T:
        assert np.bincount(place, minlength=10) / 4000 == pytest.approx(np.full(10, 0.1), abs=0.03)
