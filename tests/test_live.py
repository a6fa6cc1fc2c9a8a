"""The live bridge: when it listens, what it hears, what it sends, and how it ends."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

import onnx_file
from inversynth import live
from inversynth.audio import FileSource, Source, StreamClock, WallClock
from inversynth.cli import main
from inversynth.errors import InversynthError, UsageError
from inversynth.live import Sender, Settings
from inversynth.midi import Receiver, Sink, TextSink
from inversynth.profiles import of_space
from inversynth.render import synth
from inversynth.spec import AudioFormat, ParamSpace
from sounds import RATE, Sound, join, silence, tone

# -- the bridge -------------------------------------------------------------------------------


class Loudness:
    """A model of two parameters of 16 levels: the peak of the window, and its last sample."""

    def __init__(self) -> None:
        self.name, self.audio = "loudness", AudioFormat(RATE, 1.0)
        self.space = ParamSpace([*synth("sine").space][:2])
        self.windows: list[Sound] = []

    def predict_one(self, window: Sound) -> list[Sound]:
        self.windows.append(window.copy())
        at = (np.abs(window).max(), abs(window[-1]))
        return [np.eye(16, dtype=np.float32)[min(round(15 * float(x)), 15)] for x in at]

    def warm_up(self) -> None:
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


def run(source: Source, sinks: list[Sink], settings: Settings | None = None) -> tuple[live.Summary, Loudness]:
    model, how = Loudness(), settings or Settings()
    profile = of_space("loudness", model.space)
    receivers = [Receiver(profile, sink, how.baud) for sink in sinks]
    summary = live.run(source, model, receivers, how, threading.Event())
    return summary, model


def printed(source: Source, settings: Settings | None = None) -> tuple[list[str], live.Summary]:
    out = io.StringIO()
    summary, _ = run(source, [TextSink(out)], settings)
    return out.getvalue().splitlines(), summary


def test_a_note_is_sent_when_its_window_is_full_at_the_pace_of_the_wire() -> None:
    lines, summary = printed(Blocks([silence(0.5), tone(1.25), silence(0.25)]))
    # The peak is 0.5: level 8. The last sample is the tone's 16383rd, 0.47: level 7.
    assert lines == ["00:00:01.750 ch 1 cc 20 68", "00:00:01.751 ch 1 cc 21 59"]
    assert (summary.predictions, summary.sent, summary.superseded) == (1, 2, 0)
    assert summary.blocks == 3
    assert summary.seconds == pytest.approx(2.0)


def test_a_file_and_live_blocks_go_the_same_way(tmp_path: Path) -> None:
    sound = join(silence(0.3), tone(1.2), silence(0.2), tone(0.4, 0.9))
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    from_file, file_model = run(FileSource(tmp_path / "a.wav", StreamClock(), 100), [])
    from_blocks, block_model = run(Blocks([sound[:5000], sound[5000:]]), [])
    np.testing.assert_array_equal(file_model.windows, block_model.windows)
    assert from_file.predictions == from_blocks.predictions == 2


def test_the_times_of_a_fast_file_are_those_of_the_file(tmp_path: Path) -> None:
    sound = join(silence(1), tone(1.5), silence(8), tone(1.5, 0.9))
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    lines, _ = printed(FileSource(tmp_path / "a.wav", StreamClock(), 64))
    assert [line[:11] for line in lines] == ["00:00:02.00"] * 2 + ["00:00:11.50"] * 2


def test_a_file_in_real_time_sends_what_the_fast_one_sends(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", join(silence(0.1), tone(0.5, 0.3), silence(0.05)), RATE)
    fast, _ = printed(FileSource(tmp_path / "a.wav", StreamClock()))
    real, summary = printed(FileSource(tmp_path / "a.wav", WallClock()))
    assert [line.split(" ", 1)[1] for line in real] == [line.split(" ", 1)[1] for line in fast]
    assert len(real) == 2
    assert summary.seconds >= 0.65


def test_blocks_that_are_no_sound_or_too_large_crash_nothing() -> None:
    bad = np.full(1000, np.nan, np.float32)
    summary, model = run(Blocks([bad, silence(0.1), bad * np.inf, tone(1.5), bad, silence(20)]), [])
    assert summary.damaged == 3000
    assert summary.overflows == 1  # twenty seconds in one block are more than the ring holds
    assert len(model.windows) == summary.predictions == 1
    assert np.isfinite(model.windows[0]).all()


@pytest.mark.parametrize("mode", live.MODES)
def test_silence_moves_nothing(mode: str) -> None:
    assert printed(Blocks([silence(5)]), Settings(mode))[0] == []


def test_the_latest_patch_wins_when_the_wire_is_slow() -> None:
    loud = join(*(tone(0.05, amplitude) for amplitude in np.linspace(0.2, 1.0, 40)))
    out = io.StringIO()
    summary, model = run(Blocks(np.split(loud, 40)), [TextSink(out)], Settings("follow", rate=20, baud=30))
    assert summary.predictions == len(model.windows) == 40
    assert summary.superseded > 0
    messages = re.findall(r"cc (\d+) (\d+)", out.getvalue())
    assert len(messages) == summary.sent < 10
    assert dict(messages)["20"] == "127"  # the last peak


def test_it_stops_by_itself_after_the_duration() -> None:
    summary, _ = run(Blocks([silence(0.5)] * 100), [], Settings(duration=2.0))
    assert summary.seconds == 2.0


class Broken(TextSink):
    def send(self, message: bytes, at_s: float) -> None:
        raise InversynthError("the port is gone")


@pytest.mark.parametrize("clock", [StreamClock, WallClock])
def test_a_sink_that_fails_ends_the_run_with_its_error(clock: type, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.3), RATE)
    with pytest.raises(InversynthError, match="the port is gone"):
        run(FileSource(tmp_path / "a.wav", clock()), [Broken(io.StringIO())])


class Returning(TextSink):
    """A receiver that comes back once."""

    away = True

    def returned(self) -> bool:
        self.away, was = False, self.away
        return was


def test_a_receiver_that_comes_back_gets_the_whole_patch() -> None:
    out = io.StringIO()
    sink = Returning(out)
    sink.away = False
    sender = Sender([Receiver(of_space("loudness", Loudness().space), sink)], 0.0)
    sender.offer(np.array([5, 6]) / 127, np.array([True, True]))
    sender.advance(0.0, 1.0)
    sink.away = True
    sender.advance(1.0, 2.0)
    patch, silence = ["ch 1 cc 20 5", "ch 1 cc 21 6"], ["ch 1 cc 123 0", "ch 1 cc 120 0"]
    assert [line[13:] for line in out.getvalue().splitlines()] == [*patch, *silence, *patch]


def test_the_collector_and_the_turns_of_threads_are_as_before() -> None:
    import gc

    turns = sys.getswitchinterval()
    run(Blocks([silence(1)]), [])
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == turns


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "guess"}, "mode 'guess' is not one of capture, follow"),
        ({"threshold_db": 3.0}, "a threshold of 3 dBFS is outside -120..0"),
        ({"rate": 0.0}, "0 predictions a second are outside 0.1..100"),
        ({"baud": -1.0}, "-1 baud is not a speed"),
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
    sine = synth("sine")
    sound = sine.render(sine.space.values_of_levels(np.array([[15, 12, 0, 15]])))[0]
    soundfile.write(tmp_path / "target.wav", sound, sine.format.sample_rate, subtype="FLOAT")
    return tmp_path / "target.wav"


def test_a_file_becomes_a_midi_file_with_the_levels_that_the_model_hears(
    target: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mid"
    words = ["live", "--file", str(target), "--fast", "--synth", "sine", "--model", str(tiny_file), "--channel", "5"]
    assert main([*words, "--midi-file", str(out), "--dry-run"]) == 0
    sine = synth("sine")
    sound, _ = soundfile.read(target, dtype="float32")
    levels = [int(np.argmax(sound @ matrix)) for matrix in onnx_file.weights(sine)]
    expected = {param.midi: round(127 * at / 15) for param, at in zip(sine.space, levels, strict=True)}

    messages = [m for m in mido.MidiFile(out) if m.type == "control_change"]
    assert {m.control: m.value for m in messages} == expected
    assert {m.channel for m in messages} == {4}
    printed = capsys.readouterr()
    assert {int(n): int(v) for n, v in re.findall(r"ch 5 cc (\d+) (\d+)", printed.out)} == expected
    lines = printed.err.splitlines()
    assert lines[0].startswith(f"listening to {target} (1.00 s at 16384 Hz), capture mode, above -50 dBFS")
    assert " on cpu; profile sine, channel 5" in lines[1]
    assert lines[2:4] == [f"sending to {out} (written at the end)", f"sending to {TextSink.description}"]
    named = [f"{param.name} (CC {param.midi})" for param in sine.space]
    assert lines[4] == f"driven: {', '.join(named)}"
    assert lines[5].endswith("note 1")
    assert re.fullmatch(r"1 note; inference p50 .* ms, p99 .* ms, max .* ms", lines[7])
    assert lines[8].startswith("8 messages sent, 0 dropped")  # four to each output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dry-run", "give one input"),
        ("--file a.wav --in 0 --dry-run", "give one input"),
        ("--file {file}", "give an output"),
        ("--in 0 --fast --dry-run", "--fast is for --file"),
        ("--file {file} --sample-rate 48000 --dry-run", "--sample-rate is for --in"),
        ("--file {file} --rate 5 --dry-run", "--rate is for --mode follow"),
        ("--file {file} --dry-run --mode follow --rate 1000", "1000 predictions a second"),
        ("--file {file} --dry-run --threshold 6", "a threshold of 6 dBFS"),
        ("--file {file} --dry-run --channel 17", "MIDI channel 17"),
        ("--file {file} --dry-run --baud 0", "0 baud is not a speed"),
        ("--file {file} --dry-run --profile nothing.toml", "no profile 'nothing.toml'"),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary_and_whole_files(
    number: signal.Signals, tiny_file: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.tile(join(tone(1.1), silence(0.1)), 50), RATE)
    command = [sys.executable, "-m", "inversynth", "live", "--file", "long.wav", "--synth", "sine"]
    process = subprocess.Popen(
        [*command, "--model", str(tiny_file), "--midi-file", "out.mid"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr:
        while "note 1" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.05)  # the wire needs four milliseconds
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.wait(30) == 0
    assert "Traceback" not in rest
    assert re.search(r"s, \d+ blocks, 0 overflows, 0 damaged samples\n1 note; .*\n4 messages sent, 0 dropped", rest)
    assert len([m for m in mido.MidiFile(tmp_path / "out.mid") if m.type == "control_change"]) == 4
