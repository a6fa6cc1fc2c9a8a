"""What the refinement reaches, by renders and by time, beside simpler searches with the same scorer and renders.

    python benchmarks/refine.py --num-examples 100 --out benchmarks/refine.json

The sounds are those of the test stream, which no training run draws from. All start from the same network and run
on one core. By renders, the search is alone, on the levels and between; by time, the pursuit comes before it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from needs import NOT_MEASURED, divided
from numpy.typing import NDArray
from pages import Rows, add_options, as_markdown, concluded, is_whole, shortened, shown
from rich.console import Console

from inversynth import synths
from inversynth.predict.model import load_model
from inversynth.predict.shipped import default_model
from inversynth.search.audible import audible
from inversynth.search.baselines import BASELINES
from inversynth.search.refine import Candidate, refine
from inversynth.search.scoring import Scorer
from inversynth.synths import sampling
from inversynth.system.files import writing
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "refine.json"
DOCS = HERE.parent / "docs" / "refine.md"
PICTURE = HERE.parent / "docs" / "refine.png"
SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
RENDERS = (500, 1500, 6000, 30000)
NEAR_DB = -40.0
LEAST = 1e-4
"""The figures have four digits."""
SEARCH = "the search"
NEEDED = {"CMA-ES": "cma"}


def scored(found: list[Candidate], levels: NDArray[np.int64], counted: NDArray[np.bool_]) -> dict[str, float]:
    """The figures of one patch a sound, whose right levels are (n, P), where they are `counted` (n, P)."""
    rho = np.array([candidate.rho_stft for candidate in found])
    exact = np.stack([candidate.levels for candidate in found]) == levels
    return {
        "rho_stft_mean": float(rho.mean()),
        "rho_stft_median": float(np.median(rho)),
        "log_l1": float(np.mean([candidate.log_l1 for candidate in found])),
        "near": float(np.mean([candidate.residual_db < NEAR_DB for candidate in found])),
        "exact": float(exact[counted].mean()),
    }


def measure(count: int, seed: int, name: str | None, renders: Sequence[int], console: Console) -> dict[str, Any]:
    """All figures on `count` sounds of the test stream of a seed."""
    paper = synths.load("paper")
    model = load_model(name or default_model(synths.load("paper")), "cpu")
    model.require(paper)
    levels = sampling.draw(paper.space, seed, 0, count, sampling.TEST)
    counted = audible(paper, levels)
    targets = paper.render(paper.space.values_of_levels(levels))
    likely = [[row[i] for row in model.predict(targets)] for i in range(count)]
    found: dict[str, Any] = {
        "machine": machine(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "model": model.name,
        "num_examples": count,
        "seed": seed,
        "by_renders": [],
        "by_seconds": [],
    }
    baselines, found[NOT_MEASURED] = divided(BASELINES, NEEDED)
    for budget in renders:
        console.print(f"{budget:,} renders", highlight=False)
        started = time.perf_counter()
        best = [refine(paper, targets[i], likely[i], renders=budget, workers=1).best[0] for i in range(count)]
        seconds = (time.perf_counter() - started) / count
        found["by_renders"].append(
            {"name": SEARCH, "renders": budget, "seconds": seconds, **scored(best, levels, counted)}
        )
        for other, baseline in baselines.items():
            started = time.perf_counter()
            scorers = [Scorer(paper, target) for target in targets]
            values = np.stack([baseline(scorers[i], likely[i], budget, seed + i) for i in range(count)])
            seconds = (time.perf_counter() - started) / count
            nearest = paper.space.levels_of_values(values)
            best = []
            for i in range(count):
                at = scorers[i](values[i][None])
                four = (at.rho_stft[0], at.log_l1[0], at.convergence[0], at.residual[0])
                best.append(Candidate(values[i], nearest[i], *(float(score) for score in four)))
            found["by_renders"].append(
                {"name": other, "renders": budget, "seconds": seconds, **scored(best, levels, counted)}
            )
    refine(paper, targets[0], likely[0], seconds=max(SECONDS))  # what is made once is made
    for budget_s in SECONDS:
        console.print(f"{budget_s} s", highlight=False)
        runs = [refine(paper, targets[i], likely[i], seconds=budget_s, workers=1) for i in range(count)]
        took = np.array([run.seconds for run in runs])
        found["by_seconds"].append(
            {
                "budget_s": budget_s,
                "seconds": float(took.mean()),
                "longest_s": float(took.max()),
                "pursued": float(np.mean([run.method == "pursuit" for run in runs])),
                **scored([run.best[0] for run in runs], levels, counted),
            }
        )
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """Headers and rows: by seconds, and by renders."""
    rows: Rows = [
        (
            f"{at['budget_s']:g}",
            f"{at['seconds']:.2f}",
            f"{100 * at['rho_stft_mean']:.2f}",
            f"{100 * at['rho_stft_median']:.2f}",
            f"{100 * at['exact']:.1f} %",
            f"{100 * at['near']:.0f} %",
            f"{100 * at['pursued']:.0f} %",
        )
        for at in found["by_seconds"]
    ]
    header = "seconds", "used", "rho(STFT), mean", "median", "levels right", "residual below -40 dB", "by the pursuit"
    result = [(header, rows)]
    names = list(dict.fromkeys(at["name"] for at in found["by_renders"]))
    budgets = list(dict.fromkeys(at["renders"] for at in found["by_renders"]))
    rho = {(at["name"], at["renders"]): at["rho_stft_mean"] for at in found["by_renders"]}
    rows = [(name, *(f"{100 * rho[name, budget]:.2f}" for budget in budgets)) for name in names]
    return [*result, (("rho(STFT), mean, after", *(f"{budget:,} renders" for budget in budgets)), rows)]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and in a line what they were taken on."""
    at = found["machine"]
    lines = [
        f"{found['num_examples']} sounds of the test stream, from the network {found['model']}, on one core of "
        f"{at['cpu']} ({at['cores']} cores)."
    ]
    if found["load"] is not None and found["load"] > 0.5:
        lines[0] += f" Other work ran beside (load {found['load']:.1f}): alone, the same comes in less time."
    return "\n".join(lines + as_markdown(tables(found)))


def draw(found: dict[str, Any], place: Path) -> None:
    """The curves: what is missing to a correlation of 1, by renders and by seconds, on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 4.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name in dict.fromkeys(at["name"] for at in found["by_renders"]):
        rows = [at for at in found["by_renders"] if at["name"] == name]
        line = left.plot(
            [at["renders"] for at in rows],
            [1 - at["rho_stft_mean"] for at in rows],
            marker="o",
            label=name,
            linewidth=3 if name == SEARCH else 1.5,
            color="#e0672c" if name == SEARCH else None,
        )[0]
        line.set_zorder(3 if name == SEARCH else 2)
    rows = found["by_seconds"]
    right.plot(
        [at["budget_s"] for at in rows],
        [max(1 - at["rho_stft_mean"], LEAST) for at in rows],
        marker="o",
        linewidth=3,
        color="#e0672c",
    )
    left.set_ylabel("1 - rho(STFT), mean")
    for axes, what in (
        (left, "renders"),
        (right, f"seconds, pursuit and search (what is below {LEAST:g} is drawn there)"),
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(what)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    canvas: Any = FigureCanvasAgg(figure)
    with writing(place) as file:
        canvas.print_png(file)


def main() -> int:
    """Measures, prints tables, and writes the figures, the picture and the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--num-examples", type=int, default=100, metavar="N", help="sounds (default: 100)")
    parser.add_argument("--seed", type=int, default=9, help="of the test stream (default: 9)")
    parser.add_argument("--renders", type=int, nargs="+", default=RENDERS, metavar="N", help="budgets of renders")
    parser.add_argument("--model", metavar="NAME|PATH", help="where it starts from (default: the shipped one)")
    add_options(parser, SOURCE)
    args = parser.parse_args()
    console = Console()

    def publish(found: dict[str, Any]) -> None:
        if is_whole(args, found):
            draw(found, PICTURE)
        shown(args, console, found, tables(found), DOCS, markdown(found))

    def measured() -> dict[str, Any]:
        count = shortened(args, args.num_examples, 4)
        renders = [shortened(args, budget, 1500) for budget in args.renders]
        return measure(count, args.seed, args.model, list(dict.fromkeys(renders)), console)

    return concluded("refine", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
