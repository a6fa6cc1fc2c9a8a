"""An audio output whose device goes away and comes back, without one: PortAudio is stood in for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inversynth import synths
from inversynth.errors import InversynthError, UsageError
from inversynth.live.play import Output, Voices, initial_patch
from inversynth.live.play import output as module

PAPER = synths.load("paper")
RATE = 48000


class Stream:
    """A stream that is active until its device goes."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row, self.active, self.closed, self.refuses = row, False, False, False

    def start(self) -> None:
        if self.refuses:
            raise OSError("device busy")
        self.active = True

    def close(self) -> None:
        self.closed = True


class Machine:
    """The audio outputs of a machine, which may change; a clock that is set."""

    def __init__(self, *names: str, api: str = "ALSA") -> None:
        self.names, self.api, self.now = list(names), api, 100.0
        self.streams: list[Stream] = []
        self.scans, self.refuses = 0, False

    def rows(self) -> list[dict[str, Any]]:
        if not self.names:
            raise UsageError("no audio output")
        return [{"index": i + 4, "name": name, "hostapi": self.api} for i, name in enumerate(self.names)]

    def open(self, kind: str, row: dict[str, Any], *rest: object) -> Stream:
        self.streams.append(Stream(row))
        self.streams[-1].refuses = self.refuses
        return self.streams[-1]

    def rescan(self) -> None:
        assert all(stream.closed for stream in self.streams)
        self.scans += 1

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def machine(monkeypatch: pytest.MonkeyPatch, *names: str, api: str = "ALSA") -> Machine:
    made = Machine(*names, api=api)
    monkeypatch.setattr(module, "list_outputs", made.rows)
    monkeypatch.setattr(module, "open_stream", made.open)
    monkeypatch.setattr(module, "rescan_devices", made.rescan)
    monkeypatch.setattr(module, "time", made)
    return made


def played(voices: Voices) -> int:
    return voices.native.played()[0]


def test_a_device_that_is_back_under_another_number_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, "Other (hw:0,0)", "USB (hw:1,0)")
    voices, said = Voices(PAPER, initial_patch(PAPER), RATE), list[str]()
    output = Output(here.rows()[1], voices, say=said.append)
    output.start()
    output.check()
    assert said == []
    voices.note_on(69)
    here.names.pop()
    here.streams[0].active = False
    output.check()
    assert here.streams[0].closed
    for _ in range(40):  # two seconds
        here.now += 0.05
        output.check()
    assert len(here.streams) == 1
    assert played(voices) == pytest.approx(2 * RATE, abs=RATE // 10)  # time goes on
    assert voices.native.played()[3] == 0  # and nothing sounds
    here.names = ["USB (hw:3,0)", "Other (hw:0,0)"]
    here.now += 1.0
    output.check()
    assert here.streams[1].row["index"] == 4
    assert here.streams[1].active
    assert [line.split(") ")[-1] for line in said] == ["is away; it is opened again when it is back", "is back"]
    before, scans = played(voices), here.scans
    here.now += 0.05
    output.check()
    assert (played(voices), here.scans) == (before, scans)  # the device asks now


def test_another_device_of_the_same_kind_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, "USB (hw:1,0)", "USB (hw:2,0)")
    output = Output(here.rows()[0], Voices(PAPER, initial_patch(PAPER), RATE))
    output.start()
    here.names = ["USB (hw:2,0)"]
    here.streams[0].active = False
    for _ in range(10):
        output.check()
        here.now += 1.0
    assert len(here.streams) == 1
    output.close()  # there is nothing to close


def test_what_is_given_while_it_is_away_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, "USB")
    voices, same = (Voices(PAPER, initial_patch(PAPER), RATE) for _ in range(2))
    output = Output(here.rows()[0], voices)
    output.start()
    here.names.clear()
    here.streams[0].active = False
    output.check()
    for i in range(9000):  # more than the ring holds
        for each in (voices, same):
            each.set(PAPER.space.index("cutoff"), 200.0 + i / 10)
        here.now += 0.001
        output.check()
        same.process(48)
    assert voices.lost == same.lost == 0
    for each in (voices, same):
        each.note_on(69)
    assert np.array_equal(voices.process(4096), same.process(4096))


def test_a_device_that_is_back_and_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, "USB")
    output = Output(here.rows()[0], Voices(PAPER, initial_patch(PAPER), RATE))
    output.start()
    here.streams[0].active = False
    here.refuses = True
    for _ in range(3):
        output.check()
        here.now += 1.0
    here.refuses = False
    output.check()
    assert [stream.active for stream in here.streams] == [False, False, False, True]


def test_an_output_of_jack_whose_server_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(monkeypatch, "system", api="JACK Audio Connection Kit")
    output = Output(here.rows()[0], Voices(PAPER, initial_patch(PAPER), RATE))
    output.start()
    here.streams[0].active = False
    with pytest.raises(InversynthError, match=r"has stopped: is it unplugged, or its server gone\?"):
        output.check()
    assert not here.streams[0].closed  # it would hang
