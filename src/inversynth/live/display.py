"""What a player reads while the bridge runs: the level, the note, each parameter with its confidence, the messages.

A picture is a pure function of a `Status` and the size of the terminal. It is drawn by a thread of its own, at most
`RATE_HZ` times a second and only when something has changed, from snapshots that the bridge's threads leave.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..spec import Param, ParamSpace
from . import Status

RATE_HZ = 10.0
LINE_S = 1.0
"""Without a terminal: the time between two lines, at least; only after messages or overflows."""
HOLD_S = 1.0
"""How long clipping is shown."""
METER_DB = 60.0
"""The level meter begins this far below full scale."""
NARROW = 24
"""The least columns of a parameter."""
LEAST_BAR, VALUE, NUMBER, CONFIDENCE = 6, 11, 7, 5
"""Columns of a bar at least, of a value with its unit, of one without, and of a confidence."""
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True)
class Look:
    """The characters of bars: of what is sure, of what isn't, and of the rest."""

    sure: str
    unsure: str
    rest: str
    dot: str


BLOCKS, ASCII = Look("█", "▒", "·", "●"), Look("#", "=", ".", "*")


def note_name(note: int) -> str:
    """The name of a MIDI note; 60 is C4."""
    return f"{NOTES[note % 12]}{note // 12 - 1}"


def bar(x: float, width: int, full: str, rest: str) -> str:
    """A bar of `width` characters that is full from 0 to x (0..1); not empty above 0, nor whole below 1."""
    count = min(max(round(x * width), x > 0), width - (x < 1))
    return full * count + rest * (width - count)


def meter(level_db: float, width: int, look: Look) -> Text:
    """The level meter: green, yellow from -12 dBFS, red from -3 dBFS on."""
    shown = bar(min(max(1 + level_db / METER_DB, 0.0), 1.0), width, look.sure, look.rest)
    at = [round((1 + db / METER_DB) * width) for db in (-12, -3)]
    return Text.assemble((shown[: at[0]], "green"), (shown[at[0] : at[1]], "yellow"), (shown[at[1] :], "bold red"))


def value(param: Param, x: float) -> str:
    """The value at x in the parameter's unit, to three digits at least, or the choice that it is."""
    return param.text(float(param.value_of_x(x))) or f"{number(param, x)} {param.unit}".rstrip()


def number(param: Param, x: float) -> str:
    """The value at x without its unit."""
    at = float(param.value_of_x(x))
    return f"{at:.0f}" if abs(at) >= 100 else f"{at:.3g}"


def picture(
    status: Status,
    space: ParamSpace,
    width: int,
    height: int,
    *,
    rate: float = 0.0,
    clipping: bool = False,
    sure: float = 0.5,
    look: Look = BLOCKS,
) -> Text:
    """The whole display in at most `width` x `height` characters.

    rate: messages a second; clipping: whether the input has just clipped; sure: from this confidence on a
    parameter's bar is that of what is sure.
    """
    lines = [*_head(status, width, rate, clipping, look), Text()]
    room = max(height - len(lines) - 1, 1)  # the last line is the cursor's
    columns = min(-(-len(space) // room), max(width // NARROW, 1))
    rows = min(-(-len(space) // columns), room)
    cell = (width - 2 * (columns - 1)) // columns
    names = max(map(len, space.names))
    for row in range(rows):
        places = range(row, len(space), rows)[:columns]
        lines.append(Text("  ").join(_parameter(status, space[at], at, cell, names, sure, look) for at in places))
    hidden = len(space) - rows * columns
    if hidden > 0:
        lines[-1] = Text(f"and {hidden + columns} more", "dim")
    for text in lines:
        text.truncate(width)
    return Text("\n").join(lines)


def _head(status: Status, width: int, rate: float, clipping: bool, look: Look) -> list[Text]:
    level = "silence" if status.level_db == -math.inf else f"{status.level_db:.0f} dBFS"
    lamp = ("CLIP", "bold reverse red") if clipping else ("    ", "")
    size = width - len("in ") - len(" -123 dBFS CLIP")
    line = [Text("in ", "bold"), meter(status.level_db, size, look)] if size > 0 else []
    first = Text.assemble(*line, f" {level:>9} ", lamp)
    note = ("-" if status.note is None else note_name(status.note)) if status.sounding else ""
    second = Text.assemble(
        (f"{look.dot} {note:4}" if status.sounding else " " * 6, "bold green"),
        (f" {rate:4.0f} messages/s", "bold" if rate >= 0.5 else "dim"),
        (f"  {status.overflows} overflows", "bold red" if status.overflows else "dim"),
        f"  {status.seconds:.0f} s",
    )
    return [first, second]


def _parameter(status: Status, param: Param, at: int, cell: int, names: int, sure: float, look: Look) -> Text:
    """One parameter in `cell` columns: its name, its bar, its value and its confidence.

    Where there is no room for all, the confidence goes first, then the unit, then the value.
    """
    name = min(names, max(cell - 2, 1))
    left = cell - name - 1 - LEAST_BAR
    room, confidence = next(
        (parts for parts in ((VALUE, CONFIDENCE), (VALUE, 0), (NUMBER, 0)) if sum(parts) <= left), (0, 0)
    )
    size = max(cell - name - 1 - room - confidence, 1)
    label = f"{param.name[:name]:{name}} "
    if status.x is None or status.confidence is None or status.active is None:
        return Text.assemble((label + look.rest * size, "dim"), " " * (room + confidence))
    x, certain, active = float(status.x[at]), float(status.confidence[at]), bool(status.active[at])
    style = ("bold green" if certain >= sure else "yellow") if active else "dim"
    shown = bar(x, size, look.sure if active and certain >= sure else look.unsure, look.rest)
    text = value(param, x)
    if len(text) >= room and not param.choices:
        text = number(param, x)
    return Text.assemble(
        (label, "" if active else "dim"),
        (shown, style),
        (f"{text[: room - 1]:>{room}}" if room else "", "" if active else "dim"),
        (f"{certain:{confidence}.0%}" if confidence else "", "dim"),
    )


class Display:
    """Shows a bridge on standard error while its context lasts: a picture, or lines where there is no terminal.

    read: gives the bridge's snapshot, whenever it is called; sure: the confidence from which a parameter moves.
    """

    def __init__(
        self, space: ParamSpace, read: Callable[[], Status], sure: float = 0.5, console: Console | None = None
    ) -> None:
        self._space, self._read, self._sure = space, read, sure
        self._console = console or Console(stderr=True, highlight=False)
        self._look = BLOCKS if self._console.encoding.startswith("utf") else ASCII
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console, auto_refresh=False, redirect_stdout=False, vertical_overflow="crop"
            )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._last: Status | None = None
        self._drawn: Text | None = None
        self._rate = 0.0
        self._clipped_at = -math.inf

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.show(self._read())
        if self._live is not None:
            self._live.stop()

    def _run(self) -> None:
        pause_s = LINE_S if self._live is None else 1 / RATE_HZ
        while not self._over.wait(pause_s):
            self.show(self._read())

    def show(self, status: Status) -> None:
        """Draws a snapshot, or prints its line if messages or overflows have come since the last."""
        last = self._last
        self._last = status
        if self._live is None:
            if last is not None and (last.messages, last.overflows) != (status.messages, status.overflows):
                self._console.print(line(status), soft_wrap=True)
            return
        if last is not None:
            passed = max(status.seconds - last.seconds, 1e-9)
            blend = min(passed / LINE_S, 1.0)  # a mean over about a second
            self._rate += blend * ((status.messages - last.messages) / passed - self._rate)
            if status.clipped > last.clipped:
                self._clipped_at = status.seconds
        size = self._console.size
        drawn = picture(
            status,
            self._space,
            size.width,
            size.height,
            rate=self._rate,
            clipping=status.seconds - self._clipped_at < HOLD_S,
            sure=self._sure,
            look=self._look,
        )
        if drawn != self._drawn:
            self._drawn = drawn
            self._live.update(drawn, refresh=True)


def line(status: Status) -> str:
    """A snapshot in one line."""
    note = f", {note_name(status.note)}" if status.sounding and status.note is not None else ""
    level = "silence" if status.level_db == -math.inf else f"{status.level_db:.0f} dBFS"
    return f"{status.seconds:8.2f} s  {level}{note}, {status.messages} messages, {status.overflows} overflows"
