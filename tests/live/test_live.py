"""The live bridge: when it listens, what it infers, what it sends, and how it ends."""

from __future__ import annotations

import io
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from pythonosc import osc_packet

import onnx_file
from inversynth import live, synths
from inversynth.audio.files import resample
from inversynth.audio.sources import FileSource, Source, StreamClock, WallClock
from inversynth.cli import main
from inversynth.errors import InversynthError, UsageError
from inversynth.live import Estimate, Gate, Settings
from inversynth.live.gate import UNLIKE, UNSURE
from inversynth.midi import BAUD, Receiver, Sink, TextSink
from inversynth.spec import AudioFormat, ParamSpace
from patches import profile_of
from sounds import RATE, Sound, join, silence, tone

# -- the bridge -------------------------------------------------------------------------------


class Loudness:
    """A model of two parameters of 16 levels: the peak of the window, and its last sample."""

    def __init__(self) -> None:
        self.name, self.audio = "loudness", AudioFormat(RATE, 1.0)
        self.space = ParamSpace([*synths.load("sine").space][:2])
        self.windows: list[Sound] = []

    def predict_one(self, window: Sound) -> list[Sound]:
        self.windows.append(window.copy())
        at = (np.abs(window).max(), abs(window[-1]))
        return [np.eye(16, dtype=np.float32)[min(round(15 * float(x)), 15)] for x in at]

    def warm_up(self, runs: int = 1) -> None:
        pass


class Blocks(Source):
    """Given blocks, each at once."""

    def __init__(self, blocks: list[Sound]) -> None:
        super().__init__("blocks", RATE, 1, StreamClock())
        self._blocks = blocks

    def read(self) -> Sound | None:
        if not self._blocks:
            return None
        block = self._blocks.pop(0)
        self.clock.sleep_until(self.clock.now() + len(block) / RATE)
        self.deliver(block)
        return self._ring.read()


def run(
    source: Source, sinks: list[Sink], settings: Settings | None = None, baud: float = BAUD, **more: Any
) -> tuple[live.Summary, Loudness]:
    model = Loudness()
    receivers = [Receiver(profile_of("sine", model.space), sink, baud) for sink in sinks]
    bridge = live.Bridge(source, model, receivers, settings or Settings(), **more)
    return bridge.run(threading.Event()), model


def printed(source: Source, settings: Settings | None = None) -> tuple[list[str], live.Summary]:
    out = io.StringIO()
    summary, _ = run(source, [TextSink(out)], settings)
    return out.getvalue().splitlines(), summary


def messages(lines: list[str]) -> list[tuple[float, str]]:
    """(seconds, command) of SendMIDI's lines."""
    return [(60 * int(line[3:5]) + float(line[6:12]), line[13:]) for line in lines]


def test_a_note_is_sent_as_it_becomes_known_at_the_pace_of_the_wire() -> None:
    lines, summary = printed(Blocks([silence(0.5), tone(1.25), silence(0.25)]))
    # The peak is 0.5: level 8. The last sample is not resampled yet, and then the tone's 16383rd, 0.47: level 7.
    assert lines == ["00:00:00.570 ch 1 cc 20 68", "00:00:00.571 ch 1 cc 21 0", "00:00:01.500 ch 1 cc 21 59"]
    assert (summary.predictions, summary.notes, summary.sent, summary.superseded) == (4, 1, 3, 0)
    assert summary.blocks == 3
    assert summary.seconds == pytest.approx(2.0)


def test_the_first_message_is_sent_within_100_ms_of_the_onset_whatever_the_source(tmp_path: Path) -> None:
    """In the sound's own time: a period of 1024 samples at 48 kHz may pass until it is inferred from."""
    sound = resample(join(silence(0.5), tone(1.25)), RATE, 48000)
    soundfile.write(tmp_path / "a.wav", sound, 48000, subtype="FLOAT")
    lines, _ = printed(FileSource(tmp_path / "a.wav", StreamClock(), 1024))
    assert 0.5 < messages(lines)[0][0] <= 0.572


def test_a_file_and_live_blocks_go_the_same_way(tmp_path: Path) -> None:
    sound = join(silence(0.3), tone(1.2), silence(0.2), tone(0.4, 0.9))
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    from_file, file_model = run(FileSource(tmp_path / "a.wav", StreamClock(), 100), [])
    from_blocks, block_model = run(Blocks([sound[:5000], sound[5000:]]), [])
    np.testing.assert_array_equal(file_model.windows, block_model.windows)
    assert from_file.notes == from_blocks.notes == 2


@pytest.mark.parametrize("mode", live.MODES)
@pytest.mark.parametrize("smooth", [0.0, 0.1])
def test_what_is_sent_and_when_does_not_depend_on_the_blocks(mode: str, smooth: float) -> None:
    sound = join(silence(0.3), tone(1.7, 0.2), tone(0.9, 0.9), silence(0.2), tone(0.4, 0.6), silence(0.1))
    settings = Settings(mode, smooth=smooth, notes="fixed")
    found = []
    for size in (len(sound), 8193, 1000, 65):
        out = io.StringIO()
        blocks = [sound[at : at + size] for at in range(0, len(sound), size)]
        run(Blocks(blocks), [TextSink(out)], settings, 3000)
        found.append(out.getvalue())
    assert found[0].count("\n") > 8
    assert all(each == found[0] for each in found)


def test_in_real_time_what_a_window_takes_is_run_once_shortly_before(tmp_path: Path) -> None:
    class Rehearsed(Loudness):
        def __init__(self, source: Source) -> None:
            super().__init__()
            self._source, self.at = source, list[tuple[str, int]]()

        def predict_one(self, window: Sound) -> list[Sound]:
            self.at.append(("infer", self._source.blocks))
            return super().predict_one(window)

        def warm_up(self, runs: int = 20) -> None:
            self.at.append(("rehearse" if runs == 1 else "warmed up", self._source.blocks))

    def inferred(clock: WallClock | StreamClock) -> list[tuple[str, int]]:
        source = FileSource(tmp_path / "a.wav", clock, 64)
        model = Rehearsed(source)
        live.Bridge(source, model, [], Settings()).run(threading.Event())
        return model.at

    soundfile.write(tmp_path / "a.wav", join(silence(0.2), tone(0.4), silence(0.2)), RATE, subtype="FLOAT")
    found = inferred(WallClock())
    assert [what for what, _ in found] == [
        "warmed up",
        *3 * ["rehearse", "infer"],
        "infer",
    ]  # at the end of the file
    blocks = [block for _, block in found[1:-1]]
    assert all(0 < after - before <= 3 for before, after in zip(blocks[::2], blocks[1::2], strict=True))  # of 4 ms
    assert [what for what, _ in inferred(StreamClock())] == ["warmed up", *4 * ["infer"]]


@pytest.mark.parametrize("notes", [None, "fixed"])
def test_only_in_silence_samples_gather_before_they_are_processed(notes: str | None) -> None:
    patiences: list[int] = []

    class Watched(Blocks):
        def read(self) -> Sound | None:
            patiences.append(self.patience)
            return super().read()

    sound = join(silence(0.5), tone(0.7), silence(0.5))
    run(Watched([sound[at : at + 256] for at in range(0, len(sound), 256)]), [], Settings("follow", notes=notes))
    at_s, patient = np.arange(len(patiences)) * 256 / RATE, np.array(patiences) > 0
    assert set(patiences) <= {0, round(0.02 * RATE)}
    assert patient[at_s < 0.5].all() == (notes is None)
    assert not patient[(at_s > 0.53) & (at_s < 1.4)].any()  # the window of the note, and what moves after it


def test_the_times_of_a_fast_file_are_those_of_the_file(tmp_path: Path) -> None:
    sound = join(silence(1), tone(1.5), silence(8), tone(1.5, 0.9))
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    lines, _ = printed(FileSource(tmp_path / "a.wav", StreamClock(), 64))
    assert [line[:11] for line in lines] == [
        "00:00:01.07", "00:00:01.07", "00:00:02.00", "00:00:10.57", "00:00:10.57", "00:00:11.50"
    ]  # fmt: skip


def test_a_file_in_real_time_sends_what_the_fast_one_sends(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", join(silence(0.1), tone(0.5, 0.3), silence(0.05)), RATE)
    fast, _ = printed(FileSource(tmp_path / "a.wav", StreamClock()))
    real, summary = printed(FileSource(tmp_path / "a.wav", WallClock()))
    assert real == fast  # to the millisecond
    assert len(real) == 2
    assert summary.seconds >= 0.65


def test_blocks_that_are_no_sound_or_too_large_crash_nothing() -> None:
    bad = np.full(1000, np.nan, np.float32)
    summary, model = run(Blocks([bad, silence(0.1), bad * np.inf, tone(1.5), bad, silence(20)]), [])
    assert summary.damaged == 3000
    assert summary.overflows == 1  # twenty seconds in one block are more than the ring holds
    assert summary.notes == 1
    assert len(model.windows) == summary.predictions == 4
    assert np.isfinite(model.windows).all()


@pytest.mark.parametrize("mode", live.MODES)
def test_silence_moves_nothing(mode: str) -> None:
    assert printed(Blocks([silence(5)]), Settings(mode, notes="fixed"))[0] == []


def test_the_latest_patch_wins_when_the_wire_is_slow() -> None:
    loud = [tone(1.2, 0.1), *(tone(0.1, amplitude) for amplitude in np.linspace(0.2, 0.8, 40)), tone(0.2, 1.0)]
    out = io.StringIO()
    summary, _ = run(Blocks(loud), [TextSink(out)], Settings("follow", smooth=0.0), 30)
    assert summary.predictions > 30
    assert summary.superseded > 0
    messages = re.findall(r"cc (\d+) (\d+)", out.getvalue())
    assert len(messages) == summary.sent < 10
    assert dict(messages)["20"] == "127"  # the last peak


def test_follow_moves_smoothly_and_arrives() -> None:
    sound = join(silence(0.2), tone(1.5, 0.2), tone(1.5, 0.95))
    out = io.StringIO()
    run(Blocks([sound]), [TextSink(out)], Settings("follow", rate=10, smooth=0.2))
    peak = [(at, int(text.split()[-1])) for at, text in messages(out.getvalue().splitlines()) if "cc 20" in text]
    (_, first), *moves = peak
    assert first == 25  # 0.2 is level 3
    assert [value for _, value in moves] == sorted(value for _, value in moves)
    assert moves[-1][1] == 119  # 0.95 is level 14
    assert len(moves) > 15
    assert 1.7 < moves[0][0] < 1.9
    assert moves[-1][0] - moves[0][0] == pytest.approx(0.2, abs=0.02)


def test_it_stops_by_itself_after_the_duration() -> None:
    summary, _ = run(Blocks([silence(0.5)] * 100), [], Settings(duration=2.0))
    assert summary.seconds == 2.0


# -- notes ------------------------------------------------------------------------------------


def test_a_note_on_follows_the_onset_and_a_note_off_the_end_before_what_waits() -> None:
    sound = join(silence(0.5), tone(0.4, 0.5), silence(0.5))
    found = messages(printed(Blocks([sound]), Settings(notes="fixed"))[0])
    notes = [(at, text) for at, text in found if " on " in text or " off " in text]
    # 6 dB below full scale, of the 40 dB that velocities span.
    assert [text for _, text in notes] == ["ch 1 on 69 108", "ch 1 off 69 64"]
    assert [at for at, _ in notes] == pytest.approx([0.51, 0.95], abs=0.007)


def test_the_velocity_is_that_of_the_level() -> None:
    for amplitude, velocity in ((1.0, 127), (0.1, 64), (0.01, 1)):
        lines, _ = printed(Blocks([join(silence(0.5), tone(0.4, amplitude), silence(0.5))]), Settings(notes="fixed"))
        (on,) = [text for _, text in messages(lines) if " on " in text]
        assert abs(int(on.split()[-1]) - velocity) <= 1


def test_with_a_gain_a_soft_input_is_inferred_as_a_loud_one_is() -> None:
    sound = join(silence(0.5), tone(0.4, 0.5), silence(0.5))
    loud, _ = printed(Blocks([sound]), Settings(notes="fixed"))
    soft, _ = printed(Blocks([sound / np.float32(16)]), Settings(notes="fixed", gain_db=20 * math.log10(16)))
    assert messages(soft) == messages(loud)


@pytest.mark.parametrize(("hz", "key"), [(440.0, 69), (261.63, 60), (880.0, 81), (98.0, 43)])
def test_a_receiver_with_a_pitch_gets_the_fundamental(hz: float, key: int) -> None:
    sound = join(silence(0.5), tone(0.4, 0.5, hz), silence(0.5))
    found = messages(printed(Blocks([sound]), Settings(notes="pitch"))[0])
    on, off = [text for _, text in found if " on " in text or " off " in text]
    assert on.split()[:4] == ["ch", "1", "on", str(key)]
    assert off.split()[:4] == ["ch", "1", "off", str(key)]


def test_an_attack_begins_another_note() -> None:
    fading = tone(0.5) * np.geomspace(1, 0.01, round(0.5 * RATE)).astype(np.float32)
    lines, _ = printed(Blocks([join(silence(0.2), fading, fading, silence(0.3))]), Settings(notes="fixed"))
    assert [text.split()[2] for _, text in messages(lines) if "cc" not in text] == ["on", "off", "on", "off"]


def test_the_end_leaves_no_note_sounding_and_panic_silences_all() -> None:
    lines, _ = printed(Blocks([join(silence(0.1), tone(0.5))] * 20), Settings(notes="fixed", panic=True, duration=0.5))
    assert [text.split()[2] for _, text in messages(lines) if "cc 2" not in text] == ["on", "off", "cc", "cc"]
    assert [text for _, text in messages(lines)][-2:] == ["ch 1 cc 123 0", "ch 1 cc 120 0"]


# -- what may move ------------------------------------------------------------------------------


class Nothing(Gate):
    """Lets nothing move."""

    def __init__(self) -> None:
        pass

    def warm_up(self) -> None:
        pass

    def __call__(self, window: Sound, estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
        assert len(window) in (round(0.07 * RATE), RATE // 4, RATE // 2, RATE)
        assert len(estimates) == (2 if len(window) == RATE else 1)
        return estimates[0], UNLIKE


class Last(Nothing):
    """Lets all move, and takes the last estimate."""

    def __call__(self, window: Sound, estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
        return estimates[-1], None


class Torn(Loudness):
    """Whose levels are 0, 7 or 15: 0 is the likeliest, 7 the median."""

    def predict_one(self, window: Sound) -> list[Sound]:
        row = np.zeros(16, np.float32)
        row[[0, 7, 15]] = 0.4, 0.3, 0.3
        return [row, row]


@pytest.mark.parametrize(("gate", "expected"), [(None, [7, 0]), (Last(), [7])])
def test_part_of_a_note_moves_to_the_medians_and_all_of_it_to_the_likeliest_or_to_what_the_gate_takes(
    gate: Gate | None, expected: list[int]
) -> None:
    out, model = io.StringIO(), Torn()
    receiver = Receiver(profile_of("sine", model.space), TextSink(out))
    live.Bridge(Blocks([tone(1.2)]), model, [receiver], Settings(confidence=0.0), gate).run(threading.Event())
    sent = [int(text.split()[4]) for _, text in messages(out.getvalue().splitlines())]
    assert sent[:: len(model.space)] == [round(127 * level / 15) for level in expected]


def test_what_the_gate_refuses_moves_nothing_and_its_note_ends_when_it_cannot_be_steady_either() -> None:
    out, lines = io.StringIO(), list[str]()
    sound = join(silence(0.2), tone(3.0), silence(0.2))
    summary, _ = run(Blocks([sound]), [TextSink(out)], Settings(notes="fixed"), gate=Nothing(), say=lines.append)
    found = messages(out.getvalue().splitlines())
    assert [text.split()[2] for _, text in found] == ["on", "off"]
    assert found[1][0] == pytest.approx(0.7, abs=0.001)
    assert (summary.notes, summary.predictions, summary.refused) == (0, 4, 4)
    assert lines == ["    1.20 s  note 1, like nothing the synth makes: left alone"]


def test_the_summary_says_of_how_many_notes_something_moved_and_why_the_rest_was_left_alone() -> None:
    sounds = [silence(0.2), tone(0.12), silence(0.3), tone(1.2), silence(0.2)]

    class First(Nothing):
        """Lets the first note's beginning move, and nothing else."""

        seen = 0

        def __call__(self, window: Sound, estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
            self.seen += 1
            return estimates[0], None if self.seen == 1 else (UNLIKE if self.seen < 4 else UNSURE)

    summary, _ = run(Blocks(sounds), [], gate=First())
    assert (summary.notes, summary.notes_found) == (1, 2)
    assert summary.refusals == {UNLIKE: 2, UNSURE: summary.predictions - 3}
    assert summary.lines()[1].startswith(
        f"1 of 2 notes, {summary.predictions} predictions, {summary.refused} refused "
        f"(2 like nothing the synth makes, {summary.predictions - 3} too unsure); inference"
    )


class Later(Nothing):
    """Refuses all of a note but the whole."""

    def __call__(self, window: Sound, estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
        return estimates[0], None if len(window) == RATE else UNLIKE


@pytest.mark.parametrize("notes", ["fixed", "pitch"])
def test_a_note_that_is_known_later_sounds_from_then_on(notes: str) -> None:
    out = io.StringIO()
    run(Blocks([join(silence(0.2), tone(1.6), silence(0.2))]), [TextSink(out)], Settings(notes=notes), gate=Later())
    keys = [(at, text) for at, text in messages(out.getvalue().splitlines()) if "cc" not in text]
    whole = [text.split()[2:4] for _, text in keys]
    assert whole == [["on", "69"], ["off", "69"]] * (2 if notes == "fixed" else 1)
    at_s = [0.21, 0.7, 1.2, 1.85] if notes == "fixed" else [1.2, 1.85]
    assert [at for at, _ in keys] == pytest.approx(at_s, abs=0.007)


# -- the status ---------------------------------------------------------------------------------


def test_the_status_tells_what_is_inferred_and_sent() -> None:
    out, seen = io.StringIO(), list[live.Status]()
    model = Loudness()
    receiver = Receiver(profile_of("sine", model.space), TextSink(out))
    source = Blocks([silence(0.5), tone(0.6, 1.0), silence(1.0)])
    bridge = live.Bridge(source, model, [receiver], Settings(notes="fixed"), report=lambda *_: seen.append(status()))

    def status() -> live.Status:
        return bridge.status()

    before = bridge.status()
    assert (before.level_db, before.sounding, before.x, before.messages) == (-np.inf, False, None, 0)
    bridge.run(threading.Event())
    first, after = seen[0], bridge.status()
    assert first.level_db == pytest.approx(0, abs=0.01)
    assert first.clipped > 0
    assert (first.sounding, first.note) == (True, 69)
    assert first.x is not None
    assert first.confidence is not None
    assert first.active is not None
    np.testing.assert_array_equal(first.x, [1.0, 0.0])
    np.testing.assert_array_equal(first.confidence, [1.0, 1.0])
    assert after.messages == receiver.sent == 4
    assert not after.sounding
    assert after.level_db < -10
    assert after.predictions == len(seen)


# -- faults ---------------------------------------------------------------------------------------


class Broken(TextSink):
    def send(self, message: bytes, at_s: float) -> None:
        raise InversynthError("the port is gone")


@pytest.mark.parametrize("clock", [StreamClock, WallClock])
def test_a_sink_that_fails_ends_the_run_with_its_error(clock: type, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.3), RATE)
    with pytest.raises(InversynthError, match="the port is gone"):
        run(FileSource(tmp_path / "a.wav", clock()), [Broken(io.StringIO())])


class Pausing(Source):
    """A sound in real time that stops for half a second in its middle, as a device does that is away."""

    def __init__(self, first: Sound, second: Sound) -> None:
        super().__init__("pausing", RATE, 256, WallClock())
        self._parts = [np.split(part, range(256, len(part), 256)) for part in (first, second)]
        self._until = 0.0

    def read(self) -> Sound | None:
        if not self._parts[0]:
            if not self._until:
                self._until = time.perf_counter() + 0.5
                self.away = True
            if time.perf_counter() < self._until:
                time.sleep(0.02)
                return self._ring.read()
            self._parts.pop(0)
            self.away = False
            if not self._parts:
                return None
        self.deliver(self._parts[0].pop(0))
        return self._ring.read()


def test_a_source_that_stops_for_a_while_ends_the_note_and_begins_a_new_one() -> None:
    out, lines = io.StringIO(), list[str]()
    source = Pausing(join(silence(0.1), tone(0.4, 0.28)), join(tone(0.4, 0.95), silence(0.1)))
    run(source, [TextSink(out)], Settings(notes="fixed"), say=lines.append)
    found = [text for _, text in messages(out.getvalue().splitlines())]
    assert [text.split()[2] for text in found if "cc" not in text] == ["on", "off", "on", "off"]
    assert [text for text in found if "cc 20" in text] == ["ch 1 cc 20 34", "ch 1 cc 20 119"]
    assert [line for line in lines if "pausing" in line] == ["pausing is away; waiting for it", "pausing is back"]


def test_the_collector_and_the_turns_of_threads_are_as_before() -> None:
    import gc

    turns = sys.getswitchinterval()
    run(Blocks([silence(1)]), [])
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == turns


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no SCHED_FIFO")
def test_the_priority_is_real_time_meanwhile_or_a_line_says_why_not(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.3), RATE)
    lines, during = list[str](), list[int]()
    source = FileSource(tmp_path / "a.wav", WallClock())
    run(source, [], say=lines.append, report=lambda *_: during.append(os.sched_getscheduler(0)))
    allowed = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK in during
    assert allowed != any(line.startswith("no real-time priority: ") for line in lines)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "guess"}, "mode 'guess' is not one of capture, follow"),
        ({"gain_db": 60.5}, "a gain of 60.5 dB is outside -60..60"),
        ({"gain_db": math.nan}, "a gain of nan dB is outside -60..60"),
        ({"threshold_db": 3.0}, "a threshold of 3 dBFS is outside -120..0"),
        ({"rate": 0.0}, "0 predictions a second are outside 0.1..100"),
        ({"confidence": 1.5}, "a confidence of 1.5 is outside 0..1"),
        ({"smooth": -1.0}, "-1 s to smooth are outside 0..60"),
        ({"notes": "loud"}, "notes 'loud' are not one of fixed, pitch"),
        ({"note": 128}, "key 128 is outside 0..127"),
        ({"duration": 0.0}, "a duration of 0 s is not above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float | str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Settings(**settings)  # type: ignore[arg-type]


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A sound of the synth `sine`."""
    sine = synths.load("sine")
    sound = sine.render(sine.space.values_of_levels(np.array([[15, 12, 0, 15]])))[0]
    soundfile.write(tmp_path / "target.wav", sound, sine.format.sample_rate, subtype="FLOAT")
    return tmp_path / "target.wav"


def test_a_file_becomes_a_midi_file_with_the_levels_that_the_model_infers(
    target: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mid"
    words = ["live", "--file", str(target), "--fast", "--synth", "sine", "--model", str(tiny_file), "--channel", "5"]
    words += ["--anything", "--confidence", "0"]
    assert main([*words, "--midi-file", str(out), "--dry-run"]) == 0
    sine = synths.load("sine")
    sound, _ = soundfile.read(target, dtype="float32")
    rows = [np.exp(sound @ matrix) for matrix in onnx_file.weights(sine)]
    levels = [int(row.argmax()) for row in rows]
    expected = {param.midi: round(127 * at / 15) for param, at in zip(sine.space, levels, strict=True)}

    messages = [m for m in mido.MidiFile(out) if m.type == "control_change"]
    assert {m.control: m.value for m in messages} == expected
    assert {m.channel for m in messages} == {4}
    printed = capsys.readouterr()
    assert {int(n): int(v) for n, v in re.findall(r"ch 5 cc (\d+) (\d+)", printed.out)} == expected
    lines = printed.err.splitlines()
    assert lines[0].startswith(f"listening to {target} (1.00 s at 16384 Hz), capture mode, above -50 dBFS")
    assert lines[1].endswith(" on cpu")
    said = f"{out} (written at the end)", TextSink.description
    assert lines[2:4] == [f"sending to {sink}; profile sine, channel 5" for sink in said]
    assert lines[4].endswith("note 1")
    assert re.fullmatch(r"1 note, 4 predictions, 0 refused; inference p50 .* ms, p99 .* ms, max .* ms", lines[6])
    sent = sum(m.type == "control_change" for m in mido.MidiFile(out))
    assert lines[7].startswith(f"{2 * sent} messages sent, 0 dropped")


def test_what_is_said_of_an_output_follows_it_and_what_is_said_first_is_of_all(
    target: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / f"{number}.mid") for number in range(3)]
    words = ["live", "--file", str(target), "--fast", "--synth", "sine", "--model", str(tiny_file), "--anything"]
    words += ["--channel", "5", "--midi-file", names[0], "--midi-file", names[1], "--channel", "7", "--baud", "9600"]
    assert main([*words, "--midi-file", names[2]]) == 0
    found = [[m for m in mido.MidiFile(name) if m.type == "control_change"] for name in names]
    assert [{m.channel for m in messages} for messages in found] == [{4}, {6}, {4}]
    assert [[m.value for m in messages] for messages in found] == [[m.value for m in found[0]]] * 3
    gaps = [messages[1].time for messages in found]
    assert gaps == pytest.approx([30 / 31250, 30 / 9600, 30 / 31250], abs=6e-4)


def test_osc_and_a_din_wire_get_what_a_midi_file_gets(target: Path, tiny_file: Path, tmp_path: Path) -> None:
    wire = tmp_path / "wire"
    wire.touch()
    words = ["live", "--file", str(target), "--fast", "--synth", "sine", "--model", str(tiny_file), "--anything"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(1)
        words += ["--osc", f"127.0.0.1:{listener.getsockname()[1]}", "--din", str(wire)]
        assert main([*words, "--midi-file", str(tmp_path / "out.mid")]) == 0
        sine, found = synths.load("sine").space, {}
        for _ in range(4):
            value, x = osc_packet.OscPacket(listener.recv(1000)).messages
            found[value.message.address] = value.message.params[0]
            assert x.message.address == f"{value.message.address}/x"
    sent = [(m.control, m.value) for m in mido.MidiFile(tmp_path / "out.mid") if m.type == "control_change"]
    first = dict(sent[:4])
    for param in sine:
        assert param.midi is not None
        at = param.x_of_level(param.level_of_x(first[param.midi] / 127))
        assert found[f"/inversynth/{param.name}"] == pytest.approx(float(param.value_of_x(at)), rel=1e-4)
    data = wire.read_bytes()
    assert len(data) < 3 * len(sent)  # a status byte that repeats is left out
    values = data.replace(b"\xb0", b"")
    assert [(values[at], values[at + 1]) for at in range(0, len(values), 2)] == sent


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dry-run", "give one input"),
        ("--file a.wav --in 0 --dry-run", "give one input"),
        ("--file {file}", "give an output"),
        ("--in 0 --fast --dry-run", "--fast is for --file"),
        ("--file {file} --replay s --dry-run", "give one input"),
        ("--file {file} --dry-run --refine 1 --fast", "--refine is for sound in real time"),
        ("--file {file} --dry-run --refine nan", "nan s to refine are outside the range"),
        ("--file {file} --dry-run --confidence 2", "a confidence of 2 is outside 0..1"),
        ("--file {file} --dry-run --smooth -1", "-1 s to smooth are outside"),
        ("--replay {folder}", "is not a session"),
        ("--replay {folder} --mode follow", "--mode is for new sound"),
        ("--file {file} --sample-rate 48000 --dry-run", "--sample-rate is for --in"),
        ("--file {file} --rate 5 --dry-run", "--rate is for --mode follow"),
        ("--file {file} --dry-run --mode follow --rate 1000", "1000 predictions a second"),
        ("--file {file} --dry-run --threshold 6", "a threshold of 6 dBFS"),
        ("--file {file} --dry-run --channel 17", "MIDI channel 17"),
        ("--file {file} --dry-run --baud 0", "0 baud is not a speed"),
        ("--file {file} --dry-run --profile nothing.toml", "no profile 'nothing.toml'"),
        ("--file {file} --osc nowhere", "'nowhere' is an invalid OSC address; give HOST:PORT"),
        ("--file {file} --dry-run --profile osc", "the profile osc has OSC /inversynth/frequency_1 for"),
        (
            "--file {file} --osc localhost:9 --profile sine",
            "the profile sine has CC 20 for frequency_1, which is for a",
        ),
        ("--file {file} --din {folder}", "give a MIDI device or a serial line"),
        ("--file {file} --dry-run --block-size 0", "a block of 0 samples"),
        ("--file nothing.wav --dry-run", "nothing.wav is not a file"),
        ("--file {file} --dry-run --model nothing.onnx", "no model 'nothing.onnx'"),
        ("--file {file} --dry-run --synth paper", "another parameter space"),
        ("--file {file} --midi-file {folder}", "is a folder"),
    ],
)
def test_a_wrong_use_is_one_line(
    words: str, message: str, target: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words.format(file=target, folder=tmp_path).split()
    if "--model" not in given:
        given += ["--model", str(tiny_file)]
    if "--synth" not in given:
        given += ["--synth", "sine"]
    assert main(["live", *given]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert error.count("inversynth: error:") == 1
    assert error.count("\n") == 1


def without_servers(words: list[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inversynth", "live", *words],
        env={"PATH": "", "JACK_DEFAULT_SERVER": "none-of-that-name", "JACK_NO_START_SERVER": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(Path("/dev/snd").exists(), reason="this machine has a sound card")
@pytest.mark.parametrize(
    "words", [["--list-devices"], ["--list-ports"], ["--in", "0", "--dry-run"], ["--file", "{}", "--virtual", "x"]]
)
def test_without_audio_or_midi_one_line_says_so(words: list[str], target: Path, tiny_file: Path) -> None:
    given = [word.format(target) for word in words]
    if not words[0].startswith("--list"):
        given += ["--synth", "sine", "--model", str(tiny_file)]
    done = without_servers(given, target.parent)
    assert done.returncode == 2
    assert done.stderr.startswith("inversynth: error: ")
    assert done.stderr.count("\n") == 1


ENDING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_it_with_a_summary_and_whole_files(
    number: signal.Signals, tiny_file: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.tile(join(tone(1.1), silence(0.1)), 50), RATE)
    command = [sys.executable, "-m", "inversynth", "live", "--file", "long.wav", "--synth", "sine"]
    command += ["--model", str(tiny_file), "--anything", "--quiet", "--midi-file", "out.mid"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        while "note 1" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.05)  # the wire needs four milliseconds
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.wait(30) == 0
    assert "Traceback" not in rest
    sent = len([m for m in mido.MidiFile(tmp_path / "out.mid") if m.type == "control_change"])
    assert sent >= 4
    assert re.search(
        rf"s, \d+ blocks, 0 overflows, 0 damaged samples\n1 note, .*\n{sent} messages sent, 0 dropped", rest
    )


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_while_a_note_sounds_lets_no_key_hang(number: int, tiny_file: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", tone(60.0), RATE)
    command = [sys.executable, "-m", "inversynth", "live", "--file", "long.wav", "--synth", "sine", "--notes"]
    command += ["--model", str(tiny_file), "--anything", "--quiet", "--midi-file", "out.mid"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        while "note 1" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        process.stderr.read()
    assert process.wait(30) == 0
    keys = [message.type for message in mido.MidiFile(tmp_path / "out.mid") if message.type.startswith("note")]
    assert keys == ["note_on", "note_off"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.wav", "out.mid"]  # nothing that is temporary


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_what_nohup_ignores_stays_ignored(tiny_file: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", tone(60.0), RATE)
    command = [sys.executable, "-m", "inversynth", "live", "--file", "long.wav", "--synth", "sine", "--quiet"]
    command += ["--model", str(tiny_file), "--anything", "--midi-file", "out.mid"]
    ignoring = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]
    process = subprocess.Popen(ignoring, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        while "note 1" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.wait(30) == 0
