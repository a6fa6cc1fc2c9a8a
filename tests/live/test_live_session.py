"""Sessions: what was recorded and sent is kept, and run again gives the same messages, bytes and times."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from test_live import Loudness
from test_live_sending import Kept

import onnx_file
from inversynth import __version__, live, synths
from inversynth.audio.sources import Source, StreamClock, WallClock
from inversynth.cli import main
from inversynth.errors import InversynthError, UsageError
from inversynth.live import Bridge, Comparison, Recorder, Refiner, SessionSource, Settings, load_session, sending
from inversynth.midi import Receiver
from inversynth.search.scoring import Scorer
from patches import profile_of
from sounds import RATE, Sound, join, silence, tone


class Live(Source):
    """A device that delivers blocks of many sizes in something like real time, with pauses in which nothing comes."""

    def __init__(self, sound: Sound, pauses: tuple[int, ...] = ()) -> None:
        super().__init__("live", RATE, 256, WallClock())
        self._sound, self._pauses = sound, list(pauses)
        self._random = np.random.default_rng(5)

    def read(self) -> Sound | None:
        if not len(self._sound):
            return None
        if self._pauses and self.blocks >= self._pauses[0]:
            self._pauses.pop(0)
            self.wait = time.perf_counter() + 0.4
        if time.perf_counter() < getattr(self, "wait", 0.0):
            time.sleep(0.01)
            return self._sound[:0]
        count = int(self._random.integers(1, 1000))
        block, self._sound = self._sound[:count], self._sound[count:]
        time.sleep(len(block) / RATE / 4)
        self.deliver(block)
        return self._ring.read()


def notes(count: int) -> Sound:
    random = np.random.default_rng(2)
    parts = [join(silence(0.15), tone(random.uniform(0.2, 1.6), random.uniform(0.05, 1))) for _ in range(count)]
    return join(*parts)


class Coming(Kept):
    """A receiver that comes back each time it is asked the third time."""

    asked = 0

    def returned(self) -> bool:
        self.asked += 1
        return self.asked % 3 == 0


class Found(Refiner):
    """A search that finds something for each note, some calls later."""

    def __init__(self) -> None:
        self._found: list[int] = []
        self._calls = 0

    def ask(self, number: int, window: Sound, rows: object) -> None:
        self._found.append(number)
        self._calls = 0

    def poll(self) -> tuple[int, NDArray[np.float64]] | None:
        self._calls += 1
        return (self._found.pop(), np.array([0.123, 0.456])) if self._found and self._calls > 3 else None


@pytest.mark.parametrize("mode", live.MODES)
def test_a_session_run_again_gives_the_same_messages_at_the_same_times(
    mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With pauses of the device, receivers that come back, and a search beside: all that the sound doesn't tell."""
    monkeypatch.setattr(sending, "LOOK_S", 0.2)
    settings = Settings(mode, notes="fixed", panic=True, smooth=0.05)
    model, sinks, bauds = Loudness(), [Kept(), Coming()], (31250, 3000)
    receivers = [Receiver(profile_of("sine", model.space), sink, baud) for sink, baud in zip(sinks, bauds, strict=True)]
    recorder = Recorder(tmp_path / "session")
    source = Live(notes(6), (20, 45))
    bridge = Bridge(source, model, receivers, settings, refiner=Found(), recorder=recorder)
    recorder.start(RATE, bridge.facts)
    summary = bridge.run(threading.Event())
    recorder.close()
    assert summary.refined > 0
    assert isinstance(sinks[1], Coming)
    assert sinks[1].asked > 3

    session = load_session(tmp_path / "session")
    assert {mark.what for mark in session.marks} == {"gap", "refined", "returned"}
    assert [(to, at, message) for to, message, at in session.messages if to == 0] == [
        (0, at, message) for at, message in sinks[0].messages
    ]
    for size in (100, 5000):
        again = [Comparison(session, number) for number in range(2)]
        model = Loudness()
        receivers = [
            Receiver(profile_of("sine", model.space), sink, baud) for sink, baud in zip(again, bauds, strict=True)
        ]
        played, same = SessionSource(session, StreamClock(), size), Settings(**session.facts["settings"])
        Bridge(played, model, receivers, same, session=session).run(threading.Event())
        assert [sink.result() for sink in again] == [None, None]


@pytest.mark.parametrize("at_s", [0.12, 0.2, 0.5])
def test_a_session_that_was_stopped_within_a_note_stops_there_again(at_s: float, tmp_path: Path) -> None:
    model, sink, recorder = Loudness(), Kept(), Recorder(tmp_path / "session")
    stop = threading.Event()

    class Stopped(Live):
        def deliver(self, block: Sound) -> None:
            super().deliver(block)
            self.read_samples = getattr(self, "read_samples", 0) + len(block)
            if self.read_samples > at_s * RATE:
                stop.set()

    bridge = Bridge(
        Stopped(join(silence(0.1), tone(3.0))),
        model,
        [Receiver(profile_of("sine", model.space), sink)],
        Settings(notes="fixed"),
        recorder=recorder,
    )
    recorder.start(RATE, bridge.facts)
    bridge.run(stop)
    recorder.close()
    session = load_session(tmp_path / "session")
    assert session.marks[-1].what == "stopped"
    assert sink.messages[-1][1][0] == 0x80
    again = Comparison(session, 0)
    settings = Settings(notes="fixed")
    receivers = [Receiver(profile_of("sine", model.space), again)]
    Bridge(SessionSource(session, StreamClock()), model, receivers, settings, session=session).run(threading.Event())
    assert again.result() is None


def test_the_command_keeps_a_session_and_compares_it_run_again(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", join(silence(0.1), tone(1.1), silence(0.1), tone(0.3)), RATE, subtype="FLOAT")
    folder = tmp_path / "session"
    words = ["live", "--file", str(tmp_path / "a.wav"), "--fast", "--synth", "sine", "--model", str(tiny_file)]
    words += ["--anything", "--notes", "--midi-file", str(tmp_path / "a.mid"), "--channel", "3", "--dry-run"]
    assert main([*words, "--record", str(folder)]) == 0
    sound, rate = soundfile.read(folder / "audio-0001.wav", dtype="float32")
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(sound, expected)
    printed = capsys.readouterr().out

    assert main(["live", "--replay", str(folder), "--fast"]) == 0
    assert re.findall(r"output \d: .*", capsys.readouterr().err) == [
        "output 1: the same messages again",
        "output 2: the same messages again",
    ]
    assert main(["live", "--replay", str(folder), "--fast", "--dry-run"]) == 0
    assert capsys.readouterr().out == printed

    assert "may differ" not in capsys.readouterr().err
    facts = json.loads((folder / "session.json").read_text())
    assert facts["version"] == __version__
    for changes, said in (
        ({"model_sha256": "0" * 64}, "is not the one that the session was recorded with: its messages may differ"),
        ({"version": "0.0.9"}, f"recorded by inversynth 0.0.9, this is {__version__}: its messages may differ"),
        ({"version": None}, f"recorded by inversynth before 0.1.0, this is {__version__}: its messages may differ"),
    ):
        changed_facts = {name: value for name, value in {**facts, **changes}.items() if value is not None}
        (folder / "session.json").write_text(json.dumps(changed_facts))
        assert main(["live", "--replay", str(folder), "--fast"]) == 0
        assert said in capsys.readouterr().err

    log = (folder / "log.jsonl").read_text().splitlines()
    changed = next(number for number, line in enumerate(log) if '"message"' in line)
    entry = json.loads(log[changed])
    log[changed] = json.dumps({**entry, "message": "b2 14 00"})
    (folder / "log.jsonl").write_text("\n".join(log))
    assert main(["live", "--replay", str(folder), "--fast"]) == 1
    assert re.search(r"output 1: message 1 is .* it was b2 14 00", capsys.readouterr().err)

    assert main([*words, "--record", str(folder)]) == 2
    assert "holds a session already" in capsys.readouterr().err


def test_a_comparison_says_what_differs_first() -> None:
    session = live.Session(Path("s"), {}, (), ((0, b"\xb0\x14\x05", 1.0), (1, b"\xb0\x14\x06", 1.0)))
    sink = Comparison(session, 0)
    assert sink.result() == "0 messages came; there were 1"
    sink.send(b"\xb0\x14\x05", 1.0)
    assert sink.result() is None
    sink.send(b"\xb0\x14\x07", 2.0)
    assert sink.result() == "message 2 is b0 14 07 at 2.000000 s; it was nothing"
    late = Comparison(session, 1)
    late.send(b"\xb0\x14\x06", 1.5)
    assert late.result() == "message 1 is b0 14 06 at 1.500000 s; it was b0 14 06 at 1.000000 s"


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[" * 50_000,
        '{"at_s": 1}',
        '{"message": "zz", "to": 0, "at_s": 1}',
        "[]",
        '{"position": -1, "gap": true}',
        '{"position": 0, "refined": "x"}',
        '{"position": 0, "returned": 0}',
        '{"at_s": NaN, "returned": 0}',
        '{"position": 0, "else": true}',
    ],
)
def test_a_log_that_is_damaged_is_said(text: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "s")
    recorder.start(RATE, {})
    recorder.close()
    (tmp_path / "s" / "log.jsonl").write_text(text)
    with pytest.raises(UsageError, match=r"log\.jsonl is damaged"):
        load_session(tmp_path / "s")


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("sample_rate", 0),
        ("sample_rate", "x"),
        ("settings", {"mode": "none"}),
        ("settings", {"rate": "x"}),
        ("settings", {"unknown": 1}),
        ("synth", 1),
        ("model", None),
        ("gate", "yes"),
        ("receivers", [{"profile": "no TOML", "baud": 31250}]),
        ("receivers", [{"baud": 31250}]),
    ],
)
def test_facts_that_are_damaged_are_one_line(
    fact: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"settings": {}, "gate": True, "synth": "sine", "model": "none", "receivers": [], fact: value}
    recorder = Recorder(tmp_path / "s")
    recorder.start(RATE, facts)
    recorder.close()
    assert main(["live", "--replay", str(tmp_path / "s"), "--fast"]) == 2
    error = capsys.readouterr().err
    assert "session.json is damaged" in error
    assert error.count("\n") == 1


def test_a_disk_that_takes_nothing_is_said_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "s")
    recorder.start(RATE, {})
    recorder.audio(tone(0.1))
    time.sleep(0.3)
    recorder.lost += 1
    with pytest.raises(InversynthError, match=r"the session .* is damaged: 1 entries were lost"):
        recorder.close()


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(sound: object, data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    soundfile.write(tmp_path / "a.wav", join(silence(0.1), tone(1.1), silence(0.1), tone(0.3)), RATE, subtype="FLOAT")
    words = ["live", "--file", str(tmp_path / "a.wav"), "--fast", "--synth", "sine", "--model", str(tiny_file)]
    words += ["--anything", "--dry-run"]
    assert main(words) == 0
    sent = capsys.readouterr().out
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    assert main([*words, "--record", str(tmp_path / "session")]) == 1
    printed = capsys.readouterr()
    assert printed.out == sent
    lines = printed.err.splitlines()
    assert lines.count("the recording has ended, and no more is kept: the disk is full") == 1
    assert any(" messages sent, " in line for line in lines)  # the summary
    assert lines[-1].endswith(f"the session {tmp_path / 'session'} is damaged: the disk is full")


def test_a_recorder_whose_disk_is_full_keeps_nothing_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(sound: object, data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    said = threading.Event()
    recorder = Recorder(tmp_path / "s", lambda line: said.set())
    recorder.start(RATE, {})
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    recorder.audio(tone(0.1))
    assert said.wait(10)
    for _ in range(1000):
        recorder.audio(tone(0.1))
    assert len(recorder._waiting) == 0
    with pytest.raises(InversynthError, match="is damaged: the disk is full"):
        recorder.close()


OWN = """
import numpy as np
from inversynth import AudioFormat, Note, Param, ParamSpace, from_function

SPACE = ParamSpace([
    Param("pitch", "f", 220, 880, "Hz", "exponential", midi=20, role="pitch"),
    Param.choice("shape", "s", ("sine", "square"), midi=21),
    Param("level", "a", 0.1, 1, midi=22, role="level"),
])

def render(values, notes, sample_rate, samples):
    wave = np.sin(2 * np.pi * values[:, :1] * np.arange(samples) / sample_rate)
    return values[:, 2:] * np.where(values[:, 1:2] > 0.5, np.sign(wave), wave)

SYNTH = from_function("own", SPACE, AudioFormat(16384, 1.0), render, note=Note(60, 100, 0.5))
"""


def test_a_synth_of_the_users_is_driven_and_its_session_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    (tmp_path / "own.py").write_text(OWN)
    own = synths.load(tmp_path / "own.py")
    (tmp_path / "own.onnx").write_bytes(onnx_file.model(own))
    sound = own.render(own.space.values_of_levels(np.array([[8, 1, 12], [3, 0, 15]])))
    soundfile.write(tmp_path / "a.wav", join(silence(0.1), sound[0], silence(0.2), sound[1]), RATE, subtype="FLOAT")
    given = ["--synth", str(tmp_path / "own.py")]
    words = ["live", "--file", str(tmp_path / "a.wav"), "--fast", "--model", str(tmp_path / "own.onnx"), "--dry-run"]
    words += ["--confidence", "0", "--notes", "--record", str(tmp_path / "session")]
    assert main([*words, *given]) == 0
    sent = capsys.readouterr().out
    assert "on 60 " in sent  # the key of the synth's own note
    assert set(re.findall(r"cc 21 (\d+)", sent)) <= {"0", "127"}  # a choice is never between two
    assert json.loads((tmp_path / "session" / "session.json").read_text())["synth"] == "own"

    replay = ["live", "--replay", str(tmp_path / "session"), "--fast"]
    assert main([*replay, *given]) == 0
    assert "the same messages again" in capsys.readouterr().err
    assert main(replay) == 2
    assert "is of the synth 'own', which isn't here; give it with --synth FILE.py" in capsys.readouterr().err
    assert main([*replay, "--synth", "sine"]) == 2
    assert "is of the synth 'own', not of 'sine'" in capsys.readouterr().err
    assert main([*words[:-2]]) == 2
    assert "the model own-tiny is of the synth 'own', which isn't here" in capsys.readouterr().err


def test_without_a_synth_it_is_that_of_the_model(tiny_file: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.3), RATE)
    words = ["live", "--file", str(tmp_path / "a.wav"), "--fast", "--model", str(tiny_file), "--anything"]
    assert main([*words, "--midi-file", str(tmp_path / "a.mid")]) == 0


def test_the_search_beside_finds_a_better_patch_and_forgets_notes_that_are_over() -> None:
    paper = synths.load("paper")
    levels = paper.space.levels // 2
    sound = paper.render(paper.space.values_of_levels(levels[None]))[0]
    flat = [np.full(param.levels, 1 / param.levels, np.float32) for param in paper.space]
    refiner = Refiner(paper, 1.0)
    try:
        refiner.ask(1, sound, flat)
        refiner.ask(2, sound, flat)  # before it is ready, or while it searches for the first
        found, end = None, time.monotonic() + 30
        while found is None and time.monotonic() < end:
            found = refiner.poll()
            time.sleep(0.01)
    finally:
        refiner.close()
    assert found is not None
    number, x = found
    assert number == 2
    wanted = [param.x_of_level(level) for param, level in zip(paper.space, levels, strict=True)]
    scores = Scorer(paper, sound)(paper.space.values_of_x(np.stack([x, wanted])))
    assert scores.rho_stft[0] > 0.8  # of flat distributions, in a second that is shared


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_session_with_osc_and_a_wire_is_the_same_again(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", join(silence(0.1), tone(1.1), silence(0.1)), RATE, subtype="FLOAT")
    os.mkfifo(tmp_path / "wire")
    wire = os.open(tmp_path / "wire", os.O_RDONLY | os.O_NONBLOCK)
    words = ["live", "--file", str(tmp_path / "a.wav"), "--fast", "--synth", "sine", "--model", str(tiny_file)]
    words += ["--anything", "--confidence", "0", "--record", str(tmp_path / "session"), "--profile", "sine"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        words += ["--osc", f"127.0.0.1:{listener.getsockname()[1]}", "--din", str(tmp_path / "wire")]
        assert main(words) == 0
    assert os.read(wire, 100)[0] == 0xB0
    os.close(wire)
    capsys.readouterr()
    assert main(["live", "--replay", str(tmp_path / "session"), "--fast"]) == 0
    assert capsys.readouterr().err.count("the same messages again") == 2
