"""Conditions on the levels of a patch: (name, level), and several of them joined by `AnyOf` and `AllOf`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class AnyOf:
    """Holds where one of its conditions does."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


@dataclass(frozen=True)
class AllOf:
    """Holds where all of its conditions do."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


Condition: TypeAlias = "tuple[str, int] | AnyOf | AllOf"
"""(name of a parameter, its level), or several of them joined."""


def condition_data(condition: Condition) -> Any:
    """A condition as plain data, for JSON; `condition_of` reads it back."""
    if isinstance(condition, tuple):
        return list(condition)
    key = "any" if isinstance(condition, AnyOf) else "all"
    return {key: [condition_data(each) for each in condition.conditions]}


def condition_of(data: Any) -> Condition:
    """The condition that `condition_data` described; raises `ValueError` or `TypeError` for anything else."""
    if isinstance(data, Mapping):
        ((key, parts),) = data.items()
        conditions = [condition_of(part) for part in parts]
        kinds: Mapping[str, type[AnyOf] | type[AllOf]] = {"any": AnyOf, "all": AllOf}
        return kinds[key](*conditions)
    name, level = data
    return str(name), int(level)


def pairs(condition: Condition) -> Iterator[tuple[str, int]]:
    """All (name, level) in a condition."""
    if isinstance(condition, tuple):
        yield condition
    else:
        for each in condition.conditions:
            yield from pairs(each)
