"""The exact solution of the paper's own sounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from inversynth import synths
from inversynth.audio.files import read_file
from inversynth.audio.windows import window
from inversynth.synths import sampling
from inversynth.synths.paper import dictionary, pursuit
from inversynth.synths.paper.table import FORMAT, SPACE, WAVEFORMS

PAPER = synths.load("paper")
COLUMN = {name: i for i, name in enumerate(SPACE.names)}
AMPLITUDES = [i for i, name in enumerate(SPACE.names) if name.endswith("_amplitude") and "mod" not in name]


def patches(count: int, **levels: int) -> NDArray[np.int64]:
    drawn = sampling.draw(SPACE, 3, 0, count, sampling.TEST)
    for name, level in levels.items():
        drawn[:, COLUMN[name]] = level
    return drawn


def guesses(levels: NDArray[np.int64], off: int = 1) -> list[NDArray[np.float64]]:
    """Distributions that point beside each level, and fade from there; the gater's is right."""
    rows = []
    for param, level in zip(SPACE, levels.tolist(), strict=True):
        there = level if param.name == "gate_frequency" else level + off if level + off < param.levels else level - off
        row = np.exp(-0.7 * np.abs(np.arange(param.levels) - there))
        rows.append(row / row.sum())
    return rows


def residual_db(values: NDArray[np.float64], target: NDArray[np.float32]) -> float:
    sound = PAPER.render(values)[0].astype(np.float64)
    return float(20 * np.log10(np.linalg.norm(sound - target) / np.linalg.norm(target) + 1e-12))


def solved(levels: NDArray[np.int64], off: int = 1) -> NDArray[np.float64]:
    sound = PAPER.render(SPACE.values_of_levels(levels[None]))[0]
    found = pursuit.solve(sound, guesses(levels, off))
    assert found.shape == (1, len(SPACE))
    assert residual_db(found, sound) < -100
    return found


@pytest.mark.parametrize("number", range(6))
def test_the_levels_come_out_exactly_though_every_guess_is_wrong(number: int) -> None:
    # A decay to a low sustain, a release: all is audible. (Nothing follows an attack that the note's end cuts short.)
    levels = patches(6, attack=number + 1, decay=3, sustain=6, release=5)[number]
    found = SPACE.levels_of_values(solved(levels))[0]
    active = SPACE.active(levels[None])[0]
    assert (found[active] == levels[active]).all()


@pytest.mark.parametrize("attack", [0, 12, 15])
def test_the_shortest_attack_and_those_that_the_end_of_the_note_cuts_short(attack: int) -> None:
    levels = patches(2, attack=attack)[1]
    found = SPACE.levels_of_values(solved(levels))[0]
    active = SPACE.active(levels[None])[0]
    if attack:
        active[[COLUMN["decay"], COLUMN["sustain"]]] = False
    assert (found[active] == levels[active]).all()


def test_a_low_pass_two_levels_off_is_found_by_way_of_the_atoms() -> None:
    levels = patches(1, attack=4, cutoff=9, resonance=6)[0]
    found = SPACE.levels_of_values(solved(levels, off=2))[0]
    assert found[COLUMN["cutoff"]] == 9
    assert found[COLUMN["resonance"]] == 6


def test_amplitudes_between_the_levels() -> None:
    levels = patches(1, attack=5, decay=6, sustain=3)[0]
    values = SPACE.values_of_levels(levels[None])
    values[0, AMPLITUDES] = 0.05, 0.0333, 0.7123, 0.25
    sound = PAPER.render(values)[0]
    found = pursuit.solve(sound, guesses(levels))
    np.testing.assert_allclose(found[0, AMPLITUDES], values[0, AMPLITUDES], rtol=1e-3)
    assert residual_db(found, sound) < -60


def test_the_sound_of_another_implementation_of_the_synth() -> None:
    levels = patches(3, attack=3, decay=5)[2]
    row = dict(zip(SPACE.names, SPACE.values_of_levels(levels[None])[0].tolist(), strict=True))
    sound = reference.paper(row, FORMAT.sample_rate, FORMAT.samples)[0].astype(np.float32)
    found = SPACE.levels_of_values(pursuit.solve(sound, guesses(levels)))[0]
    active = SPACE.active(levels[None])[0]
    assert (found[active] == levels[active]).all()


def test_atoms_are_oscillators_under_their_envelope() -> None:
    t = np.arange(dictionary.HEAD) / FORMAT.sample_rate
    patch = dict(zip(SPACE.names, SPACE.values_of_levels(np.full((1, len(SPACE)), 4))[0].tolist(), strict=True))
    for number, name in enumerate(WAVEFORMS):
        plain = t * reference.waveform(name, reference.phases(patch, name, t))
        seen = np.convolve(plain, [1.0, 2.0, 1.0])[: len(t)]
        atom = dictionary.atoms(number, np.array([256 * 4 + 16 * 4 + 4]), dictionary.ATTACKING)[0]
        assert np.mean(np.abs(atom - seen) > 1e-4) < 0.005, name  # an edge may fall on the other side of a sample


def test_what_the_synth_did_not_make_is_left_to_others() -> None:
    likely = guesses(patches(1)[0])
    noise = np.random.default_rng(0).normal(size=FORMAT.samples).astype(np.float32)
    recording = window(*read_file("demo/recording.flac"), FORMAT)
    for sound in (noise, recording):
        assert pursuit.solve(sound, likely, seconds=1.0).shape == (0, len(SPACE))


@pytest.mark.parametrize("samples", [0, 1, dictionary.HEAD - 1])
def test_too_short_a_sound_and_silence_give_nothing(samples: int) -> None:
    likely = guesses(patches(1)[0])
    assert not len(pursuit.solve(np.ones(samples, np.float32), likely))
    assert not len(pursuit.solve(np.zeros(FORMAT.samples, np.float32), likely))


def test_nothing_is_tried_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = patches(1)[0]
    sound = PAPER.render(SPACE.values_of_levels(levels[None]))[0]
    assert len(pursuit.solve(sound, guesses(levels))) == 1  # with time there is something to find
    monkeypatch.setattr(pursuit._Beginnings, "find", lambda *_: pytest.fail("it was tried"))
    assert not len(pursuit.solve(sound, guesses(levels), seconds=0.0))


def test_a_gater_shows_where_it_closes() -> None:
    levels = patches(16)
    levels[:, COLUMN["gate_frequency"]] = range(16)
    for level, sound in enumerate(PAPER.render(SPACE.values_of_levels(levels))):
        possible = dictionary.possible_gates(sound)
        assert possible[level]
        assert possible.sum() <= 3  # the slowest never closes in a second, and is always possible


def test_a_network_that_is_wrong_and_sure_of_the_gater_rules_nothing_out() -> None:
    levels = patches(1, attack=2, gate_frequency=9)[0]
    sure = guesses(levels)
    sure[COLUMN["gate_frequency"]] = np.eye(16)[4]
    sound = PAPER.render(SPACE.values_of_levels(levels[None]))[0]
    assert residual_db(pursuit.solve(sound, sure), sound) < -100
