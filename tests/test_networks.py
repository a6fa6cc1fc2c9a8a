"""The paper's networks: their sizes, their front end, and the losses of their heads."""

from __future__ import annotations

import numpy as np
import pytest

import reference

pytest.importorskip("keras", reason="networks need Keras (the extra `train`)")

import keras

from inversynth import networks, sampling
from inversynth.errors import UsageError
from inversynth.render import synth
from inversynth.spec import AudioFormat, Param, ParamSpace

PAPER = synth("paper")
UNEVEN = ParamSpace([Param("a", "a", 0, 1, levels=2), Param("b", "b", 0, 1, levels=5), Param("c", "c", 0, 1, levels=3)])
LOGITS = np.random.default_rng(2).normal(0, 3, (7, 10)).astype(np.float32)
LEVELS = np.array([[0, 4, 2], [1, 0, 0], [-1, 3, 1], [1, -1, -1], [0, 2, -1], [-1, -1, 0], [1, 1, 1]])


def sounds(count: int) -> np.ndarray:
    levels = sampling.draw(PAPER.space, 3, 0, count, sampling.TEST)
    return PAPER.render(PAPER.space.values_of_levels(levels))


def weights(model: keras.Model) -> int:
    """How many weights are trained; the transform's fixed matrix is not one of them."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# -- architectures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "millions"),
    [(name, 1.2) for name in ("C1", "C2", "C3", "C4", "C5", "C6", "CE2E_2D")] + [("C6XL", 2.3), ("CE2E", 1.9)],
)
def test_each_network_has_about_as_many_weights_as_the_paper_says(model: str, millions: float) -> None:
    network = networks.build(model, PAPER.space, PAPER.format)
    assert network.output_shape == (None, 368)
    assert weights(network) / 1e6 == pytest.approx(millions, rel=0.12)


def test_the_end_to_end_network_makes_a_picture_of_64_by_257_from_the_waveform() -> None:
    network = networks.build("CE2E", PAPER.space, PAPER.format)
    waveform = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv1D)]
    picture = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in waveform] == [96, 96, 128, 257]
    assert waveform[-1].output.shape == (None, 64, 257)
    assert picture[0].input.shape == (None, 64, 257, 1)
    assert all(layer.activation is keras.activations.relu for layer in [*waveform, *picture])


def test_a_seed_fixes_the_initial_weights() -> None:
    one, again, other = (networks.build("C1", UNEVEN, AudioFormat(4096, 0.5), seed) for seed in (1, 1, 2))
    for a, b in zip(one.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.layers[-1].kernel, other.layers[-1].kernel)


def test_unknown_models_and_formats_are_refused() -> None:
    with pytest.raises(UsageError, match="no model 'C7'; there are C1, C2"):
        networks.build("C7", PAPER.space, PAPER.format)
    with pytest.raises(UsageError, match="data format 'sideways'"):
        networks.build("C1", PAPER.space, PAPER.format, data_format="sideways")


# -- the front end -------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [16384, 16000, 16383, 300, 256])
def test_the_front_end_is_the_log_of_the_reference_spectrogram(samples: int) -> None:
    heard = sounds(3)[:, :samples]
    made = np.asarray(networks.LogSpectrogram()(heard))
    assert made.shape == (3, -(-samples // 256), 257, 1)
    for sound, picture in zip(heard, made, strict=True):
        magnitudes = np.maximum(reference.spectrogram(sound.astype(np.float64)), networks.LOG_FLOOR)
        # float32 sums of 512 terms are right to about 1e-6 of the largest: 1e-3 bounds their effect near the floor
        clear = magnitudes > 1e-3 * magnitudes.max()
        np.testing.assert_allclose(picture[clear, 0], 0.25 * np.log(magnitudes[clear]) + 1.0, atol=1e-3)


def test_silence_is_the_floor_and_finite() -> None:
    made = np.asarray(networks.LogSpectrogram()(np.zeros((1, 1000), np.float32)))
    np.testing.assert_allclose(made, 0.25 * np.log(networks.LOG_FLOOR) + 1.0, rtol=1e-5)


# -- heads ---------------------------------------------------------------------------------------


def rows(logits: np.ndarray) -> list[np.ndarray]:
    return [row.astype(np.float64) for row in np.split(logits, np.cumsum(UNEVEN.levels)[:-1], axis=1)]


@pytest.mark.parametrize("sigmoid", [False, True])
def test_probabilities_are_one_distribution_a_parameter(sigmoid: bool) -> None:
    made = [np.asarray(p) for p in networks.Heads(UNEVEN, sigmoid).probabilities(LOGITS)]
    assert [p.shape for p in made] == [(7, 2), (7, 5), (7, 3)]
    for probabilities, row in zip(made, rows(LOGITS), strict=True):
        scores = 1 / (1 + np.exp(-row)) if sigmoid else np.exp(row)
        np.testing.assert_allclose(probabilities, scores / scores.sum(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_loss_is_the_mean_cross_entropy_of_what_is_heard(sigmoid: bool) -> None:
    each = []
    for i, row in enumerate(rows(LOGITS)):
        for scores, level in zip(row, LEVELS[:, i], strict=True):
            if level < 0:
                continue
            if sigmoid:
                right = np.arange(len(scores)) == level
                chance = 1 / (1 + np.exp(-scores))
                each.append(-np.mean(np.log(np.where(right, chance, 1 - chance))))
            else:
                each.append(-np.log(np.exp(scores[level]) / np.exp(scores).sum()))
    made = float(networks.Heads(UNEVEN, sigmoid).loss(LEVELS.astype(np.int32), LOGITS))
    assert made == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_what_is_not_heard_has_no_part_in_the_loss(sigmoid: bool) -> None:
    heads = networks.Heads(UNEVEN, sigmoid)
    levels = np.array([[-1, 2, 0]], np.int32)
    once = float(heads.loss(levels, LOGITS[:1]))
    other = LOGITS[:1].copy()
    other[0, :2] = (-50, 80)  # the classes of the first parameter
    assert float(heads.loss(levels, other)) == pytest.approx(once, rel=1e-6)
    other[0, 2] += 5.0  # a class of the second
    assert abs(float(heads.loss(levels, other)) - once) > 1e-3


def test_a_patch_of_which_nothing_is_heard_costs_nothing() -> None:
    assert float(networks.Heads(UNEVEN).loss(np.full((1, 3), -1, np.int32), LOGITS[:1])) == 0.0
