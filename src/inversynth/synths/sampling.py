"""Priors, and patches drawn by counter: item i of a stream is a function of (seed, stream, i) alone.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a
counter and a key to four 32-bit words without a state, so any range of items can be drawn
anywhere, in any order, by any number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..spec import ParamSpace

DATASET, TRAINING, VALIDATION, TEST, ORDER = range(5)
"""The streams of a seed; items of two streams are drawn independently. ORDER is that of `permutation`."""

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(counters: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10: (n, 4) uint32 counters and a key of two 32-bit words to (n, 4) uint32."""
    a, b, c, d = counters.astype(np.uint64).T
    k0, k1 = key
    for _ in range(10):
        ac, bd = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (bd >> _SHIFT) ^ b ^ np.uint64(k0), bd & _LOW, (ac >> _SHIFT) ^ d ^ np.uint64(k1), ac & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


def check_seed(seed: int) -> int:
    """`seed`, if it is an integer of 0..2^64-1; raises `UsageError` otherwise."""
    if isinstance(seed, bool) or int(seed) != seed or not 0 <= seed < 2**64:
        raise UsageError(f"seed {seed} is not an integer of 0..2^64-1")
    return int(seed)


def draw(space: ParamSpace, seed: int, start: int, count: int, stream: int = DATASET) -> NDArray[np.int64]:
    """(count, P) int64 levels of the items start..start+count-1, uniform and independent.

    Parameters without effect keep the level drawn for them, as in InverSynth's data (arXiv
    1812.06349, section 4); `ParamSpace.active` tells them apart.
    """
    check_seed(seed)
    if start < 0 or count < 0 or start + count > 2**48:
        raise UsageError(f"items {start}..{start + count} are outside 0..2^48")
    blocks = -(-len(space) // 4)
    item = np.repeat(np.arange(start, start + count, dtype=np.uint64), blocks)
    block = np.tile(np.arange(blocks, dtype=np.uint64), count)
    counters = np.stack([item & _LOW, item >> _SHIFT, block, np.full_like(item, stream)], axis=1)
    words = philox(counters.astype(np.uint32), (seed & 0xFFFFFFFF, seed >> 32))
    words = words.reshape(count, 4 * blocks)[:, : len(space)].astype(np.uint64)
    return ((words * space.levels.astype(np.uint64)) >> _SHIFT).astype(np.int64)


@dataclass(frozen=True)
class Drawn:
    """`levels`: (n, P) int64; `notes`: (n, 3) float64 key, velocity and hold in s, or None for the synth's own note.

    `families`: (n,) int64, where items belong together: those of one number, such as variations of one patch, are
    never divided between training and test. None where each patch stands for itself.
    """

    levels: NDArray[np.int64]
    notes: NDArray[np.float64] | None = None
    families: NDArray[np.int64] | None = None


class Prior(Protocol):
    """How patches of a synth are drawn, and their notes and families; `name` changes with every change of what is
    drawn. It draws notes for all items or for none, and so with families.
    """

    @property
    def name(self) -> str: ...

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        """The items start..start+count-1 of a stream of a seed: item i is a function of (seed, stream, i) alone."""


@dataclass(frozen=True)
class Uniform:
    """Every level of every parameter is as likely, independently; all are played by the synth's own note."""

    name: str = "uniform"

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        """See `draw`."""
        return Drawn(draw(space, seed, start, count, stream))


def permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(count,) int64 the numbers 0..count-1 in the random order of that epoch."""
    check_seed(seed)
    item = np.arange(count, dtype=np.uint64)
    counters = np.stack([item & _LOW, item >> _SHIFT, np.full_like(item, epoch), np.full_like(item, ORDER)], axis=1)
    words = philox(counters.astype(np.uint32), (seed & 0xFFFFFFFF, seed >> 32)).astype(np.uint64)
    return np.argsort(words[:, 0] << _SHIFT | words[:, 1], kind="stable")
