"""The network that looks for the synth's own oscillators."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.spec import AudioFormat
from inversynth.synths import sampling
from inversynth.synths.paper.table import FORMAT, SPACE

keras = pytest.importorskip("keras", reason="Keras is not installed")

from inversynth.networks import build as networks  # noqa: E402
from inversynth.networks import frontends  # noqa: E402
from inversynth.synths.paper import atoms  # noqa: E402
from inversynth.synths.paper import matched_filters as front  # noqa: E402

PAPER = synths.load("paper")
COLUMN = {name: i for i, name in enumerate(SPACE.names)}


def levels_of(count: int, **fixed: int) -> NDArray[np.int64]:
    levels = sampling.draw(SPACE, 9, 0, count, sampling.TEST)
    for name, level in fixed.items():
        levels[:, COLUMN[name]] = level
    return levels


def sounds_of(levels: NDArray[np.int64]) -> NDArray[np.float32]:
    return PAPER.render(SPACE.values_of_levels(levels))


def test_the_spectrum_is_that_of_the_measures() -> None:
    sounds = sounds_of(levels_of(3))
    real, imaginary = (np.asarray(part) for part in frontends.Spectrum()(sounds))
    theirs = metrics.spectrogram(sounds)
    np.testing.assert_allclose(np.hypot(real, imaginary), theirs, atol=2e-5 * theirs.max())


def test_bands_and_powers_are_those_of_the_transform_of_windowed_frames() -> None:
    sound = sounds_of(levels_of(1))
    bands, _, in_time, in_frequency = (np.asarray(part) for part in front.Whitened()(sound))
    assert bands.shape == (front.FRAMES, front.BANDS)
    frames = np.lib.stride_tricks.sliding_window_view(sound[0].astype(np.float64), front.WINDOW)[:: front.HOP]
    spectrum = np.fft.rfft(frames * np.hanning(front.WINDOW + 1)[:-1], axis=1)[: front.FRAMES, : front.BINS]
    power = np.abs(spectrum) ** 2
    mean = power.mean(axis=1)
    assert np.exp(in_time[0]) == pytest.approx((mean + 1e-4 * mean.max()) / 2, rel=1e-3)
    taken = np.exp(in_frequency[0])
    np.testing.assert_allclose(taken[: front.BINS], taken[front.BINS :], rtol=1e-4)
    share = (power / np.exp(in_time[0])[:, None]).sum(axis=0)
    near = np.abs(np.subtract.outer(np.arange(front.BINS), np.arange(front.BINS))) <= 2
    smooth = share @ (near / near.sum(axis=0))
    np.testing.assert_allclose(taken[: front.BINS], smooth / smooth.mean() + 1e-3, rtol=2e-3)
    first = np.exp((bands - 1) / 0.125) - 1e-6  # the first bands are a bin each
    np.testing.assert_allclose(first[:, :10], power[:, :10], rtol=2e-3, atol=1e-5)


def test_whitening_takes_off_level_and_envelope_and_keeps_the_phases() -> None:
    t = np.arange(FORMAT.samples) / FORMAT.sample_rate
    tone = np.sin(2 * np.pi * 1024 * t) * np.exp(-3 * t)
    sound = np.stack([tone, 0.01 * tone]).astype(np.float32)
    _, whitened, in_time, _ = (np.asarray(part) for part in front.Whitened()(sound))
    assert whitened.shape[1] >= front.LENGTH + front.ROW
    np.testing.assert_allclose(whitened[1], whitened[0], rtol=0.05, atol=0.05 * whitened.std())
    loudness = np.sqrt(np.mean(whitened[0, :6144].reshape(24, -1) ** 2, axis=1))[2:]
    assert loudness.max() / loudness.min() < 1.2  # of a tone that has lost 12 dB meanwhile
    sampled = np.sin(2 * np.pi * 1024 * t)[front.HOP :]
    assert np.corrcoef(whitened[0, 1024:6144], sampled[1024:6144])[0, 1] > 0.97
    np.testing.assert_allclose(in_time[0] - in_time[1], 2 * np.log(100), atol=0.05)


def test_what_is_whitened_of_a_note_that_still_sounds_is_about_as_loud_as_of_a_whole_one() -> None:
    whole = sounds_of(levels_of(8))
    part = np.where(np.arange(FORMAT.samples) < 1147, whole, 0).astype(np.float32)
    of_whole, of_part = (np.asarray(front.Whitened()(sounds)[1])[:, :1024] for sounds in (whole, part))
    assert np.abs(np.log2(of_part.std(axis=1) / of_whole.std(axis=1))).max() < 1.7  # where it ends it clicks


def test_silence_gives_finite_numbers() -> None:
    parts = front.Whitened()(np.zeros((1, FORMAT.samples), np.float32))
    assert all(np.isfinite(np.asarray(part)).all() for part in parts)


def correlation(
    x: NDArray[np.float32], levels: tuple[int, int, int], harmonic: int, at: NDArray[np.float64]
) -> complex:
    """A whitened sound's correlation, at those of its samples, with one atom's harmonic, as a plain sum."""
    f, v, b = (
        float(SPACE[COLUMN[f"sin_{name}"]].value_of_level(at)) for name, at in zip(front.ATOM, levels, strict=True)
    )
    t = (front.HOP + at) / FORMAT.sample_rate  # it begins a hop late
    turns = f * t + b / (2 * np.pi * v) * (1 - np.cos(2 * np.pi * v * t))
    sampled = np.interp(at, np.arange(len(x)), x)
    return complex((sampled * np.exp(-2j * np.pi * harmonic * turns)).sum() / np.sqrt(len(at)))


def test_a_matched_filter_answers_as_the_plain_sum_does() -> None:
    whitened = np.asarray(front.Whitened()(sounds_of(levels_of(2)))[1])
    products = np.asarray(front.MatchedFilters(trainable=False)(front.Demodulated()(whitened)))
    assert products.shape == (2, front.SEGMENTS, 2 * 4096)
    parts = front.MatchedFilters.SCALE * products.reshape(2, front.SEGMENTS, 16, 16, 2, 16)
    rms = np.sqrt(np.mean(whitened[0] ** 2))
    # Low-passed and decimated about the middle of the low-pass, which is where the swings are taken from.
    at = np.arange(0, front.LENGTH, front.DECIMATION)[:, None] + np.arange(front.TAPS)
    middle = (front.HOP + at[:, 0] + (front.TAPS - 1) / 2) / FORMAT.sample_rate
    for f, v, b in np.random.default_rng(0).integers(16, size=(6, 3)).tolist():
        hz, rate_hz, swing_hz = (SPACE[f"sin_{name}"].values[i] for name, i in zip(front.ATOM, (f, v, b), strict=True))
        carrier = np.exp(-2j * np.pi * hz * (front.HOP + at) / FORMAT.sample_rate)
        down = (whitened[0, at] * carrier) @ front._lowpass()
        swing = np.exp(-1j * swing_hz / rate_hz * (1 - np.cos(2 * np.pi * rate_hz * middle)))
        expected = (down * swing).reshape(front.SEGMENTS, -1).sum(axis=1) * front.DECIMATION / np.sqrt(front.LENGTH)
        ours = parts[0, :, v, b, 0, f] + 1j * parts[0, :, v, b, 1, f]
        np.testing.assert_allclose(ours, expected, atol=0.02 * rms)


def test_the_candidates_carry_the_correlations_of_their_harmonics() -> None:
    levels = levels_of(2, saw_amplitude=15, sin_amplitude=0, tri_amplitude=0, sqr_amplitude=0)
    network = atoms.build(SPACE, FORMAT)
    outputs = [network.get_layer("candidates").output, network.get_layer("whitened").output[1]]
    (found, features), whitened = keras.Model(network.inputs, outputs).predict_on_batch(sounds_of(levels))
    found = np.asarray(found).reshape(2, front.TOKENS, 3, 16).argmax(axis=3)
    features, whitened = np.asarray(features).reshape(2, front.TOKENS, -1), np.asarray(whitened)
    at = front.HARMONICS_START + front.HARMONICS_STEP * np.arange(front.HARMONICS_LENGTH, dtype=np.float64)
    turned = 2 + 2 * front.SEGMENTS  # the first harmonic's, after the phase and the segments
    for sound, token in ((0, 0), (1, 3), (1, 20)):
        phase = complex(*features[sound, token, :2])
        level = features[sound, token, turned + 2 * len(front.HARMONICS)]
        for k, harmonic in enumerate(front.HARMONICS):
            expected = correlation(whitened[sound], tuple(found[sound, token]), harmonic, at) / level
            ours = complex(*features[sound, token, turned + 2 * k :][:2])
            assert ours == pytest.approx(expected * np.conj(phase) ** harmonic, abs=2e-3)
            log = features[sound, token, turned + 2 * len(front.HARMONICS) + 1 + front.SEGMENTS + k]
            assert log == pytest.approx(0.25 * np.log(abs(expected) ** 2 + 1e-3), abs=0.01)


def test_matched_filters_are_exported_as_products_of_bytes_that_are_the_same_numbers() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    from inversynth.training import onnx_export as export

    network = atoms.build(SPACE, FORMAT)
    shown = keras.Model(network.inputs, network.get_layer("matched_filters").output)
    data = export._convert(shown, ["products"], {}, PAPER.fold_export)
    nodes = onnx.load_from_string(data).graph.node
    assert [node.op_type for node in nodes].count("MatMulInteger") == 1
    assert not any(node.op_type == "MatMul" and "matched" in node.name for node in nodes)
    sounds = sounds_of(levels_of(4))
    ours = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"audio": sounds})[0]
    theirs = np.asarray(shown.predict_on_batch(sounds))
    # Of what lies between two whole numbers, single precision may decide otherwise.
    assert np.abs(ours - theirs).max() <= 2 * front.WHOLE_NUMBERS
    assert np.mean(ours == theirs) > 0.9


def test_the_loudest_oscillators_are_among_the_candidates() -> None:
    levels = levels_of(24)
    network = atoms.build(SPACE, FORMAT)
    candidates = keras.Model(network.inputs, network.get_layer("candidates").output)
    found, features = (np.asarray(part) for part in candidates.predict_on_batch(sounds_of(levels)))
    assert found.shape == (24 * front.TOKENS, 48)
    assert features.shape == (24 * front.TOKENS, 35)
    at = found.reshape(24, front.TOKENS, 3, 16).argmax(axis=3)
    hits = []
    for name in ("sin", "saw", "tri", "sqr"):
        f, v, b = (levels[:, COLUMN[f"{name}_{what}"]] for what in front.ATOM)
        true = np.stack([f, np.where(b == 0, 0, v), b], axis=1)
        hits.append((at == true[:, None]).all(axis=2).any(axis=1)[levels[:, COLUMN[f"{name}_amplitude"]] >= 8])
    assert np.concatenate(hits).mean() > 0.9


def test_attention_and_normalization_are_those_of_keras() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.normal(size=(3, front.TOKENS + atoms.GLOBAL_TOKENS, 32)).astype(np.float32)
    ours, theirs = atoms.Attention(), keras.layers.MultiHeadAttention(atoms.HEADS, 32 // atoms.HEADS)
    answer = np.asarray(ours(tokens.reshape(-1, 32))).reshape(tokens.shape)
    theirs(tokens, tokens)
    kernels = np.split(np.asarray(ours.asked.kernel), 3, axis=1)
    weights: list[NDArray[np.float32]] = []
    for kernel in kernels:
        weights += [kernel.reshape(32, atoms.HEADS, -1), np.zeros((atoms.HEADS, 32 // atoms.HEADS), np.float32)]
    weights += [np.asarray(ours.answered.kernel).reshape(atoms.HEADS, -1, 32), np.zeros(32, np.float32)]
    theirs.set_weights(weights)
    np.testing.assert_allclose(answer, np.asarray(theirs(tokens, tokens)), atol=1e-5)
    rows = tokens.reshape(-1, 32) * 3 + 1
    np.testing.assert_allclose(atoms.Normalised()(rows), keras.layers.LayerNormalization()(rows), atol=1e-5)


def test_owners_mix_what_the_tokens_say() -> None:
    owners, rows, rng = atoms.Owners(), front.TOKENS + atoms.GLOBAL_TOKENS, np.random.default_rng(1)
    levels = np.eye(16)[rng.integers(16, size=(2 * rows, 3))].reshape(-1, 48)
    tokens = np.concatenate([rng.normal(size=(2 * rows, 7)), levels], axis=1).astype(np.float32)
    mixed, owned = (np.asarray(part) for part in owners(tokens))
    said = tokens @ np.asarray(owners.said.kernel) + np.asarray(owners.said.bias)
    scores = np.exp(said[:, :4]).reshape(2, rows, 4)
    shares = scores / scores.sum(axis=1, keepdims=True)
    of_levels = np.exp(said[:, 4:]).reshape(2, rows, 4, 3, 16)
    of_levels /= of_levels.sum(axis=4, keepdims=True)
    np.testing.assert_allclose(np.exp(mixed), np.einsum("ntw,ntwab->nwab", shares, of_levels), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        owned, np.einsum("ntw,ntd->nwd", shares, tokens.reshape(2, rows, -1)), rtol=1e-4, atol=1e-5
    )


def test_before_training_a_token_says_the_levels_of_its_atom() -> None:
    owners, rows = atoms.Owners(), front.TOKENS + atoms.GLOBAL_TOKENS
    levels = np.eye(16)[np.tile([[3, 0, 15]], (rows, 1))].reshape(-1, 48)
    mixed, _ = owners(np.concatenate([np.zeros((rows, 7)), levels], axis=1).astype(np.float32))
    assert np.asarray(mixed).argmax(axis=3).tolist() == [[[3, 0, 15]] * 4]


def test_it_is_for_no_other_synth() -> None:
    with pytest.raises(UsageError, match="paper only"):
        networks.build("Atoms", synths.load("sine").space, FORMAT, own=PAPER.networks)
    with pytest.raises(UsageError, match="paper only"):
        networks.build("Atoms", SPACE, AudioFormat(44100, 1.0), own=PAPER.networks)
