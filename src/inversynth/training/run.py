"""The folder of a run.

It holds `settings.json`, `history.csv` (a row an epoch), `last.npz` (weights, optimiser and position: what --resume
goes on from) and `best.npz` (the weights with the lowest validation loss).
"""

from __future__ import annotations

import csv
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MismatchError, UsageError
from ..metrics import WINDOW
from ..spec import AudioFormat, ParamSpace
from ..system.files import check_types, read_json, write_json, writing
from .settings import Settings

SETTINGS_FILE, HISTORY_FILE, LAST, BEST = "settings.json", "history.csv", "last.npz", "best.npz"

MEASURES = ("val_loss", "val_mpr", "val_top1", "val_mae")
HISTORY = ("epoch", "step", "sounds", "seconds", "waited", "learning_rate", "loss", *MEASURES)
"""The columns of `history.csv`; of the `seconds` since the run began, `waited` went by waiting for data. `val_mae` is
empty where no parameter has one."""


@dataclass(frozen=True)
class Run:
    """What the `settings.json` of a run folder says: `window` is that of the front end, in samples, and `identity`
    that of its source."""

    settings: Settings
    space: ParamSpace
    audio: AudioFormat
    window: int
    identity: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Reads what `write` wrote; raises `UsageError` if it is missing or damaged."""
        file = folder / SETTINGS_FILE
        stored = read_json(file, "the settings of a training run")
        try:
            run = cls(
                Settings(**stored["settings"]),
                ParamSpace.from_data(stored["space"]),
                AudioFormat(stored["sample_rate"], stored["seconds"]),
                stored.get("window", WINDOW),  # older runs don't have it
                dict(stored.get("dataset", {})),
            )
            check_types(run.settings)
            if run.space.fingerprint != stored["fingerprint"]:
                raise ValueError("the fingerprint is of another space")
            if type(run.window) is not int or not 4 <= run.window <= run.audio.sample_rate:
                raise ValueError(f"a window of {run.window} samples")
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UsageError(f"{file} is damaged ({error}); start the run again in another folder") from None
        return run

    def write(self, folder: Path) -> None:
        """Writes it as JSON."""
        write_json(
            folder / SETTINGS_FILE,
            {
                "settings": dataclasses.asdict(self.settings),
                "sample_rate": self.audio.sample_rate,
                "seconds": self.audio.seconds,
                "window": self.window,
                "space": self.space.to_data(),
                "fingerprint": self.space.fingerprint,
                "dataset": self.identity,
            },
        )

    def require(self, before: Run, folder: Path) -> None:
        """Raises `MismatchError`, naming what differs, unless `before`, which `folder` holds, learnt from the same."""
        self.space.require(before.space, str(folder))
        if (before.audio, before.identity) != (self.audio, self.identity):
            raise MismatchError(
                f"{self.settings.data or 'the synth'} was {before.audio} {before.identity} when {folder} began, "
                f"and is {self.audio} {self.identity}; start a new run"
            )


def save_arrays(path: Path, arrays: list[NDArray[Any]], **meta: Any) -> None:
    """Writes arrays, in order, and plain data to one .npz, whole or not at all."""
    named = {f"{i:04d}": array for i, array in enumerate(arrays)}
    with writing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, meta=np.array(json.dumps(meta)), **named)  # type: ignore[arg-type]


def load_arrays(path: Path) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Reads what `save_arrays` wrote; raises `UsageError` if it is missing or damaged."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = sorted(name for name in file.files if name != "meta")
            return [file[name] for name in names], json.loads(str(file["meta"]))
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; has the run been started?") from None
    except Exception as error:
        raise UsageError(f"{path} is damaged ({type(error).__name__}); start the run again") from None


def read_history(path: Path, until_step: int) -> list[dict[str, Any]]:
    """The rows of a `history.csv`, if it is there, up to a step; raises `UsageError` if it is damaged."""
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [_read_row({"waited": "0", **row}) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UsageError(f"{path} is damaged; remove it to go on without the history so far") from None
    return [row for row in rows if row["step"] <= until_step]


def _read_row(row: dict[str, str]) -> dict[str, Any]:
    kinds = {key: int if key in ("epoch", "step", "sounds") else float for key in HISTORY}
    return {key: None if key == "val_mae" and row[key] == "" else kind(row[key]) for key, kind in kinds.items()}


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes a `history.csv`."""
    with writing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, HISTORY)
        table.writeheader()
        table.writerows(rows)
