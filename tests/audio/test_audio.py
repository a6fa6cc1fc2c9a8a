"""Sound from files, the ring, and sources."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from inversynth import _native
from inversynth.audio import sources as audio
from inversynth.audio.sources import FileSource, Ring, StreamClock
from inversynth.errors import UsageError
from inversynth.spec import AudioFormat
from inversynth.system import devices
from inversynth.system.processes import Helper
from portaudio import INPUT_OVERFLOW, deliver
from sounds import noise

FORMAT = AudioFormat(16384, 1.0)
Sound = NDArray[np.float32]


# -- files ------------------------------------------------------------------------------------


def test_channels_are_mixed_to_their_mean(tmp_path: Path) -> None:
    left, right = noise(1000, 1), noise(1000, 2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    sound, rate = audio.read_file(tmp_path / "stereo.wav")
    assert rate == 44100
    np.testing.assert_allclose(sound, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg"])
def test_every_usual_format_is_read(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, noise(8000), 16000)
    sound, rate = audio.read_file(tmp_path / name)
    assert (len(sound), rate) == (8000, 16000)


def write_text(path: Path) -> None:
    path.write_text("no sound at all")


def write_empty(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), 16384)


def write_nan(path: Path) -> None:
    soundfile.write(path, np.array([0, np.nan, 0], np.float32), 16384, subtype="FLOAT")


def write_endless(path: Path) -> None:
    soundfile.write(path, noise(1000), 8000, format="FLAC")
    endless = bytearray(path.read_bytes())
    endless[21] &= 0xF0  # the STREAMINFO's 36 bits of total samples: 0 is unknown (RFC 9639, 8.2)
    endless[22:26] = bytes(4)
    path.write_bytes(endless)


def write_slow(path: Path) -> None:
    soundfile.write(path, noise(1000), 1)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "is not a file"),
        (Path.mkdir, "is not a file"),
        (Path.touch, "is not audio that can be read"),
        (write_text, "is not audio that can be read"),
        (write_empty, "its length is 0"),
        (write_nan, "NaN or infinite"),
        (write_endless, "doesn't say how long it is"),
        (write_slow, "its sample rate 1 Hz is outside 1000..768000"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(write: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write(path)
    with pytest.raises(UsageError, match=message) as refused:
        audio.read_file(path)
    assert str(path) in str(refused.value)


def test_resampling_keeps_a_tone_and_its_length() -> None:
    t = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    heard = audio.resample(tone, 48000, 16384)
    assert len(heard) == 16384
    expected = np.sin(2 * np.pi * 440 * np.arange(16384) / 16384)
    np.testing.assert_allclose(heard[200:-200], expected[200:-200], atol=1e-3)
    assert audio.resample(tone, 48000, 48000) is tone


# -- the ring ---------------------------------------------------------------------------------


def test_a_ring_gives_back_what_was_written_across_its_end() -> None:
    ring, given, taken = Ring(10), [], []
    for i in range(20):
        block = noise(7 if i % 2 else 3, i)
        assert ring.write(block) == len(block)
        given.append(block)
        taken.append(ring.read())
    np.testing.assert_array_equal(np.concatenate(taken), np.concatenate(given))
    assert len(ring.read()) == 0


def test_a_full_ring_keeps_what_is_older_and_says_how_much_it_took() -> None:
    ring, block = Ring(10), noise(16)
    assert ring.write(block[:8]) == 8
    assert ring.write(block[8:]) == 2
    assert ring.write(block) == 0
    np.testing.assert_array_equal(ring.read(), block[:10])


def test_what_was_read_is_not_written_over() -> None:
    ring = Ring(4)
    ring.write(np.ones(4, np.float32))
    first = ring.read()
    ring.write(np.zeros(4, np.float32))
    np.testing.assert_array_equal(first, np.ones(4))


def test_a_reader_and_a_writer_at_once_lose_nothing() -> None:
    ring, total = Ring(1000), 200_000
    count = np.arange(total, dtype=np.float32)
    got: list[Sound] = []

    def read() -> None:
        seen = 0
        while seen < total:
            block = ring.read()
            seen += len(block)
            got.append(block)

    reader = threading.Thread(target=read)
    reader.start()
    at = 0
    while at < total:
        at += ring.write(count[at : at + 333])
    reader.join(30)
    np.testing.assert_array_equal(np.concatenate(got), count)


# -- sources ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 64, 65, 8192, 8193, 20000])
def test_a_file_comes_whole_in_blocks_each_at_its_time(size: int, tmp_path: Path) -> None:
    sound = noise(10000)
    soundfile.write(tmp_path / "a.wav", sound, 8000, subtype="FLOAT")
    clock = StreamClock()
    source = FileSource(tmp_path / "a.wav", clock, size)
    source.start()
    blocks = []
    while (block := source.read()) is not None:
        blocks.append(block)
        assert clock.now() == pytest.approx(sum(map(len, blocks)) / 8000)
    np.testing.assert_array_equal(np.concatenate(blocks), sound)
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert source.blocks == len(blocks) == -(-10000 // size)
    assert source.overflows == 0
    assert source.read() is None


def test_a_listener_that_is_too_late_loses_samples_and_they_are_counted() -> None:
    source = audio.Source("nothing", 1000, 256, StreamClock())
    for _ in range(10):
        source.deliver(noise(1000))
    assert (source.blocks, source.overflows) == (10, 2)  # the ring holds eight seconds


@pytest.mark.parametrize("samples", [0, -1, 1 << 21, 1 << 70])
def test_a_block_has_a_size(samples: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(10), 8000)
    with pytest.raises(UsageError, match=f"a block of {samples} samples"):
        FileSource(tmp_path / "a.wav", StreamClock(), samples)


class FakePortAudio:
    """What `sounddevice` says of two inputs and an output."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rows: list[tuple[str, int]]) -> None:
        self._rows = rows

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "Fake"}]

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {"index": i, "name": name, "hostapi": 0, "max_input_channels": inputs, "default_samplerate": 44100.0}
            for i, (name, inputs) in enumerate(self._rows)
        ]

    @property
    def _ffi(self) -> SimpleNamespace:
        return SimpleNamespace(cast=lambda kind, address: address)

    def _StreamBase(self, kind: str, samplerate: int, callback: int, userdata: int, **_: Any) -> FakeStream:  # noqa: N802
        if samplerate not in self.rates:
            raise self.PortAudioError("Error opening InputStream: Invalid sample rate")
        return FakeStream(callback, userdata)

    rates: tuple[int, ...] = (16384, 44100)


class FakeStream:
    """Delivers three blocks when it is started, the second with an overflow, and stops."""

    active = False

    def __init__(self, callback: int, userdata: int) -> None:
        self._native = callback, userdata

    def start(self) -> None:
        for number in range(3):
            deliver(*self._native, noise(50, number), INPUT_OVERFLOW if number == 1 else 0)


def use(monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, int]) -> None:
    monkeypatch.setattr(audio, "_sounddevice", lambda: FakePortAudio(list(rows)))


def test_only_inputs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0), ("Microphone", 1), ("Line", 2))
    assert [(row["index"], row["name"]) for row in audio.list_devices()] == [(1, "Microphone"), (2, "Line")]


def test_without_an_input_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0))
    with pytest.raises(UsageError, match=r"no audio input: .* jackd -r -d dummy .* --file"):
        audio.list_devices()


ROWS = ("Speakers", 0), ("Microphone", 1), ("Line", 2)


@pytest.mark.parametrize(("wanted", "name"), [("1", "Microphone"), ("line", "Line"), ("Line", "Line")])
def test_a_device_is_found_by_index_or_part_of_its_name(
    wanted: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, *ROWS)
    assert audio.find_device(audio.list_devices(), wanted)["name"] == name


class Pipe:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, what: Any) -> None:
        self.sent.append(what)

    def recv(self) -> Any:
        return "start"

    def poll(self, seconds: float) -> bool:
        return False


def served(device: str, sample_rate: int | None, again: bool = False) -> tuple[Any, audio.Line]:
    pipe, line = Pipe(), audio.Line(1000)
    audio.serve(pipe, line, device, sample_rate, 50, again)  # type: ignore[arg-type]
    (said,) = pipe.sent
    return said, line


@pytest.mark.parametrize(
    ("wanted", "rate", "message"),
    [
        ("0", None, "no audio input 0; there are 1 'Microphone', 2 'Line'"),
        ("radio", None, "no audio input 'radio'; there are 'Microphone', 'Line'"),
        ("i", None, "audio input 'i' could be 'Microphone', 'Line'; give more of its name"),
        ("Line", 96000, "can't open 'Line' at 96000 Hz (Invalid sample rate); its own rate is 44100 Hz"),
    ],
)
def test_a_device_that_is_not_there_is_one_line_with_those_there_are(
    wanted: str, rate: int | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, *ROWS)
    said, _ = served(wanted, rate)
    assert isinstance(said, UsageError)
    assert message in str(said)


def test_a_device_in_its_process_delivers_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, *ROWS)
    said, line = served("line", 16384)
    assert said == ("Line", "Line (Fake, 16384 Hz)", 16384)
    blocks = [block for block, _ in line.take()]
    np.testing.assert_array_equal(blocks, [noise(50, number) for number in range(3)])
    assert (line.take_overflows(), line.take_overflows()) == (1, 0)


def test_a_device_that_is_back_may_have_another_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, *ROWS)
    said, _ = served("Line", 48000, again=True)
    assert said == ("Line", "Line (Fake, 44100 Hz)", 44100)
    said, _ = served("Lin", 48000, again=True)  # only the whole name is the device's
    assert isinstance(said, ValueError)


# -- the line between processes -----------------------------------------------------------------


def write(line: audio.Line, block: NDArray[np.float32]) -> None:
    deliver(*line.native.callback(), block)


def blocks_of(line: audio.Line) -> list[NDArray[np.float32]]:
    return [block for block, _ in line.take()]


def test_a_line_gives_blocks_back_across_its_end_with_the_times_at_which_they_came() -> None:
    line = audio.Line(10)
    for i in range(20):
        block = noise((3, 7, 10, 0)[i % 4], i)
        before_s = time.perf_counter()
        write(line, block)
        after_s = time.perf_counter()
        ((got, at_s),) = line.take()
        np.testing.assert_array_equal(got, block)
        assert before_s <= at_s <= after_s
    assert line.take() == []
    assert line.take_overflows() == 0


def test_a_full_line_loses_what_is_newest_and_counts_it() -> None:
    line = audio.Line(100)
    for i in range(12):
        write(line, noise(10, i))
    np.testing.assert_array_equal(blocks_of(line), [noise(10, i) for i in range(10)])
    assert line.take_overflows() == 2
    write(line, noise(10, 12))
    np.testing.assert_array_equal(blocks_of(line), [noise(10, 12)])
    write(line, noise(101))
    assert (line.take(), line.take_overflows()) == ([], 1)


def test_a_line_holds_so_many_blocks_however_short() -> None:
    line = audio.Line(1 << 20)
    for _ in range((1 << 14) + 3):
        write(line, noise(1))
    assert (len(line.take()), line.take_overflows()) == (1 << 14, 3)


def test_a_cleared_line_is_as_new() -> None:
    line = audio.Line(100)
    for _ in range(11):
        write(line, noise(10))
    line.clear()
    assert (line.take(), line.take_overflows()) == ([], 0)
    write(line, noise(100))
    np.testing.assert_array_equal(blocks_of(line), [noise(100)])


def _write_blocks(pipe: Any, line: audio.Line) -> None:
    for i in range(3):
        write(line, noise(40, i))
    pipe.recv()


def test_what_another_process_writes_into_a_line_is_taken_here_and_wakes_who_waits() -> None:
    line = audio.Line(1000)
    helper = Helper(_write_blocks, line)
    try:
        line.wait(60.0, 120)
        np.testing.assert_array_equal(blocks_of(line), [noise(40, i) for i in range(3)])
    finally:
        helper.end()


def waits_for(line: audio.Line, block: NDArray[np.float32], samples: int = 0) -> bool:
    """Whether a reader that waits for so many samples still waits until this block is written, and then returns."""
    events: list[str] = []

    def read() -> None:
        line.wait(60.0, samples)
        events.append("returned")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(0.05)  # long enough to return, if it doesn't wait
    events.append("written")
    write(line, block)
    reader.join(60.0)
    return events == ["written", "returned"]


def test_a_line_that_waits_returns_when_something_comes_or_its_time_is_over() -> None:
    line = audio.Line(100)
    line.wait(0.01)
    write(line, noise(10))
    write(line, noise(10))
    line.wait(1e6)
    assert len(line.take()) == 2
    assert waits_for(line, noise(10))  # both that came before are known


def test_a_line_that_waits_for_many_samples_returns_when_they_have_come() -> None:
    line = audio.Line(100)
    line.wait(0.0, 25)
    write(line, noise(10, 0))
    write(line, noise(10, 1))
    line.wait(0.01, 25)
    assert waits_for(line, noise(10, 2), 25)
    np.testing.assert_array_equal(blocks_of(line), [noise(10, i) for i in range(3)])
    line.wait(0.0, 25)
    write(line, noise(10, 3))
    line.wait(1e6)  # now anything will do, and it is there already
    write(line, noise(10, 4))
    line.wait(1e6)
    np.testing.assert_array_equal(blocks_of(line), [noise(10, i) for i in (3, 4)])


@pytest.mark.parametrize("size", [0, 100])
def test_an_end_of_a_line_has_memory_enough(size: int) -> None:
    with pytest.raises(ValueError, match=r"a ring needs \d+ bytes or more"):
        _native.SharedRing(np.zeros(size, np.uint8), 0)


def test_a_block_is_taken_whole() -> None:
    line = audio.Line(100)
    with pytest.raises(ValueError, match="the next block has -1 samples"):
        line.native.take(np.zeros(10, np.float32))
    write(line, noise(10))
    with pytest.raises(ValueError, match="the next block has 10 samples"):
        line.native.take(np.zeros(9, np.float32))


def test_quiet_discards_what_c_libraries_write(capfd: pytest.CaptureFixture[str]) -> None:
    with devices.quiet():
        os.write(2, b"Cannot connect to server socket\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_quiet_threads_leave_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = devices.quiet(), devices.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"chatter")
    second.__exit__(None, None, None)
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_what_the_command_says_is_heard_while_libraries_are_quiet() -> None:
    code = """
import os, sys
from inversynth import cli, devices
cli._ready_streams()
with devices.quiet():
    print("said", file=sys.stderr)
    os.write(2, b"chatter")
print("é", file=sys.stderr)
"""
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stderr.decode().split() == ["said", "é"]
