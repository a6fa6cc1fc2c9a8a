"""Where a dataset lies: a folder of this machine, or a place elsewhere (S3 and the like, through fsspec)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InversynthError, UsageError, one_line
from ..system.files import from_json, locked, make_folder, remove_stale, to_json, write_error, writing

WHOLE = frozenset({"s3", "gs", "abfs", "memory"})
"""Protocols where an upload is seen only once it is whole; with others it goes to a temporary name first."""

Entry = dict[str, Any]
"""What a manifest says of a file: its size in `bytes`, and its `sha256`."""


class Store(ABC):
    """A flat place of files, each whole or not there; `str` of it is what errors name, and what `store` takes.

    Reading a file raises `FileNotFoundError` if it is missing, else `OSError`; all else raises `InversynthError`.
    """

    @property
    def address(self) -> str:
        """Its address for `store`, valid on any machine."""
        return str(self)

    def name(self, file: str) -> str:
        """A file of it, as errors name it."""
        return f"{self}/{file}"

    def has(self, file: str) -> bool:
        """Whether a file is there."""
        try:
            with _reads(self.name(file)):
                self.size(file)
        except FileNotFoundError:
            return False
        return True

    def read_json(self, file: str, what: str) -> Any:
        """What a JSON file holds; raises `UsageError`, `DamageError` naming `what` it should have been."""

        def read() -> bytes:
            with self.reading(file) as path:
                return path.read_bytes()

        return from_json(read, self.name(file), what)

    def write_json(self, file: str, data: Any) -> None:
        """Writes a JSON file."""
        with self.writing(file) as temporary:
            temporary.write_bytes(to_json(data))

    def map(self, file: str) -> NDArray[np.uint8]:
        """The bytes of a file, read as they are asked for; from elsewhere, it is fetched whole first."""
        with self.reading(file) as path:
            try:
                return np.asarray(np.memmap(path, np.uint8, "r"))
            except ValueError as error:  # it is empty
                raise OSError(0, str(error)) from None

    def sha256(self, file: str) -> str:
        """The SHA-256 of a file, in hex digits."""
        with self.reading(file) as path, open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def write(self, file: str, blocks: Iterable[bytes | memoryview]) -> Entry:
        """Writes a file."""
        digest, size = hashlib.sha256(), 0
        with self.writing(file) as temporary, open(temporary, "wb", buffering=0) as stream:
            for block in blocks:
                left = memoryview(block)
                digest.update(left)
                size += len(left)
                while left:
                    left = left[stream.write(left) :]
        return {"bytes": size, "sha256": digest.hexdigest()}

    @abstractmethod
    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Locks the store for the process that renders into it, and makes it if it isn't there.

        Removes what killed processes left, before and after. Where the place has no locks, other processes aren't
        kept out. Raises `InversynthError` if it can't be written to, or if another process is working there.
        """

    @abstractmethod
    def exists(self) -> bool:
        """Whether it is there."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """The free space in bytes; None where it isn't known."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The names of its files and their sizes, in one listing; empty if the store isn't there."""

    @abstractmethod
    def size(self, file: str) -> int:
        """The size of a file in bytes."""

    @abstractmethod
    def remove(self, file: str) -> None:
        """Removes a file, if it is there."""

    @abstractmethod
    def rename(self, file: str, new: str) -> None:
        """Gives a file another name; one of the two always exists."""

    @abstractmethod
    def reading(self, file: str) -> contextlib.AbstractContextManager[Path]:
        """Gives a file of this machine with its bytes, until the end of the block."""

    @abstractmethod
    def writing(self, file: str) -> contextlib.AbstractContextManager[Path]:
        """Gives an empty file of this machine; on leaving, it is put in its place whole, or not at all."""


def store(out: str | Path) -> Store:
    """The store of a folder, or of a URL: file://, s3://, or any other that fsspec knows.

    A place elsewhere takes its credentials as the package of its protocol does, from the environment or files
    of its own. Raises `UsageError` for an unknown protocol, or naming the package that is missing.
    """
    protocol, slashes, rest = str(out).partition("://")
    if not slashes or not re.fullmatch(r"[A-Za-z][\w+.-]*", protocol):
        return LocalStore(Path(out))
    if protocol in ("file", "local"):
        return LocalStore(Path(rest))
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{out} needs fsspec; install it with: pip install 'inversynth[remote]'") from None
    try:
        files, root = fsspec.url_to_fs(str(out))
    except ImportError as error:
        raise UsageError(f"{out} needs a package that isn't installed: {one_line(error)}") from None
    except Exception as error:  # each package has its own
        raise UsageError(f"{out} can't be used: {one_line(error)}") from None
    return RemoteStore(str(out).rstrip("/"), files, root.rstrip("/"))


@dataclass(frozen=True)
class LocalStore(Store):
    """A folder, on a disk of this machine or one that machines share."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def address(self) -> str:
        return str(self.path.absolute())

    def name(self, file: str) -> str:
        return str(self.path / file)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        make_folder(self.path)
        with locked(self.path):
            remove_stale(self.path)
            yield
            remove_stale(self.path)

    def exists(self) -> bool:
        return self.path.is_dir()

    def free_bytes(self) -> int:
        return shutil.disk_usage(next(p for p in (self.path, *self.path.absolute().parents) if p.is_dir())).free

    def sizes(self) -> dict[str, int]:
        if not self.exists():
            return {}
        found = {}
        with _reads(self.path), os.scandir(self.path) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # another process may be at work there
                    if file.is_file():
                        found[file.name] = file.stat().st_size
        return found

    def size(self, file: str) -> int:
        return (self.path / file).stat().st_size

    def remove(self, file: str) -> None:
        with _writes(self.name(file)):
            (self.path / file).unlink(missing_ok=True)

    def rename(self, file: str, new: str) -> None:
        with _writes(self.name(new)):
            (self.path / file).replace(self.path / new)

    @contextlib.contextmanager
    def reading(self, file: str) -> Iterator[Path]:
        yield self.path / file

    def writing(self, file: str) -> contextlib.AbstractContextManager[Path]:
        return writing(self.path / file)


@dataclass(frozen=True)
class RemoteStore(Store):
    """A place that fsspec reaches: `files` is its file system, `root` the path there. It has no locks."""

    url: str
    files: Any
    root: str

    def __str__(self) -> str:
        return self.url

    @property
    def _whole(self) -> bool:
        protocol = self.files.protocol
        return not WHOLE.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        if not self._whole:
            with _writes(self.url), _os_errors():
                self.files.makedirs(self.root, exist_ok=True)
        self._remove_stale()
        yield
        self._remove_stale()

    def exists(self) -> bool:
        return bool(self.sizes())

    def free_bytes(self) -> None:
        return None

    def sizes(self) -> dict[str, int]:
        with _reads(self.url), _os_errors():
            self.files.invalidate_cache()
            try:
                found = self.files.ls(self.root, detail=True)
            except FileNotFoundError:
                return {}
            return {entry["name"].rpartition("/")[2]: entry["size"] for entry in found if entry["type"] == "file"}

    def size(self, file: str) -> int:
        with _os_errors():
            self.files.invalidate_cache()
            return int(self.files.info(self._path(file))["size"])

    def remove(self, file: str) -> None:
        with _writes(self.name(file)), _os_errors(), contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self._path(file))

    def rename(self, file: str, new: str) -> None:
        with self.reading(file) as old, self.writing(new) as path:
            shutil.copyfile(old, path)
        self.remove(file)

    @contextlib.contextmanager
    def reading(self, file: str) -> Iterator[Path]:
        with _folder() as folder:
            with _os_errors():
                self.files.get_file(self._path(file), str(folder / file))
            yield folder / file

    @contextlib.contextmanager
    def writing(self, file: str) -> Iterator[Path]:
        with _folder() as folder:
            path = folder / file
            with _writes(path):
                path.touch()
                yield path
            with _writes(self.name(file)), _os_errors():
                self._put(path, file)

    def _put(self, path: Path, file: str) -> None:
        if self._whole:
            self.files.put_file(str(path), self._path(file))
            return
        temporary = f".{file}.{uuid.uuid4().hex}.tmp"
        try:
            self.files.put_file(str(path), self._path(temporary))
            self.remove(file)  # some don't replace an existing file
            self.files.mv(self._path(temporary), self._path(file))
        finally:
            self.remove(temporary)

    def _remove_stale(self) -> None:
        if not self._whole:
            for file in self.sizes():
                if re.fullmatch(r"\..+\.[0-9a-f]{32}\.tmp", file):
                    self.remove(file)

    def _path(self, file: str) -> str:
        return f"{self.root}/{file}"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="inversynth-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def _writes(what: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(what, error) from None


@contextlib.contextmanager
def _reads(what: str | Path) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError:
        raise FileNotFoundError from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InversynthError(f"{what} can't be read: {error.strerror}; check the URL and your permissions") from None


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Turns any error of the packages into an `OSError` of one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(0, one_line(error)) from None
    except InversynthError:
        raise
    except Exception as error:
        raise OSError(0, one_line(error)) from None
