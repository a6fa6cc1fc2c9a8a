"""Profiles of devices, in TOML: which message each of a synth's parameters becomes there. Some are shipped here.

The maker's document that a shipped profile was checked against is named in it, under `source`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..midi.messages import RESERVED, TOP
from ..midi.osc import Osc, osc_profile
from ..midi.profile import (
    Address,
    Control,
    ControlChange,
    ControlChange14,
    Nrpn,
    Other,
    Profile,
    Program,
    Setting,
    Source,
    Sysex,
)
from ..spec import CURVES, Param, ParamSpace

FOLDER = Path(__file__).parent
DEFAULT_SYNTH = "paper"
KINDS = ("cc", "cc14", "nrpn", "sysex", "osc")
RUN = ("low", "high", "range", "curve", "table")
KEYS = (
    "name", "maker", "model", "synth", "base", "channel", "running_status", "nrpn_null", "unreserved", "source",
    "parameters", "settings", "others",
)  # fmt: skip


def names() -> list[str]:
    """The shipped profiles: those of the synths, that of OSC, and those of devices."""
    from ..render import SYNTHS

    return [*SYNTHS, "osc", *sorted(path.stem for path in FOLDER.glob("*.toml"))]


def of_space(name: str, space: ParamSpace) -> Profile:
    """A synth's own profile: each parameter on its own control change number."""
    controls = tuple(None if p.midi is None else Control.of(p, ControlChange(p.midi)) for p in space)
    return Profile(name, space, controls, maker="inversynth", model=name)


def load(name: str | Path, space: ParamSpace | None = None, channel: int | None = None) -> Profile:
    """A shipped profile by its name, or one from a TOML file; `channel` (1..16) goes before the profile's.

    space: what is to be driven; by default that of the synth that the profile names. Raises `UsageError`,
    naming file, key and value, for what is not there, no profile, or against MIDI's rules.
    """
    found = _made(str(name), space)
    if found is None:
        file = _file(name)
        found = parse(_read(file), file, space)
    return found if channel is None else found.on_channel(channel)


def text(name: str | Path) -> str:
    """The TOML of what `load` loads, which it checks."""
    from ..render import SYNTHS

    made = _made(str(name), None)
    if made is not None:
        return to_toml(made, str(name) if str(name) in SYNTHS else DEFAULT_SYNTH)
    load(name)
    return _file(name).read_text(encoding="utf-8")


def _made(name: str, space: ParamSpace | None) -> Profile | None:
    """The profile of that name that is no file."""
    from ..render import SYNTHS

    if name == "osc":
        return osc_profile(space or SYNTHS[DEFAULT_SYNTH].space)
    if name not in SYNTHS:
        return None
    own = SYNTHS[name].space
    if space is not None and space != own:
        raise UsageError(f"the profile {name} drives the parameters of the synth {name}, not these: {space!r}")
    return of_space(name, own)


def _file(name: str | Path) -> Path:
    file = FOLDER / f"{name}.toml" if re.fullmatch(r"[\w-]+", str(name)) else Path(name)
    if not file.is_file():
        raise UsageError(f"no profile {str(name)!r}; give a TOML file, or one of {', '.join(names())}")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the profile {file} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the profile {file} is not TOML: {error}") from None


# -- reading ---------------------------------------------------------------------------------------


def parse(document: Mapping[str, Any], file: str | Path, space: ParamSpace | None = None) -> Profile:
    """The profile that a TOML document holds; errors call it `file`."""
    from ..render import SYNTHS

    top = _Table(document, f"{file}")
    top.only(KEYS)
    if space is None:
        space = SYNTHS[top.one_of("synth", tuple(SYNTHS), DEFAULT_SYNTH)].space
    base = load(top.text("base"), space) if "base" in document else None
    unreserved = top.integers("unreserved", 0, TOP)
    parameters = top.table("parameters")
    controls = dict(zip(space.names, base.controls if base else [None] * len(space), strict=True))
    for name in parameters.given:
        if name not in space.names:
            raise UsageError(f"{parameters.where}: no parameter {name!r}; there are {', '.join(space.names)}")
        controls[name] = _control(parameters.table(name), space[name], unreserved)
    _check_places(file, controls)
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
    )
    if not profile.driven:
        raise UsageError(f"{file}: no parameter is driven; give [parameters.{space.names[0]}] a cc, or others theirs")
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
        return ControlChange(table.integer(kind, 0, TOP))
    if kind == "cc14":
        return ControlChange14(table.integer(kind, 0, 31))
    if kind == "nrpn":
        msb, lsb = table.integers(kind, 0, TOP, 2)
        bits = table.given.get("bits", 14)
        if bits not in (7, 14) or isinstance(bits, float):
            raise table.wrong("bits", "7 (data entry's coarse half alone) or 14")
        if (msb, lsb) == (TOP, TOP):
            raise table.wrong(kind, "a parameter; 127, 127 stands for none")
        return Nrpn(msb, lsb, bits)
    if kind == "program":
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
    whole = Control.of(param, address)
    if "table" in table.given:
        other = next((key for key in RUN if key in table.given and key != "table"), None)
        values = table.integers("table", 0, address.top)
        if len(values) < 2 or other is not None:
            raise table.wrong("table", f"two or more integers of 0..{address.top} without low, high, range or curve")
        return Control(param, address, 0, address.top, whole.span, whole.curve, values)
    low, high = table.integer("low", 0, address.top, 0), table.integer("high", 0, address.top, address.top)
    if low == high:
        raise table.wrong("low" if "low" in table.given else "high", f"another value than the other end, {high}")
    span = table.given.get("range", list(whole.span))
    numbers = isinstance(span, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in span)
    if not numbers or len(span) != 2 or not span[0] < span[1]:
        raise table.wrong("range", f"two numbers in {param.unit or 'the unit of ours'}, the lower first")
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


def _check_places(file: str | Path, controls: Mapping[str, Control | None]) -> None:
    owner: dict[object, str] = {}
    for name, control in controls.items():
        for place in control.address.places if control else ():
            if place in owner:
                assert control is not None
                raise UsageError(f"{file}: parameters.{name}: {control.address} is already that of {owner[place]}")
            owner[place] = name


def _setting(table: _Table) -> Setting:
    kinds = (*KINDS[:-1], "program")
    table.only(("name", *kinds, "bits", "value"))
    address = _address(table, kinds)
    fixed = isinstance(address, Sysex) and not {"vv", "mm"} & set(address.template.split())
    return Setting(table.text("name"), address, table.integer("value", 0, address.top, 0 if fixed else None))


def _other(table: _Table) -> Other:
    table.only(("name", *KINDS[:-1], "bits", "low", "high"))
    address = _address(table)
    low, high = table.integer("low", 0, address.top, 0), table.integer("high", 0, address.top, address.top)
    return Other(table.text("name"), address, low, high)


# -- writing ---------------------------------------------------------------------------------------


def to_toml(profile: Profile, synth: str = DEFAULT_SYNTH) -> str:
    """A profile as TOML, which `parse` reads back; `synth` is whose parameters it drives."""
    lines = []

    def put(key: str, value: object) -> None:
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")

    for key in ("name", "maker", "model"):
        put(key, getattr(profile, key))
    put("synth", synth)
    put("channel", profile.channel)
    for key in ("running_status", "nrpn_null"):
        if getattr(profile, key):
            put(key, True)
    numbers = [c.address.number for c in profile.driven if isinstance(c.address, ControlChange | ControlChange14)]
    if unreserved := sorted(set(numbers) & set(RESERVED)):
        put("unreserved", unreserved)
    if profile.source != Source():
        lines += ["", "[source]"]
        for each in fields(Source):
            put(each.name, getattr(profile.source, each.name))
    for setting in profile.settings:
        lines += ["", "[[settings]]"]
        put("name", setting.name)
        for key, value in _address_keys(setting.address):
            put(key, value)
        put("value", setting.value)
    for control in profile.driven:
        whole = Control.of(control.param, control.address)
        lines += ["", f"[parameters.{control.param.name}]"]
        for key, value in _address_keys(control.address):
            put(key, value)
        if control.table:
            put("table", list(control.table))
            continue
        if (control.low, control.high) != (whole.low, whole.high):
            put("low", control.low)
            put("high", control.high)
        if control.axis is not None:
            put("range", list(control.span))
            put("curve", control.curve)
    for other in profile.others:
        lines += ["", "[[others]]"]
        put("name", other.name)
        for key, value in _address_keys(other.address):
            put(key, value)
        if (other.low, other.high) != (0, other.address.top):
            put("low", other.low)
            put("high", other.high)
    return "\n".join(lines) + "\n"


def _address_keys(address: Address) -> list[tuple[str, object]]:
    """The keys of a TOML table that say an address."""
    match address:
        case ControlChange(number):
            return [("cc", number)]
        case ControlChange14(number):
            return [("cc14", number)]
        case Nrpn(msb, lsb, bits):
            return [("nrpn", [msb, lsb]), *([("bits", 7)] if bits == 7 else [])]
        case Sysex(template):
            return [("sysex", template)]
        case Osc(path):
            return [("osc", path)]
    return [("program", True)]
