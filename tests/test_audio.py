"""Sound from files, the ring, and sources."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from inversynth import audio, devices
from inversynth.audio import FileSource, Ring, StreamClock
from inversynth.errors import UsageError
from inversynth.spec import AudioFormat

FORMAT = AudioFormat(16384, 1.0)
Sound = NDArray[np.float32]


def noise(samples: int, seed: int = 0) -> Sound:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


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


@pytest.mark.parametrize("samples", [0, -1, 1 << 21])
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

    class InputStream:
        def __init__(self, **_: Any) -> None:
            self.active = False

        def start(self) -> None:
            self.active = True

        def close(self) -> None:
            self.active = False


def use(monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, int]) -> None:
    monkeypatch.setattr(audio, "_sounddevice", lambda: FakePortAudio(list(rows)))


def test_only_inputs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0), ("Microphone", 1), ("Line", 2))
    assert [(row["index"], row["name"]) for row in audio.list_devices()] == [(1, "Microphone"), (2, "Line")]


def test_without_an_input_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0))
    with pytest.raises(UsageError, match=r"no audio input: .* jackd -r -d dummy .* --file"):
        audio.list_devices()


@pytest.mark.parametrize(("wanted", "name"), [("1", "Microphone"), ("line", "Line"), ("Line", "Line")])
def test_a_device_is_found_by_index_or_part_of_its_name(
    wanted: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ("Speakers", 0), ("Microphone", 1), ("Line", 2))
    source = audio.DeviceSource(wanted)
    assert source.description == f"{name} (Fake, 44100 Hz)"
    assert source.sample_rate == 44100


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("0", "no audio input 0; there are 1 'Microphone', 2 'Line'"),
        ("radio", "no audio input 'radio'; there are 'Microphone', 'Line'"),
        ("i", "audio input 'i' could be 'Microphone', 'Line'; give more of its name"),
    ],
)
def test_a_device_that_is_not_there_is_one_line_with_those_there_are(
    wanted: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ("Speakers", 0), ("Microphone", 1), ("Line", 2))
    with pytest.raises(UsageError, match=message):
        audio.DeviceSource(wanted)


def test_the_callback_copies_the_first_channel_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Line", 2))
    source = audio.DeviceSource("Line", sample_rate=16384)
    source.start()

    class Status:
        input_overflow = True

    block = noise(100).reshape(50, 2)
    source._callback(block, 50, None, Status())
    expected = block[:, 0].copy()
    block[:] = 0
    got = source.read()
    assert got is not None
    np.testing.assert_array_equal(got, expected)
    assert (source.blocks, source.overflows) == (1, 1)


def test_a_device_that_stops_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Line", 2))
    source = audio.DeviceSource("Line")
    source.start()
    source.close()
    with pytest.raises(Exception, match=r"Line .* has stopped: is it unplugged"):
        source.read()


def test_quiet_discards_what_c_libraries_write(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with devices.quiet():
        os.write(2, b"Cannot connect to server socket\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
