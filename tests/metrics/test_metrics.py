"""The paper's measures, against independent references and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import reference
from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.spec import Param, ParamSpace
from inversynth.synths import sampling
from inversynth.synths.paper.published import PUBLISHED

SPACE = ParamSpace([Param("depth", "B", 0, 1, levels=3), Param("rate", "v", 0, 1, levels=4, inert_when=("depth", 0))])


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    """(200, samples) random patches of the paper's synth."""
    paper = synths.load("paper")
    return paper.render(paper.space.values_of_levels(sampling.draw(paper.space, 11, 0, 200, sampling.TEST)))


# -- of parameters -------------------------------------------------------------------------------


def test_rank_is_the_number_of_classes_that_score_above_the_right_one() -> None:
    scores = np.array([[0.1, 0.4, 0.3, 0.2], [0.25, 0.25, 0.25, 0.25]])
    assert metrics.ranks(scores, np.array([1, 0])).tolist() == [0, 0]
    assert metrics.ranks(scores, np.array([0, 3])).tolist() == [3, 0]


def test_parameter_measures_worked_out_by_hand() -> None:
    depth = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    rate = np.array([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]])
    first, second = metrics.parameter_measures(SPACE, [depth, rate], [[1, 0], [2, 3]], counted=True, top=4)
    assert first["mpr"] == pytest.approx(100 * (1 - (1 / 3 + 0) / 2))
    assert first["top"] == [0.5, 1.0, 1.0, 1.0]
    assert first["mae"] == 0.5
    assert second["mpr"] == pytest.approx(100 * (1 - (0 + 3 / 4) / 2))
    assert second["top"] == [0.5, 0.5, 0.5, 1.0]
    assert second["mae"] == 1.5
    assert metrics.mean_mpr([first, second]) == pytest.approx((first["mpr"] + second["mpr"]) / 2)


def test_masked_measures_leave_out_what_is_not_active() -> None:
    depth = np.eye(3)[[0, 2]]
    rate = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    levels = [[0, 1], [2, 1]]  # in the first patch the depth is 0, so its rate is not active
    masked = metrics.parameter_measures(SPACE, [depth, rate], levels)
    everything = metrics.parameter_measures(SPACE, [depth, rate], levels, counted=True)
    assert [row["count"] for row in masked] == [2, 1]
    assert masked[1]["top"][0] == 1.0
    assert [row["count"] for row in everything] == [2, 2]
    assert everything[1]["top"][0] == 0.5


def test_choices_have_no_absolute_error_and_do_not_enter_its_mean() -> None:
    space = ParamSpace(
        [
            Param.choice("wave", "w", ("sine", "saw", "square"), role="waveform"),
            Param("level", "l", 0, 1, levels=4, role="level"),
            Param("spare", "s", 0, 1, levels=2, kind="ordinal", role="level"),
        ]
    )
    scores = [np.eye(3)[[0, 1]], np.eye(4)[[3, 0]], np.eye(2)[[0, 0]]]
    rows = metrics.parameter_measures(space, scores, [[2, 1, 0], [1, 0, 1]])
    assert [row["mae"] for row in rows] == [None, 1.0, 0.5]
    assert [row["top"][0] for row in rows] == [0.5, 0.5, 0.5]
    assert metrics.mean_mae(rows) == 0.75
    assert metrics.mean_mae(rows[:1]) is None
    assert {row["name"]: row["mae"] for row in metrics.group_measures(space, rows)} == {"waveform": None, "level": 0.75}


@pytest.mark.filterwarnings("error")
def test_what_no_item_counts_for_is_not_a_number_and_is_left_out_of_the_means() -> None:
    rows = metrics.parameter_measures(SPACE, [np.eye(3)[[0]], np.eye(4)[[2]]], [[0, 1]], top=2)
    assert [row["count"] for row in rows] == [1, 0]
    assert np.isnan([rows[1]["mpr"], rows[1]["mae"], *rows[1]["top"]]).all()
    assert (metrics.mean_mpr(rows), metrics.mean_mae(rows), metrics.mean_top(rows)) == (100.0, 0.0, [1.0, 1.0])


def test_chance_has_a_mean_percentile_rank_of_53() -> None:
    paper = synths.load("paper")
    random = np.random.default_rng(0)
    levels = random.integers(0, 16, (4000, len(paper.space)))
    scores = [random.random((4000, 16)) for _ in paper.space]
    assert metrics.mean_mpr(metrics.parameter_measures(paper.space, scores, levels)) == pytest.approx(53.125, abs=0.4)


def test_the_groups_of_the_paper_hold_each_parameter_once() -> None:
    space = synths.load("paper").space
    rows = [{"name": p.name, "mpr": float(i), "top": [0.0, 1.0], "mae": 2.0 * i} for i, p in enumerate(space)]
    groups = {row["name"]: row for row in metrics.group_measures(space, rows, PUBLISHED.groups)}
    assert groups["filter"]["params"] == ["cutoff", "resonance"]
    assert groups["notes"]["params"] == ["sin_frequency", "saw_frequency", "tri_frequency", "sqr_frequency"]
    assert groups["gate frequency"]["params"] == ["gate_frequency"]
    assert groups["ADSR"]["params"] == ["attack", "decay", "sustain", "release"]
    assert sorted(name for row in groups.values() for name in row["params"]) == sorted(space.names)
    assert groups["notes"]["mpr"] == pytest.approx((0 + 4 + 8 + 12) / 4)
    assert groups["notes"]["mae"] == pytest.approx(2 * groups["notes"]["mpr"])
    assert groups["notes"]["top"] == [0.0, 1.0]


def test_groups_are_those_of_the_roles_unless_others_are_named() -> None:
    space = synths.load("paper").space
    rows = [{"name": p.name, "mpr": float(i), "top": [0.0, 1.0], "mae": 2.0 * i} for i, p in enumerate(space)]
    groups = {row["name"]: row["params"] for row in metrics.group_measures(space, rows)}
    assert list(groups) == ["pitch", "vibrato", "level", "envelope", "filter", "tremolo"]
    assert groups["envelope"] == ["attack", "decay", "sustain", "release"]
    assert groups["level"] == ["sin_amplitude", "saw_amplitude", "tri_amplitude", "sqr_amplitude"]


@pytest.mark.parametrize(
    ("rate", "window"),
    [(8000, 256), (16000, 512), (16384, 512), (22050, 512), (44100, 1024), (48000, 2048), (96000, 4096)],
)
def test_a_window_lasts_about_a_thirty_second_part_of_a_second(rate: int, window: int) -> None:
    assert metrics.window_samples(rate) == window
    assert 2**-0.5 <= window / rate * 32 <= 2**0.5


# -- of sounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [16384, 16383, 16385, 257, 256, 1])
def test_the_spectrogram_is_that_of_the_definition(patches: np.ndarray, samples: int) -> None:
    sounds = np.random.default_rng(1).normal(size=(3, samples))
    made = metrics.spectrogram(sounds)
    assert made.shape == (3, -(-samples // 256), 257)
    for sound, picture in zip(sounds, made, strict=True):
        np.testing.assert_allclose(picture, reference.spectrogram(sound), atol=1e-9)


def test_a_click_at_the_centre_of_a_frame_is_there_at_full_height() -> None:
    for frame in (0, 5, 63):
        click = np.zeros((1, 16384))
        click[0, 256 * frame + 128] = 1.0
        picture = metrics.spectrogram(click)[0]
        np.testing.assert_allclose(picture[frame], 1.0, atol=1e-12)
        others = np.delete(np.arange(64), [frame])
        assert picture[others].max() < 1e-9


def test_the_measures_are_those_of_the_definition(patches: np.ndarray) -> None:
    targets, sounds = patches[:6].astype(np.float64), patches[6:12].astype(np.float64)
    found = metrics.sound_measures(targets, sounds)
    for i, (target, sound) in enumerate(zip(targets, sounds, strict=True)):
        a, b = reference.spectrogram(target), reference.spectrogram(sound)
        floor = 1e-4 * a.max()
        logs = [np.log(np.maximum(at, floor)).ravel() for at in (a, b)]
        assert found["rho_stft"][i] == pytest.approx(np.corrcoef(logs[0], logs[1])[0, 1])
        whole = [np.abs(np.fft.rfft(at)) for at in (target, sound)]
        assert found["rho_ft"][i] == pytest.approx(np.corrcoef(whole[0], whole[1])[0, 1])
        assert found["f_delta"][i] == pytest.approx(np.sqrt(((a - b) ** 2).sum()))


def test_a_sound_is_like_itself_and_random_patches_are_not(patches: np.ndarray) -> None:
    same = metrics.sound_measures(patches[:5], patches[:5])
    np.testing.assert_allclose(same["rho_stft"], 1.0)
    np.testing.assert_allclose(same["rho_ft"], 1.0)
    np.testing.assert_array_equal(same["f_delta"], 0.0)
    chance = metrics.sound_measures(patches, np.roll(patches, 1, axis=0))
    assert 0.5 < chance["rho_stft"].mean() < 0.7


def test_a_correlation_does_not_know_loudness_and_the_distance_grows_with_it(patches: np.ndarray) -> None:
    once = metrics.sound_measures(patches[:5], patches[5:10])
    twice = metrics.sound_measures(2 * patches[:5], 2 * patches[5:10])
    np.testing.assert_allclose(twice["rho_stft"], once["rho_stft"])
    np.testing.assert_allclose(twice["rho_ft"], once["rho_ft"])
    np.testing.assert_allclose(twice["f_delta"], 2 * once["f_delta"])


def test_silence_correlates_with_silence_and_with_nothing_else(patches: np.ndarray) -> None:
    silence, sound = np.zeros((1, 16384)), patches[:1]
    both = metrics.sound_measures(silence, silence)
    assert [float(both[key][0]) for key in ("rho_stft", "rho_ft", "f_delta")] == [1.0, 1.0, 0.0]
    for target, other in ((silence, sound), (sound, silence)):
        found = metrics.sound_measures(target, other)
        assert [float(found[key][0]) for key in ("rho_stft", "rho_ft")] == [0.0, 0.0]
        assert found["f_delta"][0] == pytest.approx(np.linalg.norm(reference.spectrogram(sound[0].astype(float))))


@pytest.mark.parametrize("shapes", [((2, 100), (2, 99)), ((100,), (100,)), ((1, 100), (2, 100)), ((1, 0), (1, 0))])
def test_sounds_of_another_shape_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match="same shape"):
        metrics.sound_measures(np.zeros(shapes[0]), np.zeros(shapes[1]))
