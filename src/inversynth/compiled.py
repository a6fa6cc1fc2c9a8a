"""The network `Atoms` for one sound at a time, by the native kernel: for the live path, in less time than onnxruntime.

It is the network of `inversynth.atoms`, of its weights as they stand in an exported file, by their names there; sums in
another order, and silence after a sound is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _native
from .render import kernel_path

BINS = 80
NOTES = 16
SEGMENTS = 8
OWNERS = 4
"""What is said of whose an atom is comes first in the file, and last here."""
LAYERS = {
    "band": "bands",
    "group": "groups",
    "summary": "summary",
    "feature": "features",
    "token": "tokens",
    "global": "global_tokens",
    "owned": "owned",
    "last": "last",
    "amplitude": "amplitudes",
    "other": "others",
}
BLOCK_LAYERS = {
    "asked": "attention_{}/asked",
    "answered": "attention_{}/answered",
    "wide": "wide_{}",
    "narrow": "narrow_{}",
}
BLOCK_NORMS = {"attention": "before_attention_{}", "dense": "before_dense_{}"}
BLOCKS = 2


Parts = tuple[list[NDArray[np.float32]], NDArray[np.uint8]]
"""The arrays of `_native.atoms_arrays`, and the phasors."""


def atoms(weights: Mapping[str, NDArray[Any]], temperatures: Sequence[Sequence[float]] | None) -> _native.Atoms | None:
    """The network of some weights, or None: see `parts`."""
    made = parts(weights, temperatures)
    return None if made is None else _native.Atoms(*made, kernel_path().number)


def parts(weights: Mapping[str, NDArray[Any]], temperatures: Sequence[Sequence[float]] | None) -> Parts | None:
    """What the network is made of, from weights by their names in Keras, and temperatures as `networks.Heads` has them.

    None where they are not those of an `Atoms` as the kernel knows it.
    """
    wanted = {name: (rows, columns) for name, rows, columns in _native.atoms_arrays()}
    try:
        found = _arrays(weights)
        phasors = _phasors(weights["matched_filters/phasors"])
    except (KeyError, ValueError, IndexError):
        return None
    shape = wanted["temperatures"]
    found["temperatures"] = np.zeros(shape) if temperatures is None else np.array(temperatures)
    arrays = {name: np.ascontiguousarray(np.atleast_2d(found[name]), np.float32) for name in wanted}
    if phasors.size != _native.PHASORS or any(arrays[name].shape != shape for name, shape in wanted.items()):
        return None
    return list(arrays.values()), phasors


def _arrays(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the kernel wants, by its names: the half of what the file has twice, rows that lie side by side."""
    inverse = weights["whitened/inverse"]
    half = inverse.shape[1] // 2 + 1
    cosines, sines = (weights[f"demodulated/{name}"].reshape(-1, 2 * NOTES)[:, :NOTES] for name in ("cosines", "sines"))
    carriers = weights["candidates/carriers"]
    found = {
        "cosines": weights["whitened/cosines"],
        "sines": weights["whitened/sines"],
        "bands": weights["whitened/bands"][:BINS],
        "smoothed": weights["whitened/smoothed"][:BINS, :BINS],
        "inverse_cosines": inverse[:BINS, :half],
        "inverse_sines": inverse[BINS:, :half],
        "lowpass": weights["demodulated/lowpass"],
        "turn_cosines": cosines,
        "turn_sines": sines,
        "carriers": carriers,
        "swings": weights["candidates/swings"].reshape(-1, carriers.shape[1]),
        "swept": weights["candidates/swept"][:BINS],
        "parts": weights["candidates/parts"][:, :SEGMENTS],
        "gamma": weights["normalised/gamma"],
        "beta": weights["normalised/beta"],
        "said_kernel": np.roll(weights["owners/said/kernel"], -OWNERS, axis=1),
        "said_bias": np.roll(weights["owners/said/bias"], -OWNERS),
    }
    layers = dict(LAYERS)
    for n in range(BLOCKS):
        layers |= {f"{name}_{{}}_{n}": path.format(n) for name, path in BLOCK_LAYERS.items()}
        for name, path in BLOCK_NORMS.items():
            found |= {f"{name}_{part}_{n}": weights[f"{path.format(n)}/{part}"] for part in ("gamma", "beta")}
    for name, path in layers.items():
        for part in ("kernel", "bias"):
            found[name.format(part) if "{}" in name else f"{name}_{part}"] = weights[f"{path}/{part}"]
    return found


def _phasors(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(segments, swings, 2 x steps), real parts and then imaginary ones, to each swing's moments, both side by side."""
    segments, swings, both = parts.shape
    return np.ascontiguousarray(parts.reshape(segments, swings, 2, both // 2).transpose(1, 0, 3, 2)).reshape(-1)
