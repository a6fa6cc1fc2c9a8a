"""Parameter spaces; all other shapes follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import MismatchError, UsageError
from .conditions import AllOf, AnyOf, Condition, condition_data, condition_of, pairs
from .param import Param


@dataclass(frozen=True)
class Symmetry:
    """Groups of parameters that may change places without a change of the sound: the operators of a sum.

    `groups`: their names, two or more; `when`: the condition under which they may, None for always.
    """

    groups: tuple[str, ...]
    when: Condition | None = None


class ParamSpace(Sequence[Param]):
    """An ordered, named sequence of parameters; P is its length throughout these docstrings.

    symmetries: which groups may change places. Raises `UsageError` for two equal names, for a condition on an unknown
    name or level, and for groups of a symmetry whose parameters aren't alike.
    """

    def __init__(self, params: Iterable[Param], symmetries: Iterable[Symmetry] = ()) -> None:
        self._params = tuple(params)
        self.symmetries = tuple(symmetries)
        self._index = {param.name: i for i, param in enumerate(self._params)}
        if len(self._index) != len(self._params):
            raise UsageError("two parameters of a space have the same name")
        for param in self._params:
            if param.inert_when is not None:
                self._check(param.inert_when, f"{param.name}: inert_when")
        for symmetry in self.symmetries:
            if symmetry.when is not None:
                self._check(symmetry.when, f"the symmetry of {', '.join(symmetry.groups)}")
            shapes = {self._shape(self.groups.get(group, ())) for group in symmetry.groups}
            if len(set(symmetry.groups)) < 2 or len(shapes) != 1 or () in shapes:
                raise UsageError(
                    f"groups {', '.join(symmetry.groups)} can't change places: give two or more, of parameters "
                    "that are alike in range, unit, curve, levels and kind, in the same order"
                )

    def _check(self, condition: Condition, what: str) -> None:
        for other, level in pairs(condition):
            if other not in self._index or not 0 <= level < self[other].levels:
                raise UsageError(f"{what} names {other!r} at level {level}, which is not there")

    def _shape(self, members: Sequence[int]) -> tuple[Any, ...]:
        """What groups have in common that can be exchanged."""
        return tuple((p.low, p.high, p.unit, p.curve, p.levels, p.kind) for p in (self._params[i] for i in members))

    @overload
    def __getitem__(self, key: int | str) -> Param: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Param, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Param | tuple[Param, ...]:
        return self._params[self.index(key)] if isinstance(key, str) else self._params[key]

    def __len__(self) -> int:
        return len(self._params)

    def __iter__(self) -> Iterator[Param]:
        return iter(self._params)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParamSpace) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<ParamSpace of {len(self)}: {', '.join(self.names)}>"

    def index(self, name: Any, start: int = 0, stop: int | None = None) -> int:
        """The position of a parameter, by its name (or the parameter itself)."""
        key = name.name if isinstance(name, Param) else name
        if key not in self._index:
            raise UsageError(f"no parameter {key!r}; there are {', '.join(self.names)}")
        return self._index[key]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(param.name for param in self._params)

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """(P,) the number of levels of each parameter."""
        return np.array([param.levels for param in self._params], np.int64)

    @cached_property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """The positions of the members of each group, in the order of the space."""
        found: dict[str, list[int]] = {}
        for i, param in enumerate(self._params):
            if param.group is not None:
                found.setdefault(param.group, []).append(i)
        return {name: tuple(members) for name, members in found.items()}

    @cached_property
    def interchangeable(self) -> tuple[NDArray[np.int64], ...]:
        """Groups of two or more parameters whose ranges and kinds are the same: arrays (groups, parameters of one)."""
        found: dict[Any, list[tuple[int, ...]]] = {}
        for members in self.groups.values():
            if len(members) > 1:
                found.setdefault(self._shape(members), []).append(members)
        return tuple(np.array(alike) for alike in found.values() if len(alike) > 1)

    def of_kind(self, kind: str) -> NDArray[np.bool_]:
        """(P,) True for the parameters of a kind."""
        return np.array([param.kind == kind for param in self._params])

    def of_role(self, *roles: str) -> NDArray[np.bool_]:
        """(P,) True for the parameters of these roles."""
        return np.array([param.role in roles for param in self._params])

    # -- coordinates -------------------------------------------------------------------------

    def values_of_levels(self, levels: ArrayLike) -> NDArray[np.float64]:
        """(n, P) integer levels to (n, P) float64 values in units."""
        at = self.check_levels(levels)
        return np.stack([param.value_of_level(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def levels_of_values(self, values: ArrayLike) -> NDArray[np.int64]:
        """(n, P) values in units to (n, P) nearest integer levels."""
        at = self.check_values(values)
        return np.stack([param.level_of_value(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def values_of_x(self, x: ArrayLike) -> NDArray[np.float64]:
        """(n, P) x (0..1) to (n, P) values in units."""
        at = np.asarray(x, np.float64)
        return np.stack([param.value_of_x(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def x_of_values(self, values: ArrayLike) -> NDArray[np.float64]:
        """(n, P) values in units to (n, P) x (0..1)."""
        at = self.check_values(values)
        return np.stack([param.x_of_value(at[:, i]) for i, param in enumerate(self._params)], axis=1)

    def check_levels(self, levels: ArrayLike) -> NDArray[np.int64]:
        """`levels` as (n, P) int64; raises `UsageError` unless each is one of its parameter's levels."""
        at = np.asarray(levels)
        if at.ndim != 2 or at.shape[1] != len(self) or not np.issubdtype(at.dtype, np.integer):
            raise UsageError(f"levels must be integers of shape (n, {len(self)}), not {at.dtype} of shape {at.shape}")
        wrong = np.argwhere((at < 0) | (at >= self.levels))
        if len(wrong):
            row, column = wrong[0]
            param = self._params[column]
            raise UsageError(f"{param.name}: level {at[row, column]} is outside 0..{param.levels - 1}")
        return at.astype(np.int64)

    def check_values(self, values: ArrayLike) -> NDArray[np.float64]:
        """`values` as (n, P) float64; raises `UsageError` unless each is within its parameter's range.

        A value may miss the range by rounding (a millionth of it) and is then set to its end.
        """
        try:
            at = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"values must be numbers of shape (n, {len(self)})") from None
        if at.ndim != 2 or at.shape[1] != len(self):
            raise UsageError(f"values must have the shape (n, {len(self)}), not {at.shape}")
        low, high = self._bounds
        slack = 1e-6 * (high - low)
        wrong = np.argwhere(~((at >= low - slack) & (at <= high + slack)))
        if len(wrong):
            row, column = wrong[0]
            param = self._params[column]
            given = f"{at[row, column]:g} {param.unit}".rstrip()
            allowed = f"{param.low:g}..{param.high:g} {param.unit}".rstrip()
            raise UsageError(f"{param.name}: {given} in patch {row} is outside {allowed}")
        return np.clip(at, low, high)

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (
            np.array([param.low for param in self._params]),
            np.array([param.high for param in self._params]),
        )

    # -- parameters without effect -----------------------------------------------------------

    def active(self, levels: ArrayLike) -> NDArray[np.bool_]:
        """(n, P) True where a parameter has an effect in that patch, from (n, P) levels."""
        at = np.asarray(levels)
        found = np.ones(at.shape, bool)
        for i, param in enumerate(self._params):
            if param.inert_when is not None:
                found[:, i] = ~self._holds(param.inert_when, at)
        return found

    def _holds(self, condition: Condition, levels: NDArray[Any]) -> NDArray[np.bool_]:
        """(n,) where a condition holds."""
        if isinstance(condition, tuple):
            return np.asarray(levels[:, self._index[condition[0]]] == condition[1])
        each = [self._holds(part, levels) for part in condition.conditions]
        join = np.logical_or if isinstance(condition, AnyOf) else np.logical_and
        return np.asarray(join.reduce(each)) if each else np.full(len(levels), isinstance(condition, AllOf))

    def canonical(self, levels: ArrayLike) -> NDArray[np.int64]:
        """(n, P) levels that are the same for patches which differ only in what has no effect: equal rows sound equal.

        What has no effect is at level 0, and groups that may change places stand in the order of their levels.
        """
        at = np.asarray(levels, np.int64)
        at = np.where(self.active(at), at, 0)
        for symmetry in self.symmetries:
            places = np.array([self.groups[group] for group in symmetry.groups])  # (groups, parameters of one)
            parts = at[:, places]
            _, ranks = np.unique(parts.reshape(-1, places.shape[1]), axis=0, return_inverse=True)
            order = np.argsort(ranks.reshape(len(at), -1), axis=1, kind="stable")
            sorted_ = np.take_along_axis(parts, order[:, :, None], axis=1)
            if symmetry.when is not None:
                sorted_ = np.where(self._holds(symmetry.when, at)[:, None, None], sorted_, parts)
            at[:, places] = sorted_
        return at

    # -- identity ----------------------------------------------------------------------------

    def to_data(self) -> Any:
        """The space as plain data, for JSON; `from_data` reads it back.

        A list of parameters or, where it has `symmetries`, a dict of both.
        """
        params = [param.meaning for param in self._params]
        if not self.symmetries:
            return params
        symmetries = [
            {
                "groups": [[self._params[i].name for i in self.groups[group]] for group in symmetry.groups],
                "when": None if symmetry.when is None else condition_data(symmetry.when),
            }
            for symmetry in self.symmetries
        ]
        return {"params": params, "symmetries": symmetries}

    @classmethod
    def from_data(cls, data: Any) -> ParamSpace:
        """The space that `to_data` described (without groups but those of symmetries, roles and MIDI numbers).

        Raises `UsageError` for anything else.
        """
        if not isinstance(data, Mapping):
            return cls(Param.from_meaning(fields) for fields in data)
        try:
            params = [Param.from_meaning(fields) for fields in data["params"]]
            group_of: dict[str, str] = {}
            symmetries = []
            for fields in data["symmetries"]:
                names = tuple(str(members[0]) for members in fields["groups"])  # a group's name changes nothing
                for name, members in zip(names, fields["groups"], strict=True):
                    group_of |= dict.fromkeys(map(str, members), name)
                symmetries.append(Symmetry(names, None if fields["when"] is None else condition_of(fields["when"])))
            return cls([replace(p, group=group_of.get(p.name)) for p in params], symmetries)
        except (TypeError, ValueError, LookupError, RecursionError) as error:
            raise UsageError(f"not the description of a parameter space ({error})") from None

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over what changes meaning: names, order, ranges, curves, levels, ..., symmetries."""
        text = json.dumps(self.to_data(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: ParamSpace) -> list[str]:
        """One line for each parameter in which `other` differs; empty if they mean the same."""
        lines = []
        for name in dict.fromkeys(self.names + other.names):
            if name not in other._index:
                lines.append(f"{name} is missing")
            elif name not in self._index:
                lines.append(f"{name} is not expected")
            else:
                mine, theirs = self[name].meaning, other[name].meaning
                lines += [
                    f"{name}: {key} is {theirs.get(key)}, not {mine.get(key)}"
                    for key in dict.fromkeys((*mine, *theirs))
                    if mine.get(key) != theirs.get(key)
                ]
        if not lines and self.names != other.names:
            lines.append("the parameters stand in another order")
        if not lines and self != other:
            lines.append("other groups may change places")
        return lines

    def require(self, other: ParamSpace, what: str) -> None:
        """Raises `MismatchError`, naming the parameters that differ, unless `other` means the same."""
        lines = self.differences(other)
        if lines:
            more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
            raise MismatchError(f"{what} has another parameter space: {'; '.join(lines[:3])}{more}")
