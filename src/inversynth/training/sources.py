"""Where a run's sounds come from: rendered as training asks for them, or read from a dataset."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.augmentation import augmented, truncated
from ..dataset import Dataset, open_dataset, splits
from ..errors import InversynthError, MismatchError, UsageError
from ..spec import AudioFormat, Note, ParamSpace
from ..synths import sampling
from ..synths.sampling import Drawn
from ..synths.synth import Synth
from .ahead import in_order
from .settings import VALIDATION, Settings

Sounds = NDArray[np.float32]
Levels = NDArray[np.int64]
Notes = NDArray[np.float64]

Inputs = Sounds | list[Sounds]
"""The inputs of a network: audio (n, samples) or, with notes, a list of that and of notes (n, 3)."""
Batch = tuple[Inputs, Levels]
"""Inputs and levels (n, P)."""

AHEAD = 1024
"""Fresh patches drawn at a time, at least; drawing a batch alone would cost as much as rendering it."""
RETRY = 1 << 32
"""An item that can't be rendered is replaced by the one this much later in its stream."""
MOST_FAILED = 256
"""A synth that fails this many times in a row is broken."""
MOST_HELD_OUT = 256
"""A prior that draws this many times `AHEAD` patches, all of them held out, has no others."""


class Source(Protocol):
    """Where batches come from. `batches(cursor)` goes on from a position and yields (batch, next position).

    `identity` is what must be the same for a run to go on: a dataset that grew has another validation set.
    """

    synth: Synth
    space: ParamSpace
    audio: AudioFormat
    validation: Batch
    identity: dict[str, Any]

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]: ...


def open_source(settings: Settings, synth: Synth) -> Source:
    """Fresh sounds of a synth, or those of the dataset that the settings name."""
    if settings.data is None:
        return FreshSounds(synth, settings)
    return DatasetSounds(open_dataset(settings.data), synth, settings)


def rows_of(inputs: Inputs, rows: slice) -> Inputs:
    """Some rows of a network's inputs."""
    return [part[rows] for part in inputs] if isinstance(inputs, list) else inputs[rows]


def inputs_of(sounds: Sounds, notes: Notes | None, synth: Synth, with_note: bool) -> Inputs:
    """The inputs of a network: the sounds and, `with_note`, the notes (n, 3); for None the note of the synth."""
    if not with_note:
        return sounds
    return [sounds, Note.rows(synth.note if notes is None else notes, len(sounds)).astype(np.float32)]


def row_keys(space: ParamSpace, levels: Levels) -> NDArray[np.void]:
    """(n,) keys of patches (n, P): equal ones sound the same patch."""
    rows = np.ascontiguousarray(space.canonical(levels).astype(np.uint16))
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


class FreshSounds:
    """Sounds that never repeat, rendered as training asks for them: patches and notes by the synth's prior.

    The validation set is fixed by the seed and drawn from a stream of its own; a training item that sounds the same
    patch as any of its items, or is of its family, is dropped, so none can enter. An item that can't be rendered is
    left out, and another stands in its place. Raises `InversynthError` if none can be rendered.
    """

    def __init__(self, synth: Synth, settings: Settings) -> None:
        self.synth, self.space, self.audio = synth, synth.space, synth.format
        self.identity: dict[str, Any] = {}
        self._settings = settings
        self._held_out: set[bytes] = set()
        self._families = np.empty(0, np.int64)
        drawn = synth.draw(settings.seed, 0, settings.validation, sampling.VALIDATION)
        sounds, drawn = self._rendered(sampling.VALIDATION, np.arange(settings.validation), drawn)
        self._held_out = set(row_keys(self.space, drawn.levels).tolist())
        if drawn.families is not None:
            self._families = np.unique(drawn.families)
        if len(self._held_out) > 0.5 * math.prod(int(n) for n in self.space.levels):
            raise UsageError(f"a validation set of {settings.validation} leaves too few patches to train on")
        self.validation = self._made(sounds, drawn, 0)

    def _made(self, sounds: Sounds, drawn: Drawn, position: int) -> Batch:
        """A batch of rendered sounds; the same for the same position."""
        return inputs_of(self._augmented(sounds, position), drawn.notes, self.synth, self._settings.note), drawn.levels

    def _augmented(self, sounds: Sounds, position: int) -> Sounds:
        """Augments and truncates a share of the sounds; the same for the same position."""
        random = np.random.default_rng((self._settings.seed, position))
        if self._settings.augment:
            augmented(sounds, self._settings.augment, random, out=sounds)
        if self._settings.partial:
            truncated(sounds, self._settings.partial, self.audio.sample_rate, random, out=sounds)
        return sounds

    def _is_held_out(self, drawn: Drawn) -> NDArray[np.bool_]:
        """(n,) which patches sound that of a validation item, or are of its family."""
        keys = row_keys(self.space, drawn.levels).tolist()
        found = np.array([key in self._held_out for key in keys], bool)
        return found if drawn.families is None else found | np.isin(drawn.families, self._families)

    def _rendered(
        self, stream: int, items: NDArray[np.int64], drawn: Drawn, workers: int | None = None
    ) -> tuple[Sounds, Drawn]:
        """The sounds of items of a stream, and what was drawn for them: for those that fail, by others."""
        values = self.space.values_of_levels(drawn.levels)
        found = self.synth.render_all(values, workers=workers, note=drawn.notes)
        sounds, failures = found.sounds, dict(found.failures)
        tried, in_a_row = len(items), 0
        while failures:
            in_a_row = in_a_row + tried if len(failures) == tried else 0
            if in_a_row >= MOST_FAILED:
                why = next(iter(failures.values()))
                raise InversynthError(f"{self.synth.name} can't be trained on: {in_a_row} patches in a row fail: {why}")
            rows = np.array(sorted(failures), np.int64)
            tried, items = len(rows), np.where(np.isin(np.arange(len(items)), rows), items + RETRY, items)
            again = [self.synth.draw(self._settings.seed, item, 1, stream) for item in items[rows].tolist()]
            other = functools.reduce(_joined, again)
            drawn = _replaced(drawn, rows, other)
            found = self.synth.render_all(self.space.values_of_levels(other.levels), workers=workers, note=other.notes)
            sounds[rows] = found.sounds
            failures = dict.fromkeys(rows[self._is_held_out(other)].tolist(), "the patch is held out")
            failures |= {int(rows[row]): why for row, why in found.failures.items()}
        return sounds, drawn

    def _patches(self, cursor: int) -> Iterator[tuple[NDArray[np.int64], Drawn]]:
        """Items and what is drawn for them, many at a time, without those that are held out."""
        count, without = max(AHEAD, self._settings.batch_size), 0
        while without < MOST_HELD_OUT:
            drawn = self.synth.draw(self._settings.seed, cursor, count, sampling.TRAINING)
            kept = np.flatnonzero(~self._is_held_out(drawn))
            without = 0 if len(kept) else without + 1
            yield cursor + kept, _taken(drawn, kept)
            cursor += count
        raise UsageError(
            f"the prior of {self.synth.name} draws no patch but those of the validation set; use a smaller --validation"
        )

    def _batch(self, items: NDArray[np.int64], drawn: Drawn) -> tuple[Batch, int]:
        after = int(items[-1]) + 1
        sounds, drawn = self._rendered(sampling.TRAINING, items, drawn, workers=1)
        return self._made(sounds, drawn, after), after

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]:
        """See `Source`."""
        return in_order(self._batch, self._drawn(cursor))

    def _drawn(self, cursor: int) -> Iterator[tuple[NDArray[np.int64], Drawn]]:
        """The items of batches and what is drawn for them: all that is left to do is a function of these."""
        want, patches = self._settings.batch_size, self._patches(cursor)
        items, drawn = next(patches)
        while True:
            while len(items) < want:
                more, others = next(patches)
                items, drawn = np.concatenate([items, more]), _joined(drawn, others)
            yield items[:want], _taken(drawn, slice(want))
            items, drawn = items[want:], _taken(drawn, slice(want, None))


def _taken(drawn: Drawn, rows: NDArray[np.int64] | slice) -> Drawn:
    notes = None if drawn.notes is None else drawn.notes[rows]
    return Drawn(drawn.levels[rows], notes, None if drawn.families is None else drawn.families[rows])


def _joined(one: Drawn, other: Drawn) -> Drawn:
    notes = None if one.notes is None or other.notes is None else np.concatenate([one.notes, other.notes])
    none = one.families is None or other.families is None
    families = None if none else np.concatenate([one.families, other.families])
    return Drawn(np.concatenate([one.levels, other.levels]), notes, families)


def _replaced(drawn: Drawn, rows: NDArray[np.int64], other: Drawn) -> Drawn:
    """What was drawn, with those rows by others."""
    order = np.arange(len(drawn.levels))
    order[rows] = len(order) + np.arange(len(rows))
    return _taken(_joined(drawn, other), order)


class DatasetSounds:
    """The items of a dataset, or of a part of its split, every one once an epoch, in an order that
    depends on (seed, epoch) alone.

    The first `settings.validation` items of the part `validation` are the validation set. Where there is no such
    part, it is the last items, and an item before them that sounds the same patch as any of them, or is of the family
    of any, is left out. So are items that could not be rendered. Raises `MismatchError` if the dataset is of another
    synth or parameter space, `UsageError` if there is no such part or less than a batch is left to train on.
    """

    def __init__(self, dataset: Dataset, synth: Synth, settings: Settings) -> None:
        if dataset.synth != synth.name:
            raise MismatchError(f"{dataset.store} holds sounds of {dataset.synth}, not of {synth.name}")
        synth.space.require(dataset.space, str(dataset.store))
        self.synth, self.space, self.audio = synth, synth.space, dataset.audio
        self.identity: dict[str, Any] = {
            "count": len(dataset),
            "seed": dataset.seed,
            "normalise": dataset.manifest.normalise,
            "dtype": dataset.manifest.dtype,
        }
        self._dataset, self._settings = dataset, settings
        self._notes = dataset.notes if settings.note else None
        items, held_out = np.arange(len(dataset)), np.empty(0, np.int64)
        what = f"a validation set of {settings.validation}"
        if settings.split is not None:
            split = splits.read(dataset)
            self.identity["split"] = {"shares": split.shares, "seed": split.seed}
            items = split.items(settings.split)
            if VALIDATION in split.shares:
                held_out, what = split.items(VALIDATION), f"the part {settings.split}"
        items, held_out = (part[~dataset.failed[part]] for part in (items, held_out))
        held_out = held_out[: settings.validation]
        if not len(held_out):
            first = max(len(items) - settings.validation, 0)
            items, held_out = items[:first], items[first:]
            keys = row_keys(self.space, dataset.levels)
            items = items[~np.isin(keys[items], keys[held_out])]
            if dataset.families is not None:
                items = items[~np.isin(dataset.families[items], dataset.families[held_out])]
        self._items = items
        if len(items) < settings.batch_size:
            raise UsageError(
                f"{dataset.store} is too small: of its {len(dataset)} sounds, {what} leaves {len(items)} to train on, "
                f"less than a batch of {settings.batch_size}; render more"
            )
        self.validation = self._read(held_out)

    def _read(self, items: NDArray[np.int64]) -> Batch:
        sounds, levels = self._dataset.read(items)
        notes = None if self._notes is None else self._notes[items]
        return inputs_of(sounds, notes, self.synth, self._settings.note), levels

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]:
        """See `Source`."""
        want, count = self._settings.batch_size, len(self._items)

        @functools.lru_cache(2)
        def order(epoch: int) -> NDArray[np.int64]:
            return self._items[sampling.permutation(count, self._settings.seed, epoch)]

        while True:
            epoch, place = divmod(cursor, count)
            rows = order(epoch)[place : place + want]
            if len(rows) < want:
                rows = np.concatenate([rows, order(epoch + 1)[: want - len(rows)]])
            cursor += want
            yield self._read(rows), cursor
