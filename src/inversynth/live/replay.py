"""The events of a session's log besides its sound, at their positions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .session import Mark, Session


class Replay:
    """What is left of the marks of a session that is run again, in their order; none without a session.

    returns: when receivers came back (s), and their numbers.
    """

    def __init__(self, session: Session | None) -> None:
        marks = session.marks if session else ()
        self.marks: deque[Mark] = deque(mark for mark in marks if mark.position is not None)
        self.returns = [(mark.at_s, int(mark.value)) for mark in marks if mark.at_s is not None]

    def until_next(self, position: int, count: int) -> int:
        """How many of the next `count` samples come before the next mark."""
        if self.marks and (ahead := self.marks[0].position) is not None and ahead > position:
            return min(count, ahead - position)
        return count

    def at(self, position: int) -> Iterator[Mark]:
        """The marks of this position, each once; none behind the one that says the session was stopped."""
        while self.marks and self.marks[0].position == position and self.marks[0].what != "stopped":
            yield self.marks.popleft()

    @property
    def stopped(self) -> bool:
        """Whether nothing is left but that the session was stopped, before its source ended."""
        return bool(self.marks) and self.marks[0].what == "stopped"
