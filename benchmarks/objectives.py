"""Objectives of the refinement, compared on recordings by measures that are none of them.

    apt-get download lmms-common sonic-pi-samples && for p in *.deb; do dpkg -x $p recordings; done
    cd recordings/usr/share/lmms/samples
    python .../objectives.py instruments stringsnpads basses ../../sonic-pi/samples --renders 6000

Each recording is matched by the same search with each objective and the same number of renders; the match is compared
by the measures of `inversynth evaluate`. No recording has a right patch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from pages import Rows, add_options, as_markdown, concluded, shortened, shown
from rich.console import Console

from inversynth import synths
from inversynth.audio.files import read_file
from inversynth.audio.windows import window
from inversynth.errors import UsageError
from inversynth.evaluation.comparing import compare
from inversynth.matching.result import SILENT_PEAK
from inversynth.predict.model import load_model
from inversynth.predict.shipped import default_model
from inversynth.search import evaluator, refine
from inversynth.search.scoring import Scores
from inversynth.spec import AudioFormat
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "objectives.json"
DOCS = HERE.parent / "docs" / "refine.md"
SUFFIXES = (".aiff", ".flac", ".ogg", ".wav")
CHOSEN = "log L1 + 3 (1 - rho) + 0.3 convergence"
OBJECTIVES: dict[str, Callable[[Scores], NDArray[np.float64]]] = {
    "1 - rho": lambda s: 1 - s.rho_stft,
    "1 - rho + 0.2 convergence": lambda s: 1 - s.rho_stft + 0.2 * s.convergence,
    "log L1": lambda s: s.log_l1,
    "log L1 + 0.3 convergence": lambda s: s.log_l1 + 0.3 * s.convergence,
    "log L1 + (1 - rho) + 0.3 convergence": lambda s: s.log_l1 + (1 - s.rho_stft) + 0.3 * s.convergence,
    CHOSEN: refine.distance,
}
MEASURES = {
    "rho_stft": "rho(STFT)",
    "lsd_db": "log-spectral distance, dB",
    "mel_db": "mel L1, dB",
    "mfcc_db": "MFCC, dB",
    "spectral_convergence": "spectral convergence",
    "rms_cosine": "envelope cosine",
    "level_db": "level off by, dB",
}


def recordings(folders: list[Path], count: int, audio: AudioFormat) -> tuple[list[str], NDArray[np.float32]]:
    """The first notes (n, samples) of at most `count` recordings in folders, evenly chosen, behind their names."""
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    names, sounds = [], []
    for i in np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)):
        sound = window(*read_file(files[i]), audio)
        if np.abs(sound).max() > SILENT_PEAK:
            names.append("/".join(files[i].parts[-2:]))
            sounds.append(sound)
    if not sounds:
        raise UsageError(f"no recordings in {', '.join(map(str, folders))}; they must end in {', '.join(SUFFIXES)}")
    return names, np.stack(sounds)


def measure(folders: list[Path], count: int, renders: int, name: str | None, console: Console) -> dict[str, Any]:
    """The means of the measures by objective, and of the network's own patches."""
    paper = synths.load("paper")
    model = load_model(name or default_model(synths.load("paper")), "cpu")
    names, targets = recordings(folders, count, paper.format)
    likely = [[row[i] for row in model.predict(targets)] for i in range(len(targets))]
    found: dict[str, Any] = {"machine": machine(), "model": model.name, "renders": renders, "recordings": names}

    def means(values: NDArray[np.float64]) -> dict[str, float]:
        sounds = paper.render(values)
        measures = compare(targets, sounds, paper)
        loudness = [20 * np.log10(np.linalg.norm(at, axis=1) + 1e-9) for at in (targets, sounds)]
        measures["level_db"] = np.abs(loudness[1] - loudness[0])
        return {key: float(np.mean(measures[key])) for key in MEASURES}

    mode = np.array([[int(row.argmax()) for row in rows] for rows in likely])
    found["rows"] = [{"name": "the network's patch", **means(paper.space.values_of_levels(mode))}]
    for objective, distance in OBJECTIVES.items():
        console.print(objective, highlight=False)
        with mock.patch.object(evaluator, "distance", distance):
            runs = [refine.refine(paper, targets[i], likely[i], renders=renders) for i in range(len(targets))]
        found["rows"].append({"name": objective, **means(np.stack([run.best[0].values for run in runs]))})
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """The header and a row an objective."""
    rows: Rows = []
    for at in found["rows"]:
        name = f"**{at['name']}**" if at["name"] == CHOSEN else at["name"]
        rows.append((name, *(f"{at[key]:.4g}" for key in MEASURES)))
    return [(("objective", *MEASURES.values()), rows)]


def markdown(found: dict[str, Any]) -> str:
    """The table, and in a line what it was taken on."""
    line = (
        f"Means over {len(found['recordings'])} recordings, {found['renders']:,} renders each, from {found['model']}."
    )
    return "\n".join([line, *as_markdown(tables(found))])


def main() -> int:
    """Measures, prints the table, and writes the figures and the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="*", help="recordings, in it and below")
    parser.add_argument("--count", type=int, default=50, metavar="N", help="recordings at most (default: 50)")
    parser.add_argument("--renders", type=int, default=8000, metavar="N", help="of each search (default: 8000)")
    parser.add_argument("--model", metavar="NAME|PATH", help="where it starts from (default: the shipped one)")
    add_options(parser, SOURCE)
    args = parser.parse_args()
    if not (args.show or args.folders):
        parser.error("a folder of recordings is needed")
    console = Console()

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), DOCS, markdown(found))

    def measured() -> dict[str, Any]:
        count, renders = shortened(args, args.count, 5), shortened(args, args.renders, 500)
        return measure(args.folders, count, renders, args.model, console)

    return concluded("objectives", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
