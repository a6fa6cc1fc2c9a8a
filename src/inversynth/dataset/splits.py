"""Splits: which items of a dataset are for training, which for validation, which for the test.

The part of an item is a function of its patch and the seed of the split alone: a hash of its canonical levels, or of
the number of its family where the dataset has families. So no patch (no family) is in two parts, and extending a
dataset moves no item from one part to another; the shares hold on average. Items that failed are in no part. Two files
stand with the dataset: `splits.npy`, (n,) uint8, the number of the part of each item (255: in none), and
`splits.json`, which names the parts and says of which dataset they are.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MismatchError, UsageError
from ..spec import ParamSpace
from ..synths.sampling import check_seed, philox
from . import Dataset

FORMAT = "inversynth split 1"
INDEX = "splits.npy"
SPLITS = "splits.json"
DEFAULT = {"train": 0.8, "validation": 0.1, "test": 0.1}
NONE = 255
"""The number of the items that are in no part: those that failed."""
BLOCK = 1 << 16
"""Items whose hashes are computed at a time."""


@dataclass(frozen=True)
class Split:
    """`shares` of the parts by name, the `seed`, and `part`, (n,) uint8: the number of each item's part, or `NONE`."""

    shares: dict[str, float]
    seed: int
    part: NDArray[np.uint8]

    @property
    def counts(self) -> dict[str, int]:
        """How many items each part has."""
        counts = np.bincount(self.part, minlength=NONE + 1)[: len(self.shares)]
        return dict(zip(self.shares, counts.tolist(), strict=True))

    def items(self, name: str) -> NDArray[np.int64]:
        """The items of a part, ascending; raises `UsageError` naming the parts there are."""
        if name not in self.shares:
            raise UsageError(f"no part {name!r}; there are {', '.join(self.shares)}")
        return np.flatnonzero(self.part == list(self.shares).index(name))


def split(dataset: Dataset, shares: Mapping[str, float] = DEFAULT, seed: int = 0) -> Split:
    """Splits a dataset and writes the split beside it, in place of an earlier one.

    Raises `UsageError` for impossible shares and where a part comes out empty, `InversynthError` if it can't
    be written.
    """
    made = Split(_check_shares(shares), check_seed(seed), np.empty(len(dataset), np.uint8))
    bounds = np.array([*itertools.accumulate(made.shares.values())][:-1])
    for start in range(0, len(dataset), BLOCK):
        block = slice(start, start + BLOCK)
        if dataset.families is None:
            at = place(dataset.space, dataset.levels[block], seed)
        else:
            at = place_families(dataset.families[block], seed)
        made.part[block] = np.searchsorted(bounds, at, side="right")
    made.part[dataset.failed] = NONE
    for name, count in made.counts.items():
        if not count:
            raise UsageError(
                f"none of the {len(dataset)} sounds of {dataset.store} falls into {name}: by chance, with a share of "
                f"{made.shares[name]:g}; render more, give it a larger share, or try another --seed"
            )
    with dataset.store.writing(INDEX) as temporary, open(temporary, "wb") as file:
        np.save(file, made.part)
    what = {"shares": made.shares, "seed": made.seed, "counts": made.counts, "sha256": _digest(made.part)}
    dataset.store.write_json(SPLITS, {"format": FORMAT, **what, "dataset": _identity(dataset)})
    return made


def read(dataset: Dataset) -> Split:
    """The split of a dataset.

    Raises `UsageError` if there is none or it is damaged, `MismatchError` if it is of another dataset.
    """
    kept = dataset.store
    file = kept.name(SPLITS)
    do = f"split it with: inversynth data split {kept}"
    if not kept.has(SPLITS):
        raise UsageError(f"{kept} is not split; {do}")
    stored = kept.read_json(SPLITS, "the split of a dataset")
    try:
        was, now = stored["dataset"], _identity(dataset)
        if stored["format"] != FORMAT or was.keys() != now.keys():
            raise ValueError("format")
        wrong = [f"{name} {was[name]}, not {now[name]}" for name in now if was[name] != now[name]]
        if wrong:
            raise MismatchError(f"{file} is of a dataset of {'; '.join(wrong)}; {do}")
        with kept.reading(INDEX) as path, open(path, "rb") as index:
            made = Split(
                _check_shares(stored["shares"]), check_seed(stored["seed"]), np.load(index, allow_pickle=False)
            )
        if made.part.dtype != np.uint8 or made.part.shape != (len(dataset),) or _digest(made.part) != stored["sha256"]:
            raise ValueError("sha256")
    except MismatchError:
        raise
    except (OSError, TypeError, KeyError, ValueError, AttributeError, EOFError):
        raise UsageError(f"{file} or {INDEX} beside it is damaged or missing; {do}") from None
    return made


def place(space: ParamSpace, levels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(n,) the place of each patch, (n, P) levels, in [0, 1): uniform over patches, and the same for the same sound."""
    return _place(space.canonical(levels).astype(np.uint32), seed)


def place_families(families: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(n,) the place of each family, (n,) numbers, in [0, 1)."""
    return _place(np.ascontiguousarray(families, "<i8").view("<u4").reshape(-1, 2).astype(np.uint32), seed)


def _place(words: NDArray[np.uint32], seed: int) -> NDArray[np.float64]:
    """Words (n, any), four at a time, are enciphered by Philox under the key `seed`, in a chain (CBC-MAC)."""
    words = np.pad(words, ((0, 0), (0, -words.shape[1] % 4)))
    state = np.zeros((len(words), 4), np.uint32)
    for block in range(0, words.shape[1], 4):
        state = philox(state ^ words[:, block : block + 4], (seed & 0xFFFFFFFF, seed >> 32))
    return np.asarray(state[:, 0] / 2**32 + (state[:, 1] >> 11) / 2**53)


def _check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    for name, share in shares.items():
        if not re.fullmatch(r"[A-Za-z][\w-]*", name):
            raise UsageError(
                f"{name!r} can't be the name of a part; begin it with a letter, then letters, digits, _ or -"
            )
        if not 0 < share <= 1:
            raise UsageError(f"a share of {share} for {name} is outside (0, 1]")
    if not 1 <= len(shares) <= NONE or not math.isclose(math.fsum(shares.values()), 1, abs_tol=1e-6):
        raise UsageError(f"the shares {', '.join(f'{n}={s:g}' for n, s in shares.items())} don't add up to 1")
    return dict(shares)


def _identity(dataset: Dataset) -> dict[str, Any]:
    return {
        "synth": dataset.synth,
        "seed": dataset.seed,
        "count": len(dataset),
        "fingerprint": dataset.space.fingerprint,
    }


def _digest(part: NDArray[np.uint8]) -> str:
    return hashlib.sha256(part.tobytes()).hexdigest()
