"""The synths there are: those of this package, of installed packages, and of a user's own Python file."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UsageError, one_line
from .synth import Synth

BUILT_IN = {"paper": "inversynth.synths.paper", "sine": "inversynth.synths.sine"}
"""The synths of this package: the module of each, which holds it as `SYNTH`."""
DEFAULT = next(iter(BUILT_IN))
"""The synth to use where none is named."""
ENTRY_POINTS = "inversynth.synths"
"""The group in which an installed package names its synths: each entry point is a `Synth`."""


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in BUILT_IN}


def names() -> tuple[str, ...]:
    """The synths that can be loaded by name: those of this package, then those of installed packages."""
    return (*BUILT_IN, *sorted(_installed()))


def load(name: str | Path | Synth = DEFAULT) -> Synth:
    """The synth of a name, or of a Python file that holds one as `SYNTH` (a path that ends in .py); a synth is itself.

    Loaded once in a process. Raises `UsageError` for an unknown name, and for a file or package that can't be
    run or holds no synth.
    """
    if isinstance(name, Synth):
        return name
    text = str(name)
    return _of_file(Path(text).resolve()) if text.endswith(".py") else _of_name(text)


def find(name: str) -> Synth | None:
    """The synth of a name that an artefact holds, if it is there; a name never makes a file run."""
    return load(name) if name in names() else None


@functools.cache
def _of_name(name: str) -> Synth:
    if name in BUILT_IN:
        return _checked(importlib.import_module(BUILT_IN[name]).SYNTH, name, name)
    point = _installed().get(name)
    if point is None:
        raise UsageError(f"no synth {name!r}; there are {', '.join(names())}, or give a Python file (see the docs)")
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(f"the synth {name!r} of {point.value} can't be loaded: {one_line(error)}") from error
    return _checked(found, name, point.value)


@functools.cache
def _of_file(file: Path) -> Synth:
    if not file.is_file():
        raise UsageError(f"no synth {str(file)!r}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"inversynth_synth_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        where = _line_of(error, file)
        raise UsageError(f"{file}{where} can't be run: {type(error).__name__}: {one_line(error)}") from error
    return _checked(_found(module, file), str(file), str(file))


def _found(module: ModuleType, file: Path) -> Any:
    if not hasattr(module, "SYNTH"):
        raise UsageError(f"{file} holds no synth; it must end with SYNTH = from_function(...) or another Synth")
    return module.SYNTH


def _line_of(error: BaseException, file: Path) -> str:
    """ ":12" of the last line of a file that an error came through."""
    at, line = error.__traceback__, error.lineno if isinstance(error, SyntaxError) else None
    while at is not None:
        line = at.tb_lineno if at.tb_frame.f_code.co_filename == str(file) else line
        at = at.tb_next
    return "" if line is None else f", line {line}"


def _checked(found: Any, origin: str, where: str) -> Synth:
    if not isinstance(found, Synth):
        raise UsageError(f"{where} holds {type(found).__name__} where a Synth should be")
    return dataclasses.replace(found, origin=origin, load=load)
