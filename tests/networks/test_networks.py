"""The paper's networks: their sizes, and the losses of their heads."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="networks need Keras (the extra `train`)")

import keras

from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.networks import build as networks
from inversynth.networks.architectures import MODELS
from inversynth.networks.frontends import LogSpectrogram
from inversynth.spec import AudioFormat, Note, Param, ParamSpace
from inversynth.synths import sampling

PAPER = synths.load("paper")
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
    [(name, {"C6XL": 2.3, "CE2E": 1.9}.get(name, 1.2)) for name in MODELS],
)
def test_each_network_has_about_as_many_weights_as_the_paper_says(model: str, millions: float) -> None:
    network = networks.build(model, PAPER.space, PAPER.format)
    assert network.output_shape == (None, 368)
    assert weights(network) / 1e6 == pytest.approx(millions, rel=0.12)


@pytest.mark.parametrize("format", [AudioFormat(1000, 0.05), AudioFormat(8000, 0.3), AudioFormat(44100, 0.4)])
@pytest.mark.parametrize("model", MODELS)
def test_each_network_takes_sounds_of_any_rate_and_length(model: str, format: AudioFormat) -> None:
    window = metrics.window_samples(format.sample_rate)
    network = networks.build(model, UNEVEN, format, window=window, note=True)
    audio = np.random.default_rng(1).normal(0, 0.1, (2, format.samples)).astype(np.float32)
    note = np.tile(np.array(Note().row, np.float32), (2, 1))
    logits = np.asarray(network.predict_on_batch([audio, note]))
    assert logits.shape == (2, int(UNEVEN.levels.sum()))
    assert np.isfinite(logits).all()


def test_the_end_to_end_network_makes_a_picture_of_64_by_257_from_the_waveform() -> None:
    network = networks.build("CE2E", PAPER.space, PAPER.format)
    waveform = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv1D)]
    picture = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in waveform] == [96, 96, 128, 257]
    assert waveform[-1].output.shape == (None, 64, 257)
    assert picture[0].input.shape == (None, 64, 257, 1)
    assert all(layer.activation is keras.activations.relu for layer in [*waveform, *picture])


@pytest.mark.parametrize(
    ("model", "units", "dropouts"),
    [
        ("FC-Linear", [869], [0.2]),
        ("FC1", [868], [0.3]),
        ("FC2", [603, 602], [0.1, 0.3]),
        ("FC3", [560, 500, 400], [0, 0.2, 0.4]),
        ("HC", [869], [0.2]),
        ("HC3", [560, 500, 400], [0, 0.2, 0.4]),
    ],
)
def test_the_fully_connected_networks_have_the_papers_layers_on_a_thousand_inputs(
    model: str, units: list[int], dropouts: list[float]
) -> None:
    network = networks.build(model, PAPER.space, PAPER.format)
    *dense, logits = (layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    assert [layer.units for layer in dense] == units
    assert dense[0].input.shape == (None, 1000)
    activation = keras.activations.linear if model in ("FC-Linear", "HC") else keras.activations.relu
    assert all(layer.activation is activation for layer in dense)
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == dropouts
    assert logits.units == 368


def test_fitted_layers_are_fitted_in_turn_each_to_what_it_gets() -> None:
    audio = sounds(40)
    network = networks.build("FC1", PAPER.space, PAPER.format)
    networks.adapt(network, lambda: [audio[:30], audio[30:]])
    frames = np.asarray(LogSpectrogram()(audio)).reshape(-1, 257)
    layer = network.get_layer("principal_components")
    made = np.asarray(layer(frames))
    np.testing.assert_allclose(layer.mean, frames.mean(axis=0), atol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(frames.T))[:-65:-1]
    np.testing.assert_allclose(np.var(made, axis=0), variances / variances.mean(), rtol=0.05)
    counts = np.asarray(keras.Model(network.inputs, network.get_layer("words").output).predict_on_batch(audio))
    np.testing.assert_array_equal(counts.sum(axis=1), 64)
    assert np.count_nonzero(counts.sum(axis=0)) > 900  # of the 1000 words, to which these 2560 frames gave rise


@pytest.mark.parametrize("model", ["C6", "CE2E", "FC2"])
def test_mixed_precision_keeps_weights_and_logits_in_float32(model: str) -> None:
    whole, mixed = (
        networks.build(model, UNEVEN, AudioFormat(16384, 1.0), precision=p) for p in ("float32", "mixed_bfloat16")
    )
    for a, b in zip(whole.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert b.dtype == np.float32
    audio = sounds(8)
    exact, rough = (np.asarray(network.predict_on_batch(audio)) for network in (whole, mixed))
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())


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
    with pytest.raises(UsageError, match="precision 'float8' is not one of float32, mixed_bfloat16"):
        networks.build("C1", PAPER.space, PAPER.format, precision="float8")


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
def test_the_loss_is_the_mean_cross_entropy_of_what_is_active(sigmoid: bool) -> None:
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
def test_what_is_not_active_has_no_part_in_the_loss(sigmoid: bool) -> None:
    heads = networks.Heads(UNEVEN, sigmoid)
    levels = np.array([[-1, 2, 0]], np.int32)
    once = float(heads.loss(levels, LOGITS[:1]))
    other = LOGITS[:1].copy()
    other[0, :2] = (-50, 80)  # the classes of the first parameter
    assert float(heads.loss(levels, other)) == pytest.approx(once, rel=1e-6)
    other[0, 2] += 5.0  # a class of the second
    assert abs(float(heads.loss(levels, other)) - once) > 1e-3


def test_a_patch_of_which_nothing_is_active_costs_nothing() -> None:
    assert float(networks.Heads(UNEVEN).loss(np.full((1, 3), -1, np.int32), LOGITS[:1])) == 0.0


# -- calibration ---------------------------------------------------------------------------------


def test_the_temperatures_are_those_that_the_levels_were_drawn_at() -> None:
    space = synths.load("sine").space
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=3, size=(6000, int(space.levels.sum()))).astype(np.float32)
    heads = networks.Heads(space)
    true = ((-0.7, 0.0), (0.0, 0.0), (0.7, -0.2), (0.3, 0.4))[: len(space)]
    drawn = networks.Heads(space, temperatures=true).probabilities(logits)
    levels = np.stack(
        [(np.asarray(p).cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1).clip(max=p.shape[1] - 1) for p in drawn],
        axis=1,
    )
    found = heads.calibrated(logits, levels)
    np.testing.assert_allclose(np.array(found.temperatures), np.array(true), atol=0.1)
    for plain, calibrated in zip(heads.probabilities(logits), found.probabilities(logits), strict=True):
        assert np.array_equal(np.argsort(plain, axis=1)[:50], np.argsort(calibrated, axis=1)[:50])
        np.testing.assert_allclose(np.asarray(calibrated).sum(axis=1), 1, rtol=1e-5)
