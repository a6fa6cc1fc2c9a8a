"""The network `Atoms` for one sound at a time, by the native kernel: for the live path, faster than onnxruntime.

It is the network of `atoms`, of its weights as they stand in an exported file, by their names there; sums in
another order, and silence after a sound is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _native
from ...system.simd import simd_target

BINS, NOTES, SEGMENTS = 80, 16, 8
OWNERS = 4
"""What is said of whose an atom is comes first in the file, and last here."""

Parts = tuple[list[NDArray[np.float32]], NDArray[np.uint8]]
"""The arrays of `_native.Atoms.arrays`, and the phasors."""


class AtomsInference:
    """The network natively, of what `parts` gives."""

    def __init__(self, made: Parts) -> None:
        self._native = _native.Atoms(*made, simd_target().number)
        self._filled = np.zeros((_native.Atoms.PARAMETERS, _native.Atoms.LEVELS), np.float32)
        self._rows = list(self._filled)

    def infer(self, audio: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """P arrays (levels,), used again by the next call, from audio (samples,)."""
        self._native.infer(audio, self._filled)
        return self._rows


def infer_natively(weights: Mapping[str, NDArray[Any]], training: Mapping[str, Any]) -> AtomsInference | None:
    """The network of some weights, or None: see `parts`."""
    made = parts(weights, training)
    return None if made is None else AtomsInference(made)


def parts(weights: Mapping[str, NDArray[Any]], training: Mapping[str, Any]) -> Parts | None:
    """What the network is made of, from weights by their names in Keras, and what the export knew of its training.

    None where they are not those of an `Atoms` as the kernel knows it.
    """
    wanted = {name: (rows, columns) for name, rows, columns in _native.Atoms.arrays()}
    try:
        if (training["settings"]["model"], training["settings"]["loss"]) != ("Atoms", "softmax"):
            return None
        given = training["temperatures"]
        found = _arrays(weights)
        found["temperatures"] = np.zeros(wanted["temperatures"]) if given is None else np.array(given, np.float32)
        found = {name: np.atleast_2d(found[name]) for name in wanted}
        phasors = _phasors(weights["matched_filters/phasors"])
    except (ArithmeticError, LookupError, TypeError, ValueError):  # a file may say anything
        return None
    if any(found[name].shape != shape for name, shape in wanted.items()) or phasors.dtype != np.uint8:
        return None
    if phasors.size != _native.Atoms.PHASORS:
        return None
    return [np.ascontiguousarray(array, np.float32) for array in found.values()], phasors


def _arrays(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the kernel wants, by its names: what it doesn't need twice is left out, and rows lie as it reads them."""
    found = {path.replace("/", "_"): array for path, array in weights.items()}
    inverse = found["whitened_inverse"]
    half = inverse.shape[1] // 2 + 1
    changed = {
        "inverse_cosines": inverse[:BINS, :half],
        "inverse_sines": inverse[BINS:, :half],
        "whitened_bands": found["whitened_bands"][:BINS],
        "whitened_smoothed": found["whitened_smoothed"][:BINS, :BINS],
        "candidates_swept": found["candidates_swept"][:BINS],
        "candidates_parts": found["candidates_parts"][:, :SEGMENTS],
        "candidates_swings": found["candidates_swings"].reshape(-1, found["candidates_carriers"].shape[1]),
    }
    for name in ("demodulated_cosines", "demodulated_sines"):
        changed[name] = found[name].reshape(-1, 2 * NOTES)[:, :NOTES]
    for name in ("owners_said_kernel", "owners_said_bias"):
        changed[name] = np.roll(found[name], -OWNERS, axis=-1)
    return found | changed


def _phasors(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(segments, swings, 2 x steps), real parts and then imaginary ones, to each swing's moments, both side by side."""
    segments, swings, both = parts.shape
    return np.ascontiguousarray(parts.reshape(segments, swings, 2, both // 2).transpose(1, 0, 3, 2)).reshape(-1)
