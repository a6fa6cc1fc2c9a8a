"""The native engines by their names: each sound has a note of its own; every engine has targets, streams and voices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import _native, synths
from inversynth.synths import sampling

RATE, SAMPLES = 48000, 24000
ENGINES = {name: params for name, params in _native.engines()}
TARGETS = _native.simd_targets()
FADE = RATE // 100
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_target = pytest.mark.parametrize("simd", range(len(TARGETS)), ids=[name for name, _, _ in TARGETS])


def patches(engine: str, count: int = 1) -> NDArray[np.float64]:
    space = synths.load(engine).space
    return np.asarray(space.values_of_levels(sampling.draw(space, 7, 0, count)))


def notes(*rows: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.array(rows, np.float64)


def render(
    engine: str, values: NDArray[np.float64], played: NDArray[np.float64], simd: int, samples: int = SAMPLES
) -> NDArray[np.float32]:
    out = np.full((len(values), samples), np.nan, np.float32)
    _native.render(engine, values, played, out, RATE, simd)
    return out


def play(stream: _native.Stream, *lengths: int, count: int = 1) -> NDArray[np.float32]:
    """(count, samples) the next samples of a stream, in blocks of some lengths."""
    blocks = [np.full((count, length), np.nan, np.float32) for length in lengths]
    for block in blocks:
        stream.process(block)
    return np.concatenate(blocks, axis=1)


def test_the_engines_have_the_parameters_of_the_synths_of_their_names() -> None:
    assert ENGINES.items() >= {"paper": 23, "sine": 4}.items()
    for name, params in ENGINES.items():
        assert params == len(synths.load(name).space)


# -- notes ---------------------------------------------------------------------------------------


@each_engine
@each_target
def test_a_batch_of_different_keys_and_holds_is_to_the_bit_each_sound_alone(engine: str, simd: int) -> None:
    random, count = np.random.default_rng(1), 37
    played = np.stack([random.uniform(40, 90, count), random.uniform(1, 127, count), random.uniform(0, 0.6, count)], 1)
    played[::5, 2] = np.inf
    values = patches(engine, count)
    together = render(engine, values, played, simd)
    for row in range(count):
        alone = render(engine, values[row : row + 1], played[row : row + 1], simd)
        np.testing.assert_array_equal(together[row], alone[0])
    assert len(np.unique(together[:, 1000])) > count // 2


@each_target
def test_a_key_an_octave_higher_doubles_the_frequencies_of_the_papers_oscillators_alone(simd: int) -> None:
    values = patches("paper", 20)
    doubled = values.copy()
    doubled[:, [0, 4, 8, 12]] *= 2
    higher, lower = notes(*[(81, 100, 0.3)] * 20), notes(*[(69, 100, 0.3)] * 20)
    np.testing.assert_array_equal(render("paper", values, higher, simd), render("paper", doubled, lower, simd))


@each_target
def test_a_key_an_octave_lower_halves_both_frequencies_of_a_sine(simd: int) -> None:
    values = patches("sine", 20)
    halved = values.copy()
    halved[:, [0, 2]] /= 2
    lower, higher = notes(*[(57, 100, np.inf)] * 20), notes(*[(69, 100, np.inf)] * 20)
    np.testing.assert_array_equal(render("sine", values, lower, simd), render("sine", halved, higher, simd))


@pytest.mark.parametrize("key", [60.0, 69.5, 127.0])
def test_a_sine_of_any_key_is_the_sum_of_two_sines_at_that_key(key: float) -> None:
    f1, a1, f2, a2 = patches("sine")[0]
    time, ratio = np.arange(SAMPLES) / RATE, 2 ** ((key - 69) / 12)
    exact = 0.5 * (a1 * np.sin(2 * np.pi * f1 * ratio * time) + a2 * np.sin(2 * np.pi * f2 * ratio * time))
    sound = render("sine", patches("sine"), notes((key, 100, np.inf)), 0)[0]
    np.testing.assert_allclose(sound, exact, atol=1e-6)


@each_engine
def test_the_velocity_of_a_note_does_nothing(engine: str) -> None:
    soft, loud = (render(engine, patches(engine), notes((69, velocity, 0.3)), 0) for velocity in (1, 127))
    np.testing.assert_array_equal(soft, loud)


@each_engine
@each_target
def test_a_hold_of_300_ms_is_what_a_stream_gives_that_is_released_after_300_ms(engine: str, simd: int) -> None:
    values, held = patches(engine, 20), round(0.3 * RATE)
    stream = _native.Stream(engine, values, notes(*[(69, 100, np.inf)] * 20), RATE, simd)
    before = play(stream, 1000, held - 1000, count=20)
    stream.release()
    after = play(stream, 77, SAMPLES - held - 77, count=20)
    expected = render(engine, values, notes(*[(69, 100, 0.3)] * 20), simd)
    np.testing.assert_array_equal(np.concatenate([before, after], axis=1), expected)


@each_engine
def test_the_release_of_a_stream_ends_only_the_notes_that_are_still_held(engine: str) -> None:
    values = np.repeat(patches(engine), 2, axis=0)
    stream = _native.Stream(engine, values, notes((69, 100, 0.1), (69, 100, np.inf)), RATE, 0)
    sounds = play(stream, round(0.2 * RATE), count=2)
    stream.release()
    stream.release()
    sounds = np.concatenate([sounds, play(stream, SAMPLES - round(0.2 * RATE), count=2)], axis=1)
    np.testing.assert_array_equal(sounds, render(engine, values, notes((69, 100, 0.1), (69, 100, 0.2)), 0))


def test_a_sine_fades_out_in_ten_milliseconds_after_its_note() -> None:
    held = round(0.3 * RATE)
    whole = render("sine", patches("sine"), notes((69, 100, np.inf)), 0)[0]
    sound = render("sine", patches("sine"), notes((69, 100, 0.3)), 0)[0]
    np.testing.assert_array_equal(sound[:held], whole[:held])
    fade = 1 - np.arange(FADE) / FADE
    np.testing.assert_allclose(sound[held : held + FADE], whole[held : held + FADE] * fade, atol=1e-7)
    assert not sound[held + FADE :].any()
    assert np.abs(whole[held + FADE :]).max() > 0.3


def test_a_note_of_no_length_is_a_fade_of_a_sine_and_silence_of_the_paper() -> None:
    assert np.abs(render("sine", patches("sine"), notes((69, 100, 0)), 0)[0, :FADE]).max() > 0.1
    assert not render("paper", patches("paper"), notes((69, 100, 0)), 0).any()


# -- targets, streams and voices of any engine ---------------------------------------------------


@each_engine
@each_target
def test_a_patch_scores_perfectly_against_its_own_sound_and_others_do_not(engine: str, simd: int) -> None:
    values, note = patches(engine, 20), notes((64, 100, 0.3))
    sounds = render(engine, values, np.repeat(note, 20, axis=0), simd)
    scores = np.full((20, 4), np.nan)
    _native.Target(engine, sounds[3], note[0], RATE, simd).score(values, scores)
    np.testing.assert_array_equal(scores[3], (1, 0, 0, 0))
    others = np.delete(scores, 3, axis=0)
    assert (others[:, 0] < 1).all()
    assert (others[:, 1:] > 0).all()
    residual = np.linalg.norm(sounds.astype(float) - sounds[3], axis=1) / np.linalg.norm(sounds[3].astype(float))
    np.testing.assert_allclose(scores[:, 3], residual, rtol=1e-5)


@each_engine
def test_a_target_scores_patches_played_with_its_note(engine: str) -> None:
    sound = render(engine, patches(engine), notes((72, 100, 0.2)), 0)[0]
    scores = np.full((1, 4), np.nan)
    _native.Target(engine, sound, notes((72, 100, 0.2))[0], RATE, 0).score(patches(engine), scores)
    np.testing.assert_array_equal(scores[0], (1, 0, 0, 0))
    _native.Target(engine, sound, notes((69, 100, 0.2))[0], RATE, 0).score(patches(engine), scores)
    assert scores[0, 3] > 0.1


@each_engine
@each_target
def test_a_stream_in_blocks_of_any_size_is_the_sound_at_once(engine: str, simd: int) -> None:
    values, played = patches(engine, 20), notes(*[(65, 100, 0.25)] * 20)
    stream = _native.Stream(engine, values, played, RATE, simd)
    sounds = play(stream, 1, 127, 128, 129, 1000, SAMPLES - 1385, count=20)
    np.testing.assert_array_equal(sounds, render(engine, values, played, simd))


@each_engine
def test_a_change_to_the_same_values_changes_nothing_audible(engine: str) -> None:
    values, played = patches(engine), notes((75, 100, 0.3))
    stream = _native.Stream(engine, values, played, RATE, 0)
    before = play(stream, 5000)
    stream.change(values)
    sound = np.concatenate([before, play(stream, SAMPLES - 5000)], axis=1)
    np.testing.assert_allclose(sound, render(engine, values, played, 0), atol=1e-5)


def test_a_changed_sine_goes_on_in_phase_and_keeps_its_key() -> None:
    values, played, at = patches("sine"), notes((81, 100, np.inf)), 5000
    stream = _native.Stream("sine", values, played, RATE, 0)
    play(stream, at)
    other = values * (1.5, 0.5, 0.75, 0.8)
    stream.change(other)
    sound = play(stream, SAMPLES - at)[0, FADE:]
    (f1, _, f2, _), (g1, a1, g2, a2) = 2 * values[0], other[0]
    time = (FADE + np.arange(len(sound))) / RATE
    first = a1 * np.sin(2 * np.pi * (f1 * at / RATE + 2 * g1 * time))
    exact = 0.5 * (first + a2 * np.sin(2 * np.pi * (f2 * at / RATE + 2 * g2 * time)))
    np.testing.assert_allclose(sound, exact, atol=1e-6)


def voices(engine: str, simd: int = 0, count: int = 4) -> _native.Voices:
    return _native.Voices(engine, patches(engine)[0], count, RATE, 0.1, 1, simd)


def played(one: _native.Voices, samples: int = SAMPLES) -> NDArray[np.float32]:
    out = np.full((samples, 1), np.nan, np.float32)
    one.process(out)
    return out[:, 0]


@each_engine
@each_target
@pytest.mark.parametrize("key", [57, 69, 80])
def test_a_voice_is_the_sound_of_its_key_and_hold_at_its_level(engine: str, simd: int, key: int) -> None:
    one = voices(engine, simd)
    one.push(_native.Voices.NOTE_ON, key, 1.0, 0)
    one.push(_native.Voices.NOTE_OFF, key, 0.0, round(0.3 * RATE))
    sound = render(engine, patches(engine), notes((key, 127, 0.3)), simd)[0]
    np.testing.assert_array_equal(played(one), np.float32(0.1) * sound)


@each_engine
def test_a_bend_moves_the_notes_that_sound_and_those_to_come(engine: str) -> None:
    one = voices(engine)
    one.push(_native.Voices.BEND, 0, 1.5, 0)
    one.push(_native.Voices.NOTE_ON, 64, 1.0, 0)
    sound = render(engine, patches(engine), notes((65.5, 127, np.inf)), 0)[0]
    np.testing.assert_array_equal(played(one), np.float32(0.1) * sound)


def test_a_released_sine_ends_and_leaves_its_voice() -> None:
    one = voices("sine")
    one.push(_native.Voices.NOTE_ON, 69, 1.0, 0)
    assert np.abs(played(one, 1000)).max() > 0.01
    assert one.played()[3] == 1
    one.push(_native.Voices.NOTE_OFF, 69, 0.0, 1000)
    played(one, FADE + 64)
    assert one.played()[3] == 0
    assert not played(one, 1000).any()


# -- what is refused -----------------------------------------------------------------------------

VALUES, NOTES, OUT = np.ones((2, 4)), notes((69, 100, 1), (69, 100, 1)), np.empty((2, 9), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("moog", VALUES, NOTES, OUT, RATE, 0), "no engine 'moog'; there are paper, sine"),
        (("sine", VALUES, NOTES, OUT, RATE, 9), r"no SIMD target 9; this processor can run 0\.\.\d"),
        (("sine", VALUES, NOTES, OUT, RATE, -1), "no SIMD target -1"),
        (("paper", VALUES, NOTES, OUT, RATE, 0), r"values are \(2, 4\); paper needs \(2, 23\)"),
        (("sine", VALUES[:1], NOTES, OUT, RATE, 0), r"values are \(1, 4\); sine needs \(2, 4\)"),
        (("sine", VALUES, NOTES[:1], OUT, RATE, 0), r"notes are \(1, 3\); 2 patches need \(2, 3\)"),
        (("sine", VALUES, np.ones((2, 2)), OUT, RATE, 0), r"notes are \(2, 2\); 2 patches need \(2, 3\)"),
        (("sine", VALUES, NOTES, OUT, 0, 0), "a sample rate of 0 Hz is given"),
        (("sine", VALUES, NOTES, OUT, np.nan, 0), "a sample rate of nan Hz is given"),
    ],
)
def test_rendering_refuses_what_it_cannot_do(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.render(*arguments)


def test_targets_streams_and_voices_refuse_what_they_cannot_do() -> None:
    sound, note = np.zeros(9, np.float32), NOTES[0]
    for engine, given, of, message in (
        ("moog", sound, note, "no engine 'moog'"),
        ("sine", sound[:0], note, "at least one sample"),
        ("sine", sound, note[:2], r"a note is \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            _native.Target(engine, given, of, RATE, 0)
    target, stream = _native.Target("sine", sound, note, RATE, 0), _native.Stream("sine", VALUES, NOTES, RATE, 0)
    with pytest.raises(ValueError, match=r"values are \(2, 3\); sine needs \(2, 4\)"):
        target.score(np.ones((2, 3)), np.empty((2, 4)))
    with pytest.raises(ValueError, match=r"out is \(2, 3\); it must be \(2, 4\)"):
        target.score(VALUES, np.empty((2, 3)))
    with pytest.raises(ValueError, match="at least one patch"):
        _native.Stream("sine", VALUES[:0], NOTES[:0], RATE, 0)
    with pytest.raises(ValueError, match=r"out must be \(2, samples\)"):
        stream.process(OUT[:1])
    with pytest.raises(ValueError, match=r"values are \(1, 4\)"):
        stream.change(VALUES[:1])
    with pytest.raises(ValueError, match=r"values must be \(4,\), count 1\.\.64"):
        _native.Voices("sine", VALUES[0], 65, RATE, 1.0, 1, 0)
    with pytest.raises(ValueError, match="no parameter or note 4"):
        voices("sine").push(_native.Voices.SET, 4, 0.0, 0)
