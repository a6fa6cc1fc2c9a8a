"""Batches made ahead of the steps that train on them, in threads."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MAKERS = 8
"""The most threads that make batches; more would wait for each other, for Python's lock."""


def in_order(make: Callable[..., Any], work: Iterable[tuple[Any, ...]], threads: int | None = None) -> Iterator[Any]:
    """make(*args) of each of the args in `work`, in that order, made ahead in threads.

    threads: by default one a core, up to `MAKERS`. One more than there are threads are under way or done at a time, at
    most. An error of `make` is raised here, in order.
    """
    threads = threads or min(os.cpu_count() or 1, MAKERS)
    pool, ahead = ThreadPoolExecutor(threads), deque[Future[Any]]()
    try:
        for args in work:
            ahead.append(pool.submit(make, *args))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(items: Iterator[Any], depth: int = 4) -> Iterator[Any]:
    """The same items, made ahead in a thread; an error there is raised here."""
    box: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[Any, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                return box.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = box.get()
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()
