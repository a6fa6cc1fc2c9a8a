"""Profiles from charts in the CSV form of the MIDI CC library (https://github.com/pencilresearch/midi, midi.guide)."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...spec import CONTINUOUS, Param
from ..addresses import Address, ControlChange, ControlChange14, Nrpn
from ..messages import DATA_MAX, DATA_MAX_14, LSB_OFFSET, NULL, RESERVED
from ..profile import Control, Driven, Other, Profile, Source, check_places

COLUMNS = (
    "manufacturer", "device", "section", "parameter_name",
    "cc_msb", "cc_lsb", "cc_min_value", "cc_max_value",
    "nrpn_msb", "nrpn_lsb", "nrpn_min_value", "nrpn_max_value",
)  # fmt: skip
"""The columns that are read, and `usage` if it is there; others may be among them."""

AMPLIFIER = {"amp", "amplifier", "vca"}
"""What distinguishes the amplifier's envelope from others of the same form."""
EFFECTS = {
    "effect", "effects", "fx", "reverb", "delay", "echo", "chorus", "flanger", "phaser", "compressor", "comp",
    "limiter", "distortion", "overdrive", "eq", "equalizer", "ensemble", "rotary", "bitcrusher",
}  # fmt: skip
"""Words of rows that are for parameters of the role "effect" alone."""
OTHER_THINGS = {
    "it is a pedal or a switch": {"pedal", "pedals", "footswitch", "switch"},
    "it is a depth, a sensitivity or key follow": {
        "depth", "intensity", "amount", "int", "mod", "modulation", "sens", "sensitivity", "velocity", "aftertouch",
        "pressure", "follow", "keyfollow", "track", "tracking", "keytrack", "kbd", "keyboard",
    },
    "it is a low-frequency oscillator's": {"lfo", "vibrato", "tremolo"},
}  # fmt: skip
"""Words of rows that aren't the parameter they name, unless its own name has the word."""
PART = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?:(.*)")
"""A choice in the column `usage`, such as "0-63: off": one value or several that mean the same (0~127 is a range)."""


def read_chart(file: str | Path, synth: Driven, say: Callable[[str], None] = lambda line: None) -> Profile:
    """A profile of a chart: parameters of the synth drive those of like names, and the rest are `others`.

    A row with a controller is a control change, with MSB and LSB a 14-bit pair, else an NRPN: of 14 bits if any of the
    chart has values above 127, otherwise of 7. A parameter takes the row whose section and name hold its name; if
    several do, the one of them that names the amplifier; if that isn't one, none. No targets are numbers that MIDI
    reserves, pedals, effects (for what isn't one), depths and rows that name two parameters: `say` shows a line for
    each that was left out. Raises `UsageError`, naming file, line, column and value, for what isn't such a chart, for
    one that drives nothing, and for one that gives two parameters the same number.
    """
    rows = _rows(Path(file))
    wide = any(row.integer("nrpn_max_value", DATA_MAX_14, DATA_MAX) > DATA_MAX for row in rows)
    found = [_Found(row, other) for row in rows if (other := row.other(wide)) is not None]
    if not found:
        raise UsageError(f"{file}: no row has a cc_msb, or an nrpn_msb and an nrpn_lsb; there is nothing to send")
    rows_of: dict[str, list[_Found]] = {}
    left_out = []
    for each in found:
        named = _named(synth, each.row.words)
        why = _unfit(named, each) if named else None
        if why is not None:
            left_out.append(_left_out(each, why))
        elif named:
            rows_of.setdefault(named[0].name, []).append(each)
    controls: dict[str, Control | None] = dict.fromkeys(synth.space.names)
    for name, several in rows_of.items():
        of_amplifier = [each for each in several if each.row.words & AMPLIFIER]
        chosen = several if len(several) == 1 else of_amplifier
        if len(chosen) == 1:
            controls[name] = chosen[0].control(synth.space[name])
        else:
            left_out += [_left_out(each, f"several rows name {name}") for each in several]
    for line in left_out:
        say(line)
    check_places(file, controls)
    if not any(controls.values()):
        more = f" ({left_out[0]})" if left_out else ""
        raise UsageError(
            f"{file}: no row can drive a parameter of the synth {synth.name}{more}; name rows as its parameters are, "
            f"such as {synth.space.names[0]}"
        )
    driven = {control.address for control in controls.values() if control is not None}
    first = rows[0]
    return Profile(
        name=Path(file).stem,
        space=synth.space,
        controls=tuple(controls.values()),
        maker=first.text("manufacturer"),
        model=first.text("device"),
        source=Source(f"{Path(file).name}, a chart in the form of github.com/pencilresearch/midi; check it"),
        others=tuple(each.other for each in found if each.other.address not in driven),
    )


def _left_out(found: _Found, why: str) -> str:
    return f"left out: {found.other.name} ({found.other.address}): {why}"


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+|\d+", text.casefold()))


def _named(synth: Driven, words: set[str]) -> list[Param]:
    """The parameters whose names a row holds; of names that hold each other's words the longest."""
    named = [param for param in synth.space if set() < _words(param.name) <= words]
    return [p for p in named if not any(_words(p.name) < _words(other.name) for other in named)]


def _unfit(named: list[Param], found: _Found) -> str | None:
    """Why a row is no target for the parameters it names; None if it is one."""
    param, words, address = named[0], found.row.words, found.other.address
    if len(named) > 1:
        return f"it names {' and '.join(each.name for each in named)}"
    if isinstance(address, ControlChange | ControlChange14) and address.number in RESERVED:
        return (
            f"MIDI 1.0 reserves the number ({RESERVED[address.number]}); if the device uses it, list it in `unreserved`"
        )
    if param.role != "effect" and words & EFFECTS - _words(param.name):
        return "it is an effect's"
    for what, tell in OTHER_THINGS.items():
        if words & tell - _words(param.name):
            return what
    if found.other.choices and param.kind == CONTINUOUS:
        return f"it has choices, and {param.name} has none"
    if found.control(param) is None:
        return f"its values are not one for each of the {param.levels} levels of {param.name}"
    return None


@dataclass(frozen=True)
class _Found:
    """A row, and the device's parameter in it."""

    row: _Row
    other: Other

    def control(self, param: Param) -> Control | None:
        """The control of a parameter here, choices by their names where all are the same; None if it has no room."""
        by_name = {text.casefold(): value for value, text in self.other.choices}
        names = [text.casefold() for text in param.choices or ()]
        whole = Control.of(param, self.other.address)
        if names and set(names) <= set(by_name):
            table = tuple(by_name[name] for name in names)
            made = Control(param, whole.address, whole.low, whole.high, whole.span, whole.curve, table)
        else:
            made = whole.within(self.other.low, self.other.high)
        return made if param.kind == CONTINUOUS or made.exact else None


class _Row:
    def __init__(self, cells: dict[str, str], where: str) -> None:
        self._cells, self._where = cells, where

    def text(self, column: str) -> str:
        return (self._cells.get(column) or "").strip()

    def integer(self, column: str, high: int, default: int) -> int:
        """The number in a column, `default` if it is empty."""
        text = self.text(column)
        if not text:
            return default
        if not re.fullmatch(r"\d{1,9}", text) or int(text) > high:
            raise UsageError(f"{self._where}: {column} = {text!r} is not an integer of 0..{high}")
        return int(text)

    @property
    def words(self) -> set[str]:
        return _words(f"{self.text('section')} {self.text('parameter_name')}")

    def other(self, wide: bool) -> Other | None:
        """The device's parameter in this row; None if no message sets it."""
        address: Address
        if self.text("cc_msb"):
            number, lsb = self.integer("cc_msb", DATA_MAX, 0), self.integer("cc_lsb", DATA_MAX, -1)
            pair = lsb == number + LSB_OFFSET and number < LSB_OFFSET
            address = ControlChange14(number) if pair else ControlChange(number)
            kind = "cc"
        elif self.text("nrpn_msb") and self.text("nrpn_lsb"):
            msb, lsb = self.integer("nrpn_msb", DATA_MAX, 0), self.integer("nrpn_lsb", DATA_MAX, 0)
            if (msb, lsb) == NULL:
                return None
            address, kind = Nrpn(msb, lsb, 14 if wide else 7), "nrpn"
        else:
            return None
        low, high = (self.integer(f"{kind}_{end}_value", DATA_MAX_14, 0) for end in ("min", "max"))
        if isinstance(address, ControlChange14) and high <= DATA_MAX:
            low, high = low << 7, high << 7 | DATA_MAX  # charts give a pair the range of its MSB
        if not low < high <= address.top:
            low, high = 0, address.top
        return Other(self.text("parameter_name"), address, low, high, self._choices(address))

    def _choices(self, address: Address) -> tuple[tuple[int, str], ...]:
        """(value, name) of the choices in `usage`, each in the middle of its values; () if it lists something else."""
        found = []
        for part in filter(str.strip, self.text("usage").split(";")):
            match = PART.fullmatch(part)
            if match is None or not match[3].strip():
                return ()
            first, last = int(match[1]), int(match[2] or match[1])
            value = (first + last) // 2
            if not first <= last or value > DATA_MAX_14:
                return ()
            value = value << 7 if isinstance(address, ControlChange14) and value <= DATA_MAX else value
            if value > address.top:
                return ()
            found.append((value, match[3].strip()))
        return tuple(found) if len(found) > 1 else ()


def _rows(file: Path) -> list[_Row]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise UsageError(f"{file}: no column {missing[0]!r}; a chart has {', '.join(COLUMNS)}")
            rows = [_Row(cells, f"{file}: line {table.line_num}") for cells in table]
    except OSError as error:
        raise UsageError(f"the chart {file} can't be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"the chart {file} is not CSV: {error}") from None
    if not rows:
        raise UsageError(f"{file}: the chart has no rows")
    return rows
