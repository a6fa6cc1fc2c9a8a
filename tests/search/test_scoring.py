"""Scores of patches against a target, by the native analysis and by NumPy, beside float64 formulas written here."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import reference
from inversynth import _native, metrics, synths
from inversynth.errors import UsageError
from inversynth.search.scoring import Scorer, Scores
from inversynth.spec import Note
from inversynth.synths import sampling
from inversynth.synths.paper.table import NOTE
from inversynth.synths.synth import Synth
from inversynth.system.simd import SIMD
from patches import corner_patches, random_patches

RATE = 16384
PAPER, SINE = synths.load("paper"), synths.load("sine")
BY_NUMPY = replace(PAPER, make_target=None)
PATHS = [name for name, _, _ in _native.simd_targets()]
PATCHES = np.concatenate([random_patches(20), corner_patches()[:13]])


def table(scores: Scores) -> NDArray[np.float64]:
    """(n, 4) the columns of scores."""
    return np.stack(astuple(scores), axis=1)


def expected(target: ArrayLike, sounds: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 4) the scores of sounds by their definitions, in float64."""
    y = np.asarray(target, np.float64)
    b = reference.spectrogram(y)
    floor = 1e-4 * b.max()
    rows = []
    for x in sounds.astype(np.float64):
        a = reference.spectrogram(x)
        p, q = np.log(np.maximum(a, floor)).ravel(), np.log(np.maximum(b, floor)).ravel()
        rho = np.corrcoef(p, q)[0, 1] if np.ptp(p) and np.ptp(q) else float((p == q).all())
        distances = np.linalg.norm(a - b) / np.linalg.norm(b), np.linalg.norm(x - y) / np.linalg.norm(y)
        rows.append((rho, np.abs(p - q).mean(), *distances))
    return np.array(rows)


def assert_near(found: NDArray[np.float64], right: NDArray[np.float64]) -> None:
    """Within the rounding of float32, which is louder at the target's floor the louder the sound is than the target."""
    assert np.abs(found[:, 0] - right[:, 0]).max() < 1e-4
    assert (np.abs(found[:, 1] - right[:, 1]) < 1.5e-5 + 5e-6 * right[:, 2]).all()
    assert np.allclose(found[:, 2:], right[:, 2:], rtol=1e-5, atol=1e-7)


def rendered(path: str, samples: int) -> NDArray[np.float32]:
    """The sounds of PATCHES by one path."""
    out = np.empty((len(PATCHES), samples), np.float32)
    _native.render("paper", PATCHES, Note.rows(NOTE, len(PATCHES)), out, RATE, PATHS.index(path))
    return out


def by_path(path: str, target: NDArray[np.float32], values: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    out = np.full((len(values), 4), np.nan)
    _native.Target("paper", target, np.array(NOTE.row), rate, PATHS.index(path)).score(values, out)
    return out


# -- against the definitions --------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("samples", [255, 256, 257, 511, 512, 5000, 16384])
def test_every_path_scores_as_the_definitions_say(path: str, samples: int) -> None:
    sounds = rendered(path, samples)
    noise = np.random.default_rng(samples).normal(0, 0.3, samples).astype(np.float32)
    for target in (sounds[0], sounds[25], noise):
        assert_near(by_path(path, target, PATCHES, RATE), expected(target, sounds))


@pytest.mark.parametrize("rate", [8001, 44100])
def test_other_sample_rates_score_as_the_definitions_say(rate: int) -> None:
    sounds = PAPER.render(PATCHES, rate)
    assert_near(table(Scorer(PAPER, sounds[3], rate)(PATCHES)), expected(sounds[3], sounds))


def test_numpy_scores_synths_without_an_analysis_of_their_own() -> None:
    values = SINE.space.values_of_levels(sampling.draw(SINE.space, 2, 0, 70))
    sounds = SINE.render(values)
    found = Scorer(SINE, sounds[5])(values)
    assert np.allclose(table(found), expected(sounds[5], sounds), rtol=1e-9, atol=1e-12)
    target = np.broadcast_to(sounds[5], sounds.shape)
    measures = metrics.sound_measures(target, sounds)
    assert np.allclose(found.rho_stft, measures["rho_stft"], rtol=1e-12)
    norm = np.linalg.norm(reference.spectrogram(sounds[5]))
    assert np.allclose(found.convergence, measures["f_delta"] / norm, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_the_patch_of_the_target_scores_without_a_rounding_error(path: str) -> None:
    sounds = rendered(path, 16384)
    for i in (0, 15, 25, 32):
        assert by_path(path, sounds[i], PATCHES, RATE)[i].tolist() == [1, 0, 0, 0]


def test_scores_tell_the_nearest_sounds_apart() -> None:
    """Far below what float32 leaves of sums: one amplitude is off by a millionth to a thousandth."""
    values = np.repeat(random_patches(1), 4, axis=0)
    values[:, PAPER.space.index("saw_amplitude")] = 0.5 + np.array([0, 1e-5, 1e-4, 1e-3])
    scores = Scorer(PAPER, PAPER.render(values[:1])[0])(values)
    for of in (scores.log_l1, scores.convergence, scores.residual):
        assert (np.diff(of) > 0).all()
    assert scores.residual[3] / scores.residual[2] == pytest.approx(10, rel=0.01)


# -- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("synth", [PAPER, BY_NUMPY], ids=["native", "numpy"])
def test_a_silent_target_is_matched_by_silence_alone(synth: Synth) -> None:
    first = Scorer(synth, np.zeros(1))(PATCHES)  # all sounds begin with a zero
    assert np.array_equal(table(first), np.tile([1.0, 0, 0, 0], (len(PATCHES), 1)))
    later = Scorer(synth, np.zeros(5000))(PATCHES)
    assert (later.rho_stft == 0).all()
    assert (later.log_l1 > 0).all()
    assert np.isinf(later.convergence).all()
    assert np.isinf(later.residual).all()


@pytest.mark.parametrize("synth", [PAPER, BY_NUMPY], ids=["native", "numpy"])
def test_silence_is_as_far_from_a_target_as_the_target_is_loud(synth: Synth) -> None:
    """The first sample of every patch is silent, that of the target isn't; its spectrum is flat."""
    scores = Scorer(synth, [0.5])(PATCHES[:3])
    assert (scores.rho_stft == 0).all()
    assert scores.log_l1 == pytest.approx(np.full(3, np.log(1e4)), rel=1e-5)
    assert scores.convergence == pytest.approx(np.ones(3), rel=1e-5)
    assert scores.residual == pytest.approx(np.ones(3), rel=1e-5)


# -- batches, threads, paths --------------------------------------------------------------------


@pytest.mark.parametrize("synth", [PAPER, BY_NUMPY, SINE], ids=["native", "numpy", "sine"])
def test_a_patch_scores_the_same_whatever_it_is_scored_beside(synth: Synth) -> None:
    values = synth.space.values_of_levels(sampling.draw(synth.space, 4, 0, 37))
    scorer = Scorer(synth, synth.render(values[:1], seconds=0.3)[0])
    together = table(scorer(values, workers=1))
    assert together.shape == (37, 4)
    for workers in (None, 2, 3, 64):
        assert np.array_equal(table(scorer(values, workers)), together)
    assert np.array_equal(np.concatenate([table(scorer(row[None])) for row in values]), together)
    assert np.array_equal(table(scorer(values[::-1]))[::-1], together)
    assert table(scorer(values[:0])).shape == (0, 4)


@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_any_number_of_patches_fills_its_own_rows_and_no_others(count: int) -> None:
    guarded = np.full((count + 2, 4), 7.0)
    target = _native.Target("paper", PAPER.render(PATCHES[:1])[0], np.array(NOTE.row), RATE, len(PATHS) - 1)
    target.score(PATCHES[:count], guarded[1:-1])
    assert (guarded[[0, -1]] == 7).all()
    assert guarded[1].tolist() == [1, 0, 0, 0]
    assert (guarded[2:-1] != 7).all()


def test_paths_of_the_same_arithmetic_give_the_same_bits() -> None:
    target = random_patches(1, seed=1)
    sound = PAPER.render(target, RATE, 0.5)[0]
    fused = [
        by_path(name, sound, PATCHES, RATE) for name, _, arithmetic in _native.simd_targets() if arithmetic == "fma"
    ]
    assert all(np.array_equal(scores, fused[0]) for scores in fused)


def test_the_environment_variable_chooses_the_path() -> None:
    script = (
        "import sys; from test_scoring import PAPER, PATCHES, Scorer, table\n"
        "target = PAPER.render(PATCHES[:1], seconds=0.1)[0]\n"
        "sys.stdout.buffer.write(table(Scorer(PAPER, target)(PATCHES)).tobytes())"
    )
    environment = {
        **os.environ,
        SIMD: "portable",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = np.frombuffer(done.stdout).reshape(-1, 4)
    assert np.array_equal(found, by_path("portable", rendered("portable", 1638)[0], PATCHES, RATE))


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", [np.zeros((1, 5)), np.zeros(0), 0.5])
def test_a_target_of_another_shape_is_refused(target: ArrayLike) -> None:
    with pytest.raises(UsageError, match=r"it must be \(samples,\), samples > 0"):
        Scorer(PAPER, target)


@pytest.mark.parametrize("sample", [np.nan, np.inf, 1e300])
def test_a_target_that_is_not_finite_is_refused(sample: float) -> None:
    with pytest.raises(UsageError, match="must be finite"):
        Scorer(PAPER, [0.0, sample])


def test_a_sample_rate_that_the_synth_cannot_be_rendered_at_is_refused() -> None:
    with pytest.raises(UsageError, match="8000 Hz is too low"):
        Scorer(PAPER, np.zeros(100), 8000)
    with pytest.raises(UsageError, match="sample rate 0 Hz"):
        Scorer(PAPER, np.zeros(100), 0)


@pytest.mark.parametrize("synth", [PAPER, BY_NUMPY], ids=["native", "numpy"])
def test_values_are_checked_as_those_to_be_rendered(synth: Synth) -> None:
    scorer = Scorer(synth, np.ones(100))
    for values in (PATCHES[0], PATCHES[:, :22], PATCHES * 10):
        with pytest.raises(UsageError):
            scorer(values)
