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


@pytest.mark.parametrize("filters", atoms.FILTERS)
def test_a_matched_filter_answers_as_the_plain_sum_does(filters: tuple[int, int, int, int, int]) -> None:
    harmonic, decimation, start, samples, segments = filters
    sounds = sounds_of(levels_of(2))
    real, imaginary = (np.asarray(part) for part in atoms.MatchedFilters(*filters)(sounds))
    assert real.shape == imaginary.shape == (segments, 256, 2, 16)
    rng = np.random.default_rng(0)
    taps = atoms.TAPS_A_STEP * decimation if decimation > 1 else 1
    for f, v, b in rng.integers(16, size=(6, 3)).tolist():
        values = [
            float(SPACE[COLUMN[f"sin_{name}"]].value_of_level(at))
            for name, at in zip(atoms.ATOM, (f, v, b), strict=True)
        ]
        # The low-pass looks ahead: the window that it sees begins and ends half its length later.
        t = (start + (taps - 1) / 2 + np.arange(samples)) / FORMAT.sample_rate
        turns = values[0] * t + values[2] / (2 * np.pi * values[1]) * (1 - np.cos(2 * np.pi * values[1] * t))
        at = np.arange(FORMAT.samples) / FORMAT.sample_rate
        x = np.interp(t, at, sounds[0]) if taps % 2 == 0 else sounds[0, start : start + samples]
        plain = (x * np.exp(-2j * np.pi * harmonic * turns)).sum() / np.sqrt(samples)
        whole = real[:, 16 * v + b, 0, f].sum() + 1j * imaginary[:, 16 * v + b, 0, f].sum()
        scale = np.sqrt(np.mean(sounds[0] ** 2) * samples)
        assert abs(whole - plain) < 0.05 * scale / np.sqrt(samples) * 8


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
