"""patch.json: a patch, and what it is of; written by a match, read by all that play or send one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, one_line
from ..synths.synth import Synth
from ..version import __version__
from .result import Match, Setting


def to_json(match: Match, patch: Sequence[Setting], scores: Mapping[str, float]) -> str:
    """A patch of a match as JSON: an object of `synth`, `model`, `source`, `note`, `scores`, `version` and `patch`.

    `patch` is a list of {name, value, unit, level, confidence} in the order of the synth's space, and `choice`, the
    text of a choice, where there is one. `source` is the target's name; `scores` are measures of the patch's sound.
    """
    rows = []
    for param, setting in zip(match.synth.space, patch, strict=True):
        text = param.text(setting.value)
        rows.append(dataclasses.asdict(setting) | ({} if text is None else {"choice": text}))
    found = {
        "synth": match.synth.name,
        "model": match.model,
        "source": match.name,
        "note": match.note.to_data(),
        "scores": {name: float(score) for name, score in scores.items()},
        "version": __version__,
        "patch": rows,
    }
    return json.dumps(found, indent=2) + "\n"


def read_patch(file: str | Path, synth: Synth) -> NDArray[np.float64]:
    """(P,) the values of a patch in units, from the JSON that `match` writes; the list of version 0.1.0 is read, too.

    Raises `UsageError` for what can't be read, is no patch, or is one of another synth.
    """
    try:
        found: Any = json.loads(Path(file).read_text(encoding="utf-8"))
        of = synth.name
        if isinstance(found, dict):
            of, found = str(found["synth"]), found["patch"]
        values = {str(row["name"]): float(row["value"]) for row in found}
    except OSError as error:
        raise UsageError(f"the patch {file} can't be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise UsageError(f"{file} is not a patch ({one_line(error)}); give the patch.json that match writes") from None
    if of != synth.name:
        raise UsageError(f"{file} is a patch of the synth {of!r}, not of {synth.name!r}; name that synth (--synth)")
    for name in synth.space.names:
        if name not in values:
            raise UsageError(f"{file}: {name} is missing; is it a patch of the synth {synth.name}?")
    try:
        return np.asarray(synth.space.check_values([[values[name] for name in synth.space.names]])[0])
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
