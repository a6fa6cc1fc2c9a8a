"""The exact patch of a sound that the paper's synth made itself, by matching pursuit on its waveform.

The chain is oscillators, envelope, low-pass, gater (see `table`), and all of it is known at every sample
but for the 23 parameters. So it can be undone from its end:

1. The gater: the sound is divided by (1 + sin(2 pi f_gate t)) / 2. Samples where that is small weigh little.
2. The low-pass: with y its output and x its input, y[n] + a1 y[n-1] + a2 y[n-2] = b0 (x[n] + 2 x[n-1] + x[n-2]). The
   left side is known for each (f_cut, q), and b0 is a factor: what stands on the right is the same for all.
3. The envelope: until the attack has ended it is t / a, a factor too, and the shortest attack but one lasts 67 ms.
   (After the very shortest, of 1 ms, the decay's line stands in its place.)
4. What is left is linear in the four amplitudes: a sum of four atoms, one of each waveform's 16 x 16 x 16 triples
   (f, v, B). All 16384 are rendered once, by the bank itself, and found by orthogonal matching pursuit (Pati,
   Rezaiifar, Krishnaprasad, 1993) with the selection of Rebollo-Neira and Lowe (2002), several sums at a time, and
   then by exchanging one atom at a time.

The atoms tell at once which (f_cut, q) they were seen through, so it need not be right at first; then the amplitudes
are the solution of least squares, and attack, decay, sustain and release follow from the rest of the note, by
rendering. What comes out is rendered and compared with the sound: a residual near that of float32 proves it right.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dictionary import (
    HEAD,
    RATE,
    SMALLEST_OPENING,
    TRIPLES,
    Dictionary,
    Envelope,
    Floats,
    atoms,
    gate_opening,
    gate_weights,
    levels_of_atoms,
    lowpasses,
    possible_gates,
    render,
    rising,
    undone,
)
from .table import NOTE, SPACE, WAVEFORMS

BEAM = 12
"""Sums of atoms that are followed at a time."""
EXCHANGED = 4
"""Of these, the best that exchanges are tried on."""
COLLINEAR = 1e-4
"""An atom is ignored if less than this part of its power is new beside the others."""

FOUND = 1e-3
"""Atoms that leave less than this part of the head unexplained are right, but for one of the lowest amplitude."""
EXACT = 3e-5
"""Those that leave less than this are all right: float32 leaves 1e-6 to 1e-5."""
ON_LEVEL = 0.02
"""Amplitudes that are all so near to levels, in levels, are levels."""
FOREIGN = 0.7
"""Where no gater closes, and atoms leave more than this, the sound isn't the synth's."""
UNLIKELY = 1e-4
"""Added to the probability of each level, so that a wrong and sure network rules none out."""
BUILDING_S = 0.3
"""The atoms are rendered, at the first sound, if there is at least this much time."""
HYPOTHESES = 64
"""The most pairs of gater and low-pass that are tried, the likeliest first."""
ROUNDS = 4
"""Times that a hypothesis may mend its low-pass or decay."""

SHORTEST = SPACE["attack"].low
_AMPLITUDES = [SPACE.index(f"{w}_amplitude") for w in WAVEFORMS]


@dataclass(frozen=True)
class Sum:
    """Atoms, one of each waveform once it is whole: their numbers, an orthonormal base, and what they leave."""

    atoms: tuple[int, ...]
    base: Floats
    residual: Floats

    def plus(self, atom: int, row: Floats) -> Sum:
        """With one atom more, whose weighted samples these are."""
        for _ in range(2):  # twice is enough (Kahan)
            row = row - self.base.T @ (self.base @ row)
        row = row / max(float(np.linalg.norm(row)), 1e-30)
        return Sum((*self.atoms, atom), np.vstack([self.base, row]), self.residual - row * (row @ self.residual))


def _pursue(dictionary: Dictionary, head: Floats, guess: tuple[int, ...], end: float) -> tuple[tuple[int, ...], float]:
    """The four atoms that explain most of the head (HEAD,), weighted, and the part that they leave.

    A guess is tried first: where it is nearly right, exchanges mend it in a fraction of the time. Nothing more is tried
    after the time `end`.
    """
    loudness = max(float(np.linalg.norm(head)), 1e-30)
    best: tuple[tuple[int, ...], float] = (), math.inf
    starts: Iterator[tuple[int, ...]] = itertools.chain([guess], _sums(dictionary, head, end))
    for start in itertools.islice(starts, 1 + EXCHANGED):
        atoms, residual = _exchanged(dictionary, head, start, end)
        left = residual / loudness
        if left < best[1]:
            best = atoms, left
        if left < EXACT or time.perf_counter() >= end:
            break
    return best


def _gains(products: NDArray[np.float32], new: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each atom would explain; `new` is the power of what is new in it, `whole` that of all of it."""
    return np.asarray(np.square(products) / np.maximum(new, COLLINEAR * whole))


def _sums(dictionary: Dictionary, head: Floats, end: float) -> Iterator[tuple[int, ...]]:
    """Sums of four atoms by orthogonal matching pursuit, `BEAM` at a time, the best first; none after `end`."""
    sums = [Sum((), np.empty((0, HEAD)), head)]
    new = [dictionary.powers]
    for turn in range(len(WAVEFORMS)):
        if time.perf_counter() >= end:
            return
        products = dictionary.products(np.stack([each.residual for each in sums]))
        choices: list[tuple[float, int, int]] = []
        for number, each in enumerate(sums):
            gain = _gains(products[number], new[number], dictionary.powers)
            for atom in each.atoms:
                gain[Dictionary.slice(atom // TRIPLES)] = -1.0
            left = float(each.residual @ each.residual)
            for atom in np.argpartition(-gain, 2 * BEAM)[: 2 * BEAM].tolist():
                choices.append((left - float(gain[atom]), number, atom))
        chosen: dict[frozenset[int], tuple[int, int]] = {}
        for _, number, atom in sorted(choices):
            chosen.setdefault(frozenset((*sums[number].atoms, atom)), (number, atom))
            if len(chosen) == BEAM:
                break
        rows = dictionary.weighted([atom for _, atom in chosen.values()])
        sums = [sums[number].plus(atom, row) for (number, atom), row in zip(chosen.values(), rows, strict=True)]
        if turn < len(WAVEFORMS) - 1:
            shadows = dictionary.products(np.stack([each.base[-1] for each in sums]))
            new = [new[number] - np.square(row) for (number, _), row in zip(chosen.values(), shadows, strict=True)]
    for each in sorted(sums, key=lambda each: float(each.residual @ each.residual)):
        yield tuple(sorted(each.atoms))


def _exchanged(
    dictionary: Dictionary, head: Floats, start: tuple[int, ...], end: float
) -> tuple[tuple[int, ...], float]:
    """A sum of four after each atom was exchanged for the best of its waveform, and what it leaves.

    Until none changes any more, or the time `end`.
    """
    atoms = list(start)
    enough = EXACT * float(np.linalg.norm(head))
    unchanged = 0
    for waveform in itertools.cycle(range(len(WAVEFORMS))):
        others = Sum((), np.empty((0, HEAD)), head)
        rest = atoms[:waveform] + atoms[waveform + 1 :]
        for atom, row in zip(rest, dictionary.weighted(rest), strict=True):
            others = others.plus(atom, row)
        products = dictionary.products(np.vstack([others.residual, others.base]), waveform)
        powers = dictionary.powers[Dictionary.slice(waveform)]
        gain = _gains(products[0], powers - np.square(products[1:]).sum(axis=0), powers)
        atom = waveform * TRIPLES + int(gain.argmax())
        unchanged = unchanged + 1 if atom == atoms[waveform] else 1
        atoms[waveform] = atom
        left = float(np.linalg.norm(others.plus(atom, dictionary.weighted([atom])[0]).residual))
        if unchanged >= len(WAVEFORMS) or left < enough or time.perf_counter() >= end:
            break
    return tuple(atoms), left


def _best_lowpass(sound: Floats, weights: Floats, base: Floats) -> tuple[int, float]:
    """16 f_cut + q of the low-pass that some atoms, their orthonormal base, explain best; the part that they leave."""
    delayed = np.stack([np.pad(sound, (n, 0))[: len(sound)] for n in range(3)]) * weights
    left = delayed - (delayed @ base.T) @ base
    filters = np.column_stack([np.ones(256), lowpasses()[:, :2]])
    parts = np.einsum("ki,ij,kj->k", filters, left @ left.T, filters)
    wholes = np.einsum("ki,ij,kj->k", filters, delayed @ delayed.T, filters)
    shares = np.maximum(parts, 0.0) / np.maximum(wholes, 1e-30)
    return int(shares.argmin()), math.sqrt(float(shares.min()))


@dataclass(frozen=True)
class Beginning:
    """What was found in the head of a sound.

    `atoms`; their `amplitudes`, divided by the attack in s unless it is the shortest (`short`); `lowpass`, as
    16 f_cut + q, and `gate`: their levels.
    """

    atoms: tuple[int, ...]
    amplitudes: Floats
    lowpass: int
    gate: int
    short: bool


class _Beginnings:
    """The search for the atoms of one sound, for all hypotheses."""

    def __init__(self, target: NDArray[np.float32], likely: Sequence[Floats], end: float) -> None:
        self.target, self.end = target, end
        self.gates = possible_gates(target)
        self.foreign = False
        """Whether the sound is hardly the synth's: no gater closes, and atoms explain little."""
        self.tried: set[tuple[int, int, bool]] = set()
        at = {name: int(row.argmax()) for name, row in zip(SPACE.names, likely, strict=True)}
        self.guess = tuple(
            waveform * TRIPLES + 256 * at[f"{w}_frequency"] + 16 * at[f"{w}_mod_frequency"] + at[f"{w}_mod_amplitude"]
            for waveform, w in enumerate(WAVEFORMS)
        )
        self.falling = (
            SHORTEST,
            float(SPACE["decay"].values[at["decay"]]),
            float(SPACE["sustain"].values[at["sustain"]]),
        )

    def find(self, gate: int, lowpass: int, short: bool) -> Beginning | None:
        """The atoms behind a gater, from a first guess of the low-pass (and of the decay, after a short attack) on."""
        sound = self.target[:HEAD] / np.maximum(gate_opening(gate), SMALLEST_OPENING)
        weights = gate_weights(gate)
        for _ in range(ROUNDS):
            if (gate, lowpass, short) in self.tried or time.perf_counter() >= self.end:
                return None
            dictionary = Dictionary(self.falling, gate) if short else rising(gate)
            head = undone(sound, lowpasses()[lowpass]) * weights
            found, left = _pursue(dictionary, head, self.guess, self.end)
            self.foreign = left > FOREIGN and not self.gates[1:].any()  # the slowest never closes in a second
            if self.foreign:
                return None
            if short and left > FOUND:
                better = _best_decay(found, head, weights)
                if better != self.falling:
                    self.falling, self.guess = better, found
                    continue
            self.tried.add((gate, lowpass, short))
            base, _ = np.linalg.qr(dictionary.weighted(found).T)
            guessed, (lowpass, left) = lowpass, _best_lowpass(sound, weights, base.T)
            if left < EXACT or (left < FOUND and lowpass == guessed):
                head = undone(sound, lowpasses()[lowpass]) * weights
                amplitudes = np.asarray(np.linalg.lstsq(dictionary.weighted(found).T, head, rcond=None)[0], np.float64)
                return Beginning(found, amplitudes, lowpass, gate, short)
            if left < FOUND:
                self.guess = found
        return None


def _best_decay(found: Sequence[int], head: Floats, weights: Floats) -> Envelope:
    """The decay and sustain, after the shortest attack, under which some atoms explain most of the head."""
    envelopes = np.array(list(itertools.product([SHORTEST], SPACE["decay"].values, SPACE["sustain"].values)))
    each = [atoms(atom // TRIPLES, np.full(len(envelopes), atom % TRIPLES), envelopes) for atom in found]
    rows = np.stack(each, axis=1) * weights  # (envelopes, 4, HEAD)
    shares = rows @ head
    squares = rows @ rows.transpose(0, 2, 1)
    explained = np.einsum("ei,eij,ej->e", shares, np.linalg.pinv(squares, hermitian=True), shares)
    attack, decay, sustain = envelopes[int(explained.argmax())].tolist()
    return attack, decay, sustain


def _finish(target: NDArray[np.float32], beginning: Beginning, likely: Sequence[Floats]) -> Floats:
    """(P,) the patch whose beginning this is: attack, decay and sustain, release, each by rendering all there are."""
    patch = np.array([SPACE[name].values[int(row.argmax())] for name, row in zip(SPACE.names, likely, strict=True)])
    for waveform, (name, atom) in enumerate(zip(WAVEFORMS, beginning.atoms, strict=True)):
        f, v, b = levels_of_atoms()[atom - waveform * TRIPLES]
        patch[SPACE.index(f"{name}_frequency")] = SPACE[f"{name}_frequency"].values[f]
        patch[SPACE.index(f"{name}_mod_amplitude")] = SPACE[f"{name}_mod_amplitude"].values[b]
        if b:
            patch[SPACE.index(f"{name}_mod_frequency")] = SPACE[f"{name}_mod_frequency"].values[v]
    patch[SPACE.index("cutoff")] = SPACE["cutoff"].values[beginning.lowpass // 16]
    patch[SPACE.index("resonance")] = SPACE["resonance"].values[beginning.lowpass % 16]
    patch[SPACE.index("gate_frequency")] = SPACE["gate_frequency"].values[beginning.gate]

    attacks = SPACE["attack"].values[:1] if beginning.short else SPACE["attack"].values[1:]
    patches = np.repeat(patch[None], len(attacks), axis=0)
    patches[:, SPACE.index("attack")] = attacks
    amplitudes = beginning.amplitudes * (np.ones((1, 1)) if beginning.short else attacks[:, None])
    grid = SPACE["sin_amplitude"].values
    nearest = np.rint((amplitudes - grid[0]) / (grid[1] - grid[0])).clip(0, len(grid) - 1).astype(int)
    off = (np.abs(amplitudes - grid[nearest]) / (grid[1] - grid[0])).max(axis=1)
    patches[:, _AMPLITUDES] = np.where((off < ON_LEVEL)[:, None], grid[nearest], amplitudes.clip(grid[0], grid[-1]))
    note_off = int(NOTE.hold_s * RATE)
    ends = np.minimum(np.ceil(attacks * RATE).astype(int), note_off)
    sounds = render(patches, note_off)
    distances = np.array([_distance(sound[:end], target[:end]) for sound, end in zip(sounds, ends, strict=True)])
    possible = amplitudes.max(axis=1) < grid[-1] * (1 + ON_LEVEL)
    fitting = np.flatnonzero(possible & (distances < max(EXACT, 1.1 * distances.min())))
    if len(fitting):
        # The last that fits is right; of attacks that the note's end cuts short, one whose amplitudes are levels.
        longest = fitting[ends[fitting] == ends[fitting[-1]]]
        patch = patches[longest[int(off[longest].argmin())]]
    else:
        patch = patches[int(off.argmin())]
    patch = _best(patch, ("decay", "sustain"), target[:note_off], likely)
    return _best(patch, ("release",), target, likely)


def _best(patch: Floats, names: tuple[str, ...], target: NDArray[np.float32], likely: Sequence[Floats]) -> Floats:
    """A patch with the levels of these parameters that come nearest to a target; of equals, the likeliest."""
    columns = [SPACE.index(name) for name in names]
    levels = np.array(list(itertools.product(*(range(SPACE[column].levels) for column in columns))))
    patches = np.repeat(patch[None], len(levels), axis=0)
    for column, name, level in zip(columns, names, levels.T, strict=True):
        patches[:, column] = SPACE[name].values[level]
    distances = np.array([_distance(sound, target) for sound in render(patches, len(target))])
    chances = np.prod([likely[column][level] for column, level in zip(columns, levels.T, strict=True)], axis=0)
    equals = distances <= distances.min() * (1 + 1e-3)
    return np.asarray(patches[int(np.where(equals, chances, -1.0).argmax())])


def _distance(sound: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """The relative residual of a sound."""
    loudness = float(np.linalg.norm(target))
    return float(np.linalg.norm(sound - target)) / loudness if loudness else math.inf


def _hypotheses(gates: NDArray[np.bool_], likely: Sequence[Floats]) -> Iterator[tuple[int, int, bool]]:
    """Gater, of those that may be, low-pass and whether the attack is the shortest, the likeliest first."""
    gate, cutoff, resonance, attack = (
        likely[SPACE.index(name)] for name in ("gate_frequency", "cutoff", "resonance", "attack")
    )
    gate = np.where(gates, gate + UNLIKELY, 0.0)
    short = np.array([1 - attack[0], attack[0]])
    chances = np.einsum("g,f,q,s->gfqs", gate, cutoff + UNLIKELY, resonance + UNLIKELY, short + UNLIKELY)
    for at in np.argsort(-chances, axis=None, kind="stable")[: min(HYPOTHESES, np.count_nonzero(chances))]:
        g, f, q, s = np.unravel_index(int(at), chances.shape)
        yield int(g), int(16 * f + q), bool(s)


def solve(target: ArrayLike, likely: Sequence[ArrayLike], seconds: float = math.inf) -> Floats:
    """(1, P) the patch of the paper's synth that made a sound, or (0, P) where none is found.

    target: (samples,) float32 at 16384 Hz from the note's first sample on, at least `HEAD` of them; likely: P
    distributions (levels,), that say what is tried first. Nothing new is tried after `seconds`. What is found leaves
    less than -60 dB of the sound's beginning; the caller compares the whole.
    """
    end = time.perf_counter() + seconds
    sound = np.ascontiguousarray(target, np.float32)
    rows = [np.asarray(row, np.float64) for row in likely]
    none = np.empty((0, len(SPACE)))
    if len(sound) < HEAD or not np.any(sound[:HEAD]) or (seconds < BUILDING_S and not rising.cache_info().currsize):
        return none
    beginnings = _Beginnings(sound, rows, end)
    for gate, lowpass, short in _hypotheses(beginnings.gates, rows):
        if time.perf_counter() >= end or beginnings.foreign:
            break
        beginning = beginnings.find(gate, lowpass, short)
        if beginning is not None:
            return _finish(sound, beginning, rows)[None]
    return none
