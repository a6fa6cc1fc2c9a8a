"""The native bank against the independent float64 synth of reference.py, and the checks in front of it."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from inversynth import sampling
from inversynth.errors import UsageError
from inversynth.render import SYNTHS, synth
from inversynth.synths.paper import NOTE_OFF_S

PAPER, SINE = synth("paper"), synth("sine")
SPACE = PAPER.space
LOW, HIGH = (np.array([getattr(param, end) for param in SPACE]) for end in ("low", "high"))


def random_patches(count: int, seed: int = 11) -> NDArray[np.float64]:
    return SPACE.values_of_levels(sampling.draw(SPACE, seed, 0, count))


def corner_patches() -> NDArray[np.float64]:
    """All low, all high, each parameter alone at its other end, and random corners."""
    ends = [np.zeros(23, bool), np.ones(23, bool)]
    ends += [np.eye(23, dtype=bool)[i] ^ end for i in range(23) for end in (False, True)]
    ends += list(np.random.default_rng(1).random((24, 23)) < 0.5)
    return np.where(np.array(ends), HIGH, LOW)


def patch(**given: float) -> NDArray[np.float64]:
    """(1, 23) one patch: a held sine of 440 Hz through an open filter, and what is given."""
    values = dict(zip(SPACE.names, LOW, strict=True)) | {"sin_amplitude": 1.0, "sustain": 1.0, "cutoff": 4000.0}
    values |= {"attack": 0.001, "resonance": 0.7071}
    return np.array([[(values | given)[name] for name in SPACE.names]])


def assert_as_the_reference(values: NDArray[np.float64], rate: int, samples: int) -> None:
    sounds = PAPER.render(values, rate, samples / rate)
    assert sounds.shape == (len(values), samples)
    assert sounds.dtype == np.float32
    for row, sound in zip(values, sounds, strict=True):
        expected, near_edge = reference.paper(dict(zip(SPACE.names, row, strict=True)), rate, samples)
        error = np.abs(sound - expected)
        assert np.mean(error < 1e-3) >= 0.995
        near_edge[0] = False  # every square starts on its edge, exactly
        clean = samples if not near_edge.any() else int(near_edge.argmax())  # an edge rings on through the filter
        assert error[:clean].max(initial=0.0) < 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("rate", [16384, 44100, 48000])
def test_random_patches_sound_as_the_definitions_say(rate: int) -> None:
    assert_as_the_reference(random_patches(30, seed=rate), rate, rate + 5)


@pytest.mark.parametrize("rate", [16384, 44100, 48000])
def test_patches_at_the_corners_of_the_ranges_sound_as_the_definitions_say(rate: int) -> None:
    assert_as_the_reference(corner_patches(), rate, 13000)


@pytest.mark.parametrize("samples", [1, 2, 127, 128, 129, 255, 1000, 12345, 40001])
def test_every_length_is_rendered_to_its_end(samples: int) -> None:
    assert_as_the_reference(random_patches(3), 16384, samples)


def test_levels_between_the_grid_sound_as_the_definitions_say() -> None:
    assert_as_the_reference(LOW + np.random.default_rng(2).random((20, 23)) * (HIGH - LOW), 22050, 20000)


def test_no_patch_gives_nan_or_silence() -> None:
    sounds = PAPER.render(np.concatenate([corner_patches(), random_patches(200)]))
    assert np.isfinite(sounds).all()
    assert np.abs(sounds).max(axis=1).min() > 0


@pytest.mark.parametrize("name", SYNTHS)
def test_an_item_is_the_same_whatever_batch_and_threads_render_it(name: str) -> None:
    synth = SYNTHS[name]
    values = synth.space.values_of_levels(sampling.draw(synth.space, 4, 0, 13))
    together = synth.render(values, seconds=0.3)
    for workers in (1, 2, 5, 64):
        assert np.array_equal(synth.render(values, seconds=0.3, workers=workers), together)
    assert np.array_equal(np.concatenate([synth.render(row[None], seconds=0.3) for row in values]), together)
    assert np.array_equal(synth.render(values[::-1], seconds=0.3)[::-1], together)


@pytest.mark.parametrize("name", SYNTHS)
@pytest.mark.parametrize("samples", [1, 64, 127, 128, 129, 5000])
def test_a_shorter_rendering_is_the_start_of_a_longer_one(name: str, samples: int) -> None:
    synth = SYNTHS[name]
    values = synth.space.values_of_levels(sampling.draw(synth.space, 4, 0, 3))
    longer = synth.render(values, 16384, 8193 / 16384)
    assert np.array_equal(synth.render(values, 16384, samples / 16384), longer[:, :samples])


def test_no_patches_give_no_sounds() -> None:
    assert PAPER.render(np.empty((0, 23)), seconds=0.5).shape == (0, 8192)


def test_the_defaults_are_the_format_of_the_synth() -> None:
    assert PAPER.render(random_patches(2)).shape == (2, PAPER.format.samples) == (2, 16384)


def test_the_bank_lets_other_threads_run() -> None:
    """With a switch interval of an hour, another thread runs only where the interpreter's lock is given up."""
    values, ticks, stop = random_patches(1), [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    before_interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    sys.setswitchinterval(3600)
    try:
        thread.start()
        out = np.empty((1, 16384 * 600), np.float32)
        before = ticks[0]
        PAPER.fill(values, out, 16384)
        after = ticks[0]
    finally:
        sys.setswitchinterval(before_interval)
        stop.set()
        thread.join()
    assert after > before


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("param", SPACE, ids=SPACE.names)
@pytest.mark.parametrize("end", ["low", "high", "nan"])
def test_a_value_outside_its_range_is_refused_by_name(param: object, end: str) -> None:
    index = SPACE.index(param)
    known = SPACE[index]
    span = known.high - known.low
    values = random_patches(2)
    values[1, index] = {"low": known.low - 0.01 * span, "high": known.high + 0.01 * span, "nan": np.nan}[end]
    with pytest.raises(UsageError) as error:
        PAPER.render(values)
    allowed = f"{known.low:g}..{known.high:g} {known.unit}".rstrip()
    assert str(error.value).startswith(f"{known.name}: {values[1, index]:g}")
    assert str(error.value).endswith(f"in patch 1 is outside {allowed}")


@pytest.mark.parametrize("values", [np.zeros(23), np.zeros((2, 22)), np.zeros((1, 2, 23)), "loud", [[None] * 23]])
def test_values_of_another_shape_are_refused(values: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match=r"\(n, 23\)|sin_frequency"):
        PAPER.render(values)


@pytest.mark.parametrize("rate", [4000, 8000])
def test_a_sample_rate_that_cannot_carry_the_cutoff_is_refused(rate: int) -> None:
    with pytest.raises(UsageError, match=rf"{rate} Hz is too low: a cutoff of 4000 Hz needs more than 8000 Hz"):
        PAPER.render(random_patches(1), rate)
    assert PAPER.render(random_patches(1), 8001).shape == (1, 8001)


@pytest.mark.parametrize("rate", [0, -16384, 999, 16384.5])
def test_an_impossible_sample_rate_is_refused(rate: int) -> None:
    with pytest.raises(UsageError, match="sample rate"):
        SINE.render(np.array([[100, 0.5, 800, 0.5]]), rate)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e6])
def test_an_impossible_length_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="length"):
        PAPER.render(random_patches(1), seconds=seconds)


def test_an_unknown_synth_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no synth 'papre'; there are paper, sine"):
        synth("papre")


# -- facts that follow from the definitions -----------------------------------------------------


@pytest.mark.parametrize("rate", [16384, 44100])
def test_the_sine_synth_is_its_formula(rate: int) -> None:
    values = SINE.space.values_of_levels(sampling.draw(SINE.space, 0, 0, 20))
    t = np.arange(rate) / rate
    for (f1, a1, f2, a2), sound in zip(values, SINE.render(values, rate), strict=True):
        expected = (a1 * np.sin(2 * np.pi * f1 * t) + a2 * np.sin(2 * np.pi * f2 * t)) / 2
        assert np.abs(sound - expected).max() < 1e-6


@pytest.mark.parametrize("name", SYNTHS)
def test_a_parameter_that_a_space_calls_not_heard_is_not_heard(name: str) -> None:
    space = SYNTHS[name].space
    levels = sampling.draw(space, 8, 0, 200)
    levels[:, [space.index(p.inert_when[0]) for p in space if p.inert_when]] *= np.arange(2).repeat(100)[:, None]
    sounds = SYNTHS[name].render(space.values_of_levels(levels), seconds=0.25)
    assert np.array_equal(sounds, SYNTHS[name].render(space.values_of_levels(space.canonical(levels)), seconds=0.25))
    assert all(space.active(levels)[:, i].mean() <= 0.5 for i, p in enumerate(space) if p.inert_when)


def test_a_parameter_that_a_space_calls_heard_is_heard() -> None:
    levels = np.full((1, 23), 7)
    sound = PAPER.render(SPACE.values_of_levels(levels))
    for i, name in enumerate(SPACE.names):
        other = levels.copy()
        other[0, i] = 8
        assert not np.array_equal(PAPER.render(SPACE.values_of_levels(other)), sound), name


@pytest.mark.parametrize("w", ["sin", "saw", "tri", "sqr"])
def test_an_oscillator_plays_the_note_it_is_given(w: str) -> None:
    quiet = {f"{other}_amplitude": 0.001 for other in ("sin", "saw", "tri", "sqr")}
    sound = PAPER.render(patch(**quiet | {f"{w}_amplitude": 1.0, f"{w}_frequency": 880.0}), 48000, 0.7)[0]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert spectrum.argmax() * 48000 / len(sound) == pytest.approx(880.0, abs=2)


def test_modulation_swings_the_frequency_by_b_hertz() -> None:
    """At its peak, a quarter of the modulation's period in, the sine runs at f + B."""
    sound = PAPER.render(patch(sin_mod_frequency=1.0, sin_mod_amplitude=1000.0, sin_frequency=440.0), 48000, 0.5)[0]
    around = sound[12000 - 1000 : 12000 + 1000]
    crossings = np.count_nonzero(np.diff(np.signbit(around)))
    assert crossings * 48000 / (2 * len(around)) == pytest.approx(1440.0, rel=0.03)


def test_nothing_is_left_after_the_release() -> None:
    sound = PAPER.render(patch(release=0.1, gate_frequency=1.0), 16384, 1.0)[0]
    end = round((NOTE_OFF_S + 0.1) * 16384)
    assert np.abs(sound[end - 1000 : end - 200]).max() > 0.01
    assert np.abs(sound[end + 300 :]).max() < 1e-6


def test_the_gate_closes_three_quarters_into_its_period() -> None:
    sound = np.abs(PAPER.render(patch(gate_frequency=2.0), 16384, 0.7)[0])
    closed, opened = round(0.375 * 16384), round(0.125 * 16384)
    assert sound[closed - 40 : closed + 40].max() < 0.01 < 0.5 < sound[opened - 40 : opened + 40].max()


def test_sounds_are_as_they_come_neither_clipped_nor_normalised() -> None:
    loud = {f"{w}_amplitude": 1.0 for w in ("sin", "saw", "tri", "sqr")}
    assert np.abs(PAPER.render(patch(**loud, resonance=10.0, gate_frequency=1.0))).max() > 1.5
    assert np.abs(PAPER.render(patch(sin_amplitude=0.001))).max() < 0.01
