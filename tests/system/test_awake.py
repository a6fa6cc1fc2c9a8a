"""Processors that don't sleep: by Linux's own way, or busy with nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import soundfile

from inversynth import live
from inversynth.cli import main
from inversynth.errors import UsageError
from inversynth.system.awake import HAS_IDLE_PRIORITY, _occupy, awake
from sounds import RATE, tone

linux = pytest.mark.skipif(not HAS_IDLE_PRIORITY, reason="this system has no SCHED_IDLE")


def idle_s() -> dict[int, float]:
    """How long each processor has been idle (proc(5))."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    rows = {int(line[0][3:]): int(line[4]) for line in lines if line[0][:3] == "cpu" and line[0] != "cpu"}
    return {processor: ticks / os.sysconf("SC_CLK_TCK") for processor, ticks in rows.items()}


def rationed() -> bool:
    """Whether a container may use only a part of the processors."""
    most = Path("/sys/fs/cgroup/cpu.max")
    return most.exists() and not most.read_text().startswith("max")


def spinning() -> list[int]:
    """The threads of SCHED_IDLE in the processes that this one has started."""
    threads = []
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and int(fields[38]) == os.SCHED_IDLE:
                threads.append(int(task.name))
        except OSError:  # it has ended
            continue
    return threads


@pytest.fixture
def without_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Linux's own way isn't there."""
    monkeypatch.setattr("inversynth.system.awake.LATENCY_FILE", tmp_path / "none")


@pytest.fixture
def latency_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in the place of Linux's, on a machine whose processors a driver puts to sleep."""
    (tmp_path / "driver").write_text("intel_idle\n")
    (tmp_path / "latency").touch()
    monkeypatch.setattr("inversynth.system.awake.IDLE_DRIVER_FILE", tmp_path / "driver")
    monkeypatch.setattr("inversynth.system.awake.LATENCY_FILE", tmp_path / "latency")
    return tmp_path / "latency"


def open_files() -> set[str]:
    return {os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()}


@linux
def test_linuxs_own_way_is_taken_where_it_is_there(latency_file: Path) -> None:
    with awake():
        assert latency_file.read_bytes() == bytes(4)  # no microsecond, as an int of 32 bits
        assert str(latency_file) in open_files()  # for as long as it is to hold
        assert spinning() == []
    assert str(latency_file) not in open_files()


@linux
@pytest.mark.parametrize("driver", ["none\n", None])
def test_but_not_where_no_driver_puts_processors_to_sleep(driver: str | None, latency_file: Path) -> None:
    place = latency_file.with_name("driver")
    place.unlink() if driver is None else place.write_text(driver)
    with awake():
        assert latency_file.read_bytes() == b""
        assert len(spinning()) == len(os.sched_getaffinity(0))


@linux
@pytest.mark.usefixtures("without_file")
@pytest.mark.skipif(rationed(), reason="this container may use only a part of the processors")
def test_no_processor_sleeps_while_they_are_kept_awake_and_all_may_afterwards() -> None:
    assert spinning() == []
    processors = os.sched_getaffinity(0)
    with awake():
        threads = spinning()
        assert {next(iter(os.sched_getaffinity(thread))) for thread in threads} == processors
        assert all(len(os.sched_getaffinity(thread)) == 1 for thread in threads)
        time.sleep(0.1)
        before = idle_s()
        time.sleep(0.5)
        after = idle_s()
        assert max(after[processor] - before[processor] for processor in processors) <= 0.05
    assert spinning() == []


@linux
def test_what_keeps_them_awake_ends_with_a_process_that_is_killed() -> None:
    code = """
import multiprocessing, os, pathlib
from inversynth.system import awake
awake.LATENCY_FILE = pathlib.Path("/nowhere/latency")
with awake.awake():
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=30)
    (helper,) = map(int, done.stdout.split())
    end = time.monotonic() + 10
    while (left := state(helper)) not in ("Z", None) and time.monotonic() < end:
        time.sleep(0.05)
    assert left in ("Z", None)


def state(process: int) -> str | None:
    """The letter of a process's state (proc(5)); None of none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


@linux
@pytest.mark.usefixtures("without_file")
def test_what_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: SimpleQueue[str | None] = SimpleQueue()
    _occupy(max(os.sched_getaffinity(0)) + 1000, os.SCHED_IDLE, 0, sys.exit, outcomes)  # there is no such processor
    refusal = outcomes.get()
    assert refusal is not None
    helper = SimpleNamespace(pipe=SimpleNamespace(recv=lambda: refusal), end=lambda: None)
    monkeypatch.setattr("inversynth.system.awake.Helper", lambda _: helper)
    with pytest.raises(UsageError, match=r"processors can't be kept awake: .*Invalid argument"), awake():
        pass


@linux
@pytest.mark.usefixtures("without_file")
def test_live_keeps_them_awake_when_it_is_asked_to(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.3), RATE)
    words = ["live", "--file", str(tmp_path / "a.wav"), "--synth", "sine", "--model", str(tiny_file), "--fast"]
    seen, run = list[list[int]](), live.Bridge.run

    def looked(bridge: live.Bridge, stop: threading.Event) -> live.Summary:
        seen.append(spinning())
        return run(bridge, stop)

    monkeypatch.setattr(live.Bridge, "run", looked)
    assert main([*words, "--dry-run"]) == 0
    assert main([*words, "--dry-run", "--awake"]) == 0
    assert [len(threads) for threads in seen] == [0, len(os.sched_getaffinity(0))]
    assert spinning() == []


def test_a_system_without_such_a_priority_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inversynth.system.awake.HAS_IDLE_PRIORITY", False)
    with pytest.raises(UsageError, match="kept awake on Linux alone"), awake():
        pass
    assert main(["live", "--file", "nothing.wav", "--dry-run", "--awake"]) == 2
    assert "this system has no SCHED_IDLE" in capsys.readouterr().err
