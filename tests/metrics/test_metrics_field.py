"""The field's measures of sounds, each against an independent reference: scipy, brute force, or a case by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.stats import wasserstein_distance

import reference
from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.metrics import field
from inversynth.synths import sampling

RATE = 16384
SAME = {"rms_cosine": 1.0, "residual_db": -120.0}
"""What the measures of two equal sounds are that aren't 0."""
Sound = NDArray[np.float64]


@pytest.fixture(scope="module")
def sounds() -> Sound:
    """(6, 16384) random patches of the paper's synth, of different levels."""
    paper = synths.load("paper")
    made = paper.render(paper.space.values_of_levels(sampling.draw(paper.space, 3, 0, 6, sampling.TEST)))
    return made.astype(np.float64)


@pytest.fixture(scope="module")
def found(sounds: Sound) -> dict[str, Sound]:
    """The measures of the first three against the last three."""
    return metrics.field_measures(sounds[:3], sounds[3:], RATE)


def pictures(sounds: Sound) -> list[tuple[Sound, Sound]]:
    """The magnitudes (frames, 257) of each pair."""
    return [(reference.spectrogram(a), reference.spectrogram(b)) for a, b in zip(sounds[:3], sounds[3:], strict=True)]


def mel(hz: Sound) -> Sound:
    """Slaney's mel scale."""
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def mel_spectrogram(sound: Sound, rate: int, window_s: float, hop_s: float, bands: int) -> Sound:
    """(frames, bands) by a dense matrix of triangles, frame by frame, in float64."""
    window, hop = round(window_s * rate), round(hop_s * rate)
    points = 1
    while points < 2 * window:
        points *= 2
    fine = np.linspace(0, rate / 2, 100_001)
    corner = np.interp(np.linspace(0, mel(fine)[-1], bands + 2), mel(fine), fine)
    hz = np.arange(points // 2 + 1) * rate / points
    matrix = np.stack([np.interp(hz, corner[i : i + 3], [0, 1, 0], 0, 0) for i in range(bands)], axis=1)
    matrix *= 2 / (corner[2:] - corner[:-2])
    padded = np.concatenate([np.zeros((window - hop) // 2), sound, np.zeros(window)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = [padded[hop * m : hop * m + window] * hann for m in range(-(-len(sound) // hop))]
    return np.asarray(np.stack([np.abs(np.fft.rfft(frame, points)) ** 2 for frame in frames]) @ matrix)


def in_db(target: Sound, sound: Sound, *scale: float) -> tuple[Sound, Sound]:
    a, b = (mel_spectrogram(at, RATE, *scale) for at in (target, sound))  # type: ignore[arg-type]
    floor = 1e-8 * a.max()
    return 10 * np.log10(np.maximum(a, floor)), 10 * np.log10(np.maximum(b, floor))


def test_spectral_convergence_is_the_difference_relative_to_the_target(found: dict[str, Sound], sounds: Sound) -> None:
    expected = [np.sqrt(((a - b) ** 2).sum() / (a**2).sum()) for a, b in pictures(sounds)]
    np.testing.assert_allclose(found["spectral_convergence"], expected)


def test_the_log_spectral_distance_is_the_mean_over_frames_of_the_rms_in_db(
    found: dict[str, Sound], sounds: Sound
) -> None:
    for i, (a, b) in enumerate(pictures(sounds)):
        floor = 1e-4 * a.max()
        difference = 20 * np.log10(np.maximum(a, floor)) - 20 * np.log10(np.maximum(b, floor))
        expected = np.mean([np.sqrt(np.mean(frame**2)) for frame in difference])
        assert found["lsd_db"][i] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rate", "window_s", "bands"), [(16384, 0.010, 32), (16384, 0.100, 128), (44100, 0.025, 64), (1000, 0.010, 32)]
)
def test_mel_spectrograms_are_triangles_of_unit_area(rate: int, window_s: float, bands: int) -> None:
    noise = np.random.default_rng(2).normal(size=(2, rate // 4))
    made = field.mel_spectrogram(noise, rate, window_s, window_s / 2, bands)
    for sound, picture in zip(noise, made, strict=True):
        expected = mel_spectrogram(sound, rate, window_s, window_s / 2, bands)
        np.testing.assert_allclose(picture, expected, rtol=2e-4, atol=1e-6 * expected.max())


def test_the_mel_distance_is_the_mean_of_three_scales(found: dict[str, Sound], sounds: Sound) -> None:
    for i in range(3):
        scales = ((0.010, 0.005, 32), (0.025, 0.010, 64), (0.100, 0.050, 128))
        pairs = [in_db(sounds[i], sounds[3 + i], *scale) for scale in scales]
        assert found["mel_db"][i] == pytest.approx(np.mean([np.abs(a - b).mean() for a, b in pairs]), rel=1e-4)


def brute_force(a: Sound, b: Sound) -> float:
    """Dynamic time warping, cell by cell, as Sakoe and Chiba wrote it."""
    cost = np.abs(a[:, None] - b[None]).mean(axis=2).tolist()
    total: dict[tuple[int, int], float] = {(0, 0): 2 * cost[0][0]}
    for i in range(len(a)):
        for j in range(len(b)):
            if (i, j) != (0, 0):
                ways = [total.get((i - 1, j), np.inf) + cost[i][j], total.get((i, j - 1), np.inf) + cost[i][j]]
                total[i, j] = min(*ways, total.get((i - 1, j - 1), np.inf) + 2 * cost[i][j])
    return total[len(a) - 1, len(b) - 1] / (len(a) + len(b))


def test_the_mfcc_are_the_cosine_transform_of_the_mel_bands_and_warped_by_brute_force(
    found: dict[str, Sound], sounds: Sound
) -> None:
    for i in range(3):
        pair = in_db(sounds[i], sounds[3 + i], 0.025, 0.010, 64)
        a, b = (dct(at, type=2, norm="ortho", axis=1)[:, :20] for at in pair)
        assert found["mfcc_db"][i] == pytest.approx(np.abs(a - b).mean(), rel=1e-4)
        assert found["wmfcc_db"][i] == pytest.approx(brute_force(a, b), rel=1e-4)
        assert found["wmfcc_db"][i] <= found["mfcc_db"][i]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (4, 1), (3, 7), (7, 3), (5, 5)])
def test_warping_is_that_of_brute_force_at_any_lengths(rows: int, columns: int) -> None:
    random = np.random.default_rng(rows * 10 + columns)
    a, b = random.normal(size=(4, rows, 2)), random.normal(size=(4, columns, 2))
    np.testing.assert_allclose(field.warped(a, b), [brute_force(x, y) for x, y in zip(a, b, strict=True)])


def test_warping_forgives_what_comes_late() -> None:
    a = np.zeros((1, 30, 1))
    a[0, 10:15] = 1.0
    late = np.roll(a, 5, axis=1)
    assert np.abs(a - late).mean() > 0.3
    assert field.warped(a, late)[0] == 0.0


def test_spectral_transport_is_the_wasserstein_distance_of_each_frame(found: dict[str, Sound], sounds: Sound) -> None:
    hz = np.arange(257) * RATE / 512
    for i, (a, b) in enumerate(pictures(sounds)):
        floor = 1e-4 * a.max()
        each = [
            wasserstein_distance(hz, hz, np.maximum(x, floor), np.maximum(y, floor)) for x, y in zip(a, b, strict=True)
        ]
        assert found["sot_hz"][i] == pytest.approx(np.mean(each))


def test_a_tone_a_hundred_hertz_higher_is_transported_by_a_hundred_hertz() -> None:
    time = np.arange(RATE) / RATE
    tones = np.stack([np.sin(2 * np.pi * hz * time) for hz in (1000.0, 1100.0)])
    assert metrics.field_measures(tones[:1], tones[1:], RATE)["sot_hz"][0] == pytest.approx(100, rel=0.02)


def test_the_envelopes_cosine_is_that_of_the_definition(found: dict[str, Sound], sounds: Sound) -> None:
    window, hop = 819, 410
    padded = np.pad(sounds, ((0, 0), ((window - hop) // 2, window)))
    rms = np.stack(
        [np.sqrt((padded[:, hop * m : hop * m + window] ** 2).mean(axis=1)) for m in range(-(-RATE // hop))], axis=1
    )
    expected = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(rms[:3], rms[3:], strict=True)]
    np.testing.assert_allclose(found["rms_cosine"], expected)


def test_the_residual_is_in_decibels_of_the_targets_waveform() -> None:
    target = np.array([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    sound = np.array([[3.0, 4.05], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    found = metrics.field_measures(target, sound, RATE)["residual_db"]
    np.testing.assert_allclose(found, [-40, 0, -120, -120], atol=1e-9)


def test_nothing_changes_when_both_are_scaled_and_a_difference_of_level_counts_where_it_is_said_to(
    found: dict[str, Sound], sounds: Sound
) -> None:
    both = metrics.field_measures(10 * sounds[:3], 10 * sounds[3:], RATE)
    louder = metrics.field_measures(sounds, 2 * sounds, RATE)
    for key, values in found.items():
        np.testing.assert_allclose(both[key], values, rtol=1e-4)
    np.testing.assert_allclose(louder["spectral_convergence"], 1.0)
    np.testing.assert_allclose(louder["rms_cosine"], 1.0)
    six_db = 20 * np.log10(2)
    assert (0.3 * six_db < louder["lsd_db"]).all()
    assert (louder["lsd_db"] <= six_db + 1e-9).all()
    assert (louder["mfcc_db"] > 0).all()
    assert louder["sot_hz"].mean() < 0.1 * found["sot_hz"].mean()  # the floor makes quiet frames flatter


def test_a_sound_is_like_itself(sounds: Sound) -> None:
    for key, values in metrics.field_measures(sounds, sounds, RATE).items():
        np.testing.assert_allclose(values, SAME.get(key, 0.0), atol=1e-12)


def test_silence_is_like_silence_and_measures_stay_finite(sounds: Sound) -> None:
    silence = np.zeros((1, RATE))
    for target, other in ((silence, sounds[:1]), (sounds[:1], silence)):
        measures = metrics.field_measures(target, other, RATE)
        assert all(np.isfinite(values).all() for values in measures.values())
        assert measures["rms_cosine"][0] == 0.0
        assert measures["lsd_db"][0] > 1.0
    same = metrics.field_measures(silence, silence, RATE)
    assert {key: float(values[0]) for key, values in same.items()} == {key: SAME.get(key, 0.0) for key in same}


def test_every_measure_has_a_title_and_many_sounds_are_measured_as_one_is(sounds: Sound) -> None:
    many = np.tile(sounds, (12, 1))  # more than are compared at a time
    found = metrics.field_measures(many, np.roll(many, 1, axis=0), RATE)
    alone = metrics.field_measures(many[70:71], many[69:70], RATE)
    for key, values in found.items():
        assert values.shape == (72,)
        assert values[70] == pytest.approx(alone[key][0], rel=1e-6)
    assert [*metrics.sound_measures(sounds, sounds), *found] == list(metrics.TITLES)
    assert all(values.shape == (0,) for values in metrics.field_measures(many[:0], many[:0], RATE).values())


def test_sounds_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="same shape"):
        metrics.field_measures(np.zeros((2, 100)), np.zeros((2, 99)), RATE)
