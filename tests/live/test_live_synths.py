"""Real synths on a real JACK server: what is offered to a receiver changes their sound, there and back."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import jack_server
from inversynth import synths
from inversynth.midi import ControlChange, PortSink, Profile, Receiver, profiles
from inversynth.midi.profile import Control, Setting
from inversynth.predict.shipped import default_model, shipped
from jack_server import PATIENCE_S, RATE, Process, Recorder, Server, until

jack_server.require()

PAPER = synths.load("paper")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "synths-you-can-drive.md").read_text()
NOTE, NOTE_HZ, VELOCITY = 60, 261.626, 100
RECORDED_S = 0.15
STARTS = 8


def centroid_hz(sound: NDArray[np.float32]) -> float:
    """The mean frequency (Hz) of a sound's power spectrum; 0 of silence."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return float(np.fft.rfftfreq(len(sound), 1 / RATE) @ power / max(power.sum(), 1e-30))


class Driven:
    """A synth's MIDI port, the receiver that sends to it, and the recorder of its sound. All begins at x = 0."""

    def __init__(self, port: str, receiver: Receiver, recorder: Recorder) -> None:
        self.port, self.receiver, self.recorder = port, receiver, recorder
        self._x = np.zeros(len(receiver.profile.space))
        self._began = time.monotonic()

    def send(self) -> None:
        """All that waits, at the pace of the wire."""
        while (at := self.receiver.pump(time.monotonic() - self._began)) is not None:
            time.sleep(max(at - (time.monotonic() - self._began), 0))

    def set(self, **x: float) -> None:
        """Offers parameters of ours by their names."""
        for name, place in x.items():
            self._x[self.receiver.profile.space.index(name)] = place
        self.receiver.offer(self._x, np.ones(len(self._x), bool))
        self.send()

    def strike(self) -> None:
        """The note, again if it sounds."""
        self.receiver.note_off(NOTE)
        self.send()
        self.receiver.note_on(NOTE, VELOCITY)
        self.send()

    def measured_hz(self, expected_hz: float, tolerance: float = 0.01) -> float:
        """The centroid as soon as it is the expected one, but for that share; else what it is after a while."""
        for count in range(10):
            found = centroid_hz(self.recorder.record(RECORDED_S))
            if abs(found - expected_hz) <= tolerance * expected_hz:
                break
            if count == 4:  # a busy JACK server loses a message now and then
                self.receiver.forget()
                self.strike()
        return found

    def steady_hz(self) -> float:
        """The centroid once it stays."""
        found = 0.0
        for _ in range(10):
            before, found = found, centroid_hz(self.recorder.record(RECORDED_S))
            if abs(found - before) <= 0.01 * before:
                break
        return found


@pytest.fixture(scope="module")
def recorder(server: Server) -> Recorder:
    return server.recorder()


@contextmanager
def driving(
    server: Server, recorder: Recorder, profile: Profile, start: Callable[[], tuple[Process, str]], output: str
) -> Iterator[Driven]:
    """A process that is driven by a profile, and the audio output port.

    Csound is two JACK clients in one process, and after some of its starts JACK 1.9.21 runs none of them any more,
    nor who listens to them: then it is started again.
    """
    for _ in range(STARTS):
        process, port = start()
        until(lambda: output in server.ports(), output)
        server.connect(output, recorder.input)
        if recorder.runs():
            break
        process.process.kill()
        process.stop()
    else:
        pytest.fail(f"{output} isn't run")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        sink = PortSink(port)
        try:
            yield Driven(port, Receiver(profile, sink), recorder)
        finally:
            sink.close()
            process.stop()


def needs(there: object, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not there, reason=f"needs Debian's {package}")


# -- an instrument of one's own ----------------------------------------------------------------


def block(language: str) -> str:
    """The page's block in that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the page's profile."""
    file = tmp_path_factory.mktemp("profile") / "fm.toml"
    file.write_text(block("toml"))
    return file


@pytest.fixture(scope="module")
def fm(server: Server, recorder: Recorder, profile: Path) -> Iterator[Driven]:
    """The page's instrument, by the page's profile."""
    file = profile.with_name("fm.csd")
    file.write_text(block("csound"))
    start = partial(server.started, lambda: server.start("csound", file), "midi_in:port", "")
    with driving(server, recorder, profiles.load(profile, PAPER), start, "fm:output1") as driven:
        yield driven


@needs(shutil.which("csound"), "csound")
def test_an_fm_instrument_follows_in_pitch_and_brightness(fm: Driven) -> None:
    fm.set(sin_amplitude=1, cutoff=1, resonance=0.1)
    fm.strike()
    # A pure tone, in fourteen bits of pitch: within half a cent. Steps of seven bits would be 8 to 19 cents.
    pitch = fm.receiver.profile.space["sin_frequency"]
    for x in (0, 0.31, 0.5, 1, 0):
        fm.set(sin_frequency=x)
        expected_hz = float(pitch.value_of_x(x))
        assert fm.measured_hz(expected_hz, 3e-4) == pytest.approx(expected_hz, rel=3e-4)
    # Modulated by 1500 Hz at 30 Hz.
    t = np.arange(RATE) / RATE
    broad_hz = centroid_hz(np.sin(2 * np.pi * 440 * t + 1500 / 30 * np.sin(2 * np.pi * 30 * t)).astype(np.float32))
    assert broad_hz > 2 * 440
    for x, expected_hz in ((1, broad_hz), (0, 440)):
        fm.set(sin_mod_frequency=1, sin_mod_amplitude=x)
        assert fm.measured_hz(expected_hz, 0.1) == pytest.approx(expected_hz, rel=0.1)
    fm.receiver.panic()
    fm.send()
    assert fm.measured_hz(0) == 0


@needs(shutil.which("csound"), "csound")
def test_the_instrument_sounds_with_a_recording_that_live_follows(
    server: Server, fm: Driven, profile: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    if default_model(synths.load("paper")) not in shipped():
        pytest.skip("this copy ships no model of the paper's synth")
    notes = (1, 13)  # levels of the pitch, which are semitones above 440 Hz
    sine = {"sin_amplitude": 15, "sustain": 15, "cutoff": 15, "resonance": 1}
    rest = np.zeros(RATE // 4, np.float32)
    played = [rest]
    for pitch in notes:
        levels = np.array([{**sine, "sin_frequency": pitch}.get(name, 0) for name in PAPER.space.names])
        played += [PAPER.render(PAPER.space.values_of_levels(levels[None]), RATE)[0] / 2, rest]
    soundfile.write(tmp_path / "sines.wav", np.concatenate(played), RATE, subtype="FLOAT")
    command = [sys.executable, "-m", "inversynth", "live", "--file", str(tmp_path / "sines.wav"), "--notes"]
    live = server.start(*command, "--midi-out", fm.port, "--profile", profile, error=True)
    live.wait_for("sending to")
    sound = fm.recorder.record(5)
    assert live.process.wait(PATIENCE_S) == 0

    # Where it sounds, in pieces of 50 ms; the end of each stretch has the patch of its note.
    pieces = sound.reshape(-1, RATE // 20)
    sounding = np.flatnonzero(np.abs(pieces).max(1) > 0.02)
    stretches = np.split(sounding, np.flatnonzero(np.diff(sounding) > 1) + 1)
    ends_hz = [centroid_hz(pieces[stretch[-4:-1]].ravel()) for stretch in stretches]
    assert ends_hz == pytest.approx([440 * 2 ** (pitch / 12) for pitch in notes], rel=0.01)


# -- setBfree ----------------------------------------------------------------------------------

HARMONICS = {70: 0.5, 71: 1.5, 72: 1, 73: 2, 74: 3, 75: 4, 76: 5, 77: 6, 78: 8}
"""What the drawbar at each control change adds: the ratios of the Hammond organ's, from 16' to 1'."""
LENT = ("saw_frequency", "tri_frequency", "sqr_frequency")
"""Parameters that drive the drawbars which the profile leaves alone."""


@pytest.fixture
def organ(server: Server, recorder: Recorder) -> Iterator[Driven]:
    """setBfree with a key down, no drawbar out, and neither its rotating speaker nor its reverb."""
    still = ("-U", "000000000", "whirl.bypass=1", "reverb.mix=0", "jack.connect=nothing")
    profile = profiles.load("setbfree", PAPER)
    left = [other.address for other in profile.others if other.name.startswith("upper.drawbar")]
    lent = dict(zip(LENT, left, strict=True))
    controls = [
        Control.of(param, lent[param.name]).within(127, 0) if param.name in lent else control
        for param, control in zip(profile.space, profile.controls, strict=True)
    ]
    profile = replace(profile, controls=tuple(controls))
    start = partial(server.started, lambda: server.start("setBfree", "-C", "-P", *still), ":midi_in", "")
    with driving(server, recorder, profile, start, "setBfree:out_left") as driven:
        driven.strike()
        yield driven


@needs(shutil.which("setBfree"), "setbfree")
def test_an_organ_sounds_with_the_drawbar_that_is_pulled(organ: Driven) -> None:
    drawbars = {control.param.name: control.address for control in organ.receiver.profile.driven}
    assert {address.number for address in drawbars.values() if isinstance(address, ControlChange)} == set(HARMONICS)
    for pulled, address in drawbars.items():
        assert isinstance(address, ControlChange)
        organ.set(**{name: float(name == pulled) for name in drawbars})
        expected_hz = HARMONICS[address.number] * NOTE_HZ
        assert organ.measured_hz(expected_hz) == pytest.approx(expected_hz, rel=0.01)


# -- hexter ------------------------------------------------------------------------------------

HEXTER = Path("/usr/lib/dssi/hexter.so")
WHOLE = (1 << 14) - 1
HELD = {
    **{
        f"Operator 1 {name}": value
        for name, value in {
            "Envelope Generator Level 1": WHOLE,
            "Envelope Generator Level 2": WHOLE,
            "Envelope Generator Level 4": 0,
            "Oscillator Frequency Fine": 0,
            "Oscillator Detune": 8192,  # the 7 of 0 to 14
        }.items()
    },
    **{
        f"Operator {operator} Envelope Generator {what} {i}": WHOLE
        for operator in (2, 3, 4, 5, 6)
        for what in ("Rate", "Level")
        for i in (1, 2, 3)
    },
}
"""Settings beside the profile's: operator 1 in tune, and all at their levels as long as the key is down."""
COARSE = {
    "sin": ("sin_frequency", 16),
    "sin_mod": ("sin_mod_frequency", 17),
    "saw": ("saw_frequency", 18),
    "tri": ("tri_frequency", 19),
    "sqr": ("sqr_frequency", 80),
    "sqr_mod": ("sqr_mod_frequency", 81),
}
"""The operators of hexter, 1 to 6: the parameter that is an operator's frequency, and its control change."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host for DSSI plugins."""
    program = tmp_path_factory.mktemp("host") / "dssi_host"
    words = ["gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", str(ROOT / "tests" / "live" / "dssi_host.c")]
    subprocess.run([*words, "-o", str(program), "-ljack", "-lm"], check=True)
    return program


@pytest.fixture
def hexter(server: Server, recorder: Recorder, host: Path) -> Iterator[Driven]:
    """hexter with a key down, and operator 1 alone audible: all others of the patch are at their lowest level."""
    profile = profiles.load("hexter", PAPER)
    others = {other.name: other.address for other in profile.others}
    held = tuple(Setting(name, others[name], value) for name, value in HELD.items())
    start = partial(server.started, lambda: server.start(host, HEXTER, "hexter"), ":midi_in", "ready")
    with driving(server, recorder, replace(profile, settings=profile.settings + held), start, "hexter:Output") as it:
        it.set(sin_amplitude=1, sustain=1)
        it.strike()
        yield it


@needs(HEXTER.exists(), "hexter")
@needs(shutil.which("gcc"), "gcc")
@needs(Path("/usr/include/dssi.h").exists(), "dssi-dev")
@needs(Path("/usr/include/jack/jack.h").exists(), "libjack-jackd2-dev")
def test_hexter_follows_in_pitch_by_control_changes_and_in_brightness_by_nrpn(hexter: Driven) -> None:
    # 32 ratios of its frequency: a half, and 1 to 31.
    for x, ratio in ((0, 0.5), (0.25, 8), (0.5, 16), (1, 31), (0, 0.5)):
        hexter.set(sin_frequency=x)
        assert hexter.measured_hz(ratio * NOTE_HZ) == pytest.approx(ratio * NOTE_HZ, rel=0.01)
    # Operator 2 modulates operator 1.
    hexter.set(sin_frequency=0.04, sin_mod_frequency=0.04)
    for x, ratio in ((0, 1), (1, 10), (0, 1)):
        hexter.set(sin_mod_amplitude=x)
        hexter.strike()
        assert hexter.measured_hz(ratio * NOTE_HZ) == pytest.approx(ratio * NOTE_HZ, rel=0.01)


@needs(HEXTER.exists(), "hexter")
@needs(shutil.which("gcc"), "gcc")
@needs(Path("/usr/include/dssi.h").exists(), "dssi-dev")
@needs(Path("/usr/include/jack/jack.h").exists(), "libjack-jackd2-dev")
def test_each_of_hexters_control_changes_is_audible_there_and_back(hexter: Driven) -> None:
    driven = {control.param.name: control.address for control in hexter.receiver.profile.driven}
    hexter.set(**{name: 0.04 for name, _ in COARSE.values()})  # once the key's frequency
    hexter.set(**{f"{operator}_amplitude": 0.8 for operator in COARSE})
    hexter.strike()
    for name, number in COARSE.values():
        assert driven[name] == ControlChange(number)
        measured_hz = []
        for x in (0.04, 0.2, 0.04):
            hexter.set(**{name: x})
            hexter.strike()
            measured_hz.append(hexter.steady_hz())
        there, back = measured_hz[1] / measured_hz[0], measured_hz[2] / measured_hz[0]
        assert abs(there - 1) > 0.2
        assert back == pytest.approx(1, abs=0.08)
