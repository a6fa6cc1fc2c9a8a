"""The network that looks for the synth's own oscillators."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import metrics, sampling
from inversynth.errors import UsageError
from inversynth.render import synth
from inversynth.spec import AudioFormat
from inversynth.synths.paper import FORMAT, SPACE

keras = pytest.importorskip("keras", reason="Keras is not installed")

from inversynth import atoms, frontends, networks  # noqa: E402

PAPER = synth("paper")
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


def test_whitening_takes_off_level_and_envelope_and_keeps_the_phases() -> None:
    t = np.arange(FORMAT.samples) / FORMAT.sample_rate
    tone = np.sin(2 * np.pi * 1000 * t) * np.exp(-3 * t)
    sound = np.stack([tone, 0.01 * tone]).astype(np.float32)
    _, whitened, in_time, _ = (np.asarray(part) for part in atoms.Whitened()(sound))
    np.testing.assert_allclose(whitened[1], whitened[0], rtol=0.05, atol=0.05 * whitened.std())
    loudness = np.sqrt(np.mean(whitened[0].reshape(64, -1) ** 2, axis=1))[4:60]
    assert loudness.max() / loudness.min() < 1.2  # of a tone that has lost 21 dB meanwhile
    assert np.corrcoef(whitened[0, 1024:15000], np.sin(2 * np.pi * 1000 * t)[1024:15000])[0, 1] > 0.98
    np.testing.assert_allclose(in_time[0] - in_time[1], 2 * np.log(100), atol=0.05)


def test_silence_gives_finite_numbers() -> None:
    parts = atoms.Whitened()(np.zeros((1, FORMAT.samples), np.float32))
    assert all(np.isfinite(np.asarray(part)).all() for part in parts)


def correlation(x: NDArray[np.float32], levels: tuple[int, int, int], filters: tuple[int, int, int, int]) -> complex:
    """A sound's correlation with one atom's harmonic, as a plain sum."""
    harmonic, decimation, start, samples = filters
    f, v, b = (
        float(SPACE[COLUMN[f"sin_{name}"]].value_of_level(at)) for name, at in zip(atoms.ATOM, levels, strict=True)
    )
    # The low-pass looks ahead: the window that it sees begins and ends half its length later.
    ahead = (atoms.TAPS_A_STEP * decimation - 1) / 2 if decimation > 1 else 0
    at = start + ahead + np.arange(samples)
    t = at / FORMAT.sample_rate
    turns = f * t + b / (2 * np.pi * v) * (1 - np.cos(2 * np.pi * v * t))
    heard = np.interp(at, np.arange(FORMAT.samples), x)
    return complex((heard * np.exp(-2j * np.pi * harmonic * turns)).sum() / np.sqrt(samples))


@pytest.mark.parametrize("filters", atoms.FILTERS)
def test_a_matched_filter_answers_as_the_plain_sum_does(filters: tuple[int, int, int, int]) -> None:
    sounds = sounds_of(levels_of(2))
    x = np.asarray(atoms.Demodulated(*filters)(sounds))
    if filters == atoms.FUNDAMENTAL:
        parts = np.asarray(atoms.MatchedFilters(trainable=False)(x))
        assert parts.shape == (atoms.SEGMENTS, 512, 2, 32)
        products = parts.sum(axis=0)
        real = products[:256, :, :16] - products[256:, :, 16:]
        whole = real + 1j * (products[:256, :, 16:] + products[256:, :, :16])
    else:
        whole = np.einsum("st,ntf->snf", atoms.phasors(*filters), x[:, :, :16] + 1j * x[:, :, 16:])
    rms = np.sqrt(np.mean(sounds[0] ** 2))
    for f, v, b in np.random.default_rng(0).integers(16, size=(6, 3)).tolist():
        assert abs(whole[16 * v + b, 0, f] - correlation(sounds[0], (f, v, b), filters)) < 0.4 * rms


def test_the_candidates_carry_the_correlations_of_their_harmonics() -> None:
    levels = levels_of(2, saw_amplitude=15, sin_amplitude=0, tri_amplitude=0, sqr_amplitude=0)
    network = atoms.build(SPACE, FORMAT)
    outputs = [network.get_layer(name).output for name in ("candidates", "demodulated_2", "demodulated_3")]
    (found, features), *harmonics = keras.Model(network.inputs, outputs).predict_on_batch(sounds_of(levels))
    found, features = np.asarray(found).argmax(axis=3), np.asarray(features)
    for k, filters in enumerate(atoms.HARMONICS):
        x = np.asarray(harmonics[k])
        answers = np.einsum("st,ntf->nsf", atoms.phasors(*filters), x[:, :, :16] + 1j * x[:, :, 16:])
        for sound, token in ((0, 0), (1, 3), (1, 40)):
            f, v, b = found[sound, token]
            level = np.exp(features[sound, token, 0]) - 1e-3
            expected = 0.25 * np.log(abs(answers[sound, 16 * v + b, f]) ** 2 / level**2 + 1e-3)
            logs = 3 + 3 * atoms.SEGMENTS + 3 * k + 2
            assert features[sound, token, logs] == pytest.approx(expected, abs=0.02)


def test_the_loudest_oscillators_are_among_the_candidates() -> None:
    levels = levels_of(24)
    network = atoms.build(SPACE, FORMAT)
    candidates = keras.Model(network.inputs, network.get_layer("candidates").output)
    found, features = (np.asarray(part) for part in candidates.predict_on_batch(sounds_of(levels)))
    assert found.shape == (24, atoms.TOKENS, 3, 16)
    assert features.shape == (24, atoms.TOKENS, 34)
    at = found.argmax(axis=3)
    hits = []
    for name in ("sin", "saw", "tri", "sqr"):
        f, v, b = (levels[:, COLUMN[f"{name}_{what}"]] for what in atoms.ATOM)
        true = np.stack([f, np.where(b == 0, 0, v), b], axis=1)
        hits.append((at == true[:, None]).all(axis=2).any(axis=1)[levels[:, COLUMN[f"{name}_amplitude"]] >= 8])
    assert np.concatenate(hits).mean() > 0.9


def test_attention_and_normalization_are_those_of_keras() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.normal(size=(3, atoms.TOKENS + atoms.GLOBAL_TOKENS, 32)).astype(np.float32)
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
    owners = atoms.Owners()
    rng = np.random.default_rng(1)
    tokens = rng.normal(size=(2, 5, 7)).astype(np.float32)
    places = rng.integers(16, size=(2, 5, 3))
    levels = np.eye(16, dtype=np.float32)[places]
    summary = rng.normal(size=(2, 6)).astype(np.float32)
    mixed, owned = (np.asarray(part) for part in owners(tokens, levels, summary))
    np.testing.assert_allclose(np.exp(mixed).sum(axis=3), 1.0, rtol=1e-5)
    kernel, bias = (np.asarray(part) for part in (owners.owner.kernel, owners.owner.bias))
    none = summary @ np.asarray(owners.no_owner.kernel) + np.asarray(owners.no_owner.bias)
    scores = np.exp(np.concatenate([tokens @ kernel + bias, none[:, None]], axis=1))
    shares = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(owned, np.einsum("ntw,ntd->nwd", shares[:, :5], tokens), rtol=1e-4, atol=1e-5)


def test_it_hears_no_other_synth() -> None:
    with pytest.raises(UsageError, match="paper only"):
        networks.build("Atoms", synth("sine").space, FORMAT)
    with pytest.raises(UsageError, match="paper only"):
        networks.build("Atoms", SPACE, AudioFormat(44100, 1.0))
