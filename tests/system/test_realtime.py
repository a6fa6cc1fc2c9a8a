"""What keeps the live path in time: real-time priority."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inversynth.system.realtime import PRIORITY, realtime_threads, restore_priority, set_realtime_priority


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no SCHED_FIFO")
def test_a_thread_that_has_real_time_priority_keeps_it() -> None:
    def work() -> tuple[str | None, int, int]:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY + 5))
        why = set_realtime_priority()
        restore_priority()
        return why, os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    with ThreadPoolExecutor(1) as thread:
        try:
            found = thread.submit(work).result()
        except PermissionError:
            pytest.skip("real-time priority isn't allowed here")
    assert found == (None, os.SCHED_RR, PRIORITY + 5)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system doesn't tell of its threads")
def test_threads_that_begin_meanwhile_get_real_time_priority_and_no_others() -> None:
    over = threading.Event()

    def begun() -> threading.Thread:
        thread = threading.Thread(target=over.wait)
        thread.start()
        return thread

    before = begun()
    with realtime_threads():
        meanwhile = begun()
    try:
        priority = [os.sched_getparam(thread.native_id or 0).sched_priority for thread in (before, meanwhile)]
        if set_realtime_priority(meanwhile.native_id or 0) is not None:
            pytest.skip("real-time priority isn't allowed here")
        assert priority == [0, PRIORITY]
        assert os.sched_getparam(0).sched_priority == 0
    finally:
        over.set()
