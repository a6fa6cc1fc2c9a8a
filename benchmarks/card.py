"""The card of a model: what it was trained on, for how long, its curve, and every measure.

    python benchmarks/card.py --run RUN --measures EVALUATION/evaluation.json --out models/paper-c6xl

Reads a run folder of `inversynth train` and what `inversynth evaluate --out EVALUATION` wrote; writes card.json
(for programs), README.md (for people) and training.png beside the model.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from inversynth import metrics
from inversynth.cli.evaluate import figure
from inversynth.errors import InversynthError
from inversynth.networks.architectures import MODELS
from inversynth.synths.paper import published as paper
from inversynth.system.files import make_folder, read_json, write_json, writing
from inversynth.training.run import load_arrays


def history(run: Path) -> list[dict[str, float]]:
    """The rows of a run's history."""
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def draw_curve(rows: list[dict[str, float]], path: Path) -> None:
    """Validation loss and MPR against the sounds trained on."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    thousands = [row["sounds"] / 1000 for row in rows]
    for axes, keys, label in (
        (figure.add_subplot(1, 2, 1), ("loss", "val_loss"), "loss (nats a parameter)"),
        (figure.add_subplot(1, 2, 2), ("val_mpr",), "validation MPR (%)"),
    ):
        for key in keys:
            axes.plot(
                thousands, [row[key] for row in rows], label="validation" if key.startswith("val") else "training"
            )
        axes.set(xlabel="thousands of sounds", ylabel=label)
        axes.grid(alpha=0.3)
        if len(keys) > 1:
            axes.legend(frameon=False)
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def page(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    found, trained = card["measures"], card["training"]
    settings = trained["settings"]
    parameters = {row["name"]: row for row in found["parameters"]["unmasked"]}
    whose = "The paper's" if settings["model"] in MODELS else "Our"
    by = ", by the native kernel" if found["inference_ms"].get("engine") == "native" else ""
    lines = [
        f"# {card['name']}",
        "",
        f"{whose} network {settings['model']} for the synth `{settings['synth']}`: raw audio in, "
        "one distribution over the levels of each parameter out. Written by `benchmarks/card.py`; the measures are "
        "those of `inversynth evaluate`.",
        "",
        f"- Trained on {trained['sounds']:,.0f} fresh sounds, each used once, for {trained['hours']:.1f} h on "
        f"{trained['machine']}.",
        f"- AdamW, highest learning rate {settings['learning_rate']:g}, cosine over {settings['epochs']} epochs of "
        f"{settings['steps']} steps, batches of {settings['batch_size']}, seed {settings['seed']}; the weights with "
        f"the lowest loss on {settings['validation']:,} held-out sounds (epoch {trained['best_epoch']:.0f}).",
        *([f"- {trained['note']}"] if trained["note"] else []),
        f"- Validation loss over the last five epochs: {', '.join(f'{loss:.4f}' for loss in trained['last_losses'])}.",
        f"- One window of 1 s on one thread{by}: median {found['inference_ms']['p50']:.2f} ms, 99th percentile "
        f"{found['inference_ms']['p99']:.2f} ms.",
        "",
        "![Training](training.png)",
        "",
        f"## Measures on {found['num_examples']:,} sounds that no training run draws",
        "",
        "The paper's figures are its Conv6XL's, on its own data and synthesizer, which are not public; chance is the "
        "sound of another random patch.",
        "",
        "| sounds of the predicted patches | here | the paper | chance |",
        "|---|---|---|---|",
    ]
    for key, title in metrics.TITLES.items():
        for kind in ("mean", "median") if key in found["sound"] else ():
            theirs = figure(paper.SOUND[key][kind]) if key in paper.SOUND else ""
            here, chance = (figure(found[place][key][kind]) for place in ("sound", "chance_sound"))
            lines.append(f"| {title}, {kind} | {here} | {theirs} | {chance} |")
    means = found["mean_mpr"]
    lines += [
        "",
        "MPR: mean percentile rank. Once over the patches in which a parameter is audible, and once over all. ECE: "
        "expected calibration error of the likeliest level's probability.",
        "",
        "| parameter | MPR where audible | MPR over all | the paper's MPR | top 1..5, % | MAE, levels | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    calibration = {row["name"]: f"{row['ece']:.3f}" for row in found.get("calibration", {}).get("parameters", [])}
    for row in found["parameters"]["masked"]:
        tops = " ".join(f"{100 * top:.0f}" for top in row["top"])
        everywhere, paper_mpr = parameters[row["name"]]["mpr"], paper.MPR[row["name"]]
        lines.append(
            f"| `{row['name']}` | {row['mpr']:.2f} | {everywhere:.2f} | {paper_mpr:.2f} | {tops} | {row['mae']:.2f} "
            f"| {calibration.get(row['name'], '')} |"
        )
    lines.append(
        f"| **mean** | **{means['masked']:.2f}** | **{means['unmasked']:.2f}** | **{paper.MEAN_MPR:.2f}** | | | |"
    )
    lines += ["", "| group | MPR where audible | top 1..5, % | MAE, levels |", "|---|---|---|---|"]
    for row in found["groups"]["masked"]:
        tops = " ".join(f"{100 * top:.0f}" for top in row["top"])
        lines.append(f"| {row['name']} | {row['mpr']:.2f} | {tops} | {row['mae']:.2f} |")
    if "calibration" in found:
        lines += ["", "![Every measure beside chance, and how often a probability was right](evaluation.png)"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Writes the card; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, required=True, help="run folder of inversynth train")
    parser.add_argument("--measures", type=Path, required=True, help="evaluation.json of inversynth evaluate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--machine", help="what it was trained on, where that isn't the machine of the measures")
    parser.add_argument("--note", default="", help="a sentence on what the settings don't tell")
    args = parser.parse_args()
    try:
        rows = history(args.run)
        _, best = load_arrays(args.run / "best.npz")
        measures = read_json(args.measures, "evaluation.json of inversynth evaluate")
        here = f"{measures['machine']['cores']} cores of {measures['machine']['cpu']}"
        card = {
            "name": args.out.name,
            "training": {
                "settings": read_json(args.run / "settings.json", "the settings of a run")["settings"],
                "sounds": rows[-1]["sounds"],
                "hours": rows[-1]["seconds"] / 3600,
                "machine": args.machine or here,
                "best_epoch": best["epoch"],
                "last_losses": [row["val_loss"] for row in rows[-5:]],
                "note": args.note,
                "history": rows,
            },
            "measures": measures,
        }
        make_folder(args.out)
        draw_curve(rows, args.out / "training.png")
        if "calibration" in card["measures"]:
            with writing(args.out / "evaluation.png") as temporary:
                shutil.copyfile(args.measures.with_name("evaluation.png"), temporary)
        write_json(args.out / "card.json", card)
        with writing(args.out / "README.md") as temporary:
            temporary.write_text(page(card), encoding="utf-8")
    except InversynthError as error:
        print(f"card: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
