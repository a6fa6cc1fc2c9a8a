"""The paper's fourteen networks, trained on as many fresh sounds each and tested on the same sounds.

    python benchmarks/models.py --sounds 400000 --runs runs/models

trains one after another, each in a folder of its own under --runs; what is finished stays, and after Ctrl-C the same
command goes on. Then it rewrites benchmarks/models.json, docs/models.png and the tables of docs/models.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import numpy as np
from card import history
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pages import Rows, add_options, as_markdown, concluded, is_whole, shortened, shown
from rich.console import Console

from inversynth import metrics, synths
from inversynth.networks.architectures import LINEAR, MODELS, check_model
from inversynth.predict.model import load_model
from inversynth.synths import sampling
from inversynth.synths.paper import published as paper
from inversynth.system.files import make_folder, read_json, write_json, writing
from inversynth.system.machine import machine
from inversynth.system.simd import in_threads
from inversynth.training.loop import train
from inversynth.training.onnx_export import export
from inversynth.training.run import load_arrays
from inversynth.training.settings import Settings

HERE = Path(__file__).parent
SOURCE = HERE / "models.json"
DOCS = HERE.parent / "docs" / "models.md"
PICTURE = DOCS.with_suffix(".png")
FOURTEEN = tuple(model for model in MODELS if model != "CE2E_2D")
"""Those of the paper; CE2E_2D is C6 by another name."""
CHANCE = "chance"
TEST_SEED, CHUNK = 7, 500
SOUND = ("rho_stft", "rho_ft", "f_delta")


def settings_of(model: str, sounds: int, precision: str) -> Settings:
    """A run over this many sounds, in epochs of at most 250 steps, without early stopping."""
    plain = Settings(model=model, precision=precision)
    total = max(sounds // plain.batch_size, 1)
    epochs = -(-total // plain.steps)
    return dataclasses.replace(
        plain,
        epochs=epochs,
        steps=total // epochs,
        warmup_steps=min(plain.warmup_steps, -(-total // 10)),
        patience=epochs,
    )


def train_one(settings: Settings, run: Path, console: Console) -> bool:
    """Trains, or goes on; returns whether it is finished."""

    def report(what: str, facts: dict[str, Any]) -> None:
        if what == "epoch":
            console.print(
                f"{settings.model}: epoch {facts['epoch']} of {settings.epochs}, {facts['sounds']:,} sounds in "
                f"{facts['seconds']:.0f} s, validation loss {facts['val_loss']:.4f}, MPR {facts['val_mpr']:.2f}",
                highlight=False,
            )

    return train(settings, synths.load(settings.synth), run, resume=(run / "settings.json").exists(), report=report)


def measure(model: str, folder: Path, count: int) -> dict[str, Any]:
    """Measures of the first `count` sounds of the test stream and what a run's network makes of them.

    By chance, each sound is answered by the next one's patch.
    """
    instrument = synths.load("paper")
    space = instrument.space
    levels = sampling.draw(space, TEST_SEED, 0, count, sampling.TEST)
    network = None if model == CHANCE else load_model(folder / "model.onnx", "cpu")
    rows: list[dict[str, NDArray[np.float64]]] = []
    chunks: list[list[NDArray[np.float32]]] = []
    answers = np.roll(levels, 1, axis=0)
    for at in range(0, count, CHUNK):
        sounds = instrument.render(space.values_of_levels(levels[at : at + CHUNK]))
        if network is not None:
            chunks.append(network.predict(sounds))
            answers[at : at + CHUNK] = np.stack([row.argmax(axis=1) for row in chunks[-1]], axis=1)
        rows.append(compare(sounds, instrument.render(space.values_of_levels(answers[at : at + CHUNK]))))
    columns = {key: np.concatenate([row[key] for row in rows]) for key in SOUND}
    found: dict[str, Any] = {"sound": metrics.summary(columns)}
    if network is None:
        return found | {"mpr": float(np.mean(100 * (1 - (space.levels - 1) / 2 / space.levels)))}
    probabilities = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    return found | {
        "mpr": metrics.mean_mpr(metrics.parameter_measures(space, probabilities, levels, True)),
        "mpr_heard": metrics.mean_mpr(metrics.parameter_measures(space, probabilities, levels)),
    }


def compare(targets: NDArray[np.float32], sounds: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """The paper's measures of sounds beside their targets, on all cores."""
    parts: dict[int, dict[str, NDArray[np.float64]]] = {}

    def work(first: int, after: int) -> None:
        parts[first] = metrics.sound_measures(targets[first:after], sounds[first:after])

    in_threads(work, len(targets))
    return {key: np.concatenate([parts[first][key] for first in sorted(parts)]) for key in SOUND}


def facts_of(model: str, folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """What was measured of a finished run, measured now unless it was already, as `wanted` asks."""
    file = folder / "measures.json"
    if file.exists():
        stored: dict[str, Any] = read_json(file, "the measures of a run")
        if stored["of"] == wanted:
            return dict(stored["found"])
    make_folder(folder)
    found = {}
    if model != CHANCE:
        export(folder, folder / "model.onnx")
        rows = history(folder)
        weights = load_arrays(folder / "best.npz")[0]
        found = {
            "stored_weights": sum(array.size for array in weights),
            "sounds": rows[-1]["sounds"],
            "best_epoch": min(rows, key=lambda row: row["val_loss"])["epoch"],
            "curve": {key: [row[key] for row in rows] for key in ("sounds", "loss", "val_loss", "val_mpr")},
        }
    found |= measure(model, folder, wanted["test_sounds"])
    write_json(file, {"of": wanted, "found": found})
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """The measures beside the paper's, and what each ended with and weighs."""
    header = ["network"]
    for name in ("MPR", "ρ(STFT), mean", "ρ(STFT), median", "ρ(FT), mean", "F_Δ, mean"):
        header += [name, "the paper's"]
    rows: Rows = []
    for model, at in found["models"].items():
        theirs = paper.SOUNDS.get(model)
        cells = [model, f"{at['mpr']:.2f}", f"{paper.MEAN_MPRS[model]:.2f}" if model in paper.MEAN_MPRS else ""]
        for key, kind in (("rho_stft", "mean"), ("rho_stft", "median"), ("rho_ft", "mean"), ("f_delta", "mean")):
            scale = 1 if key == "f_delta" else 100
            cells.append(f"{scale * at['sound'][key][kind]:.2f}")
            cells.append(f"{scale * theirs[key][kind]:.2f}" if theirs else "")
        rows.append(tuple(cells))
    costs: Rows = [
        (
            model,
            f"{at['mpr_heard']:.2f}",
            f"{min(at['curve']['val_loss']):.4f}",
            f"{4 * at['stored_weights'] / 1e6:.0f}",
        )
        for model, at in found["models"].items()
        if model != CHANCE
    ]
    heading = ("network", "MPR where active", "validation loss", "MB")
    return [(tuple(header), rows), (heading, costs)]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and what they were made with."""
    at = found["machine"]
    libraries = " and ".join(f"{name} {version}" for name, version in found["libraries"].items())
    lines = [
        f"Each network was trained on {found['sounds']:,} fresh sounds, each used once ({found['precision']}, batches "
        f"of {found['batch_size']}) on {at['cpu']}, {at['cores']} cores, with {libraries}; the weights with the lowest "
        f"loss on {found['validation']:,} held-out sounds were tested on {found['test_sounds']:,} others. "
        "MPR is over all patches, as the paper's; chance is the sound of another patch of the test.",
        "",
        f"![Validation loss and MPR of each network against the sounds it was trained on]({PICTURE.name})",
    ]
    return "\n".join(lines + as_markdown(tables(found)))


def draw(found: dict[str, Any], path: Path) -> None:
    """Validation loss and MPR of each network against the sounds it was trained on."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    families = {"C": "viridis_r", "F": "autumn", "H": "cool"}
    members = {key: [m for m in found["models"] if m[0] == key and m != "CE2E"] for key in families}
    panels = [figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)]
    for axes, key, label in zip(panels, ("val_loss", "val_mpr"), ("loss (nats a parameter)", "MPR (%)"), strict=True):
        for model, at in found["models"].items():
            if model == CHANCE:
                continue
            group = members[model[0]]
            place = group.index(model) / max(len(group) - 1, 1) if model in group else 0
            color = "black" if model == "CE2E" else colormaps[families[model[0]]](0.1 + 0.6 * place)
            thousands = [sounds / 1000 for sounds in at["curve"]["sounds"]]
            style = "--" if model in LINEAR else "-"
            axes.plot(thousands, at["curve"][key], style, color=color, label=model, linewidth=1.3)
        axes.set(xlabel="thousands of sounds", ylabel=f"validation {label}")
        axes.grid(alpha=0.3)
    panels[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def measured(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All figures, once every network is trained and tested; raises `KeyboardInterrupt` if it is stopped before."""
    names = args.only.split(",")
    for name in names:
        check_model(name)
    models = {}
    for model in [*names, CHANCE]:
        settings = settings_of(FOURTEEN[0] if model == CHANCE else model, args.sounds, args.precision)
        run = args.runs / model
        wanted = {"test_sounds": args.test_sounds, "seed": TEST_SEED}
        if model != CHANCE:
            wanted["settings"] = dataclasses.asdict(settings)
            if not train_one(settings, run, console):
                raise KeyboardInterrupt
        models[model] = facts_of(model, run, wanted)
        console.print(f"{model}: MPR {models[model]['mpr']:.2f}", highlight=False)
    import keras  # once the last network has said what to install

    return {
        "machine": machine(),
        "libraries": {name: importlib.metadata.version(name) for name in ("keras", keras.backend.backend())},
        "sounds": settings.epochs * settings.steps * settings.batch_size,
        "batch_size": settings.batch_size,
        "validation": settings.validation,
        "precision": args.precision,
        "test_sounds": args.test_sounds,
        "models": models,
    }


def main(words: list[str] | None = None) -> int:
    """Trains, tests, prints tables, and writes the figures and the docs; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sounds", type=int, default=400_000, metavar="N", help="fresh sounds for each network")
    parser.add_argument("--test-sounds", type=int, default=20_000, metavar="N", help="sounds of the test")
    parser.add_argument("--runs", type=Path, default=Path("runs/models"), metavar="DIR", help="folder of run folders")
    parser.add_argument("--only", default=",".join(FOURTEEN), metavar="C1,C2", help="these networks alone")
    parser.add_argument("--precision", default="float32", help="float32 or mixed_bfloat16")
    add_options(parser, SOURCE)
    args = parser.parse_args(words)
    console = Console()
    args.sounds, args.test_sounds = shortened(args, args.sounds, 640), shortened(args, args.test_sounds, 100)

    def publish(found: dict[str, Any]) -> None:
        if is_whole(args, found):
            draw(found, PICTURE)
        shown(args, console, found, tables(found), DOCS, markdown(found))

    return concluded("models", args, lambda: measured(args, console), publish, "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
