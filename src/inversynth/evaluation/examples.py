"""The sounds of a test, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InversynthError
from ..predict.model import Model
from ..spec import Note
from ..synths.synth import Synth
from .comparing import CHUNK, Columns, Report, compare, joined, likeliest

CHANCE = 1024
"""Sounds that chance is measured on, at most: to compare takes longer than to predict."""

Floats = NDArray[np.float64]
Sounds = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """Patches of a synth whose sounds are the test; each of them can be rendered.

    `levels`: (n, P) int64; `notes`: (n, 3) float64 what plays them, or None for the synth's own note; `probabilities`:
    P arrays (n, levels) of the model; `audible`: (n, P) where a parameter has an effect.
    """

    synth: Synth
    levels: NDArray[np.int64]
    notes: Floats | None
    probabilities: list[Sounds]
    audible: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def values(self) -> Floats:
        """(n, P) in units."""
        return self.synth.space.values_of_levels(self.levels)

    def chunks(self) -> Iterator[slice]:
        """The rows, `CHUNK` at a time."""
        return (slice(at, min(at + CHUNK, len(self))) for at in range(0, len(self), CHUNK))

    def render(self, values: Floats, rows: slice, sample_rate: int | None = None) -> Sounds:
        """Sounds of other patches, (rows, P) in units, by the notes of these rows; silence where one fails."""
        return self.synth.render_all(values, sample_rate, note=_some(self.notes, rows)).sounds

    def predict(self, model: Model, sounds: Sounds, rows: slice) -> list[Sounds]:
        """P arrays (rows, levels), a model's probabilities for sounds of these rows."""
        return predict(model, sounds, _some(self.notes, rows))

    def items(self) -> Iterator[tuple[Synth, Sounds, list[Sounds]]]:
        """Of each sound its synth, which plays the sound's note, its samples and its distributions."""
        for item, patch in enumerate(self.values):
            played = self.synth if self.notes is None else replace(self.synth, note=Note(*self.notes[item].tolist()))
            yield played, played.render(patch[None])[0], [row[item] for row in self.probabilities]

    def measure(self, values: Floats) -> Columns:
        """Every measure of the sounds of (n, P) patches against these."""
        wanted = self.values
        parts = [
            compare(self.render(wanted[rows], rows), self.render(values[rows], rows), self.synth)
            for rows in self.chunks()
        ]
        return joined(parts)


@dataclass(frozen=True)
class Compared:
    """What a first pass over all patches found: of those that could be rendered, (n,) `kept`, P `probabilities`
    (kept, levels), the measures of `sounds` of the predicted patches, and of `chance`, the sounds of the next patches;
    `failures`: why the others could not be rendered, by their numbers.
    """

    kept: NDArray[np.bool_]
    probabilities: list[Sounds]
    sounds: Columns
    chance: Columns
    failures: Mapping[int, str]


def predict(model: Model, sounds: Sounds, notes: Floats | None) -> list[Sounds]:
    """P arrays (n, levels): a model's probabilities for (n, samples) sounds that (n, 3) notes have played."""
    return model.predict(sounds)


def compare_predictions(
    model: Model, synth: Synth, levels: NDArray[np.int64], notes: Floats | None, report: Report
) -> Compared:
    """Renders (n, P) patches, predicts them, and compares the predicted patches and unrelated ones with them.

    Raises `InversynthError` where fewer than two neighbouring patches can be rendered.
    """
    values = synth.space.values_of_levels(levels)
    others, other_notes = np.roll(values, 1, axis=0), None if notes is None else np.roll(notes, 1, axis=0)
    kept = np.ones(len(levels), bool)
    failures: dict[int, str] = {}
    predicted, matched, chance = [], [], []
    for at in range(0, len(levels), CHUNK):
        rows = slice(at, at + CHUNK)
        rendered = synth.render_all(values[rows], note=_some(notes, rows))
        failures |= {at + row: why for row, why in rendered.failures.items()}
        kept[[at + row for row in rendered.failures]] = False
        use = np.flatnonzero(kept[rows])
        if len(use):
            sounds, note = rendered.sounds[use], _some(notes, at + use)
            predicted.append(predict(model, sounds, note))
            match = synth.render_all(synth.space.values_of_levels(likeliest(predicted[-1])), note=note).sounds
            matched.append(compare(sounds, match, synth))
        if at < CHANCE:
            other = synth.render_all(others[rows], note=_some(other_notes, rows))
            both = np.setdiff1d(use, list(other.failures))
            if len(both):
                chance.append(compare(rendered.sounds[both], other.sounds[both], synth))
        done = min(at + CHUNK, len(levels))
        report(done, len(levels), done)
    if not chance:
        reason = next(iter(failures.values()), "")
        raise InversynthError(f"{len(failures)} of {len(levels)} patches can't be rendered by {synth.name}: {reason}")
    probabilities = [np.concatenate(parts) for parts in zip(*predicted, strict=True)]
    return Compared(kept, probabilities, joined(matched), joined(chance), failures)


def _some(notes: Floats | None, rows: slice | NDArray[np.int64]) -> Floats | None:
    return None if notes is None else notes[rows]
