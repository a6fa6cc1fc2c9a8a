"""What the live bridge sends, by how sure the network must be, and by what is taken from its distributions.

    python benchmarks/confidence.py --num-examples 400

The sounds of the test stream are heard one after another, each at the bridge's stages, by one tracker; what it has at
the end of each note is rendered and compared with the note. Beside it the estimates of whole windows alone: the
distributions' medians, their likeliest levels and their means. Writes benchmarks/confidence.json and docs/live.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from models import compare
from numpy.typing import NDArray
from onset import partly
from pages import Rows, Tables, add_options, as_markdown, concluded, shown
from rich.console import Console

from inversynth import sampling
from inversynth.evaluation.comparing import likeliest
from inversynth.live import STAGES_S, Tracker
from inversynth.live.tracking import Estimate, estimate
from inversynth.machine import machine
from inversynth.predict import default_model, load_model
from inversynth.render import synth

HERE = Path(__file__).parent
SOURCE = HERE / "confidence.json"
PAGE = HERE.parent / "docs" / "live.md"
CONFIDENCES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
SEED = 7


def measure(model_name: str, count: int) -> dict[str, Any]:
    """The mean rho(STFT) of each confidence, and of each estimate with the levels that it is off."""
    paper, model = synth("paper"), load_model(model_name, "cpu")
    space = paper.space
    levels = sampling.draw(space, SEED, 0, count, sampling.TEST)
    sounds = paper.render(space.values_of_levels(levels))
    stages = [model.predict(partly(sounds, round(1000 * stage_s))) for stage_s in STAGES_S]
    stages.append(model.predict(sounds))
    heard = [[estimate(space, [row[i] for row in rows]) for rows in stages] for i in range(count)]

    def rho(x: NDArray[np.float64]) -> float:
        return float(compare(sounds, paper.render(space.values_of_x(x)))["rho_stft"].mean())

    confidences = {f"{least:g}": rho(sent(heard, least)) for least in CONFIDENCES}
    steps = space.levels - 1
    estimates = {
        "median": np.array([notes[-1].levels for notes in heard]) / steps,
        "likeliest level": likeliest(stages[-1]) / steps,
        "mean": np.stack([row @ np.arange(row.shape[1]) for row in stages[-1]], axis=1) / steps,
    }
    active = space.active(levels)
    return {
        "machine": machine(),
        "model": model_name,
        "num_examples": count,
        "confidences": confidences,
        "estimates": {
            name: {"rho_stft": rho(x), "levels_off": float(np.abs(x * steps - levels)[active].mean())}
            for name, x in estimates.items()
        },
    }


def sent(heard: list[list[Estimate]], least: float) -> NDArray[np.float64]:
    """(n, P) x that one tracker has at the end of each note, which comes after the one before."""
    tracker = Tracker(synth("paper").space, least, 0.0)
    found = []
    for number, notes in enumerate(heard):
        for stage, of_it in enumerate(notes):
            tracker.hear(of_it, number + stage / len(notes), settle=stage == len(notes) - 1)
        found.append(tracker.x(number + 1.0))
    return np.array(found)


def tables(found: dict[str, Any]) -> Tables:
    """A table of the confidences, and one of the estimates."""
    confidences: Rows = [(least, f"{rho:.3f}") for least, rho in found["confidences"].items()]
    estimates: Rows = [
        (name, f"{at['rho_stft']:.3f}", f"{at['levels_off']:.2f}") for name, at in found["estimates"].items()
    ]
    return [
        (("--confidence", "ρ(STFT), mean"), confidences),
        (("estimate of a whole window", "ρ(STFT), mean", "levels off"), estimates),
    ]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and what they were taken on."""
    line = f"{found['num_examples']} sounds of the test stream, one after another, heard by {found['model']}."
    return "\n".join([line, *as_markdown(tables(found))])


def main(words: list[str] | None = None) -> int:
    """Measures, prints the tables, and writes the figures and the docs; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=default_model("paper"), metavar="NAME|PATH", help="what hears")
    parser.add_argument("--num-examples", type=int, default=400, metavar="N", help="sounds (default: 400)")
    add_options(parser, SOURCE)
    args = parser.parse_args(words)
    console = Console()

    def publish(found: dict[str, Any]) -> None:
        shown(console, tables(found), PAGE, SOURCE, markdown(found), args.quick)

    return concluded("confidence", args, lambda: measure(args.model, args.num_examples), publish)


if __name__ == "__main__":
    sys.exit(main())
