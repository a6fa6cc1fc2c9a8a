"""The files of a match: the patch and its sound first, since they took a search; then what can be drawn again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..system.files import wav, writing
from .patch import to_json
from .picture import draw, plain
from .report import page
from .result import Match

PICTURE, REPORT = "match.png", "report.html"


def save(match: Match, folder: str | Path) -> None:
    """Writes `patch.json`, `match.wav`, then `match.png` and `report.html` into a folder.

    See `save_patch` and `save_pictures`. Raises `InversynthError`, leaving no file half-written.
    """
    save_patch(match, folder)
    save_pictures(match, folder)


def save_patch(match: Match, folder: str | Path) -> None:
    """Writes `patch.json`, `match.wav` (float32, not clipped) and the variations into a folder.

    patch.json: see `patch.to_json`. Other patches of the refinement are `variation-2.json`, `variation-2.wav`, ... What
    an earlier match has left there and this one hasn't is removed: variations, the picture, the report.
    """
    place, rate = Path(folder), match.audio.sample_rate
    _write(place / "patch.json", to_json(match, match.patch, match.measures), place / "match.wav", match.sound, rate)
    for name in (PICTURE, REPORT):
        if not (place / name).is_dir():
            (place / name).unlink(missing_ok=True)
    for number, other in enumerate(match.variations, 2):
        stem = place / f"variation-{number}"
        score = match.refinement.best[number - 1].rho_stft if match.refinement else np.nan
        text = to_json(match, other.patch, {"rho_stft": score})
        _write(stem.with_suffix(".json"), text, stem.with_suffix(".wav"), other.sound, rate)
    for file in place.glob("variation-*"):
        named = re.fullmatch(r"variation-(\d+)\.(json|wav)", file.name)
        if named and int(named[1]) > 1 + len(match.variations) and not file.is_dir():
            file.unlink(missing_ok=True)


def save_pictures(match: Match, folder: str | Path) -> None:
    """Draws `match.png` and writes `report.html` into a folder."""
    place = Path(folder)
    with writing(place / PICTURE) as picture, plain():
        draw(match).print_png(picture)
    with writing(place / REPORT) as report:
        report.write_text(page(match), encoding="utf-8", errors="replace")  # a name may hold what is no character


def _write(patch: Path, text: str, audio: Path, sound: NDArray[np.float32], sample_rate: int) -> None:
    """A patch and its sound; both are written before one gets its name, the patch first."""
    with writing(audio) as sound_file, writing(patch) as text_file:
        text_file.write_text(text, encoding="utf-8")
        sound_file.write_bytes(wav(sound, sample_rate))
