"""The sender: what is done in the time of the stream, in which order, and how long it waits on the wall's clock."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from inversynth import synths
from inversynth.live import Sender
from inversynth.midi import Receiver, TextSink
from inversynth.spec import ParamSpace
from patches import profile_of

SPACE = ParamSpace([*synths.load("sine").space][:2])
WIRE_S = 30 / 31250


class Kept(TextSink):
    """Keeps messages with their times, in the stream and on the wall; comes back when asked to."""

    def __init__(self, prompt: bool = False) -> None:
        super().__init__(io.StringIO())
        self.prompt = prompt
        self.messages: list[tuple[float, bytes]] = []
        self.walls: list[float] = []
        self.threads: list[str] = []
        self.back = False

    def send(self, message: bytes, at_s: float) -> None:
        self.messages.append((at_s, message))
        self.walls.append(time.perf_counter())
        self.threads.append(threading.current_thread().name)

    def returned(self) -> bool:
        back, self.back = self.back, False
        return back


def made(prompt: bool = False) -> tuple[Sender, Kept]:
    sink = Kept(prompt)
    return Sender(Receiver(profile_of("sine", SPACE), sink)), sink


def offer(sender: Sender, at_s: float, *values: int) -> None:
    sender.offer(at_s, np.array(values) / 127, np.ones(2, bool))


def ccs(sink: Kept) -> list[tuple[float, int, int]]:
    return [(round(at, 6), message[1], message[2]) for at, message in sink.messages]


def test_a_patch_goes_out_from_its_time_on_but_no_later_than_is_known() -> None:
    sender, sink = made()
    offer(sender, 1.0, 5, 6)
    sender.advance()
    assert ccs(sink) == [(1.0, 20, 5)]  # something else may come before the next
    sender.reach(1.0005)
    sender.advance()
    assert len(sink.messages) == 1
    sender.reach(1.1)
    sender.advance()
    assert ccs(sink) == [(1.0, 20, 5), (round(1.0 + WIRE_S, 6), 21, 6)]


def test_what_comes_before_a_message_is_done_before_it() -> None:
    sender, sink = made()
    offer(sender, 1.0, 5, 6)
    offer(sender, 1.0 + WIRE_S / 2, 5, 9)
    sender.do(1.0 + 2.5 * WIRE_S, lambda receiver: receiver.note_on(60, 100))
    sender.reach(2.0)
    sender.advance()
    assert ccs(sink) == [(1.0, 20, 5), (round(1 + WIRE_S, 6), 21, 9), (round(1 + 2.5 * WIRE_S, 6), 60, 100)]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_the_messages_are_the_same_however_the_time_comes(steps: int) -> None:
    """Offers at random times: in one go, in steps, and from a thread that gets them meanwhile."""
    random = np.random.default_rng(3)
    times = np.sort(random.uniform(0, 0.2, 40))
    patches = random.integers(0, 128, (40, 2))
    expected: list[tuple[float, bytes]] = []
    for bounds in (np.array([0.0, 1.0]), np.linspace(0, 1.0, steps + 1)):
        sender, sink = made()
        for begin, end in itertools.pairwise(bounds):
            for at_s, patch in zip(times, patches, strict=True):
                if begin < at_s <= end:
                    offer(sender, at_s, *patch)
            sender.reach(end)
            sender.advance()
        expected = expected or sink.messages
        assert sink.messages == expected
    assert len(expected) > 40


def in_a_thread(sender: Sender, feed: Callable[[], None]) -> None:
    thread = threading.Thread(target=sender.run, args=(threading.Event(),), name="sender")
    thread.start()
    feed()
    sender.finish(5.0)
    thread.join(10)
    assert sender.error is None


@pytest.mark.parametrize("prompt", [False, True])
def test_a_thread_sends_the_same_at_the_pace_of_the_wire(prompt: bool) -> None:
    sender, sink = made()
    offers = [(0.1, (1, 2)), (0.12, (3, 4)), (0.1205, (5, 6)), (0.15, (7, 8))]
    for at_s, patch in offers:
        offer(sender, at_s, *patch)
    sender.flush()
    sender.advance()
    again, sink_again = made(prompt)

    def feed() -> None:
        for at_s, patch in offers:
            offer(again, at_s, *patch)
            again.reach(at_s)
            time.sleep(0.02)

    in_a_thread(again, feed)
    assert sink_again.messages == sink.messages
    assert len(sink_again.walls) == 7  # the second of 0.12 s is superseded
    assert sink_again.walls[1] - sink_again.walls[0] >= 0.9 * WIRE_S
    here = threading.current_thread().name
    assert (here in sink_again.threads) is prompt


def test_without_a_thread_a_prompt_sink_waits_for_its_time_as_well() -> None:
    sender, sink = made(prompt=True)
    offer(sender, 1.0, 5, 6)
    assert sink.messages == []


def test_what_waits_is_sent_when_nothing_will_come_for_a_while() -> None:
    sender, sink = made()
    offer(sender, 1.0, 5, 6)
    sender.flush()
    sender.advance()
    assert len(sink.messages) == 2


def test_a_receiver_that_comes_back_gets_everything_again() -> None:
    sender, sink = made()
    offer(sender, 1.0, 5, 6)
    sender.reach(2.0)
    sender.advance()
    del sink.messages[:]
    sink.back = True
    sender._looked = -np.inf
    sender.advance()
    sender.reach(3.0)
    sender.advance()
    assert [message[:2] for _, message in sink.messages] == [b"\xb0\x7b", b"\xb0\x78", b"\xb0\x14", b"\xb0\x15"]


@pytest.mark.parametrize("prompt", [False, True])
def test_a_sink_that_fails_stops_the_run(prompt: bool) -> None:
    class Broken(Kept):
        def send(self, message: bytes, at_s: float) -> None:
            raise OSError("gone")

    stop = threading.Event()
    sender = Sender(Receiver(profile_of("sine", SPACE), Broken(prompt)))
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    offer(sender, 0.0, 1, 2)
    assert stop.wait(5)
    assert isinstance(sender.error, OSError)
    sender.finish(0.0)
    thread.join(5)
    assert not thread.is_alive()


def test_patches_for_a_sink_that_does_not_go_on_take_each_others_place() -> None:
    sender, _ = made()
    for number in range(10_000):
        offer(sender, number / 1000, number % 128, 0)
    assert len(sender._queue) <= 256


def test_the_sinks_are_their_receivers_again_in_the_end() -> None:
    sender, sink = made()
    assert sender.receiver.sink is not sink
    sender.release()
    assert sender.receiver.sink is sink
