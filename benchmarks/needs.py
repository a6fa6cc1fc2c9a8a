"""What a part of a benchmark needs and this machine lacks: one check and one message for all."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, TypeVar

Part = TypeVar("Part")

NOT_MEASURED = "not_measured"
"""The figures' entry for what was left out: the part, and why."""


def lacks(*packages: str) -> str:
    """Which of these packages can't be imported, and how to get them; empty if all are there."""
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    return f"needs {' and '.join(absent)}: pip install {' '.join(absent)}" if absent else ""


def divided(parts: Mapping[str, Part], needed: Mapping[str, str]) -> tuple[dict[str, Part], dict[str, str]]:
    """The parts that can be measured here, and why the others can't; some need a package, `needed` has it."""
    left = {part: why for part in parts if part in needed and (why := lacks(needed[part]))}
    return {part: what for part, what in parts.items() if part not in left}, left


def left_out(found: Mapping[str, Any]) -> list[str]:
    """A line for each part that was not measured: which, and what to do about it."""
    return [f"Not measured: {part}: {why}" for part, why in found.get(NOT_MEASURED, {}).items()]
