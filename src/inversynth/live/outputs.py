"""All receivers at once: each has a sender, and, where time is real, the sender has a thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..midi import Receiver
from ..system.realtime import set_realtime_priority
from .sending import Action, Log, Sender

FLUSH_S = 1.0
"""How long, at most, the end waits for messages that are still to be sent."""


class Outputs:
    """Hands what is wanted to every receiver's sender; times are in seconds of the stream, and rise.

    log: gets what is sent; returns: when receivers came back, by their numbers, in a session that is run again.
    """

    def __init__(
        self, receivers: Sequence[Receiver], log: Log | None = None, returns: Iterable[tuple[float, int]] = ()
    ) -> None:
        self._receivers = receivers
        self._senders = [Sender(receiver, log, number) for number, receiver in enumerate(receivers)]
        self._returns = deque(sorted(returns))
        self._threads: list[threading.Thread] = []

    @property
    def sent(self) -> int:
        """Messages so far."""
        return sum(receiver.sent for receiver in self._receivers)

    @property
    def superseded(self) -> int:
        """Values that a later one has replaced before they were sent."""
        return sum(receiver.superseded for receiver in self._receivers)

    @property
    def waits(self) -> bool:
        """Whether something is still to be sent, or done."""
        return any(sender.waits for sender in self._senders)

    def offer(self, at_s: float, x: NDArray[np.float64], active: NDArray[np.bool_]) -> None:
        """Wants a patch (P,) from a time on."""
        self._return_before(at_s)
        for sender in self._senders:
            sender.offer(at_s, x, active)

    def do(self, at_s: float, action: Action) -> None:
        """Does something with every receiver at a time."""
        self._return_before(at_s)
        for sender in self._senders:
            sender.do(at_s, action)

    def reach(self, at_s: float) -> None:
        """Nothing more will be done before a time."""
        self._return_before(at_s)
        for sender in self._senders:
            sender.reach(at_s)

    def flush(self) -> None:
        """What waits may be sent, whatever comes later."""
        for sender in self._senders:
            sender.flush()

    def advance(self) -> None:
        """Sends all that may be sent, on this thread."""
        for sender in self._senders:
            sender.advance()

    def _return_before(self, at_s: float) -> None:
        """Receivers come back that came back before a time."""
        while self._returns and self._returns[0][0] < at_s:
            back_s, number = self._returns.popleft()
            if number < len(self._senders):
                self._senders[number].do(back_s, self._senders[number].back)

    # -- threads -------------------------------------------------------------------------------

    def start(self, stop: threading.Event) -> None:
        """From now on each sender sends from a thread of its own; one that fails sets `stop`."""
        self._threads = [
            threading.Thread(target=_send, args=(sender, stop), name="sender", daemon=True) for sender in self._senders
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Waits until all is sent, or `FLUSH_S` is over; then the threads end."""
        for sender in self._senders:
            sender.finish(FLUSH_S)
        latest = time.perf_counter() + FLUSH_S + 1
        for thread in self._threads:
            thread.join(max(latest - time.perf_counter(), 0))

    def release(self) -> None:
        """Gives the receivers their sinks back."""
        for sender in self._senders:
            sender.release()

    def check(self) -> None:
        """Raises the error of a sink that has failed."""
        for sender in self._senders:
            if sender.error is not None:
                raise sender.error


def _send(sender: Sender, stop: threading.Event) -> None:
    set_realtime_priority()
    sender.run(stop)
