"""Writing a profile as TOML that is read again."""

from __future__ import annotations

import json
from dataclasses import fields

from ..messages import RESERVED
from ..osc import Osc
from ..profile import Address, Control, ControlChange, ControlChange14, Nrpn, Profile, Source, Sysex
from .reading import DEFAULT_SYNTH


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
