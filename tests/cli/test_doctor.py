"""`inversynth doctor`: what it finds, what it advises, and that nothing on a machine can crash it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import jack_server
from inversynth.cli import checks as doctor
from inversynth.cli import probes
from inversynth.cli.checks import LIMIT, MISSING, OK, OPTIONAL, Finding, kind_of_system
from inversynth.predict.shipped import shipped
from inversynth.system.simd import simd_target

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
UBUNTU = "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n"
ROCKY = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'
LEAP = 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
MANJARO = "ID=manjaro\nID_LIKE=arch\n"


def run(cwd: Path, **environment: str) -> tuple[int, dict[str, str]]:
    """The exit code of the command, and the line of each thing looked at, without what it is about."""
    done = subprocess.run(
        [sys.executable, "-m", "inversynth", "doctor"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.stderr == ""
    *lines, verdict = done.stdout.splitlines()
    assert verdict == f"inversynth live {'can run here' if done.returncode == 0 else 'cannot run here'}"
    return done.returncode, {line[2:20].rstrip(): line[0] + line[20:] for line in lines}


NO_SERVER = {"JACK_DEFAULT_SERVER": "none-of-that-name"}


# -- on this machine ------------------------------------------------------------------------------


def test_it_says_what_this_machine_has_and_what_to_do_without_an_input(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    code, lines = run(tmp_path, **NO_SERVER)
    assert lines["Python"] == f"✓  {platform.python_version()} on {platform.system()} {platform.machine()}"
    assert lines["native kernel"] == f"✓  {simd_target().name}, {simd_target().lanes} sounds side by side"
    assert lines["onnxruntime"] == f"✓  onnxruntime {importlib.metadata.version('onnxruntime')}"
    assert lines["models"] == f"✓  {', '.join(shipped())}"
    assert lines["baselines"].startswith("✓" if "cma" in doctor._installed() else "·")
    if not Path("/dev/snd").exists():
        jack_server.require()
        assert code == 1
        assert lines["PortAudio"].startswith("✓")
        assert lines["audio inputs"].startswith("✗  none")
        assert lines["audio inputs"].endswith("  →  connect a device, or start a server: " + doctor.DUMMY)
        assert lines["JACK server"].startswith("·  none runs")
        assert lines["MIDI"].startswith("!  no MIDI system")


def test_with_a_jack_server_it_can(tmp_path: Path) -> None:
    jack_server.require()
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    server = jack_server.Server("inversynth-doctor")
    try:
        code, lines = run(tmp_path, **server.environment)
    finally:
        server.stop()
    assert code == 0
    assert lines["audio inputs"].startswith("✓")
    assert "system" in lines["audio inputs"]
    assert lines["JACK server"] == "✓  runs"
    assert lines["MIDI"].startswith("✓")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("import os; os.abort()", "it crashes when probed (signal 6)"),
        ("raise OSError('PortAudio library not found')", "audio devices need the PortAudio library"),
        ("raise KeyError('odd')", "'odd'"),
        ("import sys; sys.exit(3)", "it crashes when probed (exit code 3)"),
    ],
)
def test_a_library_that_crashes_is_a_finding(
    broken: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (found,) = doctor.audio_found(probes.probed("audio"), "debian")
    assert found.state == MISSING
    assert found.found.startswith(said)
    assert found.remedy == "apt install libportaudio2"


def test_the_command_bears_a_crash_and_a_terminal_of_ascii(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("import os; os.abort()")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code, lines = run(tmp_path, **NO_SERVER, PYTHONPATH=path, PYTHONIOENCODING="ascii")
    assert code == 1
    assert lines["PortAudio"].startswith("x  it crashes when probed (signal 6)  ->  ")
    assert {line[0] for line in lines.values()} <= set("+-!x")


def test_a_library_that_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_S", 0.01)
    assert probes.probed("network") == {"error": "it hangs when probed (given up after 0.01 s)"}


def test_a_look_that_fails_ends_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "probed", lambda name: {})
    monkeypatch.setenv("INVERSYNTH_SIMD", "abacus")
    simd_target.cache_clear()
    try:
        found = {finding.about: finding for finding in doctor.examine()}
    finally:
        simd_target.cache_clear()
    assert found["native kernel"].state == MISSING
    assert "INVERSYNTH_SIMD=abacus: this processor can run" in found["native kernel"].found
    assert found["PortAudio"].state == MISSING
    assert found["MIDI"].state == LIMIT
    assert found["Python"].state == OK


# -- on others ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform_name", "os_release", "kind"),
    [
        ("linux", DEBIAN, "debian"),
        ("linux", UBUNTU, "debian"),
        ("linux", ROCKY, "fedora"),
        ("linux", LEAP, "suse"),
        ("linux", MANJARO, "arch"),
        ("linux", "", ""),
        ("linux", "ID=nixos\n", ""),
        ("darwin", DEBIAN, "darwin"),
        ("win32", DEBIAN, "win32"),
    ],
)
def test_the_kind_of_system(platform_name: str, os_release: str, kind: str) -> None:
    assert kind_of_system(platform_name, os_release) == kind
    assert all(kind in ways for ways in doctor.INSTALL.values())


@pytest.mark.parametrize(
    ("system", "remedy"),
    [
        ("debian", "apt install libportaudio2"),
        ("fedora", "dnf install portaudio"),
        ("darwin", "brew install portaudio"),
        ("win32", "pip install --force-reinstall sounddevice (its Windows wheels bring PortAudio)"),
    ],
)
def test_the_remedy_is_that_of_the_system(system: str, remedy: str) -> None:
    assert list(doctor.audio_found({"error": "no library; use --file"}, system)) == [
        Finding(MISSING, "PortAudio", "no library", remedy)
    ]


def test_many_devices_are_still_one_line() -> None:
    facts = {"portaudio": "PortAudio V19.7.0-devel, revision 1", "apis": ["Core Audio"], "inputs": list("abcdef")}
    found = list(doctor.audio_found(facts, "darwin"))
    assert found[:2] == [
        Finding(OK, "PortAudio", "PortAudio V19.7.0-devel"),
        Finding(OK, "audio inputs", "a, b, c, d and 2 more"),
    ]
    assert found[2].state == OPTIONAL


def test_midi_ports_are_named() -> None:
    assert list(doctor.midi_found({"api": "CoreMIDI", "outputs": ["Volca", "DX"]}, "darwin")) == [
        Finding(OK, "MIDI", "CoreMIDI: Volca, DX")
    ]
    assert next(doctor.midi_found({"api": "WinMM", "outputs": []}, "win32")).found.startswith("WinMM: no ports yet")


RAN = {"version": "1.31.1", "models": ["paper"], "model": "paper", "device": "cpu"}


@pytest.mark.parametrize(
    ("facts", "installed", "gpu", "states"),
    [
        (RAN, {"onnxruntime": "1.31.1"}, False, (OK, OK, OPTIONAL)),
        (RAN, {"onnxruntime": "1.31.1"}, True, (OK, OK, OPTIONAL)),
        (RAN | {"device": "cuda"}, {"onnxruntime-gpu": "1.31.1"}, True, (OK, OK, OK)),
        ({"error": "models need onnxruntime"}, {}, False, (MISSING, OPTIONAL)),
        ({"version": "1.31.1", "models": []}, {"onnxruntime": "1.31.1"}, False, (OK, MISSING, OPTIONAL)),
        ({"version": "1", "models": ["paper"], "error": "x"}, {"onnxruntime": "1"}, False, (OK, MISSING, OPTIONAL)),
    ],
)
def test_what_the_network_needs(
    facts: probes.Facts, installed: dict[str, str], gpu: bool, states: tuple[str, ...]
) -> None:
    found = list(doctor.network_found(facts, installed, gpu))
    assert tuple(finding.state for finding in found) == states
    assert all(finding.remedy for finding in found if finding.state in (LIMIT, MISSING))


def test_an_extra_lacks_what_is_absent_or_too_old() -> None:
    required = [
        "numpy>=2.0",
        'tensorflow>=2.21; extra == "train"',
        'tf2onnx>=1.17; extra == "train"',
        'Some_Thing[s3]>=1.2; extra == "train"',
        'cma>=4; extra == "baselines"',
    ]
    installed = {"tensorflow": "2.21.0", "tf2onnx": "1.9.3", "cma": "4.5.0"}
    found = {finding.about: finding for finding in doctor.extras_found(installed, required)}
    assert found["train"] == Finding(
        OPTIONAL,
        "train",
        "lacks tf2onnx>=1.17 (there is 1.9.3), Some_Thing>=1.2",
        "pip install 'inversynth[train]'",
    )
    assert found["baselines"].state == OK
    assert "conflict" not in found


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}, "onnxruntime and onnxruntime-gpu have written over"),
        ({"tensorflow": "2.21.0", "tensorflow-cpu": "2.21.0"}, "tensorflow and tensorflow-cpu have written over"),
        (
            {"tensorflow": "2.21.0", "nvidia-cuda-runtime-cu12": "12.5.82", "onnxruntime-gpu": "1.31.1"},
            "TensorFlow's CUDA 12 beside onnxruntime-gpu 1.31.1, which wants CUDA 13",
        ),
    ],
)
def test_what_cant_stand_side_by_side(installed: dict[str, str], said: str) -> None:
    conflicts = [finding for finding in doctor.extras_found(installed, []) if finding.about == "conflict"]
    assert len(conflicts) == 1
    assert said in conflicts[0].found
    assert conflicts[0].remedy


def test_an_older_onnxruntime_bears_cuda_12_beside_it() -> None:
    installed = {"tensorflow": "2.21.0", "nvidia-cuda-runtime-cu12": "12.5.82", "onnxruntime-gpu": "1.26.0"}
    assert "conflict" not in {finding.about for finding in doctor.extras_found(installed, [])}


@pytest.mark.parametrize(
    ("governors", "state", "said"),
    [
        ([], OPTIONAL, "not to be seen here"),
        (["performance"] * 2, OK, "performance"),
        (["powersave", "performance"], LIMIT, "performance, powersave"),
    ],
)
def test_the_governor_of_the_processor(governors: list[str], state: str, said: str, tmp_path: Path) -> None:
    for number, name in enumerate(governors):
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_governor").write_text(f"{name}\n")
    (found,) = doctor.governor_found(tmp_path)
    assert found.state == state
    assert said in found.found


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="real-time priority is asked for on Linux")
def test_whether_real_time_is_allowed_is_tried_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getscheduler(0)
    found = {finding.about: finding for finding in doctor.rights_found("debian")}
    assert os.sched_getscheduler(0) == before

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    refused = {finding.about: finding for finding in doctor.rights_found("debian")}["real-time priority"]
    assert refused.state == LIMIT
    assert "@audio - rtprio 95" in refused.remedy

    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    enough = locked == resource.RLIM_INFINITY or locked >= 107_341_340
    assert found["locked memory"].state == (OK if enough else LIMIT)
    assert enough or re.match(rf"{locked >> 20} MiB, and JACK wants 102", found["locked memory"].found)
