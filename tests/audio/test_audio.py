"""Sound from files, the ring, and sources."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from inversynth.audio.files import read_file, resample
from inversynth.audio.sources import FileSource, Ring, Source, StreamClock
from inversynth.errors import UsageError
from inversynth.spec import AudioFormat
from sounds import noise

FORMAT = AudioFormat(16384, 1.0)
Sound = NDArray[np.float32]


# -- files ------------------------------------------------------------------------------------


def test_channels_are_mixed_to_their_mean(tmp_path: Path) -> None:
    left, right = noise(1000, 1), noise(1000, 2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    sound, rate = read_file(tmp_path / "stereo.wav")
    assert rate == 44100
    np.testing.assert_allclose(sound, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg"])
def test_every_usual_format_is_read(name: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, noise(8000), 16000)
    sound, rate = read_file(tmp_path / name)
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
        read_file(path)
    assert str(path) in str(refused.value)


def test_resampling_keeps_a_tone_and_its_length() -> None:
    t = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    resampled = resample(tone, 48000, 16384)
    assert len(resampled) == 16384
    expected = np.sin(2 * np.pi * 440 * np.arange(16384) / 16384)
    np.testing.assert_allclose(resampled[200:-200], expected[200:-200], atol=1e-3)
    assert resample(tone, 48000, 48000) is tone


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
    source = Source("nothing", 1000, 256, StreamClock())
    for _ in range(10):
        source.deliver(noise(1000))
    assert (source.blocks, source.overflows) == (10, 2)  # the ring holds eight seconds


@pytest.mark.parametrize("samples", [0, -1, 1 << 21, 1 << 70])
def test_a_block_has_a_size(samples: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(10), 8000)
    with pytest.raises(UsageError, match=f"a block of {samples} samples"):
        FileSource(tmp_path / "a.wav", StreamClock(), samples)
