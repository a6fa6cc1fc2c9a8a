"""What goes wrong on a stage goes through the same path as sound: nothing crashes, stalls or floods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import mido
import numpy as np
import pytest

from inversynth import live, synths
from inversynth.audio.sources import Ring, Source, StreamClock, WallClock
from inversynth.live import Bridge, Settings, Summary
from inversynth.midi import BAUD, Receiver, Sink
from inversynth.spec import AudioFormat, ParamSpace
from patches import profile_of
from sounds import RATE, Sound, join, silence, tone

SPACE = ParamSpace([*synths.load("sine").space])
NOTES = join(silence(0.3), tone(1.2), silence(0.2), tone(0.6, 0.9), silence(0.3), tone(1.2, 0.2), silence(0.3))
"""Three notes; the second is shorter than the model's window."""


class Peak:
    """A model of four parameters of 16 levels that infers loudness: of the window, of its halves, and at its end."""

    def __init__(self) -> None:
        self.name, self.audio, self.space = "peak", AudioFormat(RATE, 1.0), SPACE

    def predict_one(self, window: Sound) -> list[Sound]:
        assert np.isfinite(window).all()
        half = len(window) // 2
        at = (np.abs(window).max(), np.abs(window[:half]).max(), np.abs(window[half:]).max(), abs(window[-1]))
        return [np.eye(16, dtype=np.float32)[min(round(15 * float(x)), 15)] for x in at]

    def warm_up(self, runs: int = 1) -> None:
        pass


class Blocks(Source):
    """Given blocks, each when its last sample is due in the stream's time."""

    def __init__(self, blocks: Iterable[Sound]) -> None:
        super().__init__("blocks", RATE, 1, StreamClock())
        self._blocks = iter(blocks)

    def read(self) -> Sound | None:
        block = next(self._blocks, None)
        if block is None:
            return None
        self.clock.sleep_until(self.clock.now() + len(block) / RATE)
        self.deliver(block)
        return self._ring.read()


class Kept:
    """A sink that keeps the messages and their times."""

    description = "a list"

    def __init__(self) -> None:
        self.messages: list[tuple[float, bytes]] = []

    def send(self, message: bytes, at_s: float) -> None:
        self.messages.append((at_s, bytes(message)))

    def returned(self) -> bool:
        return False

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Run:
    """What a run said and sent."""

    summary: Summary
    messages: list[tuple[float, bytes]]

    @property
    def values(self) -> list[tuple[int, int]]:
        """(number, value) of the control changes, as mido reads them."""
        parsed = [mido.Message.from_bytes(list(message)) for _, message in self.messages]
        return [(each.control, each.value) for each in parsed if each.type == "control_change"]


def run(blocks: Iterable[Sound] | Source, settings: Settings | None = None, sinks: Sequence[Sink] = ()) -> Run:
    source = blocks if isinstance(blocks, Source) else Blocks(blocks)
    kept = Kept()
    receivers = [Receiver(profile_of("peak", SPACE), sink) for sink in (kept, *sinks)]
    return Run(live.run(source, Peak(), receivers, settings or Settings(), threading.Event()), kept.messages)


def cut(sound: Sound, *sizes: int) -> Iterator[Sound]:
    """A sound in blocks of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(sound):
        size = sizes[turn % len(sizes)]
        yield sound[at : at + size]
        at, turn = at + size, turn + 1


MODES = [Settings(mode) for mode in live.MODES]
modes = pytest.mark.parametrize("settings", MODES, ids=live.MODES)


# -- blocks ---------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    "sizes",
    [(7,), (1, 64, 65, 8192, 8193), (0, 0, 0, 5000), (len(NOTES),), (16384, 1), (480,) * 20 + (0,) * 20 + (9600,)],
    ids=["short", "mixed", "late", "whole", "a second", "stalled"],
)
def test_late_short_and_oversized_blocks_send_what_regular_ones_send(
    settings: Settings, sizes: tuple[int, ...]
) -> None:
    regular, irregular = run(cut(NOTES, 256), settings), run(cut(NOTES, *sizes), settings)
    assert regular.messages
    assert [message for _, message in irregular.messages] == [message for _, message in regular.messages]
    assert irregular.summary.overflows == 0


def test_a_block_that_the_ring_cant_hold_is_counted_and_what_follows_is_processed() -> None:
    result, regular = run([silence(60.0), *cut(NOTES, 256)]), run(cut(NOTES, 256))
    assert result.summary.overflows == 1
    assert [message for _, message in result.messages] == [message for _, message in regular.messages]


class Losing(Blocks):
    """A device that says of every fifth block that it is lost."""

    def deliver(self, block: Sound) -> None:
        if self.blocks % 5 == 4:
            self.blocks += 1
            self.overflows += 1
        else:
            super().deliver(block)


@modes
def test_lost_blocks_are_counted_and_the_notes_are_still_inferred(settings: Settings) -> None:
    blocks = list(cut(NOTES, 256))
    result = run(Losing(blocks), settings)
    assert result.summary.overflows == len(blocks) // 5
    assert result.summary.blocks == len(blocks)
    whole = dict(run(cut(NOTES, 256), settings).values)
    peak = SPACE[0].midi
    assert peak is not None
    assert abs(dict(result.values)[peak] - whole[peak]) <= 8  # the loudness is the same, to a level


# -- what is no sound, or no note -----------------------------------------------------------------

NOTHING = {
    "silence": silence(4),
    "an offset": np.full(4 * RATE, 0.25, np.float32),
    "full offset": np.full(4 * RATE, -1.0, np.float32),
    "denormals": np.full(4 * RATE, 1e-42, np.float32),
    "nan": np.full(4 * RATE, np.nan, np.float32),
    "infinite": np.tile(np.array([np.inf, -np.inf], np.float32), 2 * RATE),
    "beyond all": np.full(4 * RATE, 3e38, np.float32),
    "a click": join(silence(1), np.ones(1, np.float32), silence(2)),
    "clicks": np.tile(join(np.ones(1, np.float32), silence(0.5)), 8),
    "the last bit": np.where(np.arange(4 * RATE) % 3, 0, 2**-15).astype(np.float32),
}


@modes
@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_sound_moves_nothing(settings: Settings, name: str) -> None:
    result = run(cut(NOTHING[name], 256), settings)
    assert result.messages == []
    damaged = not (np.abs(NOTHING[name]) < 1000).all()
    assert result.summary.damaged == (4 * RATE if damaged else 0)


@modes
def test_nan_within_a_note_is_taken_as_silence_there(settings: Settings) -> None:
    holed, damaged = NOTES.copy(), NOTES.copy()
    at = slice(round(0.5 * RATE), round(0.6 * RATE))
    holed[at], damaged[at] = 0, np.nan
    result = run(cut(damaged, 256), settings)
    assert result.messages == run(cut(holed, 256), settings).messages
    assert result.summary.damaged == at.stop - at.start


@modes
def test_a_clipped_note_is_a_note(settings: Settings) -> None:
    clipped = np.clip(20 * NOTES, -1, 1)
    result = run(cut(clipped, 256), settings)
    assert result.summary.damaged == 0
    assert result.summary.predictions >= 3
    peak = SPACE[0].midi
    assert dict(result.values)[int(peak or 0)] == 127


def test_clipping_is_shown() -> None:
    bridge = Bridge(Blocks(cut(np.clip(4 * tone(1.5), -1, 1), 256)), Peak(), [], Settings())
    bridge.run(threading.Event())
    assert bridge.status().clipped > RATE // 4
    assert bridge.status().level_db > -6


# -- floods ---------------------------------------------------------------------------------------


def test_whatever_is_played_no_stretch_of_time_holds_more_than_the_wire_carries() -> None:
    rng = np.random.default_rng(5)
    steps = np.repeat(rng.random(100) ** 3, RATE // 20)
    noise = (steps * rng.standard_normal(len(steps))).astype(np.float32)
    result = run(cut(noise, 480), Settings("follow", rate=100, confidence=0.0, smooth=0.5))
    times = np.array([at_s for at_s, _ in result.messages])
    ends = np.cumsum([len(message) for _, message in result.messages])
    assert len(times) > 200
    assert (np.diff(times) >= 0).all()
    byte_s = 10 / BAUD
    for first in range(0, len(times), 7):  # from the start of each message to that of each later one
        carried = ends[first:-1] - ends[first] + len(result.messages[first][1])
        assert (times[first + 1 :] - times[first] >= carried * byte_s - 1e-9).all()


# -- outputs that don't take what they are given --------------------------------------------------


class Ticking(Source):
    """A device in real time that plays a sound over and over; it never waits for the reader."""

    def __init__(self, sound: Sound, period: int = 256) -> None:
        super().__init__("a device", RATE, period, WallClock())
        self._sound, self._period = sound, period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _play(self) -> None:
        began = time.perf_counter()
        while not self._over.is_set():
            at = np.arange(self._period) + self._period * self.blocks
            self.deliver(np.take(self._sound, at, mode="wrap"))
            time.sleep(max(began + self._period * self.blocks / RATE - time.perf_counter(), 0))

    def read(self) -> Sound | None:
        time.sleep(0.002)
        return self._ring.read()

    def close(self) -> None:
        self._over.set()
        self._thread.join()


class Stuck(Kept):
    """A receiver that takes the first message and never returns from it, until the test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def send(self, message: bytes, at_s: float) -> None:
        super().send(message, at_s)
        self.let_go.wait(60)


def test_a_receiver_that_never_takes_a_message_stalls_neither_the_sound_nor_the_others_nor_the_end() -> None:
    source, stuck = Ticking(np.tile(join(tone(0.1), tone(0.1, 0.9)), 10)), Stuck()
    try:
        result = run(source, Settings("follow", duration=1.5), [stuck])
        assert len(stuck.messages) == 1
        assert len(result.messages) > 2  # the other receiver's
        assert result.summary.overflows == 0
        assert result.summary.predictions > 2  # the sound was followed on
    finally:
        stuck.let_go.set()
        source.close()


class Full(Kept):
    """A receiver whose port fails now and then."""

    def send(self, message: bytes, at_s: float) -> None:
        raise OSError("the queue is full")


@pytest.mark.parametrize("clock", ["stream", "wall"])
def test_a_sink_that_breaks_ends_the_run_with_its_error_and_not_without(clock: str) -> None:
    source: Source = Ticking(NOTES) if clock == "wall" else Blocks(cut(NOTES, 256))
    try:
        with pytest.raises(OSError, match="the queue is full"):
            run(source, Settings(duration=5.0), [Full()])
    finally:
        source.close()


# -- two days -------------------------------------------------------------------------------------

TWO_DAYS_S = 48 * 3600


@modes
def test_after_two_days_it_sends_what_it_sent_at_first(settings: Settings) -> None:
    """At 48 kHz two days are 2^33 samples; here the position is set there."""

    def sent(after_s: int) -> list[tuple[float, bytes]]:
        kept = Kept()
        bridge = Bridge(Blocks(cut(NOTES, 256)), Peak(), [Receiver(profile_of("peak", SPACE), kept)], settings)
        pipeline = bridge._pipeline
        pipeline._position = pipeline._next_tick = after_s * RATE
        bridge._listener.restart(pipeline._position)
        bridge.run(threading.Event())
        return kept.messages

    first, later = sent(0), sent(TWO_DAYS_S)
    assert [message for _, message in later] == [message for _, message in first]
    np.testing.assert_allclose([at_s - TWO_DAYS_S for at_s, _ in later], [at_s for at_s, _ in first], atol=1e-6)


def test_a_ring_counts_on_for_two_days() -> None:
    ring = Ring(1000)
    ring._written = ring._taken = TWO_DAYS_S * 48000 - 500
    rng = np.random.default_rng(1)
    for _ in range(50):
        block = rng.random(rng.integers(0, 999)).astype(np.float32)
        assert ring.write(block) == len(block)
        np.testing.assert_array_equal(ring.read(), block)


def test_a_hundred_thousand_patches_leave_nothing_waiting() -> None:
    """Two days with a patch every other second: what waits is bounded, and the last one arrives."""
    kept = Kept()
    sender = live.Sender(Receiver(profile_of("peak", SPACE), kept))
    rng = np.random.default_rng(2)
    x, active = np.zeros(len(SPACE)), np.ones(len(SPACE), bool)
    for turn in range(TWO_DAYS_S // 2):
        if turn % 100 == 0:
            x = rng.integers(0, 128, len(SPACE)) / 127
        sender.offer(2.0 * turn, x, active)
        sender.reach(2.0 * turn + 1)
        sender.advance()
        if turn % 1000 == 0:
            kept.messages = kept.messages[-len(SPACE) :]
    got = dict((message[1], message[2]) for _, message in kept.messages[-len(SPACE) :])
    assert got == {param.midi: round(127 * at) for param, at in zip(SPACE, x, strict=True)}
    assert kept.messages[-1][0] < TWO_DAYS_S
