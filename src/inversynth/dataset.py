"""Datasets: a folder of shards and a manifest.

Item i is a function of (seed, i) alone, whatever the shard size, the number of workers, and however
often the rendering was stopped. A shard is two files: `audio-NNNNNN.npy` (items, samples) float32 and
`levels-NNNNNN.npy` (items, P) uint8, or uint16 where a parameter has more than 256 levels. The manifest
holds the settings, the parameter space, and the size and SHA-256 of every file. While rendering goes on
it is called `manifest.partial.json`; only when all is there does it become `manifest.json`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import __version__, sampling
from .errors import InversynthError, MismatchError, UsageError
from .files import check_types, make_folder, read_json, sweep, wav, write_json, writing
from .render import synth
from .spec import AudioFormat, ParamSpace

FORMAT = "inversynth dataset 1"
MANIFEST = "manifest.json"
PARTIAL = "manifest.partial.json"
BLOCK_BYTES = 1 << 24
"""A worker holds about this much sound at a time."""
MAX_WORKERS = 1024
SAVE_S = 1.0
"""Time between two writes of the partial manifest; what is lost with it is rendered again."""

Report = Callable[[int, int, int], None]
"""Told (items done, items in all, items of those rendered just now) after each shard."""


@dataclass(frozen=True)
class DatasetSettings:
    """What a dataset is. `seconds` and `sample_rate` (Hz) are by default the synth's.

    `normalise` scales each item to a peak of 1 (silence stays silent). `shard_size` is in items; it
    changes how they are stored, not what they are. Raises `UsageError` for what can't be rendered.
    """

    synth: str = "paper"
    count: int = 150
    seed: int = 0
    seconds: float | None = None
    sample_rate: int | None = None
    normalise: bool = False
    shard_size: int = 256

    def __post_init__(self) -> None:
        renderer = synth(self.synth)
        if not 1 <= self.count <= 2**48:
            raise UsageError(f"{self.count} examples are outside 1..2^48")
        if self.shard_size < 1:
            raise UsageError(f"a shard size of {self.shard_size} is less than 1")
        sampling.check_seed(self.seed)
        renderer.render(np.empty((0, len(renderer.space))), self.audio.sample_rate, self.audio.seconds)

    @property
    def audio(self) -> AudioFormat:
        """The format of every item."""
        own = synth(self.synth).format
        return AudioFormat(
            own.sample_rate if self.sample_rate is None else self.sample_rate,
            own.seconds if self.seconds is None else self.seconds,
        )


@dataclass(frozen=True)
class Part:
    """A .npy file: its name, type and shape, and with them every byte of its header."""

    name: str
    dtype: str
    shape: tuple[int, int]

    @property
    def header(self) -> bytes:
        """What stands before the data: the .npy format 1.0, always of 128 bytes."""
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': {self.shape}, }}"
        return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return len(self.header) + np.dtype(self.dtype).itemsize * self.shape[0] * self.shape[1]

    def write(self, folder: Path, blocks: Iterable[NDArray[Any]]) -> dict[str, Any]:
        """Writes the array, given in blocks of rows; returns its entry in the manifest."""
        digest = hashlib.sha256()
        with writing(folder / self.name) as temporary, open(temporary, "wb") as file:
            data: bytes | memoryview = self.header
            file.write(data)
            digest.update(data)
            for block in blocks:
                data = np.ascontiguousarray(block, self.dtype).data.cast("B")
                file.write(data)
                digest.update(data)
        return {"bytes": self.bytes, "sha256": digest.hexdigest()}

    def open(self, folder: Path) -> NDArray[Any]:
        """The array, mapped into memory; raises `UsageError` if the file isn't there or too short."""
        try:
            return np.asarray(np.memmap(folder / self.name, self.dtype, "r", len(self.header), self.shape))
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder / self.name} can't be read ({error}); {_repair(folder)}") from None

    def wrong_size(self, folder: Path) -> str | None:
        """What is wrong with the file at a glance, or None."""
        try:
            size = (folder / self.name).stat().st_size
        except FileNotFoundError:
            return f"{folder / self.name} is missing"
        except OSError as error:
            return f"{folder / self.name} can't be read ({error.strerror})"
        return None if size == self.bytes else f"{folder / self.name} has {size} bytes, not {self.bytes}"

    def damage(self, folder: Path, entry: Any) -> str | None:
        """What is wrong with the file when all of it is read, or None."""
        wrong = self.wrong_size(folder)
        if wrong:
            return wrong
        try:
            with open(folder / self.name, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"{folder / self.name} can't be read ({error.strerror})"
        same = isinstance(entry, dict) and digest == entry.get("sha256")
        return None if same else f"{folder / self.name} is damaged: its SHA-256 is not the manifest's"


@dataclass
class Manifest:
    """What a dataset says of itself; `files` maps the names of its files to their size and SHA-256."""

    inversynth: str
    synth: str
    seed: int
    count: int
    shard_size: int
    sample_rate: int
    seconds: float
    normalise: bool
    space: ParamSpace
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    IDENTITY = ("synth", "seed", "sample_rate", "seconds", "normalise", "shard_size", "inversynth")
    """What must agree before a dataset is gone on with; `count` may grow."""

    @classmethod
    def of(cls, settings: DatasetSettings) -> Manifest:
        """The manifest of a dataset that has no files yet."""
        return cls(
            __version__,
            settings.synth,
            settings.seed,
            settings.count,
            settings.shard_size,
            settings.audio.sample_rate,
            settings.audio.seconds,
            settings.normalise,
            synth(settings.synth).space,
        )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Reads what `write` wrote; raises `UsageError` if it is missing or damaged."""
        fields = read_json(path, "the manifest of a dataset")
        try:
            if fields.pop("format") != FORMAT:
                raise UsageError("format")
            fingerprint, files = fields.pop("fingerprint"), fields.pop("files")
            manifest = cls(**{**fields, "space": ParamSpace.from_list(fields["space"])}, files=dict(files))
            check_types(manifest)
            if manifest.count < 1 or manifest.shard_size < 1 or manifest.audio.samples < 1:
                raise UsageError("sizes")
            if manifest.space.fingerprint != fingerprint or sampling.check_seed(manifest.seed) != manifest.seed:
                raise UsageError("fingerprint")
        except (TypeError, KeyError, ValueError, AttributeError):
            raise UsageError(f"{path} is not the manifest of a dataset of this program, or it is damaged") from None
        return manifest

    def write(self, path: Path) -> None:
        """Writes it as JSON; the same dataset gives the same bytes."""
        plain = {name: value for name, value in vars(self).items() if name not in ("space", "files")}
        space = {"fingerprint": self.space.fingerprint, "space": self.space.to_list()}
        write_json(path, {"format": FORMAT, **plain, **space, "files": dict(sorted(self.files.items()))})

    @property
    def audio(self) -> AudioFormat:
        """The format of every item."""
        return AudioFormat(self.sample_rate, self.seconds)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.count // self.shard_size)

    def items(self, shard: int) -> range:
        """The items of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def parts(self, shard: int) -> tuple[Part, Part]:
        """The two files of a shard: audio and levels."""
        rows = len(self.items(shard))
        level_type = "|u1" if self.space.levels.max() <= 256 else "<u2"
        return (
            Part(f"audio-{shard:06d}.npy", "<f4", (rows, self.audio.samples)),
            Part(f"levels-{shard:06d}.npy", level_type, (rows, len(self.space))),
        )


def render_dataset(
    settings: DatasetSettings,
    out: str | Path,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report | None = None,
) -> Dataset:
    """Renders a dataset into the folder `out`, or goes on with what stands there.

    Shards that are whole are kept, damaged and missing ones rendered, and a dataset of the same settings
    but fewer items is extended; the bytes are those of a single run. workers: threads, each at a shard;
    by default one a core. overwrite: start from nothing. Raises `MismatchError` if `out` holds a
    dataset of other settings or of more items, `UsageError` for a wrong option, and `InversynthError`
    if it can't be written; on that, as on Ctrl-C, the same call goes on later.
    """
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"{workers} workers are outside 1..{MAX_WORKERS}")
    folder, wanted = Path(out), Manifest.of(settings)
    found = None if overwrite else _found(folder)
    if found is not None:
        _check_same(folder, found, wanted)
        wanted.files = found.files
    _check_room(folder, wanted)
    make_folder(folder)
    sweep(folder)
    wanted.write(folder / PARTIAL)
    (folder / MANIFEST).unlink(missing_ok=True)
    if overwrite:
        for file in _shards(folder):
            file.unlink(missing_ok=True)
    _render_shards(wanted, folder, settings, workers or os.cpu_count() or 1, report)
    wanted.write(folder / PARTIAL)
    os.replace(folder / PARTIAL, folder / MANIFEST)
    return open_dataset(folder)


def _shards(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.npy") if re.fullmatch(r"(audio|levels)-\d{6,}\.npy", file.name)]


def _found(folder: Path) -> Manifest | None:
    for name in (PARTIAL, MANIFEST):
        if (folder / name).exists():
            return Manifest.read(folder / name)
    return None


def _check_same(folder: Path, found: Manifest, wanted: Manifest) -> None:
    what = f"{folder} holds a dataset"
    do = "choose another folder, or --overwrite it"
    wrong = [
        f"{name} {getattr(found, name)}, not {getattr(wanted, name)}"
        for name in Manifest.IDENTITY
        if getattr(found, name) != getattr(wanted, name)
    ]
    if wrong:
        raise MismatchError(f"{what} of {'; '.join(wrong)}; {do}")
    wanted.space.require(found.space, str(folder))
    if found.count > wanted.count:
        raise MismatchError(f"{what} of {found.count} examples, more than {wanted.count}; ask for as many, or {do}")


def _check_room(folder: Path, manifest: Manifest) -> None:
    kept = sum(file.stat().st_size for file in _shards(folder))
    item = 4 * manifest.audio.samples + 2 * len(manifest.space)
    disk = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    need, free = manifest.count * item - kept, shutil.disk_usage(disk).free
    if need > free:
        raise InversynthError(
            f"{manifest.count} examples need {need / 1e9:.3g} GB more in {folder}, where {free / 1e9:.3g} GB are free; "
            "ask for fewer, or choose another folder"
        )


def _render_shards(
    manifest: Manifest, folder: Path, settings: DatasetSettings, workers: int, report: Report | None
) -> None:
    """Brings every shard into `folder` and its files into `manifest`."""
    renderer = synth(settings.synth)
    files = dict(manifest.files)
    stop = threading.Event()
    done = rendered = 0
    saved = time.monotonic()

    def shard(number: int) -> tuple[range, dict[str, dict[str, Any]]]:
        parts, items = manifest.parts(number), manifest.items(number)
        if all(part.name in files and part.damage(folder, files[part.name]) is None for part in parts):
            return items, {}
        levels = sampling.draw(renderer.space, settings.seed, items.start, len(items))
        block = max(1, BLOCK_BYTES // (4 * manifest.audio.samples))

        def sounds() -> Iterator[NDArray[np.float32]]:
            for start in range(0, len(items), block):
                if stop.is_set():
                    raise CancelledError
                values = renderer.space.values_of_levels(levels[start : start + block])
                audio = renderer.render(values, manifest.sample_rate, manifest.seconds, workers=1)
                yield normalised(audio) if manifest.normalise else audio

        return items, {parts[0].name: parts[0].write(folder, sounds()), parts[1].name: parts[1].write(folder, [levels])}

    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in as_completed([pool.submit(shard, number) for number in range(manifest.shards)]):
                items, entries = job.result()
                manifest.files.update(entries)
                done, rendered = done + len(items), rendered + (len(items) if entries else 0)
                if time.monotonic() - saved > SAVE_S:
                    manifest.write(folder / PARTIAL)
                    saved = time.monotonic()
                if report:
                    report(done, manifest.count, rendered)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            with contextlib.suppress(InversynthError):
                manifest.write(folder / PARTIAL)
            raise


def normalised(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, samples) sounds, each scaled to a peak of 1; silent ones stay silent."""
    peak = np.abs(audio).max(axis=1, keepdims=True)
    return np.asarray(np.divide(audio, peak, out=np.zeros_like(audio), where=peak > 0))


class Dataset:
    """An open dataset: `path`, `manifest`, `space`, `audio` (its format), `synth` (a name), `seed`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self.space, self.audio = manifest.space, manifest.audio
        self.synth, self.seed = manifest.synth, manifest.seed
        self._sounds: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return self.manifest.count

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """(n, P) int64 levels of all items; raises `UsageError` naming a file whose levels aren't of the space."""
        shards = []
        for number in range(self.manifest.shards):
            part = self.manifest.parts(number)[1]
            try:
                shards.append(self.space.check_levels(part.open(self.path)))
            except UsageError as error:
                raise UsageError(f"{self.path / part.name} is damaged ({error}); {_repair(self.path)}") from None
        return np.concatenate(shards)

    def read(self, indices: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Items in any order: audio (k, samples) float32 and levels (k, P) int64, for k indices of 0..n-1."""
        at = np.asarray(indices, np.int64)
        if at.ndim != 1 or np.any((at < 0) | (at >= len(self))):
            raise UsageError(f"indices must be a row of numbers of 0..{len(self) - 1}")
        out = np.empty((len(at), self.audio.samples), np.float32)
        shards, rows = np.divmod(at, self.manifest.shard_size)
        for number in np.unique(shards):
            here = np.flatnonzero(shards == number)
            out[here] = self._shard(int(number))[rows[here]]
        return out, self.levels[at]

    def _shard(self, number: int) -> NDArray[np.float32]:
        if number not in self._sounds:
            self._sounds[number] = self.manifest.parts(number)[0].open(self.path)
        return self._sounds[number]


def _repair(path: Path) -> str:
    return f"see all that is wrong with: inversynth data verify {path}; rendering it again repairs it"


def open_dataset(path: str | Path) -> Dataset:
    """Opens a dataset, after a look at the size of each of its files.

    Raises `UsageError` if it isn't finished, or naming the file that is missing or cut short.
    """
    folder = Path(path)
    manifest = _finished(folder)
    for number in range(manifest.shards):
        for part in manifest.parts(number):
            wrong = part.wrong_size(folder)
            if wrong:
                raise UsageError(f"{wrong}; {_repair(folder)}")
    return Dataset(folder, manifest)


def _finished(folder: Path) -> Manifest:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder of a dataset")
    if (folder / PARTIAL).exists():
        raise UsageError(f"{folder} is not finished; render it to its end with the command that began it")
    manifest = Manifest.read(folder / MANIFEST)
    if len(manifest.files) != 2 * manifest.shards:
        raise UsageError(
            f"{folder / MANIFEST} is damaged: it names {len(manifest.files)} files, but {manifest.count} examples take "
            f"{2 * manifest.shards}; rendering it again repairs it"
        )
    return manifest


def verify(path: str | Path, report: Report | None = None) -> list[str]:
    """Reads all of a dataset; returns one line for each damaged or missing file.

    Raises `UsageError` if its manifest is missing or damaged, or it isn't finished.
    """
    folder = Path(path)
    manifest = _finished(folder)
    lines = []
    for number in range(manifest.shards):
        damage = [part.damage(folder, manifest.files.get(part.name)) for part in manifest.parts(number)]
        lines += [line for line in damage if line]
        if report:
            report(manifest.items(number).stop, manifest.count, 0)
    return lines


def export_wav(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one 32-bit float WAV file an item into the folder `out`: 000000.wav and so on."""
    folder = make_folder(out)
    sweep(folder)
    for i in range(len(dataset)):
        sound = dataset.read([i])[0][0]
        with writing(folder / f"{i:06d}.wav") as temporary:
            temporary.write_bytes(wav(sound, dataset.audio.sample_rate))
        if report:
            report(i + 1, len(dataset), i + 1)


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


def export_hdf5(dataset: Dataset, out: str | Path, report: Report | None = None) -> None:
    """Writes one HDF5 file: `audio` (n, samples) float32, `levels` (n, P), and the rest of the manifest as
    attributes, `space` as JSON. Raises `UsageError` without h5py."""
    require_h5py()
    import h5py

    manifest = dataset.manifest
    sounds, levels = manifest.parts(0)
    with writing(out) as temporary, _Sink(temporary, "w+") as sink:
        with h5py.File(sink, "w") as file:
            for name in ("synth", "seed", "sample_rate", "seconds", "normalise", "inversynth"):
                file.attrs[name] = getattr(manifest, name)
            file.attrs["fingerprint"] = dataset.space.fingerprint
            file.attrs["space"] = json.dumps(dataset.space.to_list())
            file.create_dataset("levels", data=dataset.levels.astype(levels.dtype))
            audio = file.create_dataset("audio", (len(dataset), dataset.audio.samples), sounds.dtype)
            for items in map(manifest.items, range(manifest.shards)):
                if sink.error:
                    break
                audio[items.start : items.stop] = dataset.read(items)[0]
                if report:
                    report(items.stop, len(dataset), items.stop)
        if sink.error:
            raise sink.error
