"""The soak of the live bridge, and the look at a machine that stands still."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from inversynth.live import bench
from inversynth.live.bench.apart import apart
from inversynth.system.awake import HAS_IDLE_PRIORITY

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
linux = pytest.mark.skipif(not HAS_IDLE_PRIORITY, reason="this system has no SCHED_IDLE")


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("soak")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("stalls")


def test_an_overflow_is_the_machines_if_it_stood_still_then_or_within_four_blocks_before(
    soak: ModuleType, watch: ModuleType
) -> None:
    seen = [watch.Stall(10.0, 0.003), watch.Stall(20.0, 0.0214)]
    lost_s = [(9.99, 9.996), (9.99, 9.998), (10.0, 10.0), (10.02, 10.03), (10.021, 10.04), (19.9, 20.1)]
    assert soak.stalled(seen, lost_s, 0.005) == {"count": 2, "max_ms": 21.4, "overflows": 4}
    assert soak.stalled([], lost_s, 0.005) == {"count": 0, "max_ms": 0.0, "overflows": 0}
    assert soak.stalled(None, lost_s, 0.005) is None
    assert soak.stall_rows([{"stalls": soak.stalled(seen, lost_s, 0.005)}, {"stalls": None}]) == [
        ("stalls of the machine", "2", "-"),
        ("the longest, ms", "21.4", "-"),
        ("overflows with one", "4", "-"),
    ]


def test_a_soak_sends_twenty_times_the_messages(soak: ModuleType, tiny_file: Path, tmp_path: Path) -> None:
    found = apart(soak.soak, bench.load_on_cpu, str(tiny_file), 512, 1.0, True, False)
    assert found["messages"] > 0
    assert found["messages"] % soak.SOAK_OUTPUTS == 0
    assert found["messages_per_s"] == pytest.approx(found["messages"] / found["seconds"], rel=1e-3)
    assert found["overflows"] == 0
    assert len(found["memory_mib"]) >= 20


@linux
def test_a_processor_that_is_kept_from_who_watches_it_has_stood_still(watch: ModuleType) -> None:
    with watch.stalls(0.02) as seen:
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


def test_without_such_a_priority_nothing_is_seen(watch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HAS_IDLE_PRIORITY", False)
    with watch.stalls(0.02) as seen:
        assert seen() is None


@linux
def test_nor_after_its_helper_has_died_or_was_not_allowed_to(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watch.stalls(0.02) as seen:
        helper = next(child for child in multiprocessing.active_children() if child.name == "_watch")
        helper.kill()
        helper.join()
        assert seen() is None
    refused = SimpleNamespace(pipe=SimpleNamespace(send=lambda what: None, recv=lambda: None), end=lambda: None)
    monkeypatch.setattr(watch, "Helper", lambda *_: refused)
    with watch.stalls(0.02) as seen:
        assert seen() is None
