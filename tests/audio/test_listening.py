"""Where notes begin, and the windows that a model is given, in files and in blocks of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inversynth import synths
from inversynth.audio.files import resample
from inversynth.audio.onsets import Capture, Event, Follow, Onset, Past, Release, Segment, clean
from inversynth.audio.windows import fit, fit_part, window
from inversynth.spec import AudioFormat
from inversynth.synths import sampling
from sounds import RATE, Sound, join, silence, tone

THRESHOLD = 10 ** (-50 / 20)
SIZES = (1, 64, 65, 8192, 8193)
PAPER = synths.load("paper")


def capture() -> Capture:
    return Capture(RATE, 1.0, THRESHOLD)


def windows_of(capture: Capture | Follow, sound: Sound, size: int = 256) -> list[Sound]:
    windows = []
    for at in range(0, len(sound), size):
        windows += capture.process(sound[at : at + size])
    return windows + capture.finish()


# -- capture ----------------------------------------------------------------------------------


def test_a_note_is_the_second_from_where_it_begins() -> None:
    note = tone(1.3)
    (window,) = windows_of(capture(), join(silence(0.4), note, silence(0.4)))
    assert window.shape == (RATE,)
    np.testing.assert_array_equal(window[1:], note[: RATE - 1])  # the last sample at rest, then the note


def test_a_note_of_the_synth_is_taken_from_its_first_sample() -> None:
    note = PAPER.render(PAPER.space.values_of_levels((PAPER.space.levels // 2)[None]))[0]
    (window,) = windows_of(capture(), join(silence(0.37), note, silence(0.2)))
    lead = next(lead for lead in range(20) if np.array_equal(window[: RATE - lead], note[lead:]))
    assert lead <= 2
    assert np.abs(note[:lead]).max(initial=0) < 1e-5


def test_a_slow_attack_is_taken_from_its_beginning_out_of_noise_too() -> None:
    note = tone(1.0) * np.linspace(0, 1, RATE, dtype=np.float32)
    hiss = np.random.default_rng(3).normal(0, 1e-4, 2 * RATE).astype(np.float32)
    sound = join(silence(0.5), note, silence(0.5)) + hiss
    (window,) = windows_of(capture(), sound)
    start = int(np.argmin([np.abs(window - sound[at : at + RATE]).max() for at in range(RATE)]))
    assert abs(start - RATE // 2) < 0.005 * RATE


@pytest.mark.parametrize("make", [capture, lambda: Follow(RATE, 1.0, THRESHOLD, 10)], ids=["capture", "follow"])
def test_the_windows_do_not_depend_on_the_blocks(make: Callable[[], Capture | Follow]) -> None:
    sound = join(silence(0.31), tone(0.4), silence(0.9), tone(1.7, 0.1, 300), silence(0.2), tone(0.3))
    captures = [make() for _ in range(len(SIZES) + 1)]
    expected = windows_of(captures[0], sound, len(sound))
    assert len(expected) > 2
    for capture, size in zip(captures[1:], SIZES, strict=True):
        got = windows_of(capture, sound, size)
        assert len(got) == len(expected)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("hz", [0.5, 1, 2, 4.43, 10, 30])
def test_a_gater_does_not_begin_a_note_within_another(hz: float) -> None:
    sound = tone(1.0)
    gate = (1 + np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)) / 2
    assert len(windows_of(capture(), join(silence(0.2), sound * gate.astype(np.float32), silence(0.3)))) == 1


@pytest.mark.parametrize("hz", [4.43, 10, 30])
def test_a_gated_sound_that_goes_on_is_one_note(hz: float) -> None:
    gate = (1 + np.sin(2 * np.pi * hz * np.arange(4 * RATE) / RATE)) / 2
    assert len(windows_of(capture(), join(silence(0.2), tone(4.0) * gate.astype(np.float32)))) == 1


def test_a_long_note_is_one_note_and_the_next_needs_silence() -> None:
    assert len(windows_of(capture(), join(tone(3.0), silence(0.2), tone(3.0)))) == 2
    assert len(windows_of(capture(), join(tone(3.0), silence(0.02), tone(3.0)))) == 1


def test_a_clear_attack_needs_no_silence() -> None:
    windows = windows_of(capture(), join(tone(1.2), tone(0.5, 0.05), tone(1.2, 0.4, 700), silence(0.2)))
    assert len(windows) == 2
    np.testing.assert_allclose(windows[1][1:], tone(1.2, 0.4, 700)[: RATE - 1], atol=1e-6)


def test_a_note_that_the_end_cuts_short_is_filled_with_silence() -> None:
    (window,) = windows_of(capture(), join(silence(0.2), tone(0.3)))
    assert not window[round(0.3 * RATE) + 1 :].any()
    np.testing.assert_array_equal(window[1 : round(0.3 * RATE)], tone(0.3)[: round(0.3 * RATE) - 1])


@pytest.mark.parametrize(
    "sound",
    [
        silence(3),
        silence(3) + np.float32(0.5),
        join(silence(1), silence(2) + np.float32(0.5)),
        tone(3, 0.9 * THRESHOLD),
        join(silence(1), np.ones(1, np.float32), silence(2)),
    ],
    ids=["silence", "an offset", "a step to an offset", "below the threshold", "a click"],
)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_no_sound_is_no_note(sound: Sound, size: int) -> None:
    assert windows_of(capture(), sound, size) == []


def test_an_offset_is_taken_off_the_window() -> None:
    sound = join(silence(0.5), tone(1.2), silence(0.5))
    (plain,), (offset,) = windows_of(capture(), sound), windows_of(capture(), sound + np.float32(0.25))
    np.testing.assert_allclose(offset, plain, atol=1e-6)


# -- as it happens ----------------------------------------------------------------------------

STAGES_S = (0.07, 0.25, 0.5)


def live(capture: Capture, sound: Sound, size: int = 256) -> list[Event]:
    events: list[Event] = []
    for at in range(0, len(sound), size):
        events += capture.push(sound[at : at + size])
    return events + capture.end()


def staged(retrigger: bool = True) -> Capture:
    return Capture(RATE, 1.0, THRESHOLD, stages_s=STAGES_S, retrigger=retrigger)


def stages(events: list[Event]) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


def test_a_note_is_segmented_in_stages_each_the_beginning_of_the_whole() -> None:
    begins = round(0.4 * RATE) - 1
    segments = stages(live(staged(), join(silence(0.4), tone(1.3), silence(0.4))))
    assert [event.at for event in segments] == [begins + round(at * RATE) for at in (*STAGES_S, 1.0)]
    assert [len(event.sound) for event in segments] == [round(at * RATE) for at in (*STAGES_S, 1.0)]
    assert [event.whole for event in segments] == [False, False, False, True]
    for event in segments:
        np.testing.assert_array_equal(event.sound, segments[-1].sound[: len(event.sound)])


@pytest.mark.parametrize("make", [staged, lambda: Follow(RATE, 1.0, THRESHOLD, 10, STAGES_S, True)])
def test_the_events_do_not_depend_on_the_blocks(make: Callable[[], Capture]) -> None:
    slow = tone(1.0) * np.linspace(0, 1, RATE, dtype=np.float32)
    sound = join(silence(0.31), tone(0.4), silence(0.9), slow, tone(1.7, 0.1, 300), silence(0.2), tone(0.3))
    expected = live(make(), sound, len(sound))
    assert len(expected) > 10
    assert [event.at for event in expected] == sorted(event.at for event in expected)
    for size in SIZES:
        got = live(make(), sound, size)
        assert [type(event) for event in got] == [type(event) for event in expected]
        for a, b in zip(got, expected, strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("make", [staged, lambda: Follow(RATE, 1.0, THRESHOLD, 10, STAGES_S, True)])
def test_the_last_stage_is_the_window_of_the_note(make: Callable[[], Capture]) -> None:
    for note in rendered(20):
        sound = join(silence(0.37), note, silence(0.3))
        whole = [event.sound for event in stages(live(make(), sound)) if event.whole]
        np.testing.assert_array_equal(whole, windows_of(capture(), sound))


def test_a_note_begins_and_ends_after_ten_milliseconds_and_fifty() -> None:
    events = live(staged(), join(silence(0.2), tone(0.4, 0.25), silence(0.9), tone(1.4), silence(0.3)))
    others = [event for event in events if not isinstance(event, Segment)]
    assert [type(event) for event in others] == [Onset, Release, Onset, Release]
    np.testing.assert_allclose([event.at / RATE for event in others], [0.21, 0.655, 1.51, 2.955], atol=0.006)
    assert [round(event.level, 2) for event in others if isinstance(event, Onset)] == [0.25, 0.5]


def test_a_note_that_the_end_cuts_short_ends_with_it() -> None:
    sound = join(silence(0.2), tone(0.3))
    events = live(staged(), sound)
    assert events[-1] == Release(len(sound))


def test_a_click_makes_no_event() -> None:
    assert live(staged(), join(silence(1), np.ones(1, np.float32), silence(2))) == []


def test_an_attack_within_a_window_begins_a_new_note_in_live_sound_alone() -> None:
    fading = tone(0.3) * np.geomspace(1, 0.01, round(0.3 * RATE)).astype(np.float32)
    sound = join(silence(0.2), fading, tone(1.2, 0.5, 700), silence(0.2))
    first, second = (stages(live(staged(retrigger), sound)) for retrigger in (True, False))
    assert [len(event.sound) / RATE for event in first] == pytest.approx([0.07, 0.25, 0.07, 0.25, 0.5, 1.0], abs=1e-3)
    np.testing.assert_allclose(first[-1].sound[1:], tone(1.2, 0.5, 700)[: RATE - 1], atol=1e-6)
    assert len(second) == 4


@pytest.mark.parametrize("hz", [0.5, 1, 2, 4.43, 10, 30])
def test_a_gater_does_not_begin_a_new_note_either(hz: float) -> None:
    gate = (1 + np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)) / 2
    segments = stages(live(staged(), join(silence(0.2), tone(1.0) * gate.astype(np.float32), silence(0.3))))
    assert len(segments) == 4


def test_follow_gives_the_latest_second_at_its_rate_while_it_sounds_on() -> None:
    sound = join(silence(1.0), tone(2.0), silence(1.0))
    segments = stages(live(Follow(RATE, 1.0, THRESHOLD, 4), sound))
    first, *sliding = segments
    assert first.whole
    assert not first.sliding
    assert len(sliding) == 4  # a quarter of a second each, the last one within what a silence needs to be one
    hop = round(0.005 * RATE)
    for number, event in enumerate(sliding, 1):
        assert event.sliding
        assert event.at == first.at + number * 50 * hop
        np.testing.assert_array_equal(event.sound, sound[event.at - RATE : event.at])


@pytest.mark.parametrize(
    "make", [lambda: Capture(RATE, 1.0, THRESHOLD, stages_s=(0.07, 0.25)), lambda: Follow(RATE, 1.0, THRESHOLD, 10)]
)
def test_a_segment_comes_when_it_is_due_and_no_sooner(make: Callable[[], Capture]) -> None:
    capture, sound, count = make(), join(silence(0.3), tone(2.0)), 0
    assert capture.due is None
    at = 0
    while at < len(sound):
        due = capture.due
        before = at + (due - 1 if due else 63)
        assert not any(isinstance(event, Segment) for event in capture.push(sound[at:before]))
        at = before
        if due and at < len(sound):
            assert any(isinstance(event, Segment) for event in capture.push(sound[at : at + 1]))
            at, count = at + 1, count + 1
    assert count == (10 if isinstance(capture, Follow) else 3)


@pytest.mark.parametrize("sound", [silence(3), silence(3) + np.float32(0.5)], ids=["silence", "an offset"])
def test_follow_tells_nothing_of_what_is_no_sound(sound: Sound) -> None:
    assert live(Follow(RATE, 1.0, THRESHOLD, 10, STAGES_S), sound) == []


def test_the_past_is_the_end_of_what_has_passed() -> None:
    random, past, all_of_it = np.random.default_rng(6), Past(50), np.zeros(50, np.float32)
    for size in random.integers(0, 130, 300):
        samples = random.random(size, np.float32)
        past.append(samples)
        all_of_it = np.concatenate([all_of_it, samples])
        for count in (0, 1, 20, 50):
            np.testing.assert_array_equal(past.last(count), all_of_it[len(all_of_it) - count :])


@pytest.mark.parametrize("rate", [16384, 22050, 44100, 48000, 96000])
def test_a_part_of_a_window_is_the_beginning_of_the_whole_at_every_rate(rate: int) -> None:
    for sound in PAPER.render(PAPER.space.values_of_levels(sampling.draw(PAPER.space, 5, 0, 10)), rate):
        whole = fit(sound, rate, PAPER.format)
        for seconds in STAGES_S:
            part = fit_part(sound[: round(seconds * rate)], rate, PAPER.format)
            count = int(np.flatnonzero(part)[-1]) + 1
            assert seconds - 0.002 < (count - 1) / RATE <= seconds
            np.testing.assert_array_equal(part[:count], whole[:count])


# -- samples that are no sound ----------------------------------------------------------------


def test_what_is_no_number_becomes_silence_and_is_counted() -> None:
    block = np.array([0.5, np.nan, -np.inf, 1e30, -0.25], np.float32)
    good, bad = clean(block)
    np.testing.assert_array_equal(good, np.array([0.5, 0, 0, 0, -0.25], np.float32))
    assert bad == 3
    whole, none = clean(tone(0.1))
    np.testing.assert_array_equal(whole, tone(0.1))
    assert none == 0


def test_a_window_is_brought_to_the_rate_and_length_of_the_model() -> None:
    audio = AudioFormat(RATE, 1.0)
    sound = resample(tone(2.0), RATE, 48000)[:48000]
    np.testing.assert_allclose(fit(sound, 48000, audio)[100:-100], tone(1.0)[100:-100], atol=1e-3)
    for rate in (8000, 11025, 44100, 96000):
        assert fit(np.ones(rate, np.float32), rate, audio).shape == (RATE,)


# -- the window of a recording ----------------------------------------------------------------


def rendered(count: int) -> Sound:
    """(count, samples) the first patches of a seed, one second each."""
    levels = sampling.draw(PAPER.space, 5, 0, count)
    return PAPER.render(PAPER.space.values_of_levels(levels))


def test_a_sound_of_the_synth_is_segmented_from_its_first_sample() -> None:
    for sound in rendered(100):
        np.testing.assert_array_equal(window(sound, RATE, PAPER.format), sound)


def test_digital_silence_before_a_sound_is_skipped_to_the_sample() -> None:
    for sound in rendered(20):
        late = np.concatenate([np.zeros(3000, np.float32), sound])
        np.testing.assert_array_equal(window(late, RATE, PAPER.format), sound)


@pytest.mark.parametrize("offset", [0.0, 0.05])
@pytest.mark.parametrize("noise", [0.0, 5e-4])
def test_hiss_and_an_offset_before_a_note_are_not_taken_for_it(noise: float, offset: float) -> None:
    rest = np.zeros(RATE, np.float32)
    hiss = noise * np.random.default_rng(1).standard_normal(3 * RATE)
    sound = (np.concatenate([rest, tone(1.0), rest]) + hiss + offset).astype(np.float32)
    got = window(sound, RATE, PAPER.format)
    begin = int(np.argmax(np.abs(got) > 0.25))  # a sine of 440 Hz is there within a sixth of its period
    assert begin < 30
    assert abs(float(got.mean())) < 0.002
    assert float(np.sqrt(np.mean(got**2))) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_what_comes_after_the_first_note_is_left_out_and_what_is_missing_is_silence() -> None:
    short = np.concatenate([tone(0.25), silence(1.0), tone(1.0, hz=880.0)])
    got = window(short, RATE, PAPER.format)
    np.testing.assert_array_equal(got[: RATE // 4], tone(0.25))
    assert not got[RATE // 4 + 1 :].any()
    np.testing.assert_array_equal(window(tone(0.1), RATE, PAPER.format)[: RATE // 10], tone(0.1)[: RATE // 10])


@pytest.mark.parametrize("samples", [0, 1, 16384, 40000])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_silence_stays_silence(samples: int, offset: float) -> None:
    got = window(np.full(samples, offset, np.float32), RATE, PAPER.format)
    assert got.shape == (16384,)
    assert not got.any()
