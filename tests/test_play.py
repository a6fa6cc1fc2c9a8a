"""A synth as an instrument: notes against the bank and the float64 synth, events on their sample, and no clicks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from inversynth import sampling
from inversynth.errors import UsageError
from inversynth.play import Voices
from inversynth.render import synth
from inversynth.synths.paper import NOTE, NOTE_OFF_S

PAPER = synth("paper")
SPACE = PAPER.space
RATE = 48000
QUIET_DB = -40.0
"""A gain at which nothing is limited, and float32 loses nothing."""


def random_patches(count: int, seed: int = 11) -> NDArray[np.float64]:
    return SPACE.values_of_levels(sampling.draw(SPACE, seed, 0, count))


def sine(**given: float) -> NDArray[np.float64]:
    """(23,) a soft sine of 440 Hz that is held, through an open filter, and what is given."""
    values = {param.name: param.low for param in SPACE} | {"sin_amplitude": 0.5, "sustain": 1.0, "cutoff": 4000.0}
    values |= {"attack": 0.02, "release": 0.05, "resonance": 0.7071} | given
    return np.array([values[name] for name in SPACE.names])


def played(voices: Voices, samples: int, block: int = 8192) -> NDArray[np.float64]:
    """(samples,) what is played in blocks, before the gain."""
    blocks = [voices.process(min(block, samples - at))[:, 0] for at in range(0, samples, block)]
    return np.concatenate(blocks).astype(np.float64) / 10 ** (QUIET_DB / 20)


def quiet(values: NDArray[np.float64], rate: int = RATE, voices: int = 8) -> Voices:
    return Voices(PAPER, values, rate, voices, QUIET_DB)


# -- notes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16384, 44100, 48000])
def test_the_note_of_the_synth_held_for_the_papers_time_is_the_sound_that_the_bank_renders(rate: int) -> None:
    values = random_patches(20)
    for patch, sound in zip(values, PAPER.render(values, rate, 2.0), strict=True):
        voices = quiet(patch, rate)
        voices.note_on(NOTE)
        voices.note_off(NOTE, round(NOTE_OFF_S * rate))
        assert np.abs(played(voices, 2 * rate) - sound).max() < 1e-6 * max(1.0, np.abs(sound).max())


def test_other_notes_held_for_other_times_are_what_the_definitions_say() -> None:
    """All four frequencies are a semitone higher for each note; the envelope is released from where it is."""
    for patch, (note, held) in zip(
        random_patches(6), [(69, 0.02), (57, 0.3), (64, 1.2), (45, 0.1), (72, 0.5), (33, 0.9)], strict=True
    ):
        voices = quiet(patch)
        voices.note_on(note)
        voices.note_off(note, round(held * RATE))
        sound = played(voices, RATE)
        values = dict(zip(SPACE.names, patch, strict=True))
        for w in reference.WAVEFORMS:
            values[f"{w}_frequency"] *= 2 ** ((note - 69) / 12)
        expected, near_edge = reference.paper(values, RATE, RATE, round(held * RATE) / RATE)
        error = np.abs(sound - expected)
        assert np.mean(error < 1e-3) >= 0.995
        near_edge[0] = False
        clean = RATE if not near_edge.any() else int(near_edge.argmax())  # an edge rings on through the filter
        assert clean > 1000
        assert error[:clean].max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_notes_add_up_each_at_its_level_and_time() -> None:
    patch = random_patches(1)[0]
    voices, expected = quiet(patch), np.zeros(RATE)
    for note, velocity, at in ((69, 127, 0), (57, 90, 1000), (76, 30, 1000), (69 - 24, 1, 20001)):
        voices.note_on(note, velocity, at)
        alone = quiet(patch)
        alone.note_on(note)
        expected[at:] += (velocity / 127) ** 2 * played(alone, RATE - at)
    assert np.abs(played(voices, RATE) - expected).max() < 1e-5


def test_a_held_note_sounds_on_and_a_released_one_is_over_to_the_last_bit() -> None:
    voices = quiet(sine(gate_frequency=30.0))
    voices.note_on(69)
    assert np.abs(played(voices, 10 * RATE)[-RATE:]).max() == pytest.approx(0.5, rel=0.02)
    voices.note_off(69)
    after = played(voices, RATE)
    assert np.abs(after[: round(0.04 * RATE)]).max() > 0.1
    assert not after[RATE // 2 :].any()


def test_notes_that_begin_and_end_in_one_block_are_heard() -> None:
    voices = quiet(sine(attack=0.001, release=0.5))
    voices.note_on(69)
    voices.note_off(69)
    assert np.abs(played(voices, 4096)).max() > 0.1


@pytest.mark.parametrize("block", [1, 64, 65, 8192])
def test_events_happen_on_their_sample_whatever_the_blocks(block: int) -> None:
    at = np.sort(np.random.default_rng(4).integers(0, 6000, 40))

    def sound(block: int) -> NDArray[np.float64]:
        voices = quiet(random_patches(1)[0], voices=3)
        for i, sample in enumerate(at.tolist()):
            if i % 4 == 3:
                voices.set(SPACE.index("cutoff"), 300.0 + 80 * i, sample)
            elif i % 4 == 2:
                voices.note_off(60 + i - 2, sample)
            else:
                voices.note_on(60 + i, 100, sample)
        return played(voices, 8000, block)

    assert np.abs(sound(block) - sound(8000)).max() < 1e-6
    lone = quiet(random_patches(1)[0])
    lone.note_on(69, at=777)
    assert np.flatnonzero(played(lone, 2000, block))[0] in (777, 778)  # a sine begins at 0


def test_what_is_late_happens_where_the_next_block_begins() -> None:
    late, timely = quiet(sine()), quiet(sine())
    timely.note_on(69, at=512)
    sound = [played(late, 512)]
    late.note_on(69, at=100)
    sound.append(played(late, 2000))
    assert np.array_equal(np.concatenate(sound), played(timely, 2512))


# -- more notes than voices ---------------------------------------------------------------------


def partials(sound: NDArray[np.float64], notes: tuple[int, ...]) -> dict[int, float]:
    """The strength of each note's sine, in half a second of sound."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4 / len(sound)
    at = {note: round(440 * 2 ** ((note - 69) / 12) * len(sound) / RATE) for note in notes}
    return {note: float(spectrum[i - 1 : i + 2].max()) for note, i in at.items()}


def test_the_oldest_released_note_makes_way_first_then_the_oldest() -> None:
    voices = quiet(sine(release=1.0), voices=3)
    notes = (60, 64, 67, 71, 74)
    for note in notes[:3]:
        voices.note_on(note)
    voices.note_off(64, 2000)
    voices.note_on(71, at=2000)  # in the place of 64, which is released
    voices.note_on(74, at=2000)  # in the place of 60, the oldest
    after = partials(played(voices, 3000 + RATE // 2)[3000:], notes)
    assert {note for note, strength in after.items() if strength > 0.1} == {67, 71, 74}
    assert max(after[60], after[64]) < 0.01


def test_of_a_chord_of_more_notes_than_voices_the_last_sound() -> None:
    voices, few = quiet(sine(), voices=4), quiet(sine(), voices=4)
    for note in range(40, 90):
        voices.note_on(note)
    for note in range(86, 90):
        few.note_on(note)
    assert np.abs(played(voices, 5000) - played(few, 5000)).max() < 1e-6


def test_a_note_that_is_held_begins_anew() -> None:
    patch = sine(attack=0.1)
    voices, alone = quiet(patch), quiet(patch)
    voices.note_on(69)
    voices.note_on(69, 127, 9600)
    alone.note_on(69)
    sound = played(voices, 20000)
    assert np.abs(sound[9600 + 480 :] - played(alone, 20000 - 9600)[480:]).max() < 1e-5  # the old one has faded
    voices.note_off(69)
    assert not played(voices, RATE)[RATE // 2 :].any()  # one note off ends it


def test_a_storm_of_notes_within_the_fades_loses_none() -> None:
    """Sixteen notes in 8 ms for two voices: some wait for room, the last ones sound."""
    voices = quiet(sine(release=0.001), voices=2)
    notes = tuple(range(50, 82, 2))
    for i, note in enumerate(notes):
        voices.note_on(note, at=1000 + 24 * i)
    after = partials(played(voices, RATE)[RATE // 2 :], notes)
    assert {note for note, strength in after.items() if strength > 0.1} == {78, 80}


def test_all_notes_off_releases_and_all_sound_off_fades_out_in_ten_milliseconds() -> None:
    released, cut = quiet(sine(release=1.0)), quiet(sine(release=1.0))
    for voices in (released, cut):
        for note in (60, 64, 67):
            voices.note_on(note)
        played(voices, 5000)
    released.notes_off()
    cut.sound_off()
    assert np.abs(played(released, 10000)[5000:]).max() > 0.2
    after = played(cut, 10000)
    assert np.abs(after[:200]).max() > 0.2
    assert not after[480:].any()


# -- no clicks ----------------------------------------------------------------------------------


def roughness(sound: NDArray[np.float64]) -> float:
    """The largest second difference: a step of height h has h, a sine of amplitude a has a (2 pi f / rate)^2."""
    return float(np.abs(np.diff(sound, 2)).max())


OTHERS: dict[str, dict[str, float]] = {
    "quieter": {"sin_amplitude": 0.05},
    "another note": {"sin_frequency": 880.0},
    "darker": {"cutoff": 300.0},
    "soft": {"sustain": 0.3},
    "gated": {"gate_frequency": 9.0},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_change_of_the_patch_makes_no_click(other: dict[str, float]) -> None:
    voices, whole = quiet(sine()), quiet(sine(**other))
    for each in (voices, whole):
        each.note_on(69)
    before = played(voices, 12300)
    for name, value in other.items():
        voices.set(SPACE.index(name), value)
    after = played(voices, 20000)
    steady = max(roughness(before[-4000:]), roughness(after[4000:]))
    assert roughness(np.concatenate([before[-100:], after[:2000]])) < 1.5 * steady
    assert roughness(np.concatenate([before[-100:], played(whole, 14300)[12300:]])) > 20 * steady  # a click


def test_a_stream_of_changes_makes_no_click() -> None:
    voices = quiet(sine(cutoff=200.0))
    voices.note_on(69)
    for i in range(128):
        voices.set(SPACE.index("cutoff"), 200 + 3800 * i / 127, 9600 + 48 * i)
    sound = played(voices, RATE // 2)
    assert roughness(sound[9000:]) < 1.5 * roughness(sound[-4000:])


@pytest.mark.parametrize("what", ["stolen", "begun anew", "cut off"])
def test_what_makes_way_makes_no_click(what: str) -> None:
    voices = quiet(sine(release=1.0), voices=1)
    voices.note_on(69)
    before = played(voices, 12341)
    if what == "cut off":
        voices.sound_off()
    else:
        voices.note_on(69 if what == "begun anew" else 71)
    after = played(voices, 9600)
    steady = roughness(before[-4000:])
    assert roughness(np.concatenate([before[-100:], after])) < 1.5 * steady
    assert roughness(np.concatenate([before[-100:], np.zeros(100)])) > 20 * steady  # a click


# -- level --------------------------------------------------------------------------------------


def test_the_sum_is_plain_up_to_half_of_full_scale_and_never_exceeds_it() -> None:
    loud = {f"{w}_amplitude": 1.0 for w in reference.WAVEFORMS}
    patch = sine(**loud, resonance=10.0, cutoff=900.0, attack=0.001)
    hot, cool = Voices(PAPER, patch, RATE, 8, 24.0), Voices(PAPER, patch, RATE, 8, QUIET_DB)
    for note in range(60, 68):
        hot.note_on(note)
        cool.note_on(note)
    sound, plain = hot.process(RATE)[:, 0], cool.process(RATE)[:, 0] * 10 ** ((24 - QUIET_DB) / 20)
    size = np.abs(plain)
    assert size.max() > 20
    expected = np.where(size <= 0.5, plain, np.sign(plain) * (1 - 0.25 / np.maximum(size, 0.5)))
    assert np.abs(sound - expected).max() < 1e-4
    assert np.abs(sound).max() <= 1.0


def test_at_the_usual_gain_notes_of_nine_patches_in_ten_are_plain() -> None:
    peaks = []
    for patch in random_patches(200):
        voices = Voices(PAPER, patch, 16384)
        voices.note_on(NOTE, 100)
        peaks.append(np.abs(voices.process(16384)).max())
    assert np.mean(np.array(peaks) <= 0.5) > 0.9


def test_all_channels_hold_the_same() -> None:
    mono, stereo = Voices(PAPER, sine(), RATE), Voices(PAPER, sine(), RATE, channels=2)
    for voices in (mono, stereo):
        voices.note_on(69)
    assert np.array_equal(stereo.process(3000), mono.process(3000).repeat(2, axis=1))


# -- what is refused ----------------------------------------------------------------------------


def test_events_that_nothing_plays_are_lost_and_counted() -> None:
    voices = quiet(sine())
    for _ in range(5000):
        voices.note_off(1)
    assert voices.lost == 5000 - 4096
    played(voices, 1)
    voices.note_on(69)
    assert voices.lost == 5000 - 4096


def test_voices_refuse_what_they_cannot_play() -> None:
    with pytest.raises(UsageError, match=r"0 voices are outside 1..64"):
        Voices(PAPER, sine(), RATE, 0)
    with pytest.raises(UsageError, match="a gain of 60 dB is outside"):
        Voices(PAPER, sine(), RATE, 8, 60.0)
    with pytest.raises(UsageError, match="8000 Hz is too low"):
        Voices(PAPER, sine(), 8000)
    with pytest.raises(UsageError, match=r"cutoff: 5000 is outside 200..4000 Hz"):
        quiet(sine()).set(SPACE.index("cutoff"), 5000.0)
    with pytest.raises(UsageError, match=r"sin_frequency: 1 .* outside"):
        quiet(sine(sin_frequency=1.0))
    with pytest.raises(UsageError, match="sine can't be played"):
        Voices(synth("sine"), [100.0, 0.5, 800.0, 0.5], RATE)
    with pytest.raises(ValueError, match="no parameter or note 128"):
        quiet(sine()).note_on(128)
