"""Degradations of sounds: that each does what it says, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from inversynth import synths
from inversynth.audio import augmentation
from inversynth.audio.augmentation import DEGRADATIONS, Sounds
from inversynth.errors import UsageError
from inversynth.synths import sampling

PAPER = synths.load("paper")
RATE = PAPER.format.sample_rate


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return PAPER.space.values_of_levels(sampling.draw(PAPER.space, 4, 0, 6, sampling.TEST))


@pytest.fixture(scope="module")
def sounds(values: np.ndarray) -> Sounds:
    """(6, 16384) patches, one of them silent."""
    made = PAPER.render(values)
    made[5] = 0
    return made


def degraded(name: str, sounds: Sounds) -> Sounds:
    return DEGRADATIONS[name](sounds, RATE, np.random.default_rng(1))


def snr_db(clean: np.ndarray, augmented: np.ndarray) -> np.ndarray:
    a, b = clean.astype(np.float64), augmented.astype(np.float64)
    return np.asarray(10 * np.log10((a**2).mean(axis=1) / ((b - a) ** 2).mean(axis=1)))


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_keeps_shape_and_type_and_leaves_its_argument_alone(name: str, sounds: Sounds) -> None:
    before = sounds.copy()
    augmented = degraded(name, sounds)
    np.testing.assert_array_equal(sounds, before)
    assert augmented.shape == sounds.shape
    assert augmented.dtype == np.float32
    assert np.isfinite(augmented).all()
    np.testing.assert_array_equal(augmented, degraded(name, sounds))  # the same generator gives the same
    if name not in ("16 bit", "MP3, 128 kbit/s"):
        alone = np.concatenate([degraded(name, sounds[i : i + 1]) for i in range(5)])
        if "noise" not in name:
            np.testing.assert_array_equal(augmented[:5], alone)


@pytest.mark.parametrize("truncated", [False, True])
def test_what_is_changed_in_place_is_what_else_would_be_returned(truncated: bool, sounds: Sounds) -> None:
    def change(x: Sounds, out: Sounds | None = None) -> Sounds:
        random = np.random.default_rng(2)
        if truncated:
            return augmentation.truncated(x, 1.0, RATE, random, out)
        return augmentation.augmented(x, 1.0, random, out)

    same, other, before = sounds.copy(), np.empty_like(sounds), sounds.copy()
    expected = change(sounds)
    np.testing.assert_array_equal(sounds, before)
    assert change(same, out=same) is same
    assert change(sounds, out=other) is other
    np.testing.assert_array_equal(same, expected)
    np.testing.assert_array_equal(other, expected)


def test_levels_are_in_decibels(sounds: Sounds) -> None:
    np.testing.assert_allclose(degraded("20 dB quieter", sounds), sounds / 10, rtol=1e-6)
    np.testing.assert_allclose(degraded("6 dB louder", sounds), sounds * 1.9952623, rtol=1e-6)


def test_the_offset_is_a_tenth_of_each_sounds_peak(sounds: Sounds) -> None:
    offset = degraded("DC offset, 10 % of the peak", sounds).astype(np.float64) - sounds
    peaks = 0.1 * np.abs(sounds).max(axis=1, keepdims=True)
    np.testing.assert_allclose(offset, np.broadcast_to(peaks, offset.shape), atol=2e-7 * max(1.0, np.abs(sounds).max()))


@pytest.mark.parametrize("db", [40, 30, 20])
def test_noise_is_white_and_has_the_given_ratio(db: int, sounds: Sounds) -> None:
    augmented = degraded(f"white noise, {db} dB SNR", sounds)
    np.testing.assert_allclose(snr_db(sounds[:5], augmented[:5]), db, atol=0.2)
    noise = (augmented - sounds)[0].astype(np.float64)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[:4096].mean() == pytest.approx(power[4096:].mean(), rel=0.1)
    np.testing.assert_array_equal(augmented[5], 0)  # silence has no power to be relative to


def test_sixteen_bits_are_steps_of_full_scale(sounds: Sounds) -> None:
    loud, quiet = 3 * sounds[:1] / np.abs(sounds[0]).max(), 0.5 * sounds[:1] / np.abs(sounds[0]).max()
    for sound, full in ((loud, 3.0), (quiet, 1.0)):
        steps = degraded("16 bit", sound) * 32767 / full
        np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
        assert np.abs(degraded("16 bit", sound) - sound).max() <= 0.51 * full / 32767


def test_an_mp3_is_near_in_time_and_not_exact(sounds: Sounds) -> None:
    augmented = degraded("MP3, 128 kbit/s", sounds)
    ratios = snr_db(sounds[:5], augmented[:5])
    assert (ratios > 10).all()
    assert (ratios < 60).all()
    better = augmentation.mp3(320)(sounds, RATE, np.random.default_rng(1))
    assert snr_db(sounds[:5], better[:5]).mean() > ratios.mean()
    np.testing.assert_allclose(augmented[5], 0, atol=1e-4)


def test_where_mp3_cannot_be_written_it_is_said(sounds: Sounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundfile.available_formats", lambda: {"WAV": ""})
    with pytest.raises(UsageError, match=r"can't write MP3; install 1\.1"):
        degraded("MP3, 128 kbit/s", sounds)


@pytest.mark.parametrize(("ms", "samples"), [(5, 82), (20, 328), (50, 819), (2000, 16384)])
def test_a_late_start_is_silence_first(ms: int, samples: int, sounds: Sounds) -> None:
    augmented = augmentation.late(ms)(sounds, RATE, np.random.default_rng(1))
    assert not augmented[:, :samples].any()
    np.testing.assert_array_equal(augmented[:, samples:], sounds[:, : RATE - samples])


def test_another_rate_is_rendered_there_and_resampled(values: np.ndarray) -> None:
    made = augmentation.resampled_to(PAPER.format, PAPER.render(values[:2], 32768), 32768)
    there = PAPER.render(values[:2], 32768).astype(np.float64)
    expected = resample_poly(there, 1, 2, axis=1)
    assert made.shape == (2, RATE)
    assert made.dtype == np.float32
    for a, b in zip(made, expected, strict=True):
        assert np.corrcoef(a[100:-100], b[100:-100])[0, 1] > 0.995


def test_between_the_notes_lies_a_quarter_tone_within_the_range(values: np.ndarray) -> None:
    top = values.copy()
    top[0, PAPER.space.index("sin_frequency")] = PAPER.space["sin_frequency"].high
    moved = augmentation.between_notes(PAPER.space, top)
    for i, param in enumerate(PAPER.space):
        cents = 1200 * np.log2(np.maximum(moved[:, i], 1e-9) / np.maximum(top[:, i], 1e-9))
        is_note = param.name in [f"{w}_frequency" for w in ("sin", "saw", "tri", "sqr")]
        np.testing.assert_allclose(np.abs(cents), 50 if is_note else 0, atol=1e-6)
        assert (moved[:, i] <= param.high).all()
        if is_note:
            np.testing.assert_allclose(param.x_of_value(moved[:, i]) * 15 % 1, 0.5)  # halfway between two levels
    sine = synths.load("sine")
    some = sine.space.values_of_levels([[3, 8, 12, 1]])
    np.testing.assert_array_equal(augmentation.between_notes(sine.space, some), some)  # it has no notes
