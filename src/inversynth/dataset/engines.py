"""Where tasks run: on threads of this machine, or on the nodes of a Ray cluster (the extra `ray`).

A task is called with a number and gives a result. Engines give (number, result) in the order in which the
tasks finish; they take the numbers as they need them, and hold few tasks and results at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, cast

from ..errors import InversynthError, UsageError, one_line
from ..version import __version__

ENGINES = ("local", "ray")
MAX_WORKERS = 1024
THREADS_A_CORE = 2
"""One computes while another waits for the disk."""
RETRIES = 10
"""How often a task is started again after its worker or node died."""
CONNECT_S = 5.0
"""How long the address of a cluster may take to answer."""
CANCEL_S = 10.0
"""How long to wait for tasks that were asked to stop."""
STORE_BYTES = 80_000_000
"""The object store of a cluster that is started here: about the least Ray takes, since no sound passes through it."""

T = TypeVar("T")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class Engine(Protocol):
    """Runs tasks; close what `run` gives (`contextlib.closing`) to be sure that no task goes on after it."""

    def run(self, task: Callable[[int], T], numbers: Iterable[int]) -> Generator[tuple[int, T], None, None]:
        """(number, result) for each number, in any order.

        The first error of a task is raised as it is; on that, and where the caller stops, the tasks at work
        are ended and the others not started.
        """


@contextlib.contextmanager
def engine(name: str = "local", workers: int | None = None, address: str | None = None) -> Iterator[Engine]:
    """The engine of that name, until the end of the block.

    workers: how many tasks run at a time; by default two a core, on a cluster one a CPU. address: of a Ray
    cluster, as HOST:PORT or "auto"; by default what RAY_ADDRESS says, else a cluster of this machine alone, which
    ends with the block.
    Raises `UsageError` for a wrong option, a missing package, or an address where no cluster is.
    """
    if name not in ENGINES:
        raise UsageError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"{workers} workers are outside 1..{MAX_WORKERS}")
    if name == "ray":
        with _connected(address, workers):
            yield RayEngine(workers)
    elif address is None:
        yield LocalEngine(workers or THREADS_A_CORE * (os.cpu_count() or 1))
    else:
        raise UsageError(f"the address {address} can't be used with engine {name}; add --engine ray, or leave it out")


def checkpoint() -> None:
    """For tasks to call now and then: raises `CancelledError` if the engine has asked this task to stop."""
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise CancelledError


def identity(task: object) -> str:
    """What the machines of a cluster must have in common: the package, and what the task says of its own `identity`."""
    own = getattr(task, "identity", None)
    return f"inversynth {__version__}" if own is None else f"inversynth {__version__}, {own}"


@dataclass(frozen=True)
class LocalEngine:
    """Threads of this process."""

    workers: int

    def run(self, task: Callable[[int], T], numbers: Iterable[int]) -> Generator[tuple[int, T], None, None]:
        """See `Engine`; a task that calls `checkpoint` ends early when it is asked to stop.

        The end waits for the tasks at work; a second Ctrl-C leaves one that doesn't end to itself.
        """
        numbers, stop = iter(numbers), threading.Event()
        # Not futures: a Ctrl-C while the main thread holds their locks would leave the workers waiting for ever.
        results: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()
        wanted: SimpleQueue[int | None] = SimpleQueue()
        threads: list[threading.Thread] = []
        under_way = 0

        def work() -> None:
            _stop.set(stop)
            while (number := wanted.get()) is not None and not stop.is_set():
                try:
                    results.put((number, task(number), None))
                except BaseException as error:
                    results.put((number, None, error))

        try:
            while True:
                for number in itertools.islice(numbers, 2 * self.workers - under_way):
                    wanted.put(number)
                    under_way += 1
                    if len(threads) < self.workers:
                        threads.append(threading.Thread(target=work, name="task", daemon=True))
                        threads[-1].start()
                if not under_way:
                    return
                number, result, error = results.get()
                under_way -= 1
                if error is not None:
                    raise error
                yield number, cast(T, result)
        finally:
            stop.set()
            for _ in threads:
                wanted.put(None)
            for thread in threads:
                thread.join()


@dataclass(frozen=True)
class RayEngine:
    """The cluster that this process is connected to; a task takes one CPU, and may begin again elsewhere.

    The nodes must have this very package installed, and what the task needs, such as the file of a synth, at the same
    path; one that hasn't is named in an `InversynthError`.
    """

    workers: int | None = None

    def run(self, task: Callable[[int], T], numbers: Iterable[int]) -> Generator[tuple[int, T], None, None]:
        """See `Engine`; `task` and what it gives must be picklable and small: they travel with the calls."""
        import ray

        try:
            packed = ray.cloudpickle.dumps(task)
        except TypeError as error:
            raise UsageError(one_line(error)) from None
        numbers, ours = iter(numbers), identity(task)
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_guarded())
        jobs: dict[Any, int] = {}
        try:
            while True:
                at_once = self.workers or max(1, 2 * int(ray.cluster_resources().get("CPU", 0)))
                for number in itertools.islice(numbers, max(0, at_once - len(jobs))):
                    jobs[remote.remote(packed, number, ours)] = number
                if not jobs:
                    return
                waiting = list(jobs)
                ray.wait(waiting)
                for job in ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]:
                    number = jobs.pop(job)
                    yield number, self._result(job, number, ours)
        finally:
            for job in jobs:
                ray.cancel(job)
            if jobs:
                ray.wait(list(jobs), num_returns=len(jobs), timeout=CANCEL_S)

    def _result(self, job: Any, number: int, ours: str) -> Any:
        import ray

        try:
            wrong, result = ray.get(job)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if cause is None or isinstance(cause, ray.exceptions.RayError):
                why = str(cause or error).strip().partition("\n")[0]
                raise InversynthError(f"task {number} failed on the cluster: {why}; try again") from None
            raise cause from error
        if wrong:
            raise InversynthError(f"{wrong}, but this machine {ours}; install the same on every node")
        return result


def _guarded() -> Callable[[bytes, int, str], tuple[str | None, Any]]:
    """What a worker runs. A nested function, since those travel by value: the worker's package may be another."""

    def guarded(packed: bytes, number: int, ours: str) -> tuple[str | None, Any]:
        import socket

        import ray

        try:
            from inversynth.dataset.engines import identity

            task = ray.cloudpickle.loads(packed)
            theirs = identity(task)
        except ImportError as error:
            theirs = f"no such package ({error})"
        except Exception as error:
            theirs = f"no such task ({' '.join(str(error).split())})"
        if theirs != ours:
            return f"the node {socket.gethostname()} ({ray.util.get_node_ip_address()}) has {theirs}", None
        return None, task(number)

    return guarded


@contextlib.contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[None]:
    """A connection to a Ray cluster, made and ended here unless the process has one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("the engine ray needs Ray; install it with: pip install 'inversynth[ray]'") from None
    if ray.is_initialized():
        if address is not None:
            raise UsageError(f"this process is connected to a Ray cluster already; leave the address {address} out")
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    if address != "local":
        _reach(address)
        own = {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (Exception, SystemExit) as error:  # SystemExit: what answers at the address isn't Ray
        raise UsageError(f"no connection to a Ray cluster at {address}: {one_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises `UsageError` at once where Ray would take minutes to give up."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"{address!r} is not the address of a Ray cluster; give HOST:PORT, or auto on a node of it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"no Ray cluster answers at {address} ({why}); see: ray status --address {address}") from None
