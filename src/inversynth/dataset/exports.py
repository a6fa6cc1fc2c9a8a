"""Exports: a dataset in the forms that other programs read, which are WAV, HDF5 and WebDataset.

Sounds are float32 in each of them, whatever the dataset stores. A folder is whole once the file stands in it
that says what the others are; that one is written last.
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
from ..system.files import make_folder, sweep, sync_files, wav, write_error, write_json, writing
from . import Dataset, Part, Report

PATCHES = "patches.csv"
"""The last file of a folder of WAV files."""
DATASET = "dataset.json"
"""The last file of a folder of WebDataset shards."""
BLOCK_BYTES = 1 << 25
"""About so much sound is held at a time."""
SHARD_BYTES = 1 << 28
"""About so much sound stands in one file of a WebDataset."""


def export_wav(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one WAV file of 32-bit floats an item into the folder `out`, 000000.wav and so on, and `patches.csv`.

    An earlier export there is removed first. The table has a row an item: the name of its file, and level and
    value (in its unit) of each parameter. Raises `InversynthError` if it can't be written; what is missing then
    is the table.
    """
    folder = _begun(out, PATCHES, ".wav")
    columns = [(f"{p.name} (0..{p.levels - 1})", f"{p.name} ({p.unit})" if p.unit else p.name) for p in dataset.space]
    with writing(folder / PATCHES) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *itertools.chain(*columns)])
        for item, sound, levels, values in _items(dataset, range(len(dataset)), report):
            name = f"{item:06d}.wav"
            with writing(folder / name, sync=False) as one:
                one.write_bytes(wav(sound, dataset.audio.sample_rate))
            table.writerow([name, *itertools.chain(*zip(levels, values, strict=True))])
        sync_files(folder / f"{item:06d}.wav" for item in range(len(dataset)))


def export_webdataset(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes tar files into the folder `out`, 000000.tar and so on, as the library webdataset reads them.

    An earlier export there is removed first. An item is two members: `KEY.npy`, its sound (samples,) float32,
    and `KEY.json`, level and value (in its unit) of each parameter; KEY is its number. `dataset.json` says the
    rest. The same dataset gives the same bytes. Raises `InversynthError` if it can't be written; what is missing
    then is `dataset.json`.
    """
    folder = _begun(out, DATASET, ".tar")
    names, header = dataset.space.names, Part("", "<f4", (dataset.audio.samples,)).header
    size = max(1, SHARD_BYTES // (4 * dataset.audio.samples))
    shards = -(-len(dataset) // size)
    for shard in range(shards):
        items = range(shard * size, min((shard + 1) * size, len(dataset)))
        with writing(folder / f"{shard:06d}.tar") as temporary, tarfile.open(temporary, "w") as file:
            for item, sound, levels, values in _items(dataset, items, report):
                patch = {
                    "levels": dict(zip(names, levels, strict=True)),
                    "values": dict(zip(names, values, strict=True)),
                }
                _add(file, f"{item:06d}.json", json.dumps(patch).encode())
                _add(file, f"{item:06d}.npy", header + sound.tobytes())
    facts = _facts(dataset) | {"count": len(dataset), "shards": shards}
    write_json(folder / DATASET, facts | {"space": dataset.space.to_data()})


def _add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of the year 1970 and of no one
    member.size = len(data)
    file.addfile(member, io.BytesIO(data))


def export_hdf5(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one HDF5 file: `audio` (n, samples) float32, `levels` (n, P), and the rest of the manifest as
    attributes, `space` as JSON. Raises `UsageError` without h5py."""
    require_h5py()
    import h5py

    with writing(out) as temporary, _Sink(temporary, "w+") as sink:
        with h5py.File(sink, "w") as file:
            file.attrs.update(_facts(dataset) | {"space": json.dumps(dataset.space.to_data())})
            file.create_dataset(
                "levels", data=dataset.levels.astype(np.min_scalar_type(dataset.space.levels.max() - 1))
            )
            audio = file.create_dataset("audio", (len(dataset), dataset.audio.samples), "<f4")
            for items, sounds in _blocks(dataset, range(len(dataset)), report):
                audio[items.start : items.stop] = sounds
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


def _begun(out: str | Path, last: str, suffix: str) -> Path:
    """The folder `out`, made, without an earlier export and what killed processes left of one."""
    folder = make_folder(out)
    sweep(folder)
    try:
        (folder / last).unlink(missing_ok=True)
        for file in folder.glob(f"*{suffix}"):
            if re.fullmatch(r"\d{6,}", file.stem):
                file.unlink()
    except OSError as error:
        raise write_error(folder, error) from None
    return folder


def _facts(dataset: Dataset) -> dict[str, Any]:
    names = ("synth", "seed", "sample_rate", "seconds", "normalise", "dtype", "inversynth")
    return {name: getattr(dataset.manifest, name) for name in names} | {"fingerprint": dataset.space.fingerprint}


def _blocks(dataset: Dataset, items: range, report: Report | None) -> Iterator[tuple[range, NDArray[np.float32]]]:
    """Some items at a time and their sounds; reports those that are dealt with."""
    size = max(1, BLOCK_BYTES // (4 * dataset.audio.samples))
    for start in range(items.start, items.stop, size):
        block = range(start, min(start + size, items.stop))
        yield block, dataset.read(block)[0]
        if report:
            report(block.stop, len(dataset), block.stop)


def _items(
    dataset: Dataset, items: range, report: Report | None
) -> Iterator[tuple[int, NDArray[np.float32], list[int], list[float]]]:
    """Each of some items: its number, sound, levels and values."""
    for block, sounds in _blocks(dataset, items, report):
        levels = dataset.levels[block.start : block.stop]
        values = dataset.space.values_of_levels(levels)
        yield from zip(block, sounds, levels.tolist(), values.tolist(), strict=True)
