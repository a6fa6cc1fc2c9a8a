"""Rendering a dataset: a shard is a task, and the manifest comes last."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DamageError, InversynthError, MismatchError
from ..spec import Note
from ..synths import Synth
from . import engines
from .engines import Engine, checkpoint
from .manifest import (
    MANIFEST,
    OTHER_REASONS,
    PARTIAL,
    REASONS,
    SHARD_FILE,
    DatasetSettings,
    Manifest,
    failures,
)
from .reading import Dataset, Report, StatTask, find_problems, open_dataset
from .samples import stored
from .stores import Entry, Store, store

BLOCK_BYTES = 1 << 20
"""A worker holds about this much sound at a time: what fits into its core's cache is fastest."""
PROBE = 32
"""Sounds by which machines compare what they render."""
REASON_LENGTH = 200
"""The most characters of the reason of a failure; the rest is cut."""
SAVE_S = 1.0
"""Least time between two writes of the partial manifest; what is lost with it is rendered again."""
SAVE_SHARE = 0.05
"""The most of its time that goes into writing the partial manifest."""


@dataclass(frozen=True)
class ShardTask:
    """The task of rendering a shard: its number to the entries of the files it writes into the folder `out`.

    Knows nothing of the other shards; may run anywhere, and again.
    """

    settings: DatasetSettings
    out: str

    @property
    def identity(self) -> str:
        """What machines must share to render the same bytes; the last part is a hash of some sounds."""
        return _identity(self.settings.synth)

    def __call__(self, number: int) -> dict[str, Entry]:
        """Raises `InversynthError` if a file can't be written, or the dataset isn't there where this runs."""
        settings, manifest, folder = self.settings, Manifest.of(self.settings), store(self.out)
        if not folder.has(PARTIAL):
            raise InversynthError(
                f"{folder.name(PARTIAL)} is not there on {socket.gethostname()}; every machine that renders must see "
                "the same place: a folder that they share, or a URL"
            )
        items, parts = manifest.items(number), manifest.parts(number)
        drawn = settings.synth.draw(settings.seed, items.start, len(items))
        notes = Note.rows(settings.synth.note if drawn.notes is None else drawn.notes, len(items))
        made = _Made([], np.zeros(len(items), np.uint8), Counter())
        contents: dict[str, Iterable[Any]] = {
            "audio": self._sounds(manifest, items, drawn.levels, notes, made),  # is written first, and fills `made`
            "levels": [drawn.levels],
            "peaks": made.peaks,
            "notes": [notes],
            "families": [drawn.families],
            "failed": [made.failed],
        }
        entries = {part.name: part.write(folder, contents[kind]) for kind, part in parts.items()}
        if made.reasons:
            entries[parts["failed"].name]["reasons"] = made.frequent_reasons
        return entries

    def _sounds(
        self, manifest: Manifest, items: range, levels: NDArray[np.int64], notes: NDArray[np.float64], made: _Made
    ) -> Iterator[NDArray[Any]]:
        """The sounds of some items as they are stored, in blocks of rows."""
        synth, settings = self.settings.synth, self.settings
        values, lanes = synth.space.values_of_levels(levels), synth.renderer.lanes
        rows = min(len(items), lanes * max(1, BLOCK_BYTES // (4 * manifest.audio.samples * lanes)))
        buffer = np.empty((rows, manifest.audio.samples), np.float32)
        for start in range(0, len(items), rows):
            checkpoint()
            block = slice(start, start + rows)
            audio = buffer[: len(values[block])]
            failures = synth.renderer(values[block], notes[block], manifest.sample_rate, audio, workers=1)
            for row, why in failures.items():
                if not manifest.fallible:
                    raise InversynthError(f"item {items[start + row]} can't be rendered by {synth.name}: {why}")
                audio[row], made.failed[start + row] = 0, 1
                made.reasons[" ".join(why.split())[:REASON_LENGTH]] += 1
            data, peak = stored(audio, settings.dtype, settings.normalise)
            made.peaks.append(peak)
            yield data


@dataclass(frozen=True)
class _Made:
    """What is known of a shard when its sounds are written."""

    peaks: list[NDArray[np.float32] | None]
    failed: NDArray[np.uint8]
    reasons: Counter[str]

    @property
    def frequent_reasons(self) -> dict[str, int]:
        """The most frequent reasons of failures, and how many items failed by each; the others are one."""
        kept = dict(self.reasons.most_common(REASONS))
        others = self.reasons.total() - sum(kept.values())
        return kept | ({OTHER_REASONS: others} if others else {})


@functools.lru_cache(1)
def _identity(synth: Synth) -> str:
    values = synth.space.values_of_levels(synth.draw(0, 0, PROBE).levels)
    first, again = (synth.render_all(values, workers=1).sounds.tobytes() for _ in range(2))
    samples = hashlib.sha256(first).hexdigest()[:8] if first == again else "that vary"
    return (
        f"synth {synth.name}, renderer {synth.renderer.version}, arithmetic {synth.renderer.arithmetic}, "
        f"samples {samples}"
    )


def render_dataset(
    settings: DatasetSettings,
    out: str | Path,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report | None = None,
    engine: str = "local",
    address: str | None = None,
) -> Dataset:
    """Renders a dataset into `out`, a folder or a URL (see `stores`), or continues the one that is there.

    Shards that are whole are kept, damaged and missing ones rendered, all of them where the manifest is lost,
    and a dataset of the same settings but fewer items is extended; the bytes are those of a single run.
    Items that fail are silent and marked (`Dataset.failed`), and not tried again.
    workers: how many shards are rendered at a time, by default two a core. overwrite: start from nothing.
    engine, address: where (see `engines.engine`). Raises
    `MismatchError` if `out` holds a dataset of other settings or of more items, `UsageError` for a wrong option,
    and `InversynthError` if it can't be written, another process renders into it, or every item failed; after that,
    as after Ctrl-C, the same call continues later.
    """
    folder, wanted = store(out), Manifest.of(settings)
    _check_room(folder, wanted)
    with engines.engine(engine, workers, address) as runner, folder.exclusive():
        found = None if overwrite else _found(folder)
        if found is not None:
            _check_same(folder, found, wanted)
            wanted.files = found.files
        wanted.write(folder, PARTIAL)
        folder.remove(MANIFEST)
        for name in _shard_files(folder):
            if name not in wanted.files:
                folder.remove(name)
        _Rendering(wanted, folder, report).run(ShardTask(settings, folder.address), runner)
        wanted.write(folder, PARTIAL)
        if wanted.failed == wanted.count:
            raise InversynthError(f"{failures(wanted)}; correct the synth {wanted.synth}, and render with --overwrite")
        folder.rename(PARTIAL, MANIFEST)
    return open_dataset(out)


def _shard_files(folder: Store) -> dict[str, int]:
    return {name: size for name, size in folder.sizes().items() if SHARD_FILE.fullmatch(name)}


def _found(folder: Store) -> Manifest | None:
    """The manifest that is there; None if there is none or it is damaged."""
    for name in (PARTIAL, MANIFEST):
        if folder.has(name):
            try:
                return Manifest.read(folder, name)
            except DamageError:
                return None
    return None


def _check_same(folder: Store, found: Manifest, wanted: Manifest) -> None:
    what = f"{folder} holds a dataset"
    do = "choose another folder, or start from nothing with --overwrite"
    wrong = [
        f"{name} {getattr(found, name)}, not {getattr(wanted, name)}"
        for name in Manifest.IDENTITY
        if getattr(found, name) != getattr(wanted, name)
    ]
    if wrong:
        if found.arithmetic != wanted.arithmetic:
            do = f"it was begun on another kind of processor, whose samples differ in their last bits; {do}"
        raise MismatchError(f"{what} of {'; '.join(wrong)}; {do}")
    wanted.space.require(found.space, str(folder))
    if found.count > wanted.count:
        raise MismatchError(f"{what} of {found.count} examples, more than {wanted.count}; ask for as many, or {do}")


def _check_room(folder: Store, manifest: Manifest) -> None:
    need, free = manifest.bytes - sum(_shard_files(folder).values()), folder.free_bytes()
    if free is not None and need > free:
        raise InversynthError(
            f"{manifest.count} examples need {need / 1e9:.3g} GB more in {folder}, where {free / 1e9:.3g} GB are free; "
            "ask for fewer, or choose another folder"
        )


class _Rendering:
    """Brings every shard into `folder` and its files into `manifest`; saves that now and then, and on an error."""

    def __init__(self, manifest: Manifest, folder: Store, report: Report | None) -> None:
        self.manifest, self.folder, self.report = manifest, folder, report
        self.done = self.rendered = 0
        self.next_save = time.monotonic() + SAVE_S

    def run(self, task: ShardTask, runner: Engine) -> None:
        """Checks the shards that the manifest names, and renders the others."""
        try:
            left = self._not_whole(runner)
            with closing(runner.run(task, left)) as made:
                for number, entries in made:
                    self.manifest.files.update(entries)
                    self._tell(number, rendered=True)
        except BaseException:
            with contextlib.suppress(InversynthError):
                self.manifest.write(self.folder, PARTIAL)
            raise

    def _not_whole(self, runner: Engine) -> list[int]:
        manifest = self.manifest
        named = [
            number
            for number in range(manifest.shards)
            if all(part.name in manifest.files for part in manifest.parts(number).values())
        ]
        left = set(range(manifest.shards)) - set(named)
        with closing(runner.run(StatTask.of(manifest, self.folder), named)) as stats:
            for number, seen in stats:
                if find_problems(self.folder, manifest, number, seen):
                    left.add(number)
                else:
                    self._tell(number, rendered=False)
        return sorted(left)

    def _tell(self, number: int, rendered: bool) -> None:
        items = len(self.manifest.items(number))
        self.done += items
        self.rendered += items if rendered else 0
        now = time.monotonic()
        if rendered and now > self.next_save:
            self.manifest.write(self.folder, PARTIAL)
            ended = time.monotonic()
            self.next_save = ended + max(SAVE_S, (ended - now) / SAVE_SHARE)
        if self.report:
            self.report(self.done, self.manifest.count, self.rendered)
