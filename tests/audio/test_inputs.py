"""Audio devices: which there are, which one is meant, and which one is back; and the process of an input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inversynth.audio import devices
from inversynth.audio.devices import Row, find_device, list_devices
from inversynth.audio.input import serve
from inversynth.audio.shared_ring import SharedRing
from inversynth.errors import UsageError
from inversynth.system.devices import Followed
from portaudio import INPUT_OVERFLOW, deliver
from sounds import noise


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
    monkeypatch.setattr(devices, "load_sounddevice", lambda: FakePortAudio(list(rows)))


def test_only_inputs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0), ("Microphone", 1), ("Line", 2))
    assert [(row["index"], row["name"]) for row in list_devices()] == [(1, "Microphone"), (2, "Line")]


def test_without_an_input_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ("Speakers", 0))
    with pytest.raises(UsageError, match=r"no audio input: .* jackd -r -d dummy .* --file"):
        list_devices()


ROWS = ("Speakers", 0), ("Microphone", 1), ("Line", 2)


@pytest.mark.parametrize(("wanted", "name"), [("1", "Microphone"), ("line", "Line"), ("Line", "Line")])
def test_a_device_is_found_by_index_or_part_of_its_name(
    wanted: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, *ROWS)
    assert find_device(list_devices(), wanted)["name"] == name


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


def served(device: str | Followed, sample_rate: int | None) -> tuple[Any, SharedRing]:
    pipe, ring = Pipe(), SharedRing(1000)
    serve(pipe, ring, device, sample_rate, 50)  # type: ignore[arg-type]
    (said,) = pipe.sent
    return said, ring


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
    said, ring = served("line", 16384)
    assert (said.followed.name, said[1:]) == ("Line (Fake)", ("Line (Fake, 16384 Hz)", 16384))
    blocks = [block for block, _ in ring.take()]
    np.testing.assert_array_equal(blocks, [noise(50, number) for number in range(3)])
    assert (ring.take_overflows(), ring.take_overflows()) == (1, 0)


def lost(*names: str, at: int) -> Followed:
    """The input of these that was open, and has gone."""
    followed = Followed([f"{name} (Fake)" for name in names], at)
    followed.lose()
    return followed


def test_a_device_that_is_back_may_have_another_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, *ROWS)
    said, _ = served(lost("Line", at=0), 48000)
    assert said[1:] == ("Line (Fake, 44100 Hz)", 44100)
    said, _ = served(lost("Lin", at=0), 48000)  # only the whole name is the device's
    assert isinstance(said, UsageError)


# -- devices that look alike ----------------------------------------------------------------------


def rows(*names: str, hostapi: str = "ALSA") -> list[Row]:
    return [{"index": index, "name": name, "hostapi": hostapi} for index, name in enumerate(names)]


def test_of_two_devices_of_the_very_same_name_an_index_chooses() -> None:
    there = rows("Built-in", "USB Audio", "USB Audio")
    with pytest.raises(UsageError, match="audio input 'usb' could be 1 'USB Audio', 2 'USB Audio'; give its index"):
        find_device(there, "usb")
    with pytest.raises(UsageError, match="give its index"):
        find_device(there, "USB Audio")
    assert find_device(there, "2") is there[2]


def found_again(monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...], at: int, now: tuple[str, ...]) -> Any:
    """The name of the device and its place among those there are now; None while it is waited for."""
    use(monkeypatch, *((name, 1) for name in now))
    said, _ = served(lost(*before, at=at), None)
    return None if isinstance(said, UsageError) else (said.followed.name.removesuffix(" (Fake)"), said.followed.at)


USB = "USB Audio: - (hw:{},{})".format


@pytest.mark.parametrize("at", [1, 2])
def test_a_device_whose_twin_is_still_there_is_waited_for(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("Built-in", "USB Audio", "USB Audio")
    assert found_again(monkeypatch, both, at, both[:2]) is None  # which of them that is isn't known
    assert found_again(monkeypatch, both, at, both) == ("USB Audio", at)


def test_a_device_that_is_back_under_another_number_of_alsa_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ("Built-in: - (hw:0,0)", USB(1, 0))
    assert found_again(monkeypatch, before, 1, before[:1]) is None
    assert found_again(monkeypatch, before, 1, (before[0], USB(3, 0))) == (USB(3, 0), 1)
    assert found_again(monkeypatch, before, 1, (before[0], USB(3, 1))) is None  # another input of it
    assert found_again(monkeypatch, (USB(1, 0), USB(1, 1)), 1, (USB(3, 0), USB(3, 1))) == (USB(3, 1), 1)


def test_its_twin_under_alsa_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (USB(1, 0), USB(2, 0))
    assert found_again(monkeypatch, before, 0, (USB(2, 0),)) is None
    assert found_again(monkeypatch, before, 0, (USB(2, 0), USB(4, 0))) == (USB(4, 0), 1)


def test_the_same_name_at_another_system_is_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed(["Line (ALSA)"], 0)
    followed.lose()
    use(monkeypatch, ("Line", 1))
    assert isinstance(served(followed, None)[0], UsageError)
