"""Which SIMD target the native code of this process takes, and threads for whole vectors of rows."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from .. import _native
from ..errors import UsageError

SIMD = "INVERSYNTH_SIMD"
"""The environment variable that names the SIMD target to take; by default the fastest this processor can run."""


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that are kept: starting them takes as long as rendering a dozen sounds."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of them


@dataclass(frozen=True)
class SimdTarget:
    """What the native code is compiled for: its number, the sounds it renders side by side, and how it rounds."""

    number: int
    name: str
    lanes: int
    arithmetic: str
    """Targets of the same arithmetic render the same bytes."""


@functools.cache
def simd_target() -> SimdTarget:
    """The target that this process takes; raises `UsageError` if INVERSYNTH_SIMD names none this processor can run."""
    targets = [SimdTarget(number, *about) for number, about in enumerate(_native.simd_targets())]
    wanted = os.environ.get(SIMD) or targets[-1].name
    for target in targets:
        if target.name == wanted:
            return target
    raise UsageError(f"{SIMD}={wanted}: this processor can run {', '.join(target.name for target in targets)}")


def in_threads(work: Callable[[int, int], None], rows: int, workers: int | None = None) -> None:
    """Calls work(first, after) for parts of `rows` rows, whole vectors each but for the last, in a thread each.

    workers: threads, by default one a core, of which this is one. Raises what a part has raised, once all are done.
    """
    lanes = simd_target().lanes
    groups = -(-rows // lanes)
    threads = min(workers or os.cpu_count() or 1, groups)
    if threads <= 1:
        work(0, rows)
        return
    bounds = np.minimum(np.linspace(0, groups, threads + 1).astype(int) * lanes, rows)
    own, *rest = itertools.pairwise(bounds.tolist())
    pool = _pool(threads - 1)
    jobs = [pool.submit(work, *part) for part in rest]
    try:
        work(*own)
    finally:
        wait(jobs)
    for job in jobs:
        job.result()
