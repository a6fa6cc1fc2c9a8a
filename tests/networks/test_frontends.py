"""The input of the networks: the spectrogram, the hand-made features, and what is fitted to sounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.fft

import reference

pytest.importorskip("keras", reason="front ends need Keras (the extra `train`)")

from inversynth import metrics, synths
from inversynth.networks import fitted, frontends
from inversynth.networks.fitted import PrincipalComponents, WordCounts, k_means, principal_axes
from inversynth.networks.frontends import HandMadeFeatures, LogSpectrogram, mel_bands, octaves, segment_statistics
from inversynth.synths import sampling

PAPER = synths.load("paper")
RATE = PAPER.format.sample_rate


def sounds(count: int) -> np.ndarray:
    levels = sampling.draw(PAPER.space, 3, 0, count, sampling.TEST)
    return PAPER.render(PAPER.space.values_of_levels(levels))


# -- the spectrogram -----------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [16384, 16000, 16383, 300, 256])
def test_the_spectrogram_is_the_log_of_the_reference(samples: int) -> None:
    audio = sounds(3)[:, :samples]
    made = np.asarray(LogSpectrogram()(audio))
    assert made.shape == (3, -(-samples // 256), 257, 1)
    for sound, picture in zip(audio, made, strict=True):
        magnitudes = np.maximum(reference.spectrogram(sound.astype(np.float64)), frontends.LOG_FLOOR)
        # float32 sums of 512 terms are right to about 1e-6 of the largest: 1e-3 bounds their effect near the floor
        clear = magnitudes > 1e-3 * magnitudes.max()
        np.testing.assert_allclose(picture[clear, 0], 0.25 * np.log(magnitudes[clear]) + 1.0, atol=1e-3)


@pytest.mark.parametrize(("window", "samples"), [(64, 200), (128, 1000), (2048, 5000)])
def test_a_spectrogram_of_another_window_is_that_of_the_measures(window: int, samples: int) -> None:
    audio = sounds(2)[:, :samples]
    made = np.asarray(LogSpectrogram(window)(audio))[..., 0]
    magnitudes = np.maximum(metrics.spectrogram(audio, window), frontends.LOG_FLOOR)
    assert made.shape == magnitudes.shape == (2, -(-samples // (window // 2)), window // 2 + 1)
    clear = magnitudes > 1e-3 * magnitudes.max()
    np.testing.assert_allclose(made[clear], 0.25 * np.log(magnitudes[clear]) + 1.0, atol=1e-3)


def test_silence_is_the_floor_and_finite() -> None:
    silence = np.zeros((1, 1000), np.float32)
    picture = LogSpectrogram()(silence)
    np.testing.assert_allclose(picture, 0.25 * np.log(frontends.LOG_FLOOR) + 1.0, rtol=1e-5)
    assert np.isfinite(np.asarray(HandMadeFeatures(RATE)(silence, picture))).all()


# -- hand-made features --------------------------------------------------------------------------


def slow_frames(sound: np.ndarray) -> np.ndarray:
    """(frames, 60) in float64, one frame at a time, from the definitions."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 26)
    hz = 700 * (10 ** (mel / 2595) - 1)
    place = np.arange(257) / 256
    magnitudes = np.maximum(reference.spectrogram(sound.astype(np.float64)), 1e-3)
    changes = np.pad(np.diff(sound > 1e-6, prepend=False), (128, 384))
    out = []
    for m, s in enumerate(magnitudes):
        energies = [
            np.log(np.sum(s**2 * np.interp(place * RATE / 2, hz[b : b + 3], [0, 1, 0])) + 1e-6) for b in range(24)
        ]
        centroid = np.average(place, weights=s)
        reached = np.interp(0.85 * s.sum(), np.concatenate([[0], np.cumsum(s)]), np.arange(258)) / 257
        octaves = [np.sort(np.log(s[a:b])) for a, b in ((1, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 257))]
        shares = [int(np.ceil(len(band) / 5)) for band in octaves]
        peaks = np.array([band[-n:].mean() for band, n in zip(octaves, shares, strict=True)])
        valleys = np.array([band[:n].mean() for band, n in zip(octaves, shares, strict=True)])
        out.append(
            [
                *energies,
                *scipy.fft.dct(energies, norm="ortho")[:13],
                changes[256 * m : 256 * m + 512].mean(),
                centroid,
                np.sqrt(np.average((place - centroid) ** 2, weights=s)),
                reached,
                np.linalg.norm(s - magnitudes[max(m - 1, 0)]),
                *peaks,
                *valleys,
                *(peaks - valleys),
            ]
        )
    return np.array(out)


@pytest.mark.parametrize("samples", [16384, 3000])
def test_the_features_of_the_frames_are_those_of_the_definitions(samples: int) -> None:
    audio = sounds(4)[:, :samples] + np.random.default_rng(0).normal(0, 1e-2, (4, samples)).astype(np.float32)
    layer = HandMadeFeatures(RATE)
    picture = LogSpectrogram()(audio)
    layer(audio, picture)
    made = np.asarray(layer.frames(audio, picture))
    assert made.shape == (4, -(-samples // 256), 60)
    for sound, features in zip(audio, made, strict=True):
        np.testing.assert_allclose(features, slow_frames(sound), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("rate", "window", "edges"),
    [
        (16384, 512, [1, 8, 16, 32, 64, 128, 257]),  # 32, 256, 512, 1024, 2048, 4096 Hz and the Nyquist frequency
        (48000, 2048, [1, 11, 22, 44, 87, 175, 1025]),
        (44100, 512, [1, 3, 6, 12, 24, 48, 257]),
        (8192, 256, [1, 8, 16, 32, 64, 129]),  # its Nyquist frequency is 4096 Hz
        (1000, 32, [1, 8, 17]),
    ],
)
def test_the_octaves_are_bands_in_hertz(rate: int, window: int, edges: list[int]) -> None:
    found = octaves(rate, window)
    assert [found[0].start, *(band.stop for band in found)] == edges
    assert all(one.stop == other.start for one, other in itertools.pairwise(found))


def test_the_mel_bands_of_another_window_lie_at_the_same_frequencies() -> None:
    narrow, wide = mel_bands(RATE, 512), mel_bands(RATE, 1024)
    assert wide.shape == (513, 24)
    np.testing.assert_allclose(wide[::2], narrow, atol=1e-12)


def test_what_is_too_small_for_a_normal_number_does_not_cross_zero() -> None:
    tiny = np.tile(np.array([1e-40, -1e-40], np.float32), 512)[None]
    layer, picture = HandMadeFeatures(RATE), LogSpectrogram()(tiny)
    layer(tiny, picture)
    assert not np.asarray(layer.frames(tiny, picture))[..., 37].any()


def test_the_mel_bands_overlap_to_one_between_the_first_and_the_last_middle() -> None:
    bands = mel_bands(RATE)
    assert bands.shape == (257, 24)
    first, last = bands[:, 0].argmax(), bands[:, -1].argmax()
    np.testing.assert_allclose(bands[first + 1 : last].sum(axis=1), 1, atol=1e-12)
    assert (np.diff(bands.argmax(axis=0)) >= 1).all()


@pytest.mark.parametrize("frames", [64, 25, 7, 2])
def test_segments_have_their_means_and_deviations(frames: int) -> None:
    series = np.random.default_rng(1).normal(size=(2, frames, 3)).astype(np.float32)
    made = np.asarray(segment_statistics(series)).reshape(2, 25, 2, 3)
    length = min(4, frames)
    for i in range(25):
        start = round(i * (frames - length) / 24)
        part = series[:, start : start + length].astype(np.float64)
        np.testing.assert_allclose(made[:, i, 0], part.mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(made[:, i, 1], part.std(axis=1), atol=1e-6)


def test_the_features_of_a_sound_are_the_statistics_of_frames_and_of_their_derivatives() -> None:
    audio = sounds(2)
    layer, picture = HandMadeFeatures(RATE), LogSpectrogram()(audio)
    made = np.asarray(layer(audio, picture))
    each = np.asarray(layer.frames(audio, picture))
    padded = np.pad(each, ((0, 0), (1, 1), (0, 0)), mode="edge")
    both = np.concatenate([each, (padded[:, 2:] - padded[:, :-2]) / 2], axis=2)
    np.testing.assert_allclose(made, segment_statistics(both), rtol=1e-5, atol=1e-5)
    assert made.shape == (2, 25 * 2 * 120)


# -- principal components ------------------------------------------------------------------------


def correlated(rows: int, features: int, rank: int) -> np.ndarray:
    """Rows whose deviation falls by a tenth from one direction to the next."""
    draw = np.random.default_rng(4)
    mixed = draw.normal(size=(rows, rank)) * 0.9 ** np.arange(rank) @ draw.normal(size=(rank, features))
    return np.asarray(mixed + 1e-3 * draw.normal(size=mixed.shape) + 3.0, np.float32)


@pytest.mark.parametrize(("rows", "features"), [(300, 40), (200, 700)])  # exact, and by random projections
def test_principal_axes_are_those_of_the_singular_value_decomposition(rows: int, features: int) -> None:
    centred = correlated(rows, features, 20)
    centred -= centred.mean(axis=0)
    axes, spread = principal_axes(centred, 10)
    _, values, expected = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(spread, values[:10] / np.sqrt(rows), rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(axes.T * expected[:10], axis=1)), 1, atol=1e-3)


def test_components_are_uncorrelated_and_of_mean_square_1() -> None:
    rows = correlated(500, 30, 20)
    layer = PrincipalComponents(8)
    layer.build(rows.shape)
    layer.adapt(rows)
    covariance = np.cov(np.asarray(layer(rows)).T)
    variances = np.linalg.eigvalsh(np.cov(rows.T))[:-9:-1]
    np.testing.assert_allclose(covariance, np.diag(variances / variances.mean()), atol=0.01)


def test_standardised_components_do_not_depend_on_the_units() -> None:
    rows = correlated(500, 30, 20)
    units = 10 ** np.random.default_rng(5).uniform(-2, 2, 30).astype(np.float32)
    made = []
    for at in (rows, rows * units):
        layer = PrincipalComponents(8, standardise=True)
        layer.build(at.shape)
        layer.adapt(at)
        made.append(np.asarray(layer(at)))
    np.testing.assert_allclose(np.abs(made[0]), np.abs(made[1]), atol=0.02)
    variances = np.linalg.eigvalsh(np.corrcoef(rows.T))[:-9:-1]
    np.testing.assert_allclose(np.cov(made[0].T), np.diag(variances / variances.mean()), atol=0.02)


def test_where_there_are_fewer_components_than_dimensions_the_rest_is_zero() -> None:
    rows = np.tile(correlated(6, 30, 20), (3, 1))
    layer = PrincipalComponents(20, standardise=True)
    layer.build(rows.shape)
    layer.adapt(rows)
    made = np.asarray(layer(rows))
    assert (made[:, :5].std(axis=0) > 0.1).all()  # six different rows, less their mean
    np.testing.assert_allclose(made[:, 5:], 0, atol=1e-2)


# -- the bag of words ----------------------------------------------------------------------------


def test_k_means_ends_as_scipys_from_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(6).normal(size=(5000, 4)).astype(np.float32)
    monkeypatch.setattr(fitted, "MEANS_ROUNDS", 0)
    first = k_means(rows, 12)
    monkeypatch.setattr(fitted, "MEANS_ROUNDS", 15)
    expected, _ = scipy.cluster.vq.kmeans2(rows.astype(np.float64), first.astype(np.float64), iter=15, minit="matrix")
    np.testing.assert_allclose(k_means(rows, 12), expected, atol=1e-3)


def test_k_means_finds_every_one_of_distant_groups_even_if_most_rows_are_alike() -> None:
    draw = np.random.default_rng(7)
    middles = draw.uniform(-100, 100, (20, 3)).astype(np.float32)
    rows = np.concatenate([np.zeros((3000, 3)), *(middle + draw.normal(0, 0.1, (50, 3)) for middle in middles)])
    found = k_means(rows.astype(np.float32), 40)
    for middle in middles:
        assert np.linalg.norm(found - middle, axis=1).min() < 1


def test_centroids_beyond_the_different_rows_are_nearest_to_nothing() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    layer = WordCounts(5)
    layer.build((1, 12, 3))
    layer.adapt(rows[None])
    assert sorted(np.asarray(layer(rows[None]))[0].tolist()) == [0, 0, 4, 4, 4]


def test_words_are_counted_by_the_nearest_centroid() -> None:
    draw = np.random.default_rng(8)
    frames = draw.normal(size=(3, 64, 5)).astype(np.float32)
    layer = WordCounts(9)
    layer.build(frames.shape)
    layer.centroids.assign(draw.normal(size=(5, 9)).astype(np.float32))
    centroids = np.asarray(layer.centroids).T
    for row, counts in zip(frames, np.asarray(layer(frames)), strict=True):
        nearest = [int(np.linalg.norm(centroids - frame, axis=1).argmin()) for frame in row]
        np.testing.assert_array_equal(counts, np.bincount(nearest, minlength=9))
