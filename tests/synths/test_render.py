"""The native bank against the independent float64 synth of reference.py, and the checks in front of it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from inversynth import _native, synths
from inversynth.errors import UsageError
from inversynth.spec import Note
from inversynth.synths import sampling
from inversynth.synths.paper.table import NOTE
from inversynth.system.simd import SIMD, simd_target
from lock import ticks_during
from patches import HIGH, LOW, PAPER, SPACE, corner_patches, random_patches

SINE = synths.load("sine")


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


@pytest.mark.parametrize("name", synths.names())
def test_an_item_is_the_same_whatever_batch_and_threads_render_it(name: str) -> None:
    synth = synths.load(name)
    values = synth.space.values_of_levels(sampling.draw(synth.space, 4, 0, 13))
    together = synth.render(values, seconds=0.3)
    for workers in (1, 2, 5, 64):
        assert np.array_equal(synth.render(values, seconds=0.3, workers=workers), together)
    assert np.array_equal(np.concatenate([synth.render(row[None], seconds=0.3) for row in values]), together)
    assert np.array_equal(synth.render(values[::-1], seconds=0.3)[::-1], together)


@pytest.mark.parametrize("name", synths.names())
@pytest.mark.parametrize("samples", [1, 64, 127, 128, 129, 5000])
def test_a_shorter_rendering_is_the_start_of_a_longer_one(name: str, samples: int) -> None:
    synth = synths.load(name)
    values = synth.space.values_of_levels(sampling.draw(synth.space, 4, 0, 3))
    longer = synth.render(values, 16384, 8193 / 16384)
    assert np.array_equal(synth.render(values, 16384, samples / 16384), longer[:, :samples])


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 15, 17, 33])
def test_any_number_of_patches_fills_its_own_rows_and_no_others(count: int) -> None:
    guarded = np.full((count + 2, 500), 7, np.float32)
    PAPER.render(random_patches(count), 16384, 500 / 16384, out=guarded[1:-1])
    assert np.array_equal(guarded[1:-1], PAPER.render(random_patches(count), 16384, 500 / 16384))
    assert (guarded[[0, -1]] == 7).all()


def test_sounds_go_where_they_are_asked_to() -> None:
    out = np.empty((3, 1638), np.float32)
    assert PAPER.render(random_patches(3), seconds=0.1, out=out) is out
    assert np.array_equal(out, PAPER.render(random_patches(3), seconds=0.1))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((3, 1638)),
        np.empty((3, 1637), np.float32),
        np.empty((1638, 3), np.float32).T,
        np.empty((3, 3276), np.float32)[:, ::2],
        np.broadcast_to(np.float32(0), (3, 1638)),
    ],
    ids=["float64", "short", "transposed", "strided", "read-only"],
)
def test_a_place_that_sounds_cannot_go_to_is_refused(out: NDArray[np.float32]) -> None:
    with pytest.raises(UsageError, match=r"contiguous, writable float32 array of \(3, 1638\)"):
        PAPER.render(random_patches(3), seconds=0.1, out=out)


# -- the paths of the kernel --------------------------------------------------------------------

PATHS = [name for name, _, _ in _native.simd_targets()]


def render_in_a_process(simd: str, seconds: float = 0.5) -> subprocess.CompletedProcess[bytes]:
    script = (
        "import sys, numpy as np; from patches import PAPER, random_patches\n"
        f"sys.stdout.buffer.write(PAPER.render(random_patches(21), seconds={seconds}).tobytes())"
    )
    environment = {**os.environ, SIMD: simd, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)


@pytest.mark.parametrize("path", PATHS)
def test_an_environment_variable_chooses_the_path_and_all_paths_give_one_sound(path: str) -> None:
    done = render_in_a_process(path)
    assert done.returncode == 0, done.stderr
    sounds = np.frombuffer(done.stdout, np.float32).reshape(21, 8192)
    number = PATHS.index(path)
    expected = np.empty_like(sounds)
    _native.render("paper", random_patches(21), Note.rows(NOTE, 21), expected, 16384, number)
    assert np.array_equal(sounds, expected)
    assert np.abs(sounds - PAPER.render(random_patches(21), seconds=0.5)).max() < 1e-4


def test_the_fastest_path_is_taken_where_none_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMD, "")
    assert simd_target.__wrapped__().name == PATHS[-1]


def test_a_path_that_there_is_not_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMD, "mmx")
    with pytest.raises(UsageError, match=f"INVERSYNTH_SIMD=mmx: this processor can run {', '.join(PATHS)}"):
        simd_target.__wrapped__()


def test_the_command_line_refuses_a_path_that_there_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inversynth", "render", "--num-examples", "1", "--out", str(tmp_path / "ds")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, SIMD: "mmx"})
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "INVERSYNTH_SIMD=mmx" in done.stderr


# -- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 64, 65, 8192, 8193])
def test_a_stream_gives_the_samples_of_the_whole_whatever_its_blocks(block: int) -> None:
    count, samples = (3, 20000) if block > 1 else (11, 13000)
    values = random_patches(count)
    stream = PAPER.stream(values, 16384)
    pieces = [stream.process(min(block, samples - at)) for at in range(0, samples, block)]
    assert np.array_equal(np.concatenate(pieces, axis=1), PAPER.render(values, 16384, samples / 16384))


def test_a_stream_plays_on_through_blocks_of_many_sizes_into_memory_that_it_is_given() -> None:
    sizes = np.random.default_rng(3).integers(0, 300, 150)
    stream, whole = PAPER.stream(random_patches(9), 44100), PAPER.render(random_patches(9), 44100, sizes.sum() / 44100)
    at = 0
    for size in sizes:
        out = np.empty((9, size), np.float32)
        assert stream.process(int(size), out) is out
        assert np.array_equal(out, whole[:, at : at + size])
        at += size


def test_the_same_values_again_change_nothing() -> None:
    values = random_patches(5)
    stream = PAPER.stream(values)
    sound = [stream.process(1000)]
    stream.change(values)
    sound.append(stream.process(9000))
    assert np.abs(np.concatenate(sound, axis=1) - PAPER.render(values, 16384, 10000 / 16384)).max() < 1e-4


OTHERS: dict[str, dict[str, float]] = {
    "quieter": {"sin_amplitude": 0.1},
    "another note": {"sin_frequency": 880.0},
    "vibrato": {"sin_mod_amplitude": 500.0, "sin_mod_frequency": 7.0},
    "darker": {"cutoff": 300.0},
    "resonant": {"cutoff": 900.0, "resonance": 10.0},
    "soft": {"sustain": 0.3},
    "gated": {"gate_frequency": 9.0},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("at", [2048, 3333])
def test_a_change_of_values_makes_no_click(other: dict[str, float], at: int) -> None:
    """A click is energy far above the note: it is measured in the band above 8 kHz."""
    before, after = patch(decay=0.001), patch(**{"decay": 0.001, **other})
    stream = PAPER.stream(before, 48000)
    sound = [stream.process(at)]
    stream.change(after)
    sound.append(stream.process(9600 - at))
    changed = np.concatenate(sound, axis=1)[0]

    def above_the_note(sound: NDArray[np.float32]) -> float:
        around = sound[at - 1024 : at + 1024] * np.hanning(2048)
        spectrum = np.abs(np.fft.rfft(around))
        return float(20 * np.log10(spectrum[2048 // 6 :].max() / spectrum.max()))

    whole = [PAPER.render(values, 48000, 0.2)[0] for values in (before, after)]
    assert above_the_note(changed) < above_the_note(whole[0]) + 4
    assert above_the_note(np.where(np.arange(9600) < at, *whole)) > above_the_note(changed) + 20  # a click is audible


def test_after_a_change_the_sound_is_that_of_the_new_values_at_phases_that_went_on() -> None:
    stream = PAPER.stream(patch(decay=0.001, gate_frequency=0.5), 48000)
    first = stream.process(4801)
    stream.change(patch(decay=0.001, gate_frequency=0.5, sin_frequency=660.0, sin_amplitude=0.5))
    sound = np.concatenate([first, stream.process(9599)], axis=1)[0]
    t = np.arange(len(sound)) / 48000
    phase = np.where(t < 4801 / 48000, 440 * t, 440 * 4801 / 48000 + 660 * (t - 4801 / 48000))
    gate = (1 + np.sin(2 * np.pi * 0.5 * t)) / 2
    dry = np.where(t < 4801 / 48000, 1.0, 0.5) * np.sin(2 * np.pi * phase)
    expected = reference.lowpass(dry, 4000.0, 0.7071, 48000) * gate
    rest = slice(7000, None)  # the fade and the filter's memory of it are over
    assert np.abs(sound[rest] - expected[rest]).max() < 5e-3  # the three others play on at a thousandth


def test_of_changes_during_a_fade_the_last_one_counts() -> None:
    loud, quiet, middle = (
        patch(decay=0.001),
        patch(decay=0.001, sin_amplitude=0.01),
        patch(decay=0.001, sin_amplitude=0.5),
    )
    once, thrice = PAPER.stream(loud, 48000), PAPER.stream(loud, 48000)
    for stream in (once, thrice):
        stream.process(1000)
        stream.change(quiet)
        stream.process(100)
    thrice.change(loud)
    thrice.change(middle)
    once.change(middle)
    assert np.array_equal(thrice.process(5000), once.process(5000))


def test_a_stream_refuses_what_it_cannot_play() -> None:
    stream = PAPER.stream(random_patches(2))
    with pytest.raises(UsageError, match="3 patches are given to a stream of 2"):
        stream.change(random_patches(3))
    with pytest.raises(UsageError, match=r"sin_frequency: 0 .* outside"):
        stream.change(np.zeros((2, 23)))
    with pytest.raises(UsageError, match="-1 samples"):
        stream.process(-1)
    with pytest.raises(UsageError, match=r"float32 array of \(2, 10\)"):
        stream.process(10, np.empty((2, 9), np.float32))
    with pytest.raises(UsageError, match="at least one patch"):
        PAPER.stream(np.empty((0, 23)))
    with pytest.raises(UsageError, match="8000 Hz is too low"):
        PAPER.stream(random_patches(1), 8000)
    with pytest.raises(UsageError, match="sine can't be played as a stream"):
        replace(SINE, open_stream=None).stream([[100, 0.5, 800, 0.5]])


HELD = Note(69, 100, np.inf)


def loudness_db(sound: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Of each tenth of a second, below the loudest."""
    parts = sound[: len(sound) // (rate // 10) * (rate // 10)].reshape(-1, rate // 10)
    rms = np.sqrt(np.mean(np.square(parts, dtype=np.float64), axis=1))
    return np.asarray(20 * np.log10(rms / rms.max()))


@pytest.mark.parametrize("rate", [16384, 44100])
def test_a_held_note_holds_though_the_gater_cannot_be_switched_off(rate: int) -> None:
    held = patch(gate_frequency=0.5)
    sound = PAPER.stream(held, rate, HELD).process(6 * rate)[0]
    assert np.array_equal(sound[:rate], PAPER.render(held, rate, 1.0, note=Note(69, 100, 10.0))[0]), "as it is written"
    later = loudness_db(sound, rate)[11:]
    assert np.ptp(later) < 0.2
    assert later.mean() == pytest.approx(-6, abs=0.3), "as loud as at the end of its second"


def test_the_gater_stays_through_changes_of_the_patch_and_bends_and_goes_on_at_another_frequency() -> None:
    stream = PAPER.stream(patch(gate_frequency=0.5), 16384, HELD)
    stream.process(20000)
    stream.change(patch(gate_frequency=0.5, cutoff=3000.0))
    assert np.ptp(loudness_db(stream.process(4 * 16384)[0], 16384)[1:]) < 0.2
    stream.change(patch(gate_frequency=2.5))
    assert np.ptp(loudness_db(stream.process(4 * 16384)[0], 16384)) > 10
    stream.change(patch(gate_frequency=0.5))
    later = loudness_db(stream.process(8 * 16384)[0], 16384)
    assert np.ptp(later[25:]) < 0.2, "it stays where it next comes down to its middle"


def test_a_faster_gater_and_a_note_of_a_given_length_go_on_as_they_are_written() -> None:
    faster = PAPER.render(patch(gate_frequency=1.0), 16384, 4.0, note=HELD)[0]
    assert np.ptp(loudness_db(faster, 16384)) > 20
    measured = PAPER.render(patch(gate_frequency=0.5), 16384, 4.0, note=Note(69, 100, 10.0))[0]
    assert np.ptp(loudness_db(measured, 16384)) > 20


def test_no_patches_give_no_sounds() -> None:
    assert PAPER.render(np.empty((0, 23)), seconds=0.5).shape == (0, 8192)


def test_the_defaults_are_the_format_of_the_synth() -> None:
    assert PAPER.render(random_patches(2)).shape == (2, PAPER.format.samples) == (2, 16384)


def test_the_bank_lets_other_threads_run() -> None:
    values, out = random_patches(1), np.empty((1, 16384 * 600), np.float32)
    assert ticks_during(lambda: PAPER.renderer(values, Note.rows(PAPER.note, 1), 16384, out, 1)) > 0


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
    with pytest.raises(UsageError, match=rf"{rate} Hz is too low: paper needs more than 8000 Hz"):
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


def test_an_unknown_synth_is_refused_with_a_list_of_the_known() -> None:
    with pytest.raises(UsageError, match="no synth 'papre'; there are paper, sine"):
        synths.load("papre")


# -- facts that follow from the definitions -----------------------------------------------------


@pytest.mark.parametrize("rate", [16384, 44100])
def test_the_sine_synth_is_its_formula(rate: int) -> None:
    values = SINE.space.values_of_levels(sampling.draw(SINE.space, 0, 0, 20))
    t = np.arange(rate) / rate
    for (f1, a1, f2, a2), sound in zip(values, SINE.render(values, rate), strict=True):
        expected = (a1 * np.sin(2 * np.pi * f1 * t) + a2 * np.sin(2 * np.pi * f2 * t)) / 2
        assert np.abs(sound - expected).max() < 1e-6


@pytest.mark.parametrize("name", synths.names())
def test_a_parameter_that_a_space_calls_inactive_is_inaudible(name: str) -> None:
    space = synths.load(name).space
    levels = sampling.draw(space, 8, 0, 200)
    silencing = [space.index(p.inert_when[0]) for p in space if isinstance(p.inert_when, tuple)]
    levels[:, silencing] *= np.arange(2).repeat(100)[:, None]
    sounds = synths.load(name).render(space.values_of_levels(levels), seconds=0.25)
    canonical = space.values_of_levels(space.canonical(levels))
    assert np.array_equal(sounds, synths.load(name).render(canonical, seconds=0.25))
    assert all(space.active(levels)[:, i].mean() <= 0.5 for i, p in enumerate(space) if p.inert_when)


def test_a_parameter_that_a_space_calls_active_is_audible() -> None:
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
    end = round((NOTE.hold_s + 0.1) * 16384)
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
