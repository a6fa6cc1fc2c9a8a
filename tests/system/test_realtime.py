"""What keeps the live path in time: priority, and processors that don't sleep."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import soundfile

from inversynth import live
from inversynth.cli import main
from inversynth.errors import UsageError
from inversynth.system.realtime import PRIORITY, STAYS_AWAKE, _occupy, awake, hurry, hurrying, relax, stalls
from sounds import RATE, tone

linux = pytest.mark.skipif(not STAYS_AWAKE, reason="this system has no SCHED_IDLE")


def idle_s() -> dict[int, float]:
    """How long each processor has been idle (proc(5))."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    rows = {int(line[0][3:]): int(line[4]) for line in lines if line[0][:3] == "cpu" and line[0] != "cpu"}
    return {processor: ticks / os.sysconf("SC_CLK_TCK") for processor, ticks in rows.items()}


def rationed() -> bool:
    """Whether a container may use only so much of the processors."""
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


@linux
@pytest.mark.skipif(rationed(), reason="this container may use only so much of the processors")
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
import multiprocessing, os
from inversynth.system.realtime import awake
with awake():
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
def test_what_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told: SimpleQueue[str | None] = SimpleQueue()
    _occupy(max(os.sched_getaffinity(0)) + 1000, os.SCHED_IDLE, 0, sys.exit, told)  # there is no such processor
    refusal = told.get()
    assert refusal is not None
    helper = SimpleNamespace(pipe=SimpleNamespace(recv=lambda: refusal), end=lambda: None)
    monkeypatch.setattr("inversynth.system.realtime.Helper", lambda _: helper)
    with pytest.raises(UsageError, match=r"processors can't be kept awake: .*Invalid argument"), awake():
        pass


@linux
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
    monkeypatch.setattr("inversynth.system.realtime.STAYS_AWAKE", False)
    with pytest.raises(UsageError, match="kept awake on Linux alone"), awake():
        pass
    assert main(["live", "--file", "nothing.wav", "--dry-run", "--awake"]) == 2
    assert "this system has no SCHED_IDLE" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no SCHED_FIFO")
def test_a_thread_that_has_real_time_priority_keeps_it() -> None:
    def work() -> tuple[str | None, int, int]:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY + 5))
        why = hurry()
        relax()
        return why, os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    with ThreadPoolExecutor(1) as thread:
        try:
            found = thread.submit(work).result()
        except PermissionError:
            pytest.skip("real-time priority isn't allowed here")
    assert found == (None, os.SCHED_RR, PRIORITY + 5)


@linux
def test_a_processor_that_is_kept_from_who_watches_it_has_stood_still() -> None:
    with stalls(0.02) as seen:
        if seen() is None:
            pytest.skip("real-time priority isn't allowed here")
        helper = next(child for child in multiprocessing.active_children() if child.name == "_watch")
        assert helper.pid is not None
        os.kill(helper.pid, signal.SIGSTOP)
        began_s = time.perf_counter()
        time.sleep(0.1)
        os.kill(helper.pid, signal.SIGCONT)
        ended_s = time.perf_counter()
        time.sleep(0.1)
        found = [stall for stall in seen() or () if stall.length_s > 0.08]
    assert len(found) == len(os.sched_getaffinity(0))
    assert all(began_s < stall.end_s - 0.08 and stall.end_s < ended_s + 0.05 for stall in found)


def test_without_such_a_priority_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inversynth.system.realtime.STAYS_AWAKE", False)
    with stalls(0.02) as seen:
        assert seen() is None


@linux
def test_nor_after_its_helper_has_died_or_was_not_allowed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with stalls(0.02) as seen:
        helper = next(child for child in multiprocessing.active_children() if child.name == "_watch")
        helper.kill()
        helper.join()
        assert seen() is None
    refused = SimpleNamespace(pipe=SimpleNamespace(send=lambda what: None, recv=lambda: None), end=lambda: None)
    monkeypatch.setattr("inversynth.system.realtime.Helper", lambda *_: refused)
    with stalls(0.02) as seen:
        assert seen() is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system doesn't tell of its threads")
def test_threads_that_begin_meanwhile_are_hurried_and_no_others() -> None:
    over = threading.Event()

    def begun() -> threading.Thread:
        thread = threading.Thread(target=over.wait)
        thread.start()
        return thread

    before = begun()
    with hurrying():
        meanwhile = begun()
    try:
        priority = [os.sched_getparam(thread.native_id or 0).sched_priority for thread in (before, meanwhile)]
        if hurry(meanwhile.native_id or 0) is not None:
            pytest.skip("real-time priority isn't allowed here")
        assert priority == [0, PRIORITY]
        assert os.sched_getparam(0).sched_priority == 0
    finally:
        over.set()
