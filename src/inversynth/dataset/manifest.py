"""What a dataset is, and what it says of itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import synths
from ..errors import DamageError, UsageError
from ..spec import AudioFormat, Note, ParamSpace
from ..synths import sampling
from ..synths.synth import Synth
from ..system.files import check_types, to_json
from .samples import DTYPES
from .stores import Entry, Store

FORMAT = "inversynth dataset 3"
FORMAT_2 = "inversynth dataset 2"
"""The format of inversynth 0.1.0, which said the version of the program instead of the renderer's, and no prior or
note: what it holds was drawn uniformly, by the first version of each renderer, and played by the synth's own note."""
UNSIGNED = ("inversynth dataset 1",)
"""Formats of earlier versions, without the SHA-256 of the manifest itself."""
MANIFEST = "manifest.json"
PARTIAL = "manifest.partial.json"
SHARD_BYTES = 1 << 25
"""About how much sound is in a shard, if its size isn't given."""
REASONS = 20
"""How many different reasons of failures are kept for a shard, and shown for a dataset."""
OTHER_REASONS = "other reasons"


@dataclass(frozen=True)
class DatasetSettings:
    """What a dataset is. `seconds` and `sample_rate` (Hz) are by default the synth's.

    `normalise` scales each item to a peak of 1 (silence stays silent). `shard_size` is in items, by default
    about 32 MB of them; it changes how they are stored, not what they are. `dtype` is what a sample is
    stored as: float32, float16, or int16 in steps of each item's own peak (`samples`). Raises `UsageError`
    for what can't be rendered.
    """

    synth: Synth
    count: int = 150
    seed: int = 0
    seconds: float | None = None
    sample_rate: int | None = None
    normalise: bool = False
    shard_size: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 2**48:
            raise UsageError(f"{self.count} examples are outside 1..2^48")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"a shard size of {self.shard_size} is less than 1")
        if self.dtype not in DTYPES:
            raise UsageError(f"no dtype {self.dtype!r}; there are {', '.join(DTYPES)}")
        sampling.check_seed(self.seed)
        self.synth.checked(np.empty((0, len(self.synth.space))), self.audio.sample_rate)

    @property
    def audio(self) -> AudioFormat:
        """The format of every item."""
        own = self.synth.format
        return AudioFormat(
            own.sample_rate if self.sample_rate is None else self.sample_rate,
            own.seconds if self.seconds is None else self.seconds,
        )

    @property
    def items_a_shard(self) -> int:
        """`shard_size`, or what it is by default."""
        item_bytes = np.dtype(DTYPES[self.dtype]).itemsize * self.audio.samples
        return self.shard_size or max(1, SHARD_BYTES // item_bytes)


@dataclass(frozen=True)
class Part:
    """A .npy file: its name, type and shape, and with them every byte of its header."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def header(self) -> bytes:
        """The header before the data: .npy format 1.0, always 128 bytes."""
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': {self.shape}, }}"
        return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return len(self.header) + np.dtype(self.dtype).itemsize * int(np.prod(self.shape))

    def write(self, folder: Store, blocks: Iterable[NDArray[Any]]) -> Entry:
        """Writes the array, given in blocks of rows; returns its entry in the manifest."""
        rows = (np.ascontiguousarray(block, self.dtype).data.cast("B") for block in blocks)
        return folder.write(self.name, _chain(self.header, rows))

    def array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """The array that the bytes of the file hold, without a copy."""
        return data[len(self.header) :].view(self.dtype).reshape(self.shape)

    def stat(self, folder: Store) -> Entry | None:
        """Its entry as the file gives it, all of it read; None if there is none."""
        try:
            size = folder.size(self.name)
            return {"bytes": size, "sha256": folder.sha256(self.name) if size == self.bytes else ""}
        except FileNotFoundError:
            return None
        except OSError as error:
            return {"error": error.strerror}

    def problem(self, folder: Store, seen: Entry | None, entry: Entry | None) -> str | None:
        """What is wrong with the file, from what `stat` found and its entry in the manifest; None if nothing is."""
        file = folder.name(self.name)
        if seen is None:
            return f"{file} is missing"
        if "error" in seen:
            return f"{file} can't be read ({seen['error']})"
        if seen["bytes"] != self.bytes:
            return f"{file} has {seen['bytes']} bytes, not {self.bytes}"
        if not seen.items() <= (entry or {}).items() and "sha256" in seen:
            return f"{file} is damaged: its SHA-256 is not the manifest's"
        return None


def _chain(first: bytes, rest: Iterable[memoryview]) -> Iterable[bytes | memoryview]:
    yield first
    yield from rest


@dataclass
class Manifest:
    """What a dataset says of itself; `files` maps the names of its files to their size and SHA-256.

    Renderings of the same `renderer`, the version of the synth's, and `arithmetic`, that of the processor, are the same
    bytes. `prior`: the name of what drew the patches. `note`: what played all of them; None where each has its own.
    `families`: whether items belong together. `fallible`: whether items may have failed; the entry of a file that says
    which also says why: {"reasons": {why: how often}}.
    """

    renderer: str
    arithmetic: str
    synth: str
    prior: str
    note: Note | None
    seed: int
    count: int
    shard_size: int
    sample_rate: int
    seconds: float
    normalise: bool
    dtype: str
    families: bool
    fallible: bool
    space: ParamSpace
    files: dict[str, Entry] = field(default_factory=dict)

    IDENTITY = (
        "synth",
        "prior",
        "note",
        "seed",
        "sample_rate",
        "seconds",
        "normalise",
        "dtype",
        "shard_size",
        "arithmetic",
        "renderer",
    )
    """The fields that must agree before a dataset is continued; `count` may grow."""

    @classmethod
    def of(cls, settings: DatasetSettings) -> Manifest:
        """The manifest of a dataset that has no files yet."""
        synth = settings.synth
        drawn = synth.draw(settings.seed, 0, 1)
        return cls(
            synth.renderer.version,
            synth.renderer.arithmetic,
            synth.name,
            synth.prior.name,
            synth.note if drawn.notes is None else None,
            settings.seed,
            settings.count,
            settings.items_a_shard,
            settings.audio.sample_rate,
            settings.audio.seconds,
            settings.normalise,
            settings.dtype,
            drawn.families is not None,
            synth.renderer.fallible,
            synth.space,
        )

    @classmethod
    def read(cls, folder: Store, name: str) -> Manifest:
        """Reads what `write` wrote; raises `UsageError` if it is missing or of another version, else `DamageError`."""
        file = folder.name(name)
        fields = folder.read_json(name, "the manifest of a dataset")
        text = folder.map(name).tobytes()
        whole = text[:SIGNATURE_BYTES] == _signature(text[SIGNATURE_BYTES:])
        try:
            known = fields.pop("format")
            if known in UNSIGNED or (whole and known not in (FORMAT, FORMAT_2)):
                raise UsageError(f"{file} is not of this version of the program but of {known!r}; render it again")
            if not whole:
                raise ValueError("it is not what was written")
            del fields["sha256"], fields["fingerprint"]
            note = None if fields.get("note") is None else Note.from_data(fields["note"])
            if known == FORMAT_2:
                del fields["inversynth"]
                synth = synths.find(fields["synth"])
                note = Note() if synth is None else synth.note
                fields |= {"renderer": "1", "prior": "uniform", "families": False, "fallible": False}
            manifest = cls(**{**fields, "note": note, "space": ParamSpace.from_data(fields["space"])})
            check_types(manifest)
        except UsageError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError):
            raise DamageError(
                f"{file} is damaged: it should be the manifest of a dataset, as this program wrote it; "
                "render it again with its own command"
            ) from None
        return manifest

    def write(self, folder: Store, name: str) -> None:
        """Writes it as JSON, first the SHA-256 of all that follows; the same dataset gives the same bytes."""
        fields = {"format": FORMAT, **vars(self)}
        fields |= {"fingerprint": self.space.fingerprint, "space": self.space.to_data()}
        fields["note"] = None if self.note is None else self.note.to_data()
        fields["files"] = dict(sorted(fields.pop("files").items()))
        rest = to_json(fields)[len("{\n") :]
        folder.write(name, [_signature(rest) + rest])

    @property
    def audio(self) -> AudioFormat:
        """The format of every item."""
        return AudioFormat(self.sample_rate, self.seconds)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.count // self.shard_size)

    @property
    def bytes(self) -> int:
        """The size of all shards."""
        first, last = (sum(part.bytes for part in self.parts(shard).values()) for shard in (0, self.shards - 1))
        return first * (self.shards - 1) + last

    def items(self, shard: int) -> range:
        """The items of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def parts(self, shard: int) -> dict[str, Part]:
        """The files of a shard, those of `KINDS` that this dataset has."""
        types = {"audio": DTYPES[self.dtype], "levels": "|u1" if self.space.levels.max() <= 256 else "<u2"}
        types |= {"peaks": "<f4"} if self.dtype == "int16" else {}
        types |= {"notes": "<f8"} if self.note is None else {}
        types |= {"families": "<i8"} if self.families else {}
        types |= {"failed": "|u1"} if self.fallible else {}
        columns = {"audio": (self.audio.samples,), "levels": (len(self.space),), "notes": (3,)}
        rows = len(self.items(shard))
        return {
            kind: Part(f"{kind}-{shard:06d}.npy", dtype, (rows, *columns.get(kind, ())))
            for kind, dtype in types.items()
        }

    @property
    def reasons(self) -> dict[str, int]:
        """Why items have failed, and how many by each reason, the most frequent first."""
        counts: dict[str, int] = {}
        for entry in self.files.values():
            for why, count in entry.get("reasons", {}).items():
                counts[why] = counts.get(why, 0) + count
        return dict(sorted(counts.items(), key=lambda each: (each[0] == OTHER_REASONS, -each[1], each[0])))

    @property
    def failed(self) -> int:
        """How many items have failed."""
        return sum(self.reasons.values())


def failures(manifest: Manifest) -> str:
    """How many items of a dataset have failed, and why, in one line."""
    parts = [f"{why}{_times(count)}" for why, count in [*manifest.reasons.items()][:REASONS]]
    return f"{manifest.failed} of {manifest.count} failed: {'; '.join(parts)}"


def _times(count: int) -> str:
    return "" if count == 1 else " (twice)" if count == 2 else f" ({count} times)"


KINDS = ("audio", "levels", "peaks", "notes", "families", "failed")
"""The kinds of files of a shard, of which audio and levels are always there."""
SHARD_FILE = re.compile(rf"({'|'.join(KINDS)})-\d{{6,}}\.npy")
"""The names of the files of shards."""


def _signature(rest: bytes) -> bytes:
    return b'{\n  "sha256": "%s",\n' % hashlib.sha256(rest).hexdigest().encode()


SIGNATURE_BYTES = len(_signature(b""))
