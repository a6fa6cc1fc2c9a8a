"""Profiles of devices, in TOML: which message each of a synth's parameters becomes there. Some are shipped here.

The maker's document that a shipped profile was checked against is named in it, under `source`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..osc import osc_profile
from ..profile import Driven, Profile
from .generic import default_profile, nrpn_profile
from .reading import parse
from .writing import to_toml

__all__ = ["default_profile", "load", "names", "nrpn_profile", "parse", "synth_of", "text", "to_toml"]

FOLDER = Path(__file__).parent
GENERIC = ("nrpn", "osc")
"""Those that are made of any synth's parameters."""


def names() -> list[str]:
    """The shipped profiles: those of any synth, and those of devices. A synth's own has the synth's name."""
    return [*GENERIC, *sorted(path.stem for path in FOLDER.glob("*.toml"))]


def load(name: str | Path, synth: Driven, channel: int | None = None, folder: Path = Path()) -> Profile:
    """What a synth's parameters become on a device; `channel` (1..16) goes before the profile's own.

    name: a shipped profile's, the synth's for its own, or a TOML file relative to `folder`. Raises `UsageError`, naming
    file, key and value, for a missing or invalid profile, one of another synth, or one against MIDI's rules.
    """
    found = _made(str(name), synth)
    if found is None:
        file = _file(name, folder, synth.name)
        found = parse(_read(file), file, synth)
    return found if channel is None else found.on_channel(channel)


def text(name: str | Path, synth: Driven) -> str:
    """The TOML of what `load` loads, which it checks."""
    made = _made(str(name), synth)
    if made is not None:
        return to_toml(made, synth.name)
    load(name, synth)
    return _file(name, Path(), synth.name).read_text(encoding="utf-8-sig")


def synth_of(name: str | Path) -> str | None:
    """The name of the synth that a TOML file or a shipped profile says it is for; None if it names none."""
    if str(name) in GENERIC or not (file := _place(name, Path())).is_file():
        return None
    synth = _read(file).get("synth")
    return synth if isinstance(synth, str) else None


def _made(name: str, synth: Driven) -> Profile | None:
    """The generated profile of that name; None if there is none."""
    if name == synth.name:
        return default_profile(synth)
    if name == "nrpn":
        return nrpn_profile(synth)
    return osc_profile(synth.space) if name == "osc" else None


def _place(name: str | Path, folder: Path) -> Path:
    return FOLDER / f"{name}.toml" if re.fullmatch(r"[\w-]+", str(name)) else folder / name


def _file(name: str | Path, folder: Path, synth: str) -> Path:
    file = _place(name, folder)
    if not file.is_file():
        raise UsageError(f"no profile {str(name)!r}; give a TOML file, or one of {', '.join([synth, *names()])}")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"the profile {file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the profile {file} is not TOML: {error}") from None
