"""Quality against the time since the onset: what models make of a note that still sounds.

    python benchmarks/onset.py --causal RUN --sounds 256000

Beside the shipped models, which take a window with silence where the note is still to come, a causal network is
measured: two gated recurrent layers on the frames of the log spectrogram, with a prediction after each, so that its
state would be an input and an output of its graph. It is trained here, on fresh sounds, unless RUN holds it; after
Ctrl-C the same command goes on; with `--kept` the models alone are measured, and its figures stay as they are. Then
benchmarks/onset.json, docs/onset.png and the table of docs/live.md are written again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from models import compare
from needs import NOT_MEASURED, divided
from numpy.typing import NDArray
from pages import Rows, add_options, as_markdown, concluded, is_whole, shortened, shown
from rich.console import Console

from inversynth import metrics, synths
from inversynth.errors import UsageError
from inversynth.evaluation.comparing import likeliest
from inversynth.predict.model import load_model
from inversynth.search.audible import audible
from inversynth.synths import sampling
from inversynth.system.files import make_folder, writing
from inversynth.system.machine import machine
from inversynth.training.run import load_arrays, save_arrays
from inversynth.training.settings import Settings
from inversynth.training.sources import FreshSounds

HERE = Path(__file__).parent
SOURCE = HERE / "onset.json"
DOCS = HERE.parent / "docs" / "live.md"
PICTURE = HERE.parent / "docs" / "onset.png"
MODELS = ("paper", "paper-c6xl")
CAUSAL = "causal"
NEEDED = {CAUSAL: "keras"}
TIMES_MS = (50, 70, 100, 150, 250, 500, 750, 1000)
SEED, BATCH = 7, 64
UNITS = 256
FIRST_FRAME = 2
"""Before this, a causal network has had too little to learn from it."""
SAVED = 250
"""Steps between two states that are kept."""

Probabilities = list[NDArray[np.float32]]


# -- the causal network --------------------------------------------------------------------------


def causal(settings: Settings) -> Any:
    """A Keras model: (n, samples) to (n, frames, classes) logits, those of a frame from it and those before alone."""
    from inversynth.networks.frontends import LogSpectrogram  # isort: skip  (first: it says what to install)
    from keras import Input, Model, layers, utils

    paper = synths.load(settings.synth)
    utils.set_random_seed(settings.seed)
    inputs = Input((paper.format.samples,), name="audio")
    x = LogSpectrogram(name="log_spectrogram")(inputs)
    x = layers.Reshape(x.shape[1:3])(x)
    x = layers.Dense(UNITS, activation="relu")(x)
    for _ in range(2):
        x = layers.GRU(UNITS, return_sequences=True)(x)
    return Model(inputs, layers.Dense(int(paper.space.levels.sum()))(x))


def trained(settings: Settings, run: Path, console: Console) -> Any:
    """The causal network after `settings.steps` steps, trained on from what is in the folder `run`."""
    network = causal(settings)
    import keras
    from keras import ops

    from inversynth.networks.build import Heads

    source = FreshSounds(synths.load(settings.synth), settings)
    heads = Heads(source.space)

    def loss(levels: Any, logits: Any) -> Any:
        frames = logits.shape[1] - FIRST_FRAME
        rows = ops.reshape(logits[:, FIRST_FRAME:], (-1, logits.shape[2]))
        return heads.loss(ops.repeat(levels, frames, axis=0), rows)

    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=1.0)
    network.compile(optimizer, loss=loss)
    optimizer.build(network.trainable_variables)
    variables = [*network.variables, *optimizer.variables]
    last, step, cursor = run / "last.npz", 0, 0
    if last.exists():
        arrays, at = load_arrays(last)
        step, cursor = at["step"], at["cursor"]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    make_folder(run)
    batches, began = source.batches(cursor), time.monotonic()
    losses: list[float] = []
    while step < settings.steps:
        (sounds, levels), cursor = next(batches)
        optimizer.learning_rate = settings.learning_rate_at(step)
        labels = np.where(source.space.active(levels), levels, -1).astype(np.int32)
        losses.append(float(network.train_on_batch(sounds, labels)))
        step += 1
        if step % SAVED == 0 or step == settings.steps:
            save_arrays(last, [np.asarray(v) for v in variables], step=step, cursor=cursor)
            seconds = time.monotonic() - began
            mean = np.mean(losses[-SAVED:])
            console.print(f"{CAUSAL}: {step * BATCH:,} sounds, loss {mean:.4f}, {seconds:.0f} s", highlight=False)
    return network


# -- the measure ---------------------------------------------------------------------------------


def partly(sounds: NDArray[np.float32], ms: int) -> NDArray[np.float32]:
    """Sounds of which what comes later is silence."""
    out = sounds.copy()
    out[:, round(ms * synths.load("paper").format.sample_rate / 1000) :] = 0
    return out


def measure(predict: Callable[[NDArray[np.float32], int], Probabilities], count: int) -> list[dict[str, float]]:
    """A row for each of `TIMES_MS`: MPR where audible, and rho(STFT) of the whole sound that the patch makes."""
    paper = synths.load("paper")
    levels = sampling.draw(paper.space, SEED, 0, count, sampling.TEST)
    sounds, counted = paper.render(paper.space.values_of_levels(levels)), audible(paper, levels)
    rows = []
    for ms in TIMES_MS:
        found = predict(sounds, ms)
        answers = paper.render(paper.space.values_of_levels(likeliest(found)))
        rho = compare(sounds, answers)["rho_stft"]
        rows.append(
            {
                "ms": ms,
                "mpr": metrics.mean_mpr(metrics.parameter_measures(paper.space, found, levels, counted)),
                "rho_stft_mean": float(rho.mean()),
                "rho_stft_median": float(np.median(rho)),
            }
        )
    return rows


def of_window(name: str) -> Callable[[NDArray[np.float32], int], Probabilities]:
    """What a shipped model, or an exported one, makes of the first milliseconds."""
    model = load_model(name, "cpu")
    return lambda sounds, ms: model.predict(partly(sounds, ms))


def of_causal(network: Any) -> Callable[[NDArray[np.float32], int], Probabilities]:
    """What the causal network says at the last frame that has ended."""
    from inversynth.networks.build import Heads

    paper = synths.load("paper")
    heads = Heads(paper.space)

    def predict(sounds: NDArray[np.float32], ms: int) -> Probabilities:
        ends = round(ms * paper.format.sample_rate / 1000)  # frame m is of the samples 256 m - 128 to 256 m + 384
        frame = max((ends - metrics.WINDOW + metrics.WINDOW // 4) // (metrics.WINDOW // 2), 0)
        cut = partly(sounds, ms)
        logits = [np.asarray(network.predict_on_batch(cut[i : i + BATCH]))[:, frame] for i in range(0, len(cut), BATCH)]
        return [np.asarray(rows) for rows in heads.probabilities(np.concatenate(logits))]

    return predict


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """MPR where audible and the mean of rho(STFT), by milliseconds."""
    header = ("ms since the onset", *(f"{name}, {what}" for what in ("MPR", "ρ(STFT)") for name in found["models"]))
    rows: Rows = []
    for i, ms in enumerate(TIMES_MS):
        cells = [f"{at[i]['mpr']:.1f}" for at in found["models"].values()]
        cells += [f"{100 * at[i]['rho_stft_mean']:.1f}" for at in found["models"].values()]
        rows.append((str(ms), *cells))
    return [(header, rows)]


def markdown(found: dict[str, Any]) -> str:
    """The table, and what it was made with."""
    lines = [
        f"{found['num_examples']} sounds of the test stream; MPR where a parameter is audible, and ρ(STFT) of the "
        "whole second that the patch makes, mean, in hundredths. The causal network was trained on "
        f"{found['causal_sounds']:,} fresh sounds.",
        "",
        f"![Quality against the time since the onset]({PICTURE.name})",
    ]
    return "\n".join(lines + as_markdown(tables(found)))


def draw(found: dict[str, Any], path: Path) -> None:
    """Both measures against the time."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (key, label, scale) in enumerate(
        (("mpr", "MPR where audible (%)", 1), ("rho_stft_mean", "ρ(STFT) (%)", 100))
    ):
        axes = figure.add_subplot(1, 2, i + 1)
        for name, rows in found["models"].items():
            axes.plot(TIMES_MS, [scale * row[key] for row in rows], "o-", markersize=3, label=name)
        axes.set(xlabel="milliseconds since the onset", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def main(words: list[str] | None = None) -> int:
    """Trains, measures, prints the table, and writes figures, picture and docs; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--num-examples", type=int, default=1000, metavar="N", help="sounds of the test")
    parser.add_argument("--models", default=",".join(MODELS), metavar="A,B", help="shipped models, or ONNX files")
    parser.add_argument(
        "--causal", type=Path, default=Path("runs/causal"), metavar="RUN", help="folder of the causal run"
    )
    parser.add_argument(
        "--sounds", type=int, default=256_000, metavar="N", help="that the causal network is trained on"
    )
    parser.add_argument("--kept", action="store_true", help="keep the causal network's figures")
    add_options(parser, SOURCE)
    args = parser.parse_args(words)
    console = Console()
    args.sounds, args.num_examples = shortened(args, args.sounds, 6400), shortened(args, args.num_examples, 50)
    settings = Settings(model="C1", steps=max(args.sounds // BATCH, 1), epochs=1, batch_size=BATCH, seed=SEED)

    def measured() -> dict[str, Any]:
        predictors = {Path(name).stem: of_window(name) for name in args.models.split(",")}
        kept: dict[str, Any] = json.loads(SOURCE.read_text()) if args.kept else {}
        if args.kept and kept["num_examples"] != args.num_examples:
            raise UsageError(f"the figures that are kept are of {kept['num_examples']} sounds: --num-examples")
        here, left = divided({} if kept else {CAUSAL: trained}, NEEDED)
        for name, train in here.items():
            predictors[name] = of_causal(train(settings, args.causal, console))
        models = {name: measure(predict, args.num_examples) for name, predict in predictors.items()}
        return {
            "machine": machine(),
            "num_examples": args.num_examples,
            "causal_sounds": kept.get("causal_sounds", settings.steps * BATCH),
            "models": models | ({CAUSAL: kept["models"][CAUSAL]} if kept else {}),
            NOT_MEASURED: left,
        }

    def publish(found: dict[str, Any]) -> None:
        if is_whole(args, found):
            draw(found, PICTURE)
        shown(args, console, found, tables(found), DOCS, markdown(found))

    return concluded("onset", args, measured, publish, "stopped; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
