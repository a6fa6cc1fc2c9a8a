"""Reading a dataset: every file is checked before it is used."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .engines import engine
from .manifest import MANIFEST, PARTIAL, SHARD_FILE, Manifest, Part
from .samples import restore
from .stores import Entry, LocalStore, Store, store

Report = Callable[[int, int, int], None]
"""Called with (items done, items in all, items rendered by this call) after each shard."""
OPEN_SHARDS = 1 << 14
"""Shards that are mapped into memory at a time; a system maps about four times as many files."""


@dataclass(frozen=True)
class StatTask:
    """The task of reading all of a shard: its number to the entries of its files, as they now stand there."""

    manifest: Manifest
    out: str

    @classmethod
    def of(cls, manifest: Manifest, folder: Store) -> StatTask:
        """The task for the shards of a manifest; it carries none of its entries."""
        return cls(dataclasses.replace(manifest, files={}), folder.address)

    def __call__(self, number: int) -> dict[str, Entry | None]:
        folder = store(self.out)
        return {part.name: part.stat(folder) for part in self.manifest.parts(number).values()}


def find_problems(folder: Store, manifest: Manifest, number: int, seen: dict[str, Entry | None]) -> list[str]:
    """One line for each file of a shard that isn't what the manifest says, from what `StatTask` found."""
    parts = manifest.parts(number).values()
    lines = [part.problem(folder, seen[part.name], manifest.files.get(part.name)) for part in parts]
    return [line for line in lines if line]


@dataclass(frozen=True)
class _Shard:
    audio: NDArray[Any]
    levels: NDArray[Any]
    peaks: NDArray[np.float32] | None


class Dataset:
    """An open dataset: `store`, `manifest`, `space`, `audio` (its format), `synth` (a name), `seed`.

    The SHA-256 of a file is compared with the manifest's before anything of it is used, once; several shards
    that a batch touches first are read at a time. Raises `UsageError` naming a file that isn't whole.
    """

    def __init__(self, folder: Store, manifest: Manifest) -> None:
        self.store, self.manifest = folder, manifest
        self.space, self.audio = manifest.space, manifest.audio
        self.synth, self.seed = manifest.synth, manifest.seed
        self._shards: dict[int, _Shard] = {}
        self._whole: set[str] = set()

    @property
    def path(self) -> Path:
        """The folder it lies in; raises `UsageError` if it lies elsewhere."""
        if not isinstance(self.store, LocalStore):
            raise UsageError(f"{self.store} is not a folder of this machine; copy it here first")
        return self.store.path

    def __len__(self) -> int:
        return self.manifest.count

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """(n, P) int64 levels of all items."""
        return self._all("levels").astype(np.int64)

    @cached_property
    def notes(self) -> NDArray[np.float64]:
        """(n, 3) float64 key, velocity and hold in seconds of the note of each item."""
        note = self.manifest.note
        return self._all("notes").astype(np.float64) if note is None else np.broadcast_to(note.row, (len(self), 3))

    @cached_property
    def families(self) -> NDArray[np.int64] | None:
        """(n,) int64 the family of each item: a family is never divided between parts; None without families."""
        return self._all("families").astype(np.int64) if self.manifest.families else None

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """(n,) True for the items that couldn't be rendered; they are silent, and not used for training."""
        return self._all("failed") > 0 if self.manifest.fallible else np.zeros(len(self), bool)

    def _all(self, kind: str) -> NDArray[Any]:
        parts = (self.manifest.parts(number)[kind] for number in range(self.manifest.shards))
        return np.concatenate([self._opened(part) for part in parts])

    def read(self, indices: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Items in any order: audio (k, samples) float32 and levels (k, P) int64, for k indices of 0..n-1."""
        at = np.asarray(indices, np.int64)
        if at.ndim != 1 or np.any((at < 0) | (at >= len(self))):
            raise UsageError(f"indices must be a row of numbers of 0..{len(self) - 1}")
        audio = np.empty((len(at), self.audio.samples), np.float32)
        levels = np.empty((len(at), len(self.space)), np.int64)
        numbers, rows = (part.tolist() for part in np.divmod(at, self.manifest.shard_size))
        shards = self._open(set(numbers))
        for i, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            shard = shards[number]
            restore(shard.audio[row], None if shard.peaks is None else shard.peaks[row], audio[i])
            levels[i] = shard.levels[row]
        return audio, levels

    def _open(self, numbers: set[int]) -> dict[int, _Shard]:
        """Shards by their numbers: those that are open, and the others read at a time."""
        shards = {number: self._shards[number] for number in numbers & self._shards.keys()}
        new = numbers - shards.keys()
        if not new:
            return shards
        with engine() as threads, closing(threads.run(self._shard, new)) as opened:
            for number, shard in opened:
                shards[number] = self._shards[number] = shard
                if len(self._shards) > OPEN_SHARDS:
                    del self._shards[next(iter(self._shards))]
        return shards

    def _shard(self, number: int) -> _Shard:
        parts = self.manifest.parts(number)
        audio, levels = self._opened(parts["audio"]), np.array(self._opened(parts["levels"]))
        return _Shard(audio, levels, np.array(self._opened(parts["peaks"])) if "peaks" in parts else None)

    def _opened(self, part: Part) -> NDArray[Any]:
        try:
            data = self.store.map(part.name)
            if part.name in self._whole:
                return part.array(data)
            seen: Entry | None = {"bytes": data.nbytes, "sha256": hashlib.sha256(data.data).hexdigest()}
        except OSError as error:
            seen = None if isinstance(error, FileNotFoundError) else {"error": error.strerror}
        problem = part.problem(self.store, seen, self.manifest.files.get(part.name))
        if problem:
            raise UsageError(f"{problem}; {_repair(self.store)}")
        self._whole.add(part.name)
        return part.array(data)


def open_dataset(path: str | Path) -> Dataset:
    """Opens a dataset, after checking the size of each of its files.

    Raises `UsageError` if it isn't finished, or naming the file that is missing or cut short.
    """
    folder = store(path)
    manifest = _finished(folder)
    sizes = folder.sizes()
    for number in range(manifest.shards):
        seen = {part.name: _of_size(sizes.get(part.name)) for part in manifest.parts(number).values()}
        for line in find_problems(folder, manifest, number, seen):
            raise UsageError(f"{line}; {_repair(folder)}")
    return Dataset(folder, manifest)


def verify(path: str | Path, report: Report | None = None) -> list[str]:
    """Reads all of a dataset; returns one line for each damaged or missing file.

    Raises `UsageError` if its manifest is missing or damaged, or it isn't finished.
    """
    folder = store(path)
    manifest = _finished(folder)
    lines: dict[int, list[str]] = {}
    done = 0
    with engine() as threads, closing(threads.run(StatTask.of(manifest, folder), range(manifest.shards))) as stats:
        for number, seen in stats:
            lines[number] = find_problems(folder, manifest, number, seen)
            done += len(manifest.items(number))
            if report:
                report(done, manifest.count, 0)
    return [line for number in sorted(lines) for line in lines[number]]


def _of_size(size: int | None) -> Entry | None:
    return None if size is None else {"bytes": size}


def _repair(folder: Store) -> str:
    return f"see all that is wrong with: inversynth data verify {folder}; rendering it again repairs it"


def _finished(folder: Store) -> Manifest:
    if not folder.exists():
        raise UsageError(f"{folder} is not a folder; give the folder of a dataset")
    if folder.has(PARTIAL):
        raise UsageError(f"{folder} is not finished; render it to its end with the command that began it")
    if not folder.has(MANIFEST) and any(map(SHARD_FILE.fullmatch, folder.sizes())):
        raise UsageError(
            f"{folder.name(MANIFEST)} is missing, though shards are there; render it again with its own command"
        )
    return Manifest.read(folder, MANIFEST)
