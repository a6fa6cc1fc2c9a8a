"""What a dataset is, and what it says of itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DamageError, UsageError
from ..spec import AudioFormat, ParamSpace
from ..synths import sampling
from ..synths.synth import Synth
from ..system.files import check_types, to_json
from ..system.simd import simd_target
from ..version import __version__
from .samples import DTYPES
from .stores import Entry, Store

FORMAT = "inversynth dataset 2"
UNSIGNED = ("inversynth dataset 1",)
"""Formats of earlier versions, without the SHA-256 of the manifest itself."""
MANIFEST = "manifest.json"
PARTIAL = "manifest.partial.json"
SHARD_BYTES = 1 << 25
"""About so much sound stands in a shard, where its size isn't given."""


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
        renderer = self.synth
        if not 1 <= self.count <= 2**48:
            raise UsageError(f"{self.count} examples are outside 1..2^48")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"a shard size of {self.shard_size} is less than 1")
        if self.dtype not in DTYPES:
            raise UsageError(f"no dtype {self.dtype!r}; there are {', '.join(DTYPES)}")
        sampling.check_seed(self.seed)
        renderer.render(np.empty((0, len(renderer.space))), self.audio.sample_rate, self.audio.seconds)

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
        """What stands before the data: the .npy format 1.0, always of 128 bytes."""
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

    def look(self, folder: Store) -> Entry | None:
        """Its entry as the file gives it, all of it read; None if there is none."""
        try:
            size = folder.size(self.name)
            return {"bytes": size, "sha256": folder.sha256(self.name) if size == self.bytes else ""}
        except FileNotFoundError:
            return None
        except OSError as error:
            return {"error": error.strerror}

    def wrong(self, folder: Store, seen: Entry | None, entry: Entry | None) -> str | None:
        """What is wrong with the file, by a look at it and its entry in the manifest, or None."""
        file = folder.name(self.name)
        if seen is None:
            return f"{file} is missing"
        if "error" in seen:
            return f"{file} can't be read ({seen['error']})"
        if seen["bytes"] != self.bytes:
            return f"{file} has {seen['bytes']} bytes, not {self.bytes}"
        if "sha256" in seen and seen != entry:
            return f"{file} is damaged: its SHA-256 is not the manifest's"
        return None


def _chain(first: bytes, rest: Iterable[memoryview]) -> Iterable[bytes | memoryview]:
    yield first
    yield from rest


@dataclass
class Manifest:
    """What a dataset says of itself; `files` maps the names of its files to their size and SHA-256.

    `arithmetic` is that of the processor it was rendered by: renderings of the same are the same bytes.
    """

    inversynth: str
    arithmetic: str
    synth: str
    seed: int
    count: int
    shard_size: int
    sample_rate: int
    seconds: float
    normalise: bool
    dtype: str
    space: ParamSpace
    files: dict[str, Entry] = field(default_factory=dict)

    IDENTITY = (
        "synth",
        "seed",
        "sample_rate",
        "seconds",
        "normalise",
        "dtype",
        "shard_size",
        "arithmetic",
        "inversynth",
    )
    """What must agree before a dataset is gone on with; `count` may grow."""

    @classmethod
    def of(cls, settings: DatasetSettings) -> Manifest:
        """The manifest of a dataset that has no files yet."""
        return cls(
            __version__,
            simd_target().arithmetic,
            settings.synth.name,
            settings.seed,
            settings.count,
            settings.items_a_shard,
            settings.audio.sample_rate,
            settings.audio.seconds,
            settings.normalise,
            settings.dtype,
            settings.synth.space,
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
            if known in UNSIGNED or (whole and known != FORMAT):
                raise UsageError(f"{file} is not of this version of the program but of {known!r}; render it anew")
            if not whole:
                raise ValueError("it is not what was written")
            del fields["sha256"], fields["fingerprint"]
            manifest = cls(**{**fields, "space": ParamSpace.from_data(fields["space"])})
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
        first, last = (sum(part.bytes for part in self.parts(shard)) for shard in (0, self.shards - 1))
        return first * (self.shards - 1) + last

    def items(self, shard: int) -> range:
        """The items of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def parts(self, shard: int) -> list[Part]:
        """The files of a shard: audio, levels, and with int16 the peaks."""
        rows = len(self.items(shard))
        level_type = "|u1" if self.space.levels.max() <= 256 else "<u2"
        parts = [
            Part(f"audio-{shard:06d}.npy", DTYPES[self.dtype], (rows, self.audio.samples)),
            Part(f"levels-{shard:06d}.npy", level_type, (rows, len(self.space))),
        ]
        return [*parts, Part(f"peaks-{shard:06d}.npy", "<f4", (rows,))] if self.dtype == "int16" else parts


SHARD_FILE = re.compile(r"(audio|levels|peaks)-\d{6,}\.npy")
"""The names of the files of shards."""


def _signature(rest: bytes) -> bytes:
    return b'{\n  "sha256": "%s",\n' % hashlib.sha256(rest).hexdigest().encode()


SIGNATURE_BYTES = len(_signature(b""))
