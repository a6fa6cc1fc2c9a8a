"""Which port or device is meant, while others of its name come and go."""

from __future__ import annotations

import pytest

from inversynth.errors import UsageError
from inversynth.midi import InputPort, PortSink, messages, ports
from inversynth.system.devices import Followed, pick

CHANGE = messages.control_change(1, 20, 5)


def test_a_number_chooses_where_names_do_not() -> None:
    names = ["USB MIDI", "Synth", "USB MIDI"]
    assert pick(names, "2", "MIDI input port", True) == 2
    assert pick(["a", "2", "b"], "2", "port", True) == 1  # a name goes first
    with pytest.raises(UsageError, match=r"port 'USB MIDI' could be 0 'USB MIDI', 2 'USB MIDI'; .*, or its number"):
        pick(names, "USB MIDI", "port", True)
    with pytest.raises(UsageError, match="no port '7'; there are"):
        pick(names, "7", "port", True)


def test_a_device_that_is_back_under_another_number_is_found_and_its_twin_is_not_taken_for_it() -> None:
    twin, ours = "Synth:in 24:0", "Synth:in 20:0"
    followed = Followed([twin, "Through 14:0", ours], 2)
    assert not followed.update([twin, "Through 14:0"])
    assert followed.at is None
    assert not followed.update([twin, "Through 14:0", "Other:in 28:0"])
    assert followed.at is None
    assert followed.update(["Synth:in 32:0", twin])
    assert followed.name == "Synth:in 32:0"
    assert not followed.update([twin, "Synth:in 32:0"])
    assert followed.at == 1


def test_an_audio_device_is_followed_by_its_name_without_alsas_card_number() -> None:
    followed = Followed(["USB Audio: - (hw:1,0) (ALSA)", "default (ALSA)"], 0)
    assert not followed.update(["default (ALSA)"])
    assert followed.update(["default (ALSA)", "USB Audio: - (hw:2,0) (ALSA)"])
    assert followed.at == 1


def test_of_equal_names_the_place_counts_and_while_one_is_missing_it_is_in_doubt() -> None:
    followed = Followed(["USB", "other", "USB"], 2)
    assert not followed.update(["other", "USB", "USB"])
    assert followed.at == 2
    assert not followed.update(["USB", "other"])
    assert followed.at == 0  # perhaps: the messages of one that is gone are dropped
    assert followed.update(["USB", "other", "USB"])  # to be opened again
    assert followed.at == 2
    assert not followed.update([])
    assert not followed.update(["USB"])  # this may be the other one
    assert followed.at is None
    assert followed.update(["USB", "USB"])
    assert followed.at == 1


class System:
    """A MIDI system of ports, in the place of RtMidi; `opened` is the number of the one that is open."""

    def __init__(self, *names: str) -> None:
        self.names, self.opened = list(names), -1
        self.sent: list[tuple[int, bytes]] = []

    def get_ports(self) -> list[str]:
        return self.names

    def open_port(self, at: int, name: str) -> None:
        self.opened = at

    def close_port(self) -> None:
        self.opened = -1

    def delete(self) -> None: ...

    def ignore_types(self, sysex: bool) -> None: ...

    def set_callback(self, callback: object) -> None: ...

    def cancel_callback(self) -> None: ...

    def send_message(self, message: bytes) -> None:
        self.sent.append((self.opened, message))


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made = System("USB", "USB", "Synth 20:0", "Synth 24:0")
    monkeypatch.setattr(ports, "rtmidi_output", lambda: made)
    monkeypatch.setattr(ports, "_rtmidi", lambda kind: made)
    monkeypatch.setattr(ports, "jack_server", lambda: None)
    monkeypatch.setattr(ports, "LOOK_S", 0.0)
    monkeypatch.setattr(PortSink, "SETTLE_S", 0.0)
    return made


def test_the_second_of_two_equal_ports_is_sent_to_by_its_number_and_again_when_both_are_back(system: System) -> None:
    sink = PortSink("1")
    sink.send(CHANGE, 0.0)
    system.names.remove("USB")
    assert not sink.returned()
    system.names.insert(0, "USB")
    assert not sink.returned()  # opened, and then
    assert sink.returned()
    sink.send(CHANGE, 0.0)
    assert system.sent == [(1, CHANGE), (1, CHANGE)]


def test_a_receiver_that_is_gone_is_waited_for_beside_its_twin(system: System) -> None:
    sink = PortSink("Synth 20:0")
    system.names.remove("Synth 20:0")
    for _ in range(3):
        assert not sink.returned()
    sink.send(CHANGE, 0.0)
    assert system.sent == []  # and none to Synth 24:0
    system.names.append("Synth 28:0")
    assert not sink.returned()
    assert sink.returned()
    sink.send(CHANGE, 0.0)
    assert system.sent == [(3, CHANGE)]


def test_an_input_says_once_that_it_is_gone_and_is_opened_again(system: System) -> None:
    port = InputPort("Synth 24:0")
    assert system.opened == 3
    assert not port.left()
    system.names.remove("Synth 24:0")
    assert [port.left() for _ in range(3)] == [True, False, False]
    assert system.opened == -1
    system.names.insert(0, "Synth 30:0")
    assert not port.left()
    assert system.opened == 0
    port.close()
