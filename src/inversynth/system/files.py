"""Artefacts are written whole: to a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..errors import DamageError, InversynthError, UsageError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "make room and try again"),
    errno.EDQUOT: ("the disk quota is used up", "make room and try again"),
    errno.EACCES: ("no permission to write there", "choose another folder or change its permissions"),
    errno.EPERM: ("no permission to write there", "choose another folder or change its permissions"),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder"),
    errno.EEXIST: ("a file of that name is in the way", "choose another folder"),
    errno.EISDIR: ("a folder of that name is in the way", "move it away, or choose another place"),
    errno.ENOENT: (
        "it is not there, or was removed",
        "check whether another process works there, or choose another folder",
    ),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
}


def write_error(path: str | Path, error: OSError) -> InversynthError:
    """The one-line error for a failed write to `path`."""
    why, what = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another place"))
    return InversynthError(f"cannot write {path}: {why}; {what}")


@contextlib.contextmanager
def writing(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Gives a temporary file in the same folder; on leaving it becomes `path`, whole, or nothing is left.

    sync: False leaves it to the caller to `sync_files` once all are written. The temporary name keeps the
    suffix of `path`, for libraries that depend on it. Missing folders are made. Raises `InversynthError`,
    at once where it can, if the file can't be written; never replaces a device or a folder.
    """
    target = Path(path)
    made: list[Path] = []
    temporary = target.parent / f".{target.stem}.{os.getpid()}.tmp{target.suffix}"
    try:
        made = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            raise OSError(errno.EISDIR if target.is_dir() else errno.ENXIO, "it is not a plain file")
        temporary.touch()
        yield temporary
        if sync:
            _sync(temporary)
        os.replace(temporary, target)
        made = []
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()


def sync_files(paths: Iterable[Path]) -> None:
    """Returns when files are on the disk: those of `writing` with sync=False, all at once where the system can."""
    if hasattr(os, "sync"):
        os.sync()
    else:
        for path in paths:
            _sync(path)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def make_folder(path: str | Path) -> Path:
    """Makes a folder that can be written to, with its parents; raises `InversynthError` if that fails."""
    folder = Path(path)
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise write_error(folder, error) from None
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a folder against other processes that use this lock; the system frees it when this process dies.

    Raises `InversynthError` if another has it. Locks nothing where the system (Windows) or the file system
    (some networks') has no locks of folders.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InversynthError(
                f"another process is at work in {folder}; wait until it is done, or choose another folder"
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def remove_stale(folder: Path) -> None:
    """Removes the temporary files of killed processes from a folder that only this process writes to."""
    for file in folder.glob(".*.tmp.*"):
        if re.fullmatch(r"\..+\.\d+\.tmp\.\w+", file.name):
            file.unlink(missing_ok=True)


def wav(sound: NDArray[np.float32], sample_rate: int) -> bytes:
    """(samples,) float32 as a WAV file of 32-bit floats, not clipped; the same sound gives the same bytes.

    Written here, since libsndfile puts the time of day into it. The form is that of "Multimedia Programming
    Interface and Data Specifications 1.0" (IBM and Microsoft, 1991), format 3. Raises `UsageError` from 4 GB on.
    """
    data = np.ascontiguousarray(sound, "<f4").tobytes()
    if len(data) > 0xFFFFFF00:
        raise UsageError(f"a sound of {len(sound)} samples is longer than a WAV file can hold; ask for fewer seconds")
    head = struct.pack("<4s4sIHHIIHHH", b"WAVE", b"fmt ", 18, 3, 1, sample_rate, 4 * sample_rate, 4, 32, 0)
    head += struct.pack("<4sII4sI", b"fact", 4, len(sound), b"data", len(data))
    return struct.pack("<4sI", b"RIFF", len(head) + len(data)) + head + data


def to_json(data: Any) -> bytes:
    """`data` as indented JSON."""
    return (json.dumps(data, indent=2) + "\n").encode()


def write_json(path: str | Path, data: Any) -> None:
    """Writes `data` as indented JSON."""
    with writing(path) as temporary:
        temporary.write_bytes(to_json(data))


def check_types(record: Any) -> None:
    """Raises `TypeError` unless the fields of a dataclass, as read from JSON, hold what they are declared to.

    Checks plain types alone, not the items of lists and mappings; an int is a float as well, a bool isn't an int.
    """
    for name, kind in get_type_hints(type(record)).items():
        value, allowed = getattr(record, name), float | int if kind is float else kind
        if isinstance(allowed, type | UnionType) and not (
            isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
        ):
            raise TypeError(f"{name} is {value!r}")


def read_json(path: str | Path, what: str) -> Any:
    """Reads JSON; raises `UsageError`, if it is there and no JSON `DamageError`, naming `what` it should have been."""
    return from_json(Path(path).read_bytes, path, what)


def from_json(read: Callable[[], bytes], path: str | Path, what: str) -> Any:
    """`read_json` of the bytes that `read` gives, from the file that errors call `path`."""
    try:
        return json.loads(read().decode())
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; it should be {what}") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}); it should be {what}") from None
    except (ValueError, RecursionError):
        raise DamageError(f"{path} is damaged: it should be {what}, as JSON") from None
