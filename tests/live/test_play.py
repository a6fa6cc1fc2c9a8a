"""A synth as an instrument: notes against the bank and the float64 synth, events on their sample, and no clicks."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import reference
from inversynth import synths
from inversynth.cli import main
from inversynth.errors import UsageError
from inversynth.live.play import Player, ProcessSink, Voices, initial_patch
from inversynth.midi import Receiver, Splitter, messages, read_midi
from inversynth.midi.messages import RunningStatus
from inversynth.midi.profiles import load, nrpn_profile
from inversynth.synths import sampling
from inversynth.synths.paper.table import NOTE

PAPER = synths.load("paper")
SPACE = PAPER.space
RATE = 48000
KEY = round(NOTE.key)
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
        voices.note_on(KEY)
        voices.note_off(KEY, round(NOTE.hold_s * rate))
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


def test_notes_that_begin_and_end_in_one_block_are_audible() -> None:
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


def test_a_note_that_is_held_is_retriggered() -> None:
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


def test_a_bend_moves_what_sounds_and_what_comes_without_a_click() -> None:
    voices = quiet(sine())
    voices.note_on(69)
    before = played(voices, 20000)
    voices.bend(2.0)
    after = played(voices, 2000 + RATE // 2)
    voices.note_on(76)
    both = partials(played(voices, 2000 + RATE // 2)[2000:], (69, 71, 76, 78))
    first = partials(after[2000:], (69, 71))
    assert first[71] > max(0.3, 20 * first[69])
    assert both[71] > 20 * both[69]
    assert both[78] > max(0.3, 20 * both[76])
    assert roughness(np.concatenate([before[-100:], after[:2000]])) < 2.5 * roughness(after[4000:8000])


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


@pytest.mark.parametrize("what", ["stolen", "retriggered", "cut off"])
def test_what_makes_way_makes_no_click(what: str) -> None:
    voices = quiet(sine(release=1.0), voices=1)
    voices.note_on(69)
    before = played(voices, 12341)
    if what == "cut off":
        voices.sound_off()
    else:
        voices.note_on(69 if what == "retriggered" else 71)
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
        voices.note_on(KEY, 100)
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
    with pytest.raises(UsageError, match="paper can't be played as an instrument: it has no voices"):
        Voices(replace(PAPER, open_voices=None), sine(), RATE)
    with pytest.raises(ValueError, match="no parameter or note 128"):
        quiet(sine()).note_on(128)


# -- MIDI ---------------------------------------------------------------------------------------


class Taken:
    """Stands for voices: keeps its calls."""

    def __init__(self) -> None:
        self.synth, self.calls = PAPER, list[tuple[Any, ...]]()
        self.values = initial_patch(PAPER)

    def note_on(self, note: int, velocity: int, at: int = 0) -> None:
        self.calls.append(("on", note, velocity, at))

    def note_off(self, note: int, at: int = 0) -> None:
        self.calls.append(("off", note, at))

    def bend(self, semitones: float, at: int = 0) -> None:
        self.calls.append(("bend", semitones))

    def notes_off(self, at: int = 0) -> None:
        self.calls.append(("notes off", at))

    def sound_off(self, at: int = 0) -> None:
        self.calls.append(("sound off", at))

    def set(self, index: int, value: float, at: int = 0) -> None:
        self.calls.append((SPACE.names[index], value))


def calls_of(*given: messages.Message, profile: str | Path = "paper", channel: int = 1) -> list[tuple[Any, ...]]:
    taken = Taken()
    player = Player(taken, load(profile, PAPER, channel))  # type: ignore[arg-type]
    for message in given:
        player.receive(message, 7)
    return taken.calls


def test_messages_of_the_channel_are_notes_and_what_ends_them() -> None:
    assert calls_of(
        messages.note_on(1, 60, 100),
        messages.note_on(2, 61, 100),
        messages.note_off(1, 60),
        b"\x90\x40\x00",  # a note on without velocity
        messages.program_change(1, 5),
        b"\xa0\x40\x40",  # aftertouch
        b"\xf8",
        *messages.silence(1),
        messages.control_change(1, 126, 1),  # mono, which implies all notes off
        messages.control_change(2, 123, 0),
    ) == [("on", 60, 100, 7), ("off", 60, 7), ("off", 64, 7), ("notes off", 7), ("sound off", 7), ("notes off", 7)]
    assert calls_of(messages.note_on(2, 61, 99), channel=2) == [("on", 61, 99, 7)]


def test_the_damper_pedal_holds_what_is_released_until_it_goes_up() -> None:
    pedal = messages.DAMPER
    assert calls_of(
        messages.control_change(1, pedal, 127),
        messages.note_on(1, 60, 100),
        messages.note_off(1, 60),
        messages.note_on(1, 64, 100),
        messages.note_off(1, 64),
        messages.note_on(1, 64, 90),  # held by its key again
        messages.control_change(1, pedal, 64),  # half down is down
        messages.control_change(1, pedal, 63),
        messages.note_off(1, 64),
    ) == [("on", 60, 100, 7), ("on", 64, 100, 7), ("on", 64, 90, 7), ("off", 60, 7), ("off", 64, 7)]


def test_what_ends_all_notes_ends_those_of_the_pedal_too() -> None:
    held = (messages.control_change(1, messages.DAMPER, 127), messages.note_on(1, 60, 100), messages.note_off(1, 60))
    up = messages.control_change(1, messages.DAMPER, 0)
    assert calls_of(*held, *messages.silence(1), up)[1:] == [("notes off", 7), ("sound off", 7)]
    assert calls_of(*held, messages.control_change(1, messages.RESET, 0))[1:] == [("off", 60, 7), ("bend", 0.0)]


def test_the_pitch_wheel_bends_by_two_semitones_at_its_ends() -> None:
    wheel = [b"\xe0\x00\x00", b"\xe0\x00\x40", b"\xe0\x00\x60", b"\xe0\x7f\x7f", b"\xe1\x00\x00"]
    assert calls_of(*wheel) == [("bend", -2.0), ("bend", 0.0), ("bend", 1.0), ("bend", pytest.approx(2, abs=3e-4))]


def test_the_bend_range_is_that_of_registered_parameter_0() -> None:
    entry, down = messages.DATA_ENTRY, b"\xe0\x00\x00"
    octave = (*messages.select_rpn(1, 0, 0), messages.control_change(1, entry, 12))
    assert calls_of(*octave, down) == [("bend", -12.0)]
    assert calls_of(down, *octave) == [("bend", -2.0), ("bend", -12.0)]
    assert calls_of(*octave, messages.control_change(1, messages.DATA_ENTRY_LSB, 50), down) == [("bend", -12.5)]
    reset = messages.control_change(1, messages.RESET, 0)  # lets go of the wheel and of the selection, not of the range
    assert calls_of(*octave, reset, messages.control_change(1, entry, 5), down) == [("bend", 0.0), ("bend", -12.0)]


def test_parameters_are_set_by_number_as_midi_says() -> None:
    index, param = SPACE.index("cutoff"), SPACE["cutoff"]
    selected = messages.select_nrpn(1, 0, index)
    msb, lsb, up = (messages.control_change(1, number, 64) for number in (6, 38, 96))
    x = (64 * 128 + 64) / 16383
    assert calls_of(*selected, msb)[-1] == ("cutoff", pytest.approx(float(param.value_of_x(8192 / 16383))))
    assert calls_of(*selected, msb, lsb)[-1] == ("cutoff", pytest.approx(float(param.value_of_x(x))))
    assert calls_of(*selected, lsb, msb) == [("cutoff", pytest.approx(float(param.value_of_x(x))))]
    before = float(param.x_of_value(initial_patch(PAPER)[index])) * 16383
    assert calls_of(*selected, up) == [("cutoff", pytest.approx(float(param.value_of_x((round(before) + 1) / 16383))))]


def test_a_profile_may_have_another_use_for_the_pedal(tmp_path: Path) -> None:
    file = tmp_path / "pedal.toml"
    file.write_text('name = "pedal"\nunreserved = [64]\n[parameters.sustain]\ncc = 64\n')
    down = messages.control_change(1, 64, 127)
    notes = (messages.note_on(1, 60, 100), messages.note_off(1, 60))
    assert calls_of(down, *notes, profile=file) == [("sustain", 1.0), ("on", 60, 100, 7), ("off", 60, 7)]


def test_all_notes_may_have_one_velocity() -> None:
    taken = Taken()
    player = Player(taken, load("paper", PAPER), 127)  # type: ignore[arg-type]
    player.receive(messages.note_on(1, 60, 3))
    player.receive(b"\x90\x3c\x00")
    assert taken.calls == [("on", 60, 127, 0), ("off", 60, 0)]
    with pytest.raises(UsageError, match=r"a velocity of 128 is outside 1..127"):
        Player(taken, load("paper", PAPER), 128)  # type: ignore[arg-type]


def test_a_receiver_and_a_player_of_the_same_profile_mean_the_same_patch(tmp_path: Path) -> None:
    """To half a step of the profile: here 7 bits, 14 bits and NRPN."""
    fine = "".join(f"[parameters.{name}]\nnrpn = [3, {i}]\n" for i, name in enumerate(SPACE.names))
    (tmp_path / "own.toml").write_text(f'synth = "paper"\n{fine}'.replace("nrpn = [3, 20]", "cc14 = 20"))
    for profile, step in (
        (load("paper", PAPER), 1 / 127),
        (load(tmp_path / "own.toml", PAPER), 1 / 16383),
        (nrpn_profile(PAPER), 1 / 16383),
    ):
        taken = Taken()
        player = Player(taken, load("paper", PAPER) if profile.name == "nrpn" else profile)  # type: ignore[arg-type]

        class Direct:
            description = "directly"

            def send(self, message: messages.Message, at_s: float, player: Player = player) -> None:
                player.receive(message)

            def returned(self) -> bool:
                return False

            def close(self) -> None: ...

        receiver, x = Receiver(profile, Direct(), baud=1e9), np.random.default_rng(8).random(23)
        receiver.offer(x, np.ones(23, bool))
        now: float | None = 0.0
        while now is not None:
            now = receiver.pump(now)
        values = {name: value for name, value in taken.calls}
        got = SPACE.x_of_values([[values[name] for name in SPACE.names]])[0]
        assert np.abs(got - x).max() <= step / 2 + 1e-9


def test_both_ends_of_a_controller_are_those_of_the_range() -> None:
    for param in SPACE:
        assert param.midi is not None
        ends = calls_of(messages.control_change(1, param.midi, 0), messages.control_change(1, param.midi, 127))
        assert [value for _, value in ends] == pytest.approx([param.low, param.high])


def test_a_stream_of_bytes_is_cut_into_the_messages_that_were_sent() -> None:
    random, wire, now = np.random.default_rng(0), bytearray(b"\x40\x7f"), 0.0
    kinds = (
        "note_on",
        "note_off",
        "control_change",
        "pitchwheel",
        "program_change",
        "aftertouch",
        "polytouch",
        "songpos",
    )
    sent, running = [], RunningStatus()
    for kind in random.choice([*kinds, "sysex"], 3000):
        given: dict[str, object] = {"channel": 3} if random.random() < 0.8 else {}
        if kind == "sysex":
            given = {"data": random.integers(0, 128, random.integers(0, 9)).tolist()}
        elif kind == "songpos":
            given = {"pos": 777}
        elif kind in ("note_on", "note_off"):
            given |= {"note": int(random.integers(128)), "velocity": int(random.integers(128))}
        message = bytes(mido.Message(str(kind), **given).bytes())
        sent.append(message)
        if message[0] < 0xF0:
            message = running.on_wire(message, now)
        else:
            running = RunningStatus()
        now += 0.001
        at = random.integers(len(message) + 1)
        wire += message[:at] + b"\xf8\xfe" + message[at:]
    cuts = np.sort(random.integers(0, len(wire), 500)).tolist()
    splitter, got = Splitter(), list[bytes]()
    for first, after in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        got += splitter.feed(bytes(wire[first:after]))
    assert got == sent


# -- files --------------------------------------------------------------------------------------


def midi_file(path: Path, tempo: int = 400_000) -> Path:
    """Three notes with a controller between them, at half seconds of another tempo, in two tracks."""
    notes, changes = mido.MidiTrack(), mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    for note in (69, 57, 64):
        notes.append(mido.Message("note_on", note=note, velocity=127, time=0))
        notes.append(mido.Message("note_off", note=note, time=600))
    changes.append(mido.Message("control_change", control=74, value=0, time=900))
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[changes, notes]).save(path)
    return path


def test_a_midi_file_becomes_the_sound_of_its_events_to_the_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["play", "--midi-file", str(midi_file(tmp_path / "in.mid")), "--sample-rate", "44100", "--gain", "-40"]
    assert main([*words, "--out-file", str(tmp_path / "out.wav")]) == 0
    assert "3 notes, 1 changes of the patch, 0 events lost" in capsys.readouterr().err
    sound, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == 44100
    voices = Voices(PAPER, initial_patch(PAPER), rate, 8, QUIET_DB)
    for at, note in enumerate((69, 57, 64)):
        voices.note_on(note, at=at * rate // 2)
        if note == 57:
            voices.set(SPACE.index("cutoff"), 200.0, round(0.75 * rate))
        voices.note_off(note, at=(at + 1) * rate // 2)
    assert np.abs(sound - voices.process(len(sound))[:, 0]).max() < 1e-6
    release = SPACE["release"].x_of_value(initial_patch(PAPER)[SPACE.index("release")])
    assert 1.5 + float(SPACE["release"].value_of_x(release)) <= len(sound) / rate < 2.5


def test_a_patch_that_match_wrote_is_played(tmp_path: Path) -> None:
    values = random_patches(1)[0]
    rows = [{"name": name, "value": value} for name, value in zip(SPACE.names, values, strict=True)]
    (tmp_path / "patch.json").write_text(json.dumps(rows))
    track = mido.MidiTrack([mido.Message("note_on", note=KEY, velocity=127)])
    track.append(mido.Message("note_off", note=KEY, time=720))
    mido.MidiFile(tracks=[track]).save(tmp_path / "in.mid")
    words = ["play", "--midi-file", f"{tmp_path}/in.mid", "--out-file", f"{tmp_path}/out.wav", "--gain", "-40"]
    assert main([*words, "--patch", f"{tmp_path}/patch.json", "--sample-rate", "16384", "--duration", "1"]) == 0
    sound, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    expected = PAPER.render(values[None])[0]
    assert len(sound) == 16384
    assert np.abs(sound * 100 - expected).max() < 1e-5


def test_the_times_of_a_midi_file_are_its_tempos(tmp_path: Path) -> None:
    events = read_midi(midi_file(tmp_path / "in.mid"))
    assert [round(at, 6) for at, _ in events] == [0.0, 0.5, 0.5, 0.75, 1.0, 1.0, 1.5]
    assert events[0][1] == bytes((0x90, 69, 127))


OWN = """
import numpy as np
from inversynth import AudioFormat, Param, ParamSpace, from_function

def render(values, notes, rate, samples):
    return np.zeros((len(values), samples))

SYNTH = from_function("own", ParamSpace([Param("level", "l", 0, 1)]), AudioFormat(16384, 1.0), render)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "give an input: --midi-in PORT"),
        ("--midi-in x --out-file {folder}/o.wav", "--out-file is made from --midi-file alone"),
        ("--midi-file {folder}/no.mid --out-file {folder}/o.wav", "no.mid can't be read: No such file"),
        ("--midi-file {folder}/bad.mid --out-file {folder}/o.wav", "bad.mid is not a whole MIDI file"),
        ("--midi-file {folder}/frames.mid --out-file {folder}/o.wav", "its time is not in ticks a beat"),
        (
            "--midi-file {folder}/days.mid --out-file {folder}/o.wav",
            "than the 22370 s that a WAV file can hold",
        ),
        (
            "--midi-file {folder}/in.mid --out-file {folder}/o.wav --patch {folder}/deep.json",
            "deep.json is not a patch",
        ),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --patch {folder}/no.json", "no.json can't be read"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --patch {folder}/bad.mid", "bad.mid is not a patch"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --patch {folder}/few.json", "sin_frequency is missing"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --voices 65", "65 voices are outside 1..64"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --gain 99", "a gain of 99 dB is outside -120..24"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --sample-rate 8000", "8000 Hz is too low"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --channel 17", "MIDI channel 17"),
        (
            "--midi-file {folder}/in.mid --out-file {folder}/o.wav --channel 10",
            "in.mid has notes on channel 1, none on channel 10; give --channel 1",
        ),
        (
            "--midi-file {folder}/in.mid --out-file {folder}/o.mp3",
            "a WAV file is written; give a name that ends in .wav",
        ),
        (
            "--midi-file {folder}/in.mid --out-file {folder}/o.wav --synth {folder}/own.py",
            "own can't be played: it has no voices; give another --synth",
        ),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --profile none", "no profile 'none'"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --duration 0", "a duration of 0 s"),
        ("--midi-file {folder}/in.mid --out-file {folder}/o.wav --block-size -1", "a block of -1 samples"),
    ],
)
def test_a_wrong_use_is_one_line(words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    midi_file(tmp_path / "in.mid")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "bad.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk\0\0")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, division, wait in (("frames", b"\xe7\x28", b"\0"), ("days", b"\1\xe0", b"\xff\xff\xff\x7f")):
        track = wait + b"\x90\x45\x64"
        head = b"MThd\0\0\0\6\0\0\0\1" + division + b"MTrk" + len(track).to_bytes(4)
        (tmp_path / f"{name}.mid").write_bytes(head + track)
    (tmp_path / "few.json").write_text('[{"name": "cutoff", "value": 500}]')
    assert main(["play", *words.format(folder=tmp_path).split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o.wav").exists()


@pytest.mark.skipif(Path("/dev/snd").exists(), reason="this machine has a sound card")
@pytest.mark.parametrize("words", [["--list-devices"], ["--list-ports"], ["--virtual", "x"], ["--midi-in", "-"]])
def test_without_audio_or_midi_one_line_says_so(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inversynth", "play", *words],
        env={**os.environ, "JACK_DEFAULT_SERVER": "none-of-that-name", "JACK_NO_START_SERVER": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("inversynth: error: no ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--play --fast", "--play plays in real time"),
        ("--dry-run --out system", "--out is the audio output of --play"),
        ("--play --profile paper", "--play has a profile, a channel and a speed of its own"),
    ],
)
def test_live_refuses_what_does_not_go_with_play(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--file", "sound.wav", *words.split()]) == 2
    assert message in capsys.readouterr().err


# -- the audio callback and the process ---------------------------------------------------------


def test_the_callback_plays_what_process_plays_and_counts_overloads() -> None:
    voices, same = Voices(PAPER, sine(), RATE, channels=2), Voices(PAPER, sine(), RATE, channels=2)
    address, state = voices.native.callback()
    pointer, number = ctypes.c_void_p, ctypes.c_ulong
    callback = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, number, pointer, number, pointer)(address)
    out = np.empty((3, 256, 2), np.float32)
    for each in (voices, same):
        each.note_on(69)
    for block, flags in zip(out, (0, 4, 8), strict=True):  # 4 is paOutputUnderflow
        assert callback(None, block.ctypes.data, 256, None, flags, state) == 0
    assert np.array_equal(out.reshape(768, 2), same.process(768))
    assert voices.native.played() == (768, 3, 1, 1)


def stand_in(path: Path, monkeypatch: pytest.MonkeyPatch, commands: str) -> ProcessSink:
    """A sink whose process does these commands of the shell instead of playing."""
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(ProcessSink, "RETRY_S", 0.0)
    return ProcessSink()


needs_sh = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")


@needs_sh
def test_the_process_gets_every_message_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = stand_in(tmp_path / "sh", monkeypatch, f"echo playing something >&2; exec cat > {tmp_path}/got")
    assert sink.description == "a process playing something"
    sent = [messages.note_on(1, i % 128, 1 + i % 127) for i in range(3000)]
    for message in sent:
        sink.send(message, 0.0)
    assert not sink.returned()
    sink.close()
    assert (tmp_path / "got").read_bytes() == b"".join(sent)


@needs_sh
def test_a_process_that_does_not_read_stalls_nothing_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = stand_in(tmp_path / "sh", monkeypatch, "echo 'playing nothing' >&2; exec sleep 60")
    for _ in range(100_000):
        sink.send(messages.note_on(1, 60, 100), 0.0)
    while not sink.returned():  # it says so once another one plays
        pass
    assert not sink.returned()
    sink.END_S = 0.0
    sink.close()


@needs_sh
def test_a_process_that_ends_at_once_is_an_error_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"^no audio output$"):
        stand_in(tmp_path / "sh", monkeypatch, "echo 'inversynth: error: no audio output' >&2; exit 2")


def test_another_synth_with_voices_is_played(tmp_path: Path) -> None:
    sine_synth = synths.load("sine")
    words = ["play", "--midi-file", str(midi_file(tmp_path / "in.mid")), "--out-file", str(tmp_path / "out.wav")]
    assert main([*words, "--synth", "sine", "--gain", "-40", "--sample-rate", "48000"]) == 0
    sound, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    voices = Voices(sine_synth, initial_patch(sine_synth), rate, 8, QUIET_DB)
    for at, note in enumerate((69, 57, 64)):
        voices.note_on(note, at=at * rate // 2)
        voices.note_off(note, at=(at + 1) * rate // 2)
    assert np.abs(sound).max() > 0.001
    assert np.abs(sound - voices.process(len(sound))[:, 0]).max() < 1e-6


def test_a_silent_beginning_is_hardly_audible(tmp_path: Path) -> None:
    words = ["play", "--midi-file", str(midi_file(tmp_path / "in.mid")), "--out-file", str(tmp_path / "out.wav")]
    assert main([*words, "--silent"]) == 0
    assert 0 < np.abs(soundfile.read(tmp_path / "out.wav")[0]).max() < 1e-3
