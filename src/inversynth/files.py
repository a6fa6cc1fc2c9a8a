"""Artefacts are written whole: to a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .errors import InversynthError, UsageError

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
        "it is not there, or not any more",
        "see if another process is at work there, or choose another folder",
    ),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
}


def write_error(path: str | Path, error: OSError) -> InversynthError:
    """The one-line error for a failed write to `path`."""
    why, what = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another place"))
    return InversynthError(f"cannot write {path}: {why}; {what}")


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary file in the same folder; on leaving it becomes `path`, whole, or nothing is left.

    The temporary name keeps the suffix of `path`, for libraries that go by it. Folders that aren't there
    are made. Raises `InversynthError`, at once where it can, if the file can't be written; never replaces
    what is no plain file (a device, a folder).
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
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
        made = []
    except OSError as error:
        raise write_error(target, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()


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


def sweep(folder: Path) -> None:
    """Removes from a folder, which this process alone writes to, what killed ones left of `writing`."""
    for file in folder.glob(".*.tmp.*"):
        if re.fullmatch(r"\..+\.\d+\.tmp\.\w+", file.name):
            file.unlink(missing_ok=True)


def wav(sound: NDArray[np.float32], sample_rate: int) -> bytes:
    """(samples,) float32 as a WAV file of 32-bit floats, not clipped.

    In memory, since libsndfile doesn't say why it can't write, and takes no name that isn't UTF-8.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, subtype="FLOAT", format="WAV")
    return file.getvalue()


def write_json(path: str | Path, data: Any) -> None:
    """Writes `data` as indented JSON."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def check_types(record: Any) -> None:
    """Raises `TypeError` unless the fields of a dataclass, as read from JSON, hold what they are declared to.

    Looks at plain types alone, not into lists and mappings; an int is a float as well, a bool is no int.
    """
    for name, kind in get_type_hints(type(record)).items():
        value, allowed = getattr(record, name), float | int if kind is float else kind
        if isinstance(allowed, type | UnionType) and not (
            isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
        ):
            raise TypeError(f"{name} is {value!r}")


def read_json(path: str | Path, what: str) -> Any:
    """Reads JSON; raises `UsageError` naming `what` it should have been."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; it should be {what}") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}); it should be {what}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is damaged: it should be {what}, as JSON") from None
