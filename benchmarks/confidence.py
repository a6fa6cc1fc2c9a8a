"""What the live bridge sends, by how sure the network must be, and by what is taken from its distributions.

    python benchmarks/confidence.py --num-examples 400

The sounds of the test stream are taken one after another, each at the bridge's stages, by one tracker; what it has at
the end of each note is rendered and compared with the note, and with what `match` makes of it. Beside it the estimates
of the first stage and of whole windows alone: the distributions' medians, their likeliest levels, what the gate takes
of both, and the means. Writes benchmarks/confidence.json and docs/live.md.
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
from pages import Rows, Tables, add_options, as_markdown, concluded, shortened, shown
from rich.console import Console

from inversynth import synths
from inversynth.live import STAGES_S, Gate, Tracker
from inversynth.live.tracking import Estimate, estimate
from inversynth.predict.model import load_model
from inversynth.predict.shipped import default_model
from inversynth.synths import sampling
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "confidence.json"
PAGE = HERE.parent / "docs" / "live.md"
CONFIDENCES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
NEAR = 0.02
"""A sound is as near as a match of it if its rho(STFT) is at most this much less."""
TAKEN = "what the gate takes"
SEED = 7


def measure(model_name: str, count: int) -> dict[str, Any]:
    """What each confidence reaches, and the mean rho(STFT) of each estimate, with the levels that it is off."""
    paper, model = synths.load("paper"), load_model(model_name, "cpu")
    space, gate = paper.space, Gate(paper, paper.format)
    steps = space.levels - 1
    levels = sampling.draw(space, SEED, 0, count, sampling.TEST)
    active = space.active(levels)
    sounds = paper.render(space.values_of_levels(levels))

    def rho(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return compare(sounds, paper.render(space.values_of_x(x)))["rho_stft"]

    def predicted(seconds: float) -> tuple[dict[str, list[Estimate]], NDArray[np.float64]]:
        """The estimates from the first `seconds` of each sound, by kind, and (n, P) the means of the distributions."""
        rows = model.predict(partly(sounds, round(1000 * seconds)))
        parts = sounds[:, : round(seconds * paper.format.sample_rate)]
        each = [[row[i] for row in rows] for i in range(count)]
        medians, peaks = ([estimate(space, of_it, likeliest) for of_it in each] for likeliest in (False, True))
        taken = [gate(part, of_it)[0] for part, *of_it in zip(parts, peaks, medians, strict=True)]
        means = np.stack([row @ np.arange(row.shape[1]) for row in rows], axis=1)
        return {"median": medians, "likeliest": peaks, TAKEN: taken}, means

    def figures(estimates: dict[str, list[Estimate]], means: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        guesses = {name: np.array([of_it.levels for of_it in found]) for name, found in estimates.items()}
        return {
            name: {
                "rho_stft": float(rho(guess / steps).mean()),
                "levels_off": float(np.abs(guess - levels)[active].mean()),
            }
            for name, guess in {**guesses, "mean": means}.items()
        }

    parts, whole = [predicted(stage_s) for stage_s in STAGES_S], predicted(paper.format.seconds)
    matched = rho(np.array([of_it.levels for of_it in whole[0]["likeliest"]]) / steps)
    notes = [list(of_it) for of_it in zip(*(part["median"] for part, _ in parts), whole[0][TAKEN], strict=True)]
    confidences = {f"{least:g}": rho(sent(notes, least)) for least in CONFIDENCES}
    return {
        "machine": machine(),
        "model": model_name,
        "num_examples": count,
        "match": float(matched.mean()),
        "near": NEAR,
        "confidences": {
            least: {"rho_stft": float(found.mean()), "as_near": float((found >= matched - NEAR).mean())}
            for least, found in confidences.items()
        },
        "first_stage_ms": round(1000 * STAGES_S[0]),
        "estimates": {"first stage": figures(*parts[0]), "whole window": figures(*whole)},
    }


def sent(estimates: list[list[Estimate]], least: float) -> NDArray[np.float64]:
    """(n, P) x that one tracker has at the end of each note, which comes after the one before."""
    tracker = Tracker(synths.load("paper").space, least, 0.0)
    found = []
    for number, notes in enumerate(estimates):
        for stage, of_it in enumerate(notes):
            tracker.update(of_it, number + stage / len(notes), settle=stage == len(notes) - 1)
        found.append(tracker.x(number + 1.0))
    return np.array(found)


def tables(found: dict[str, Any]) -> Tables:
    """A table of the confidences, and one of the estimates."""
    confidences: Rows = [
        (least, f"{at['rho_stft']:.3f}", f"{at['as_near']:.1%}") for least, at in found["confidences"].items()
    ]
    stages = found["estimates"].values()
    estimates: Rows = [
        (name, *(text for at in stages for text in (f"{at[name]['rho_stft']:.3f}", f"{at[name]['levels_off']:.2f}")))
        for name in found["estimates"]["whole window"]
    ]
    first = f"{found['first_stage_ms']} ms"
    return [
        (("--confidence", "ρ(STFT), mean", "as near as a match"), confidences),
        (("estimate", f"{first}, ρ(STFT)", f"{first}, levels off", "whole, ρ(STFT)", "whole, levels off"), estimates),
    ]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and what they were taken on."""
    lines = (
        f"{found['num_examples']} sounds of the test stream, one after another, with the model {found['model']}. As "
        f"near as a match: of how many the ρ falls short by at most {found['near']:g} of what `match` makes of them "
        f"({found['match']:.3f} in the mean): at 0 all are, since the gate takes the better of that patch and another. "
        "What falls short beyond has kept something of the notes before.",
        *as_markdown(tables(found)),
    )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Measures, prints the tables, and writes the figures and the docs; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=default_model(synths.load("paper")), metavar="NAME|PATH", help="the model")
    parser.add_argument("--num-examples", type=int, default=400, metavar="N", help="sounds (default: 400)")
    add_options(parser, SOURCE)
    args = parser.parse_args(words)
    console = Console()

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), PAGE, markdown(found))

    return concluded("confidence", args, lambda: measure(args.model, shortened(args, args.num_examples, 40)), publish)


if __name__ == "__main__":
    sys.exit(main())
