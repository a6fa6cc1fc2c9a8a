"""Profiles from charts in the CSV form of the MIDI CC library (https://github.com/pencilresearch/midi, midi.guide)."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from ...errors import UsageError
from ...spec import Param, ParamSpace
from ..messages import LSB, TOP, TOP_14
from ..profile import Address, Control, ControlChange, ControlChange14, Nrpn, Other, Profile, Source

COLUMNS = (
    "manufacturer", "device", "section", "parameter_name",
    "cc_msb", "cc_lsb", "cc_min_value", "cc_max_value",
    "nrpn_msb", "nrpn_lsb", "nrpn_min_value", "nrpn_max_value",
)  # fmt: skip
"""Those that are read; others may stand between them."""

AMPLIFIER = {"amp", "amplifier", "vca"}
"""What tells the amplifier's envelope from others of the same form."""


def read_chart(file: str | Path, space: ParamSpace) -> Profile:
    """A profile of a chart: parameters of ours drive those of like names, and the rest are `others`.

    A row with a controller is a control change, with both halves a 14-bit pair, else an NRPN: of 14 bits if any of the
    chart has values above 127, otherwise of 7. One of ours takes the row whose section and name hold its name; if
    several do, the one of them that names the amplifier; if that isn't one, none. Raises `UsageError`, naming file,
    line, column and value, for what is no such chart.
    """
    rows = _rows(Path(file))
    wide = any(row.integer("nrpn_max_value", TOP_14, TOP) > TOP for row in rows)
    found = [(row, other) for row in rows if (other := row.other(wide)) is not None]
    if not found:
        raise UsageError(f"{file}: no row has a cc_msb, or an nrpn_msb and an nrpn_lsb; there is nothing to send")
    controls = {param.name: _match(param, found) for param in space}
    driven = {other for other in controls.values() if other is not None}
    first = rows[0]
    return Profile(
        name=Path(file).stem,
        space=space,
        controls=tuple(
            Control.of(param, other.address).within(other.low, other.high)
            if (other := controls[param.name]) is not None
            else None
            for param in space
        ),
        maker=first.text("manufacturer"),
        model=first.text("device"),
        source=Source(f"{Path(file).name}, a chart in the form of github.com/pencilresearch/midi; check it"),
        others=tuple(other for _, other in found if other not in driven),
    )


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
        return set(re.findall(r"[a-z]+", f"{self.text('section')} {self.text('parameter_name')}".casefold()))

    def other(self, wide: bool) -> Other | None:
        """The device's parameter in this row; None if no message sets it."""
        address: Address
        if self.text("cc_msb"):
            number, lsb = self.integer("cc_msb", TOP, 0), self.integer("cc_lsb", TOP, -1)
            address = ControlChange14(number) if lsb == number + LSB else ControlChange(number)
            kind = "cc"
        elif self.text("nrpn_msb") and self.text("nrpn_lsb"):
            msb, lsb = self.integer("nrpn_msb", TOP, 0), self.integer("nrpn_lsb", TOP, 0)
            if (msb, lsb) == (TOP, TOP):  # no parameter
                return None
            address, kind = Nrpn(msb, lsb, 14 if wide else 7), "nrpn"
        else:
            return None
        low, high = (self.integer(f"{kind}_{end}_value", TOP_14, 0) for end in ("min", "max"))
        if isinstance(address, ControlChange14) and high <= TOP:
            low, high = low << 7, high << 7 | TOP  # charts give a pair the range of its coarse half
        if not low < high <= address.top:
            low, high = 0, address.top
        return Other(self.text("parameter_name"), address, low, high)


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


def _match(param: Param, found: list[tuple[_Row, Other]]) -> Other | None:
    named = [(row, other) for row, other in found if param.name in row.words]
    if len(named) > 1:
        named = [(row, other) for row, other in named if row.words & AMPLIFIER]
    return named[0][1] if len(named) == 1 else None
