"""Messages from streams of bytes, and from MIDI files whose notes are somewhere else."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import mido
import pytest

from inversynth.errors import UsageError
from inversynth.midi import Splitter, check_channel, messages, read_midi
from inversynth.midi.streams import MAX_SYSEX

NOTE = messages.note_on(1, 60, 100)


def test_a_system_exclusive_message_that_never_ends_takes_no_memory_and_the_next_message_is_read() -> None:
    splitter, block = Splitter(), bytes(1 << 20)
    assert list(splitter.feed(b"\xf0\x7d")) == []
    tracemalloc.start()
    try:
        for _ in range(300):  # MB
            assert list(splitter.feed(block)) == []
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_SYSEX
    finally:
        tracemalloc.stop()
    assert list(splitter.feed(b"\xf7" + NOTE)) == [NOTE]


def test_the_longest_system_exclusive_message_is_kept_whole() -> None:
    whole = b"\xf0" + bytes(MAX_SYSEX - 2) + b"\xf7"
    assert list(Splitter().feed(whole + NOTE)) == [whole, NOTE]
    assert list(Splitter().feed(whole[:-1] + b"\0\xf7" + NOTE)) == [NOTE]


def test_an_end_without_a_beginning_and_an_unfinished_message_are_dropped() -> None:
    assert list(Splitter().feed(b"\xf7\x01\x02\x03" + NOTE)) == [NOTE]
    assert list(Splitter().feed(b"\xf0\x01\x02" + NOTE)) == [NOTE]
    assert list(Splitter().feed(b"\x90\x3c" + NOTE + b"\xf6\x05\x06")) == [NOTE, b"\xf6"]


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ([10], "x.mid has notes on channel 10, none on channel 1; give --channel 10"),
        ([2, 10, 16], "x.mid has notes on channels 2, 10 and 16, none on channel 1; give --channel 2"),
    ],
)
def test_notes_on_other_channels_are_said(on: list[int], message: str) -> None:
    events = [(0.0, messages.note_on(channel, 60, 100)) for channel in on]
    with pytest.raises(UsageError, match=message):
        check_channel("x.mid", events, 1)
    check_channel("x.mid", events, on[0])
    check_channel("x.mid", [(0.0, messages.control_change(3, 74, 5))], 1)


def test_a_file_of_two_tracks_is_read_in_order_of_time(tmp_path: Path) -> None:
    tracks = [mido.MidiTrack([mido.Message("note_on", note=note, time=time)]) for note, time in ((60, 480), (61, 240))]
    mido.MidiFile(type=1, tracks=tracks).save(tmp_path / "two.mid")
    assert [(at, message[1]) for at, message in read_midi(tmp_path / "two.mid")] == [(0.25, 61), (0.5, 60)]
