"""Reading a profile from TOML, with an error for each invalid value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...spec import CATEGORICAL, CURVES, Param
from ..addresses import Address, ControlChange, ControlChange14, Nrpn, Program, Sysex
from ..messages import DATA_MAX, NULL, RESERVED
from ..osc import Osc
from ..profile import Control, Driven, Other, Profile, Setting, Source, check_places

KINDS = ("cc", "cc14", "nrpn", "sysex", "osc")
RUN = ("low", "high", "range", "curve", "table")
MOST = 1e9
"""A number in `range` is within plus and minus this."""
KEYS = (
    "name", "maker", "model", "synth", "base", "channel", "running_status", "nrpn_null", "dump", "unreserved", "source",
    "parameters", "settings", "others",
)  # fmt: skip


def parse(document: Mapping[str, Any], file: str | Path, synth: Driven) -> Profile:
    """The profile of a synth that a TOML document holds; errors call it `file`."""
    from . import load

    space = synth.space
    top = _Table(document, f"{file}")
    top.only(KEYS)
    if top.text("synth", synth.name) != synth.name:
        raise top.wrong("synth", f"{synth.name}, the synth whose parameters are to be driven; take another profile")
    try:
        base = load(top.text("base"), synth, folder=Path(file).parent) if "base" in document else None
    except RecursionError:
        raise top.wrong("base", "another profile: it leads back to this one") from None
    unreserved = top.integers("unreserved", 0, DATA_MAX)
    parameters = top.table("parameters")
    controls = dict(zip(space.names, base.controls if base else [None] * len(space), strict=True))
    for name in parameters.given:
        if name not in space.names:
            raise UsageError(f"{parameters.where}: no parameter {name!r}; there are {', '.join(space.names)}")
        controls[name] = _control(parameters.table(name), space[name], unreserved)
    check_places(file, controls)
    source = top.table("source")
    source.only([each.name for each in fields(Source)])
    profile = Profile(
        name=top.text("name", Path(file).stem),
        space=space,
        controls=tuple(controls.values()),
        channel=top.integer("channel", 1, 16, base.channel if base else 1),
        maker=top.text("maker", base.maker if base else ""),
        model=top.text("model", base.model if base else ""),
        source=Source(**{key: source.text(key) for key in source.given}),
        settings=(*(base.settings if base else ()), *(_setting(each) for each in top.tables("settings"))),
        others=(*(base.others if base else ()), *(_other(each) for each in top.tables("others"))),
        nrpn_null=top.boolean("nrpn_null", base.nrpn_null if base else False),
        running_status=top.boolean("running_status", base.running_status if base else False),
        dump=synth.dump if top.boolean("dump", base is not None and base.dump is not None) else None,
    )
    if top.boolean("dump", False) and synth.dump is None:
        raise top.wrong("dump", f"possible: the synth {synth.name} has no messages of a whole patch; leave it out")
    if not profile.driven:
        raise UsageError(
            f"{file}: no parameter is driven; give [parameters.{space.names[0]}] a cc, or another one an address"
        )
    return profile


class _Table:
    """A TOML table whose values are asked for by kind; errors say where it stands, key, value and what is allowed."""

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        self.given, self.where = given, where

    def wrong(self, key: str, allowed: str) -> UsageError:
        return UsageError(f"{self.where}: {key} = {json.dumps(self.given[key], default=str)} is not {allowed}")

    def only(self, keys: Iterable[str]) -> None:
        allowed = list(keys)
        for key in self.given:
            if key not in allowed:
                raise UsageError(f"{self.where}: unknown key {key!r}; there are {', '.join(allowed)}")

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.given.get(key, default)
        if value is None:
            raise UsageError(f"{self.where}: {key} is missing; it is an integer of {low}..{high}")
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"an integer of {low}..{high}")
        return value

    def integers(self, key: str, low: int, high: int, count: int | None = None) -> tuple[int, ...]:
        values = self.given.get(key, [])
        allowed = f"a list of {'' if count is None else f'{count} '}integers of {low}..{high}"
        if not isinstance(values, list) or (key in self.given and count not in (None, len(values))):
            raise self.wrong(key, allowed)
        if not all(isinstance(each, int) and not isinstance(each, bool) and low <= each <= high for each in values):
            raise self.wrong(key, allowed)
        return tuple(values)

    def boolean(self, key: str, default: bool) -> bool:
        value = self.given.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, default: str = "") -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.given.get(key, default)
        if value not in allowed:
            raise self.wrong(key, f"one of {', '.join(allowed)}")
        return str(value)

    def table(self, key: str) -> _Table:
        value = self.given.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return _Table(value, f"{self.where}: {key}" if ": " not in self.where else f"{self.where}.{key}")

    def tables(self, key: str) -> Iterator[_Table]:
        values = self.given.get(key, [])
        if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
            raise self.wrong(key, f"a list of tables, each headed [[{key}]]")
        for i, each in enumerate(values):
            yield _Table(each, f"{self.where}: {key} {i + 1}")


def _address(table: _Table, kinds: tuple[str, ...] = KINDS[:-1], param: Param | None = None) -> Address:
    given = [key for key in kinds if key in table.given]
    if len(given) != 1:
        raise UsageError(f"{table.where}: give one of {', '.join(kinds)}; it has {' and '.join(given) or 'none'}")
    kind = given[0]
    if "bits" in table.given and kind != "nrpn":
        raise table.wrong("bits", f"for {kind}; only an nrpn has it")
    if kind == "cc":
        return ControlChange(table.integer(kind, 0, DATA_MAX))
    if kind == "cc14":
        return ControlChange14(table.integer(kind, 0, 31))
    if kind == "nrpn":
        msb, lsb = table.integers(kind, 0, DATA_MAX, 2)
        bits = table.given.get("bits", 14)
        if bits not in (7, 14) or isinstance(bits, float):
            raise table.wrong("bits", "7 (data entry's MSB alone) or 14")
        if (msb, lsb) == NULL:
            raise table.wrong(kind, "a parameter; 127, 127 stands for none")
        return Nrpn(msb, lsb, bits)
    if kind == "program":
        if table.given[kind] is not True:
            raise table.wrong(kind, "true; the program is the `value`")
        return Program()
    if kind == "osc":
        if (
            param is None
            or not re.fullmatch(r"(/[!-~]+)+", table.text(kind))
            or set(table.text(kind)) & set("#*,?[]{}")
        ):
            raise table.wrong(kind, "an address of OSC, such as /filter/cutoff")
        return Osc(table.text(kind), param)
    template = table.text(kind)
    words = template.split()
    if not re.fullmatch(r"F0( ([0-7][0-9A-F]|[0-7]n|vv|mm|ll))+ F7", " ".join(words), re.IGNORECASE):
        raise table.wrong(
            kind, 'bytes in hexadecimal from F0 to F7, below 80 between them, "1n" for a channel, "vv" or "mm" and "ll"'
        )
    return Sysex(" ".join(word if word in ("vv", "mm", "ll") else word.upper().replace("N", "n") for word in words))


def _control(table: _Table, param: Param, unreserved: tuple[int, ...]) -> Control:
    table.only((*KINDS, "bits", *RUN))
    address = _address(table, KINDS, param)
    if isinstance(address, ControlChange | ControlChange14):
        number = address.number
        if number in RESERVED and number not in unreserved:
            raise table.wrong(
                "cc" if isinstance(address, ControlChange) else "cc14",
                f"free: MIDI 1.0 reserves it ({RESERVED[number]}); if the maker uses it, list it in `unreserved`",
            )
    elif isinstance(address, Sysex):
        places = sorted(word for word in address.template.split() if word in ("vv", "mm", "ll"))
        if places not in (["vv"], ["ll", "mm"]):
            raise table.wrong("sysex", 'a message with the value in it, once: "vv", or "mm" and "ll"')
    control = _with_table(table, param, address) if "table" in table.given else _with_range(table, param, address)
    if param.kind == CATEGORICAL and not control.exact:
        raise UsageError(
            f"{table.where}: {control.address} doesn't have a value for each of the {param.levels} choices of "
            f"{param.name}; give it more of its values, or a message that holds more, such as an nrpn"
        )
    return control


def _with_table(table: _Table, param: Param, address: Address) -> Control:
    whole = Control.of(param, address)
    other = next((key for key in RUN if key in table.given and key != "table"), None)
    values = table.integers("table", 0, address.top)
    if len(values) < 2 or other is not None:
        raise table.wrong("table", f"two or more integers of 0..{address.top} without low, high, range or curve")
    if param.kind == CATEGORICAL and len(values) != param.levels:
        raise table.wrong("table", f"{param.levels} integers, one for each choice of {param.name}")
    return Control(param, address, 0, address.top, whole.span, whole.curve, values)


def _with_range(table: _Table, param: Param, address: Address) -> Control:
    whole = Control.of(param, address)
    ordered = next((key for key in ("range", "curve") if key in table.given), None)
    if param.kind == CATEGORICAL and ordered is not None:
        raise table.wrong(
            ordered, f"for {param.name}, whose choices have no order; give a `table` with a value for each"
        )
    low, high = table.integer("low", 0, address.top, 0), table.integer("high", 0, address.top, address.top)
    if low == high:
        raise table.wrong("low" if "low" in table.given else "high", f"another value than the other end, {high}")
    span = table.given.get("range", list(whole.span))
    numbers = isinstance(span, list) and all(
        isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= MOST for x in span
    )
    if not numbers or len(span) != 2 or not span[0] < span[1]:
        unit = param.unit or "the unit of the parameter"
        raise table.wrong("range", f"two numbers in {unit}, the lower first, and within {MOST:g}")
    if span[1] <= param.low or span[0] >= param.high:
        raise table.wrong("range", f"within reach of {param.name}, {param.low:g}..{param.high:g} {param.unit}".rstrip())
    control = Control(
        param, address, low, high, (float(span[0]), float(span[1])), table.one_of("curve", CURVES, whole.curve)
    )
    try:
        _ = control.axis
    except UsageError as error:
        raise UsageError(f"{table.where}: {error}; give it a `range`") from None
    return control


def _setting(table: _Table) -> Setting:
    kinds = (*KINDS[:-1], "program")
    table.only(("name", *kinds, "bits", "value"))
    address = _address(table, kinds)
    fixed = isinstance(address, Sysex) and not {"vv", "mm"} & set(address.template.split())
    return Setting(table.text("name"), address, table.integer("value", 0, address.top, 0 if fixed else None))


def _other(table: _Table) -> Other:
    table.only(("name", *KINDS[:-1], "bits", "low", "high", "choices"))
    address = _address(table)
    low, high = table.integer("low", 0, address.top, 0), table.integer("high", 0, address.top, address.top)
    choices = table.given.get("choices", [])
    if not isinstance(choices, list) or not all(_is_choice(each, address.top) for each in choices):
        raise table.wrong("choices", f'a list of pairs, each of 0..{address.top} and a text, such as [[0, "sine"]]')
    return Other(table.text("name"), address, low, high, tuple((value, text) for value, text in choices))


def _is_choice(given: Any, top: int) -> bool:
    if not isinstance(given, list) or len(given) != 2:
        return False
    value, text = given
    return type(value) is int and 0 <= value <= top and isinstance(text, str)
