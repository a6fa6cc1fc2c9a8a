"""Profiles of devices, in TOML: which message each of a synth's parameters becomes there. Some are shipped here.

The maker's document that a shipped profile was checked against is named in it, under `source`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...spec import ParamSpace
from ..osc import osc_profile
from ..profile import Control, ControlChange, Profile
from .reading import DEFAULT_SYNTH, parse
from .writing import to_toml

__all__ = ["load", "names", "of_space", "parse", "text", "to_toml"]

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The shipped profiles: those of the synths, that of OSC, and those of devices."""
    from ... import synths

    return [*synths.names(), "osc", *sorted(path.stem for path in FOLDER.glob("*.toml"))]


def of_space(name: str, space: ParamSpace) -> Profile:
    """A synth's own profile: each parameter on its own control change number."""
    controls = tuple(None if p.midi is None else Control.of(p, ControlChange(p.midi)) for p in space)
    return Profile(name, space, controls, maker="inversynth", model=name)


def load(
    name: str | Path, space: ParamSpace | None = None, channel: int | None = None, folder: Path = Path()
) -> Profile:
    """A shipped profile by its name, or one from a TOML file seen from `folder`; `channel` (1..16) goes before its own.

    space: what is to be driven; by default that of the synth that the profile names. Raises `UsageError`,
    naming file, key and value, for what is not there, no profile, or against MIDI's rules.
    """
    found = _made(str(name), space)
    if found is None:
        file = _file(name, folder)
        found = parse(_read(file), file, space)
    return found if channel is None else found.on_channel(channel)


def text(name: str | Path) -> str:
    """The TOML of what `load` loads, which it checks."""
    from ... import synths

    made = _made(str(name), None)
    if made is not None:
        return to_toml(made, str(name) if str(name) in synths.names() else DEFAULT_SYNTH)
    load(name)
    return _file(name).read_text(encoding="utf-8-sig")


def _made(name: str, space: ParamSpace | None) -> Profile | None:
    """The profile of that name that is no file."""
    from ... import synths

    if name == "osc":
        return osc_profile(space or synths.load(DEFAULT_SYNTH).space)
    if name not in synths.names():
        return None
    own = synths.load(name).space
    if space is not None and space != own:
        raise UsageError(f"the profile {name} drives the parameters of the synth {name}, not these: {space!r}")
    return of_space(name, own)


def _file(name: str | Path, folder: Path = Path()) -> Path:
    file = FOLDER / f"{name}.toml" if re.fullmatch(r"[\w-]+", str(name)) else folder / name
    if not file.is_file():
        raise UsageError(f"no profile {str(name)!r}; give a TOML file, or one of {', '.join(names())}")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"the profile {file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the profile {file} is not TOML: {error}") from None
