"""What the player reads: the right bars for a snapshot, in any terminal, and lines where there is none."""

from __future__ import annotations

import io
import math
import re
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from inversynth import synths
from inversynth.live import Status, display
from inversynth.live.display import ASCII, BLOCKS, Display, bar, note_name, picture, value
from inversynth.spec import Param

SINE = synths.load("sine").space
PAPER = synths.load("paper").space


def status(space: Any = SINE, **changes: Any) -> Status:
    """A note at -12 dBFS; the parameters at 0, 1/3, 2/3, 1, .. of which the second has no effect, the third unsure."""
    count = len(space)
    active, confidence = np.ones(count, bool), np.full(count, 0.875)
    active[1], confidence[2] = False, 0.25
    made = Status(12.4, -12.0, 0, True, 69, np.linspace(0, 1, count), confidence, active, 212, 0)
    return replace(made, **changes)


def lines(snapshot: Status, width: int = 60, height: int = 30, space: Any = SINE, **more: Any) -> list[str]:
    return picture(snapshot, space, width, height, **more).plain.split("\n")


# -- bars -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "shown"),
    [(0, "....."), (0.01, "#...."), (0.3, "##..."), (0.5, "##..."), (0.7, "####."), (0.99, "####."), (1, "#####")],
)
def test_a_bar_is_as_long_as_its_parameter_is_high_and_whole_or_empty_only_at_the_ends(x: float, shown: str) -> None:
    assert bar(x, 5, "#", ".") == shown


def test_each_parameter_has_its_name_its_bar_its_value_and_its_confidence() -> None:
    shown = lines(status(), look=ASCII)[3:]
    assert len(shown) == len(SINE) == 4
    for param, text, x, full, certain in zip(
        SINE, shown, (0, 1 / 3, 2 / 3, 1), "#==#", ("88%", "88%", "25%", "88%"), strict=True
    ):
        found = re.fullmatch(r"(\w+) +([#=.]+) +(.+?) +(\d+%)", text)
        assert found, text
        assert found[1] == param.name
        assert found[2].rstrip(".") == full * round(x * len(found[2]))
        assert found[3] == value(param, x)
        assert found[4] == certain


def test_what_is_sure_is_decided_by_the_threshold_of_the_bridge() -> None:
    strict, lenient = (lines(status(), sure=sure, look=ASCII)[3:] for sure in (0.9, 0.2))
    assert not any("#" in text for text in strict)
    assert ["=" in text for text in lenient] == [False, True, False, False]  # what isn't active is never sure


@pytest.mark.parametrize(
    ("x", "shown"), [(0.0, "20 Hz"), (0.5, "632 Hz"), (1.0, "20000 Hz"), (0.25, "112 Hz"), (0.01, "21.4 Hz")]
)
def test_values_are_in_their_unit(x: float, shown: str) -> None:
    assert value(Param("f", "f", 20.0, 20000.0, "Hz", "exponential"), x) == shown


@pytest.mark.parametrize(("note", "name"), [(60, "C4"), (69, "A4"), (0, "C-1"), (127, "G9"), (61, "C#4")])
def test_notes_are_named(note: int, name: str) -> None:
    assert note_name(note) == name


def test_before_the_first_patch_the_bars_are_empty() -> None:
    shown = lines(status(x=None, confidence=None, active=None), look=ASCII)
    assert all(re.fullmatch(r"\w+ +\.+ +", text) for text in shown[3:])


# -- the head -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level_db", "share", "said"),
    [
        (3.0, 1.0, "3 dBFS"),
        (0.0, 1.0, "0 dBFS"),
        (-12.0, 0.8, "-12 dBFS"),
        (-60.0, 0.0, "-60 dBFS"),
        (-90.0, 0.0, "-90 dBFS"),
        (-math.inf, 0.0, "silence"),
    ],
)
def test_the_meter_shows_sixty_decibels(level_db: float, share: float, said: str) -> None:
    text = lines(status(level_db=level_db), look=ASCII)[0]
    found = re.fullmatch(r"in ([#.]+) +(.+?) *", text)
    assert found
    assert found[1].count("#") == round(share * len(found[1]))
    assert found[2] == said


def test_the_head_says_note_rate_overflows_and_clipping() -> None:
    quiet = lines(status(), rate=31.2)
    assert quiet[1].split() == ["●", "A4", "31", "messages/s", "0", "overflows", "12", "s"]
    assert "CLIP" not in quiet[0]
    loud = lines(status(sounding=False, overflows=3), clipping=True)
    assert loud[1].split() == ["0", "messages/s", "3", "overflows", "12", "s"]
    assert loud[0].endswith("CLIP")
    assert lines(status(note=None))[1].split()[:2] == ["●", "-"]


def styles(text: Text, word: str) -> set[str]:
    at = text.plain.index(word)
    return {str(span.style) for span in text.spans if span.start <= at < span.end}


def test_what_has_gone_wrong_stands_out() -> None:
    text = picture(status(overflows=3), SINE, 80, 30, clipping=True)
    assert "bold red" in styles(text, "3 overflows")
    assert "bold reverse red" in styles(text, "CLIP")
    assert styles(picture(status(), SINE, 80, 30), "0 overflows") == {"dim"}


# -- terminals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 7, 20, 30, 50, 80, 133, 300])
@pytest.mark.parametrize("height", [1, 5, 12, 24, 60])
def test_the_picture_fits_any_terminal(width: int, height: int) -> None:
    shown = lines(status(PAPER, overflows=12345678), width, height, PAPER)
    assert max(map(len, shown)) <= width
    assert len(shown) <= max(height - 1, 4)


def test_a_low_terminal_gets_more_columns_and_a_small_one_says_what_it_hides() -> None:
    wide = lines(status(PAPER), 100, 12, PAPER)
    assert all(any(name in text for text in wide) for name in PAPER.names)
    small = lines(status(PAPER), 30, 12, PAPER)
    shown = sum(any(name in text for text in small) for name in PAPER.names)
    assert small[-1] == f"and {len(PAPER) - shown} more"


def test_where_there_is_no_room_confidences_go_first_then_units_then_values_and_names_last() -> None:
    def shown(width: int) -> str:
        return lines(status(), width, look=ASCII)[5]  # of a name of 11 letters

    assert re.fullmatch(r"frequency_2 [#=.]+ +1333 Hz +25%", shown(34))
    assert re.fullmatch(r"frequency_2 [#=.]+ +1333 Hz", shown(33))
    assert re.fullmatch(r"frequency_2 [#=.]+ +1333", shown(28))
    assert re.fullmatch(r"frequency_2 [#=.]+", shown(20))
    narrow = lines(status(PAPER), 39, 40, PAPER)  # of whose names the longest have 17 letters
    assert [text.split()[0] for text in narrow[3:]] == list(PAPER.names)
    assert narrow[3].endswith(" 440 Hz")


def test_a_choice_is_shown_by_its_text() -> None:
    wave = Param.choice("wave", "w", ("sine", "square", "saw"))
    assert [value(wave, x) for x in (0, 0.5, 1)] == ["sine", "square", "saw"]


class Terminal(io.StringIO):
    """A stream that says what terminal it is."""

    encoding = "utf-8"

    def __init__(self, terminal: bool = True) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def console(stream: Terminal, **environment: str) -> Console:
    environment = {"TERM": "xterm-256color", **environment}
    return Console(file=stream, width=60, height=30, highlight=False, _environ=environment)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The display's own thread draws nothing."""
    monkeypatch.setattr(display, "RATE_HZ", 1e-3)


def test_a_terminal_gets_the_picture_and_keeps_the_last() -> None:
    stream = Terminal()
    with Display(SINE, status, console=console(stream)):
        pass
    drawn = stream.getvalue()
    assert "\x1b[?25l" in drawn  # the cursor is hidden,
    assert drawn.rstrip().endswith("\x1b[?25h")  # and comes back
    plain = Text.from_ansi(drawn.replace("\x1b[?25l", "").replace("\x1b[?25h", "")).plain
    for text in lines(status()):
        assert text.strip() in plain


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_can_be_off(environment: dict[str, str], coloured: bool) -> None:
    stream = Terminal()
    with Display(SINE, lambda: status(overflows=2), console=console(stream, **environment)):
        pass
    codes = {code for found in re.findall(r"\x1b\[([\d;]+)m", stream.getvalue()) for code in found.split(";")}
    assert bool(codes & {"31", "32", "33"}) is coloured
    assert "█" in stream.getvalue()
    assert "▒" in stream.getvalue()  # what is unsure differs in shape as well


@pytest.mark.usefixtures("still")
def test_a_resized_terminal_is_drawn_again() -> None:
    stream = Terminal()
    terminal = console(stream)
    shown = Display(SINE, status, console=terminal)
    with shown:
        shown.show(status())
        terminal.width = 40
        shown.show(status())
        at = len(stream.getvalue())
        shown.show(status())
        assert len(stream.getvalue()) == at  # nothing has changed
    for width in (60, 40):
        assert lines(status(), width)[0].strip() in Text.from_ansi(stream.getvalue()).plain


def test_an_encoding_without_blocks_gets_ascii() -> None:
    stream = Terminal()
    stream.encoding = "ascii"
    with Display(SINE, status, console=console(stream)):
        pass
    assert stream.getvalue().isascii()
    assert "##" in stream.getvalue()


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm-256color"), (True, "dumb"), (True, "unknown")])
def test_without_a_terminal_there_are_lines_and_only_when_something_was_sent(terminal: bool, term: str) -> None:
    stream = Terminal(terminal)
    shown = Display(SINE, status, console=console(stream, TERM=term))
    for snapshot in (
        status(messages=0, seconds=1.0),
        status(messages=0, seconds=2.0),
        status(messages=4, seconds=3.0),
        status(messages=4, seconds=4.0, level_db=-30.0),
        status(messages=4, seconds=5.0, sounding=False, level_db=-math.inf, overflows=1),
    ):
        shown.show(snapshot)
    assert stream.getvalue().splitlines() == [
        "    3.00 s  -12 dBFS, A4, 4 messages, 0 overflows",
        "    5.00 s  silence, 4 messages, 1 overflows",
    ]


@pytest.mark.usefixtures("still")
def test_clipping_is_held_for_a_second_and_the_rate_is_that_of_about_a_second() -> None:
    stream = Terminal()
    shown = Display(SINE, status, console=console(stream))
    heads = []
    with shown:
        for tick in range(40):
            at = len(stream.getvalue())
            shown.show(status(seconds=tick / 10, messages=3 * tick, clipped=int(tick >= 10)))
            heads.append(Text.from_ansi(stream.getvalue()[at:]).plain)
    clipping = [tick for tick, head in enumerate(heads) if "CLIP" in head]
    assert clipping[0] == 10
    assert max(clipping) <= 20
    assert "30 messages/s" in heads[-1] or "29 messages/s" in heads[-1]


def test_it_draws_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Event:
        def wait(self, seconds: float) -> bool:
            pauses.append(seconds)
            return len(pauses) > 3

        def set(self) -> None:
            pass

    monkeypatch.setattr(threading, "Event", Event)
    reads = threading.Semaphore(0)

    def read() -> Status:
        reads.release()
        return status()

    shown = Display(SINE, read, console=console(Terminal()))
    shown._run()
    assert pauses == [0.1] * 4
    assert all(reads.acquire(blocking=False) for _ in range(3))
    assert not reads.acquire(blocking=False)


def test_bars_distinguish_what_is_sure() -> None:
    assert len({BLOCKS.sure, BLOCKS.unsure, BLOCKS.rest}) == len({ASCII.sure, ASCII.unsure, ASCII.rest}) == 3
