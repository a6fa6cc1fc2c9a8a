"""Writing a profile as TOML that is read again."""

from __future__ import annotations

import json
import re
from dataclasses import fields

from ..addresses import Address, ControlChange, ControlChange14, Nrpn, Sysex
from ..messages import RESERVED
from ..osc import Osc
from ..profile import Control, Profile, Source

BARE = r"[A-Za-z0-9_-]+"
"""What TOML takes as a key without quotes."""


def to_toml(profile: Profile, synth: str) -> str:
    """A profile as TOML, which `parse` reads back; `synth` is the name of the one whose parameters it drives."""
    lines = []

    def put(key: str, value: object) -> None:
        lines.append(f"{key} = {_text(value)}")

    for key in ("name", "maker", "model"):
        put(key, getattr(profile, key))
    put("synth", synth)
    put("channel", profile.channel)
    for key in ("running_status", "nrpn_null", "dump"):
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
        name = control.param.name
        lines += ["", f"[parameters.{name if re.fullmatch(BARE, name) else _text(name)}]"]
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
        if other.choices:
            put("choices", [list(each) for each in other.choices])
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    """A value as TOML has it, which escapes what JSON does, and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
