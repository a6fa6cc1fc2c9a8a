"""The parts of a sound that the pursuit knows: its atoms, and what the gater and the low-pass do to them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...spec import Note
from .engine import ENGINE
from .table import FORMAT, NOTE, SPACE, WAVEFORMS

Floats = NDArray[np.float64]
Sound = TypeVar("Sound", Floats, NDArray[np.float32])

RATE = FORMAT.sample_rate
TRIPLES = 16**3
"""Atoms of a waveform: 256 f + 16 v + B."""
HEAD = 1024
"""Samples in which the atoms are searched for: less than the shortest attack but one."""
SMALLEST_OPENING = 0.02
"""Samples where the gater is open by less than this are ignored."""
AROUND, AUDIBLE, CLOSED = 64, 1e-3, 0.01
"""Where a gater closes, three samples are below a part of the 128 around, where those are above a part of the peak."""


def render(values: Floats, samples: int) -> NDArray[np.float32]:
    """As `Synth.render` does, beyond the ranges too: amplitudes of 0, say."""
    out = np.empty((len(values), samples), np.float32)
    ENGINE(np.ascontiguousarray(values), Note.rows(NOTE, len(values)), RATE, out, workers=1)
    return out


@cache
def lowpasses() -> Floats:
    """(256, 3) a1, a2, b0 of each (f_cut, q): the Audio EQ Cookbook's low-pass, all divided by its a0."""
    cutoff, resonance = np.meshgrid(SPACE["cutoff"].values, SPACE["resonance"].values, indexing="ij")
    w = 2 * np.pi * cutoff.ravel() / RATE
    alpha = np.sin(w) / (2 * resonance.ravel())
    filters = np.stack([-2 * np.cos(w), 1 - alpha, (1 - np.cos(w)) / 2], axis=1)
    return np.asarray(filters / (1 + alpha)[:, None], np.float64)


def undone(sound: Sound, lowpass: Sound) -> Sound:
    """(..., samples) the sound before the low-pass, seen through (1 + 1/z)^2."""
    out = sound.copy()
    out[..., 1:] += lowpass[0] * sound[..., :-1]
    out[..., 2:] += lowpass[1] * sound[..., :-2]
    before: Sound = out / lowpass[2]
    return before


@cache
def levels_of_atoms() -> NDArray[np.int64]:
    """(4096, 3) the levels of f, v, B."""
    return np.stack(np.unravel_index(np.arange(TRIPLES), (16, 16, 16)), axis=1)


Envelope = tuple[float, float, float]
"""Attack and decay in s, sustain as a level."""
ATTACKING: Envelope = (1.0, 1.0, 1.0)
"""Under this one an atom grows with t, as it does under any attack that hasn't ended, but for a factor."""


def atoms(waveform: int, triples: NDArray[np.int64], envelopes: ArrayLike) -> NDArray[np.float32]:
    """(n, HEAD) oscillators alone, seen through (1 + 1/z)^2.

    triples: (n,) of a waveform; envelopes: (3,) or (n, 3). Rendered by the bank behind a low-pass that is then undone,
    with a gater that stands still.
    """
    values = np.zeros((len(triples), len(SPACE)))
    name = WAVEFORMS[waveform]
    for w in WAVEFORMS:
        values[:, SPACE.index(f"{w}_frequency")], values[:, SPACE.index(f"{w}_mod_frequency")] = 440.0, 1.0
    at = levels_of_atoms()[triples]
    for column, parameter in enumerate(("frequency", "mod_frequency", "mod_amplitude")):
        values[:, SPACE.index(f"{name}_{parameter}")] = SPACE[f"{name}_{parameter}"].values[at[:, column]]
    values[:, SPACE.index(f"{name}_amplitude")] = 1.0
    values[:, SPACE.index("attack") : SPACE.index("sustain") + 1] = envelopes
    values[:, SPACE.index("release")] = 1.0
    open_lowpass = 15 * 16 + 1
    values[:, SPACE.index("cutoff")] = SPACE["cutoff"].values[open_lowpass // 16]
    values[:, SPACE.index("resonance")] = SPACE["resonance"].values[open_lowpass % 16]
    return undone(2 * render(values, HEAD), lowpasses()[open_lowpass].astype(np.float32))


@cache
def gate_weights(gate: int) -> Floats:
    """(HEAD,) how much a sample counts behind the gater of this level: no more than the two before it let through."""
    opening = gate_opening(gate)
    least = np.minimum(opening, np.minimum(np.roll(opening, 1), np.roll(opening, 2)))
    least[:2] = opening[:2]
    return np.where(least > SMALLEST_OPENING, least, 0.0)


def gate_opening(gate: int) -> Floats:
    """(HEAD,) what the gater of this level lets through."""
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * SPACE["gate_frequency"].values[gate] * np.arange(HEAD) / RATE))


def possible_gates(sound: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(16,) the levels of the gater that may be: where it closes, the sound is silent, though it isn't around."""
    loud = AUDIBLE * float(np.abs(sound).max())
    possible = np.ones(SPACE["gate_frequency"].levels, bool)
    for gate, frequency in enumerate(SPACE["gate_frequency"].values):
        closed = np.rint((np.arange(frequency) + 0.75) / frequency * RATE).astype(int)
        for at in closed[(closed > AROUND) & (closed < len(sound) - AROUND)].tolist():
            around = float(np.sqrt(np.mean(np.square(sound[at - AROUND : at + AROUND]))))
            if around > loud and float(np.abs(sound[at - 1 : at + 2]).max()) > CLOSED * around:
                possible[gate] = False
    return possible


@lru_cache(2)
def _all_atoms(envelope: Envelope) -> NDArray[np.float32]:
    """(16384, HEAD), waveform by waveform."""
    out = np.empty((len(WAVEFORMS) * TRIPLES, HEAD), np.float32)
    step = 256  # this much stays in the cache
    for start in range(0, len(out), step):
        waveform, triple = divmod(start, TRIPLES)
        out[start : start + step] = atoms(waveform, np.arange(triple, triple + step), envelope)
    return out


class Dictionary:
    """All atoms under an envelope, as a gater's weights see them."""

    def __init__(self, envelope: Envelope, gate: int) -> None:
        self.rows, self.weights = _all_atoms(envelope), gate_weights(gate)
        self.light = self.weights.astype(np.float32)
        squares = np.square(self.light)
        self.powers = np.concatenate(
            [np.square(self.rows[i : i + 1024]) @ squares for i in range(0, len(self.rows), 1024)]
        )

    def weighted(self, atoms: Sequence[int]) -> Floats:
        """(n, HEAD) the atoms of these numbers."""
        return np.asarray(self.rows[list(atoms)] * self.weights)

    def products(self, vectors: NDArray[Any], waveform: int | None = None) -> NDArray[np.float32]:
        """(n, HEAD) weighted vectors to (n, 16384) products with all atoms, or (n, 4096) with those of a waveform."""
        return np.asarray((vectors.astype(np.float32) * self.light) @ self.rows[self.slice(waveform)].T)

    @staticmethod
    def slice(waveform: int | None) -> slice:
        """Where the atoms of a waveform, or all, are."""
        return slice(None) if waveform is None else slice(waveform * TRIPLES, (waveform + 1) * TRIPLES)


@cache
def rising(gate: int) -> Dictionary:
    """The atoms under t, the envelope of an attack of 1 s."""
    return Dictionary(ATTACKING, gate)
