"""Exports: a dataset in the forms that other programs read, which are WAV, HDF5 and WebDataset.

Sounds are float32 in all of them, for any dtype of the dataset. Items that failed are left out. The
file that describes the others is written last: with it a folder is complete.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..spec import Note
from ..system.files import make_folder, remove_stale, sync_files, wav, write_error, write_json, writing
from . import Dataset, Part, Report

PATCHES = "patches.csv"
"""The last file of a folder of WAV files."""
DATASET = "dataset.json"
"""The last file of a folder of WebDataset shards."""
NOTE_COLUMNS = ("note key", "note velocity", "note hold (s)")
"""Of the table, where each item has its own note."""
BLOCK_BYTES = 1 << 25
"""About how much sound is held at a time."""
SHARD_BYTES = 1 << 28
"""About how much sound is in one file of a WebDataset."""


def export_wav(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one WAV file of 32-bit floats an item into the folder `out`, 000000.wav and so on, and `patches.csv`.

    An earlier export there is removed first. The table has a row an item: the name of its file, its note where each
    has its own, and level and value (in its unit) of each parameter. Raises `InversynthError` if it can't be written;
    what is missing then is the table.
    """
    folder = _prepared(out, PATCHES, ".wav")
    columns = [(f"{p.name} (0..{p.levels - 1})", f"{p.name} ({p.unit})" if p.unit else p.name) for p in dataset.space]
    with writing(folder / PATCHES) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *(NOTE_COLUMNS if _has_notes(dataset) else ()), *itertools.chain(*columns)])
        names = []
        for item, sound, levels, values, note in _items(dataset, range(len(dataset)), report):
            names.append(f"{item:06d}.wav")
            with writing(folder / names[-1], sync=False) as one:
                one.write_bytes(wav(sound, dataset.audio.sample_rate))
            played = () if note is None else note.row
            table.writerow([names[-1], *played, *itertools.chain(*zip(levels, values, strict=True))])
        sync_files(folder / name for name in names)


def export_webdataset(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes tar files into the folder `out`, 000000.tar and so on, as the library webdataset reads them.

    An earlier export there is removed first. An item is two members: `KEY.npy`, its sound (samples,) float32,
    and `KEY.json`, level and value (in its unit) of each parameter, and its note where each has its own; KEY is its
    number. `dataset.json` says the rest. The same dataset gives the same bytes. Raises `InversynthError` if it can't be
    written; what is missing then is `dataset.json`.
    """
    folder = _prepared(out, DATASET, ".tar")
    names, header = dataset.space.names, Part("", "<f4", (dataset.audio.samples,)).header
    size = max(1, SHARD_BYTES // (4 * dataset.audio.samples))
    shards = -(-len(dataset) // size)
    for shard in range(shards):
        items = range(shard * size, min((shard + 1) * size, len(dataset)))
        with writing(folder / f"{shard:06d}.tar") as temporary, tarfile.open(temporary, "w") as file:
            for item, sound, levels, values, note in _items(dataset, items, report):
                patch: dict[str, Any] = {
                    "levels": dict(zip(names, levels, strict=True)),
                    "values": dict(zip(names, values, strict=True)),
                }
                if note is not None:
                    patch["note"] = note.to_data()
                _add(file, f"{item:06d}.json", json.dumps(patch).encode())
                _add(file, f"{item:06d}.npy", header + sound.tobytes())
    facts = _facts(dataset) | {"count": int(np.sum(~dataset.failed)), "shards": shards}
    write_json(folder / DATASET, facts)


def _add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of the year 1970, without an owner
    member.size = len(data)
    file.addfile(member, io.BytesIO(data))


def export_hdf5(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one HDF5 file: `audio` (n, samples) float32, `levels` (n, P), and the rest of the manifest as
    attributes, `space` and `note` as JSON.

    Where each item has its own note there are `notes` (n, 3) float64, and where some are left out, `items` (n,) int64,
    the numbers of the others. Raises `UsageError` without h5py.
    """
    require_h5py()
    import h5py

    kept = np.flatnonzero(~dataset.failed)
    with writing(out) as temporary, _Sink(temporary, "w+") as sink:
        with h5py.File(sink, "w") as file:
            facts = _facts(dataset)
            file.attrs.update(facts | {name: json.dumps(facts[name]) for name in ("space", "note") if name in facts})
            level_type = np.min_scalar_type(dataset.space.levels.max() - 1)
            file.create_dataset("levels", data=dataset.levels[kept].astype(level_type))
            if _has_notes(dataset):
                file.create_dataset("notes", data=dataset.notes[kept])
            if len(kept) < len(dataset):
                file.create_dataset("items", data=kept)
            audio, first = file.create_dataset("audio", (len(kept), dataset.audio.samples), "<f4"), 0
            for items, sounds in _blocks(dataset, range(len(dataset)), report):
                audio[first : first + len(items)] = sounds
                first += len(items)
                if sink.error:
                    break
        if sink.error:
            raise sink.error


def require_h5py() -> None:
    """Raises `UsageError` unless h5py is installed."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise UsageError("HDF5 files need h5py; install it with: pip install h5py") from None


class _Sink(io.FileIO):
    """A file that keeps its first error for later: the HDF5 library crashes where a write fails at closing."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            done = 0
            while not self.error and done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


Export = Callable[[Dataset, Path, Report | None], None]
EXPORTS: dict[str, Export] = {"wav": export_wav, "hdf5": export_hdf5, "webdataset": export_webdataset}
"""The forms, by name."""


def check(form: str, out: str | Path) -> None:
    """Raises `UsageError` where the form `form` can't be written, or not to a place of that name."""
    if form not in EXPORTS:
        raise UsageError(f"no form {form!r}; there are {', '.join(EXPORTS)}")
    if "://" in str(out):
        raise UsageError(f"{out} is not on this machine; give the form {form} a place of its own here")
    if form == "hdf5":
        if Path(out).suffix not in (".h5", ".hdf5"):
            raise UsageError(f"{out} is not the name of an HDF5 file; end it with .h5 or .hdf5")
        require_h5py()


def _prepared(out: str | Path, last: str, suffix: str) -> Path:
    """Makes the folder `out`, and removes an earlier export and the temporary files of killed processes."""
    folder = make_folder(out)
    remove_stale(folder)
    try:
        (folder / last).unlink(missing_ok=True)
        for file in folder.glob(f"*{suffix}"):
            if re.fullmatch(r"\d{6,}", file.stem):
                file.unlink()
    except OSError as error:
        raise write_error(folder, error) from None
    return folder


def _facts(dataset: Dataset) -> dict[str, Any]:
    """The facts of an export beside its items: `note` where one is played for all, `failed` where some have."""
    manifest = dataset.manifest
    names = ("synth", "prior", "seed", "sample_rate", "seconds", "normalise", "dtype", "renderer", "arithmetic")
    facts: dict[str, Any] = {name: getattr(manifest, name) for name in names}
    facts |= {} if manifest.note is None else {"note": manifest.note.to_data()}
    facts |= {"failed": manifest.failed} if manifest.failed else {}
    return facts | {"fingerprint": dataset.space.fingerprint, "space": dataset.space.to_data()}


def _has_notes(dataset: Dataset) -> bool:
    """Whether each item has its own note."""
    return dataset.manifest.note is None


def _blocks(
    dataset: Dataset, items: range, report: Report | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Some items at a time, those that haven't failed, and their sounds; reports those that are done."""
    size = max(1, BLOCK_BYTES // (4 * dataset.audio.samples))
    for start in range(items.start, items.stop, size):
        stop = min(start + size, items.stop)
        block = start + np.flatnonzero(~dataset.failed[start:stop])
        yield block, dataset.read(block)[0]
        if report:
            report(stop, len(dataset), stop)


def _items(
    dataset: Dataset, items: range, report: Report | None
) -> Iterator[tuple[int, NDArray[np.float32], list[int], list[float], Note | None]]:
    """Each of some items: its number, sound, levels, values, and its note where each has its own."""
    for block, sounds in _blocks(dataset, items, report):
        levels = dataset.levels[block]
        values = dataset.space.values_of_levels(levels)
        notes = [Note(*row) if _has_notes(dataset) else None for row in dataset.notes[block].tolist()]
        yield from zip(block.tolist(), sounds, levels.tolist(), values.tolist(), notes, strict=True)
