"""The models that come with the package, and those that a user names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import UsageError
from ..synths import Synth


def shipped() -> dict[str, Path]:
    """The models that come with the package: name to folder, which holds `model.onnx` and `card.json`."""
    here = Path(__file__).resolve()
    folders = (here.parents[1] / "models", here.parents[3] / "models")  # in a wheel; in a checkout
    return {file.parent.name: file.parent for folder in folders for file in sorted(folder.glob("*/model.onnx"))}


def default_model(synth: Synth) -> str:
    """The name of the shipped model for a synth; raises `UsageError` if there is none."""
    if synth.default_model is None:
        raise UsageError(
            f"no model for the synth {synth.name!r} is shipped; name an exported one with --model FILE.onnx"
        )
    return synth.default_model


def find(path_or_name: str | Path) -> Path:
    """The ONNX file of a shipped model's name, a file, or a folder that holds `model.onnx`.

    Raises `UsageError`, naming the shipped models, if it isn't there.
    """
    models = shipped()
    path = models.get(str(path_or_name), Path(path_or_name))
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        known = f"the shipped models are {', '.join(models)}" if models else "no models are shipped with this copy"
        wrong = "is not a file" if file.exists() else "is not there"
        raise UsageError(f"no model {str(path_or_name)!r}: {file} {wrong}; {known}")
    return file


def digest(path_or_name: str | Path) -> str:
    """The SHA-256 of a model's file, in hexadecimal: which network it was. Raises `UsageError` if it can't be read."""
    file = find(path_or_name)
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None
