"""A model's every measure on fresh sounds of its synth, beside the paper's Conv6XL and beside chance.

    python benchmarks/evaluate.py --model paper-c6xl --num-examples 4096 --seed 7 --out benchmarks/evaluate.json

The sounds are those of the test stream, which no training run draws from. They are predicted, the
likeliest levels are rendered, and both sounds compared. Chance is the sound of another patch of the test.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

import inversynth
from inversynth import metrics, sampling
from inversynth.errors import InversynthError, UsageError
from inversynth.files import write_json
from inversynth.predict import Model, load_model
from inversynth.render import Synth, synth

CHUNK = 256
TIMED_RUNS = 500

# The paper's Conv6XL, arXiv 1812.06349: tables of section 6. MPR in percent, correlations times 100.
PAPER_MEAN_MPR = 77.90
PAPER_MPR = {
    "attack": 70.85,
    "decay": 53.53,
    "sustain": 53.55,
    "release": 90.23,
    "gate_frequency": 97.88,
    "cutoff": 99.68,
    "resonance": 96.62,
    **{
        f"{waveform}_{name}": figure
        for waveform, figures in {
            "saw": (77.12, 85.73, 66.79, 80.16),
            "sin": (67.28, 86.50, 68.02, 80.41),
            "sqr": (76.46, 90.85, 69.55, 86.27),
            "tri": (65.41, 84.27, 66.61, 77.90),
        }.items()
        for name, figure in zip(("amplitude", "mod_amplitude", "mod_frequency", "frequency"), figures, strict=True)
    },
}
PAPER_SOUND = {
    "rho_stft": {"mean": 0.9204, "median": 0.9561},
    "rho_ft": {"mean": 0.7613, "median": 0.9022},
    "f_delta": {"mean": 708.94, "median": 679.36},
}


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure was taken on."""
    import onnxruntime

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "inversynth": inversynth.__version__,
    }


def summary(rows: list[dict[str, NDArray[np.float64]]]) -> dict[str, dict[str, float]]:
    """Mean and median of each measure of sounds over all chunks."""
    return {
        key: {"mean": float(np.mean(at)), "median": float(np.median(at))}
        for key, at in ((key, np.concatenate([row[key] for row in rows])) for key in rows[0])
    }


def inference_ms(model: Model, sound: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds of one window on one thread: median and 99th percentile."""
    model.warm_up()
    times = np.empty(TIMED_RUNS)
    for i in range(TIMED_RUNS):
        started = time.perf_counter()
        model.predict_one(sound)
        times[i] = time.perf_counter() - started
    p50, p99 = 1e3 * np.percentile(times, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "runs": TIMED_RUNS}


def evaluate(model: Model, instrument: Synth, count: int, seed: int) -> dict[str, Any]:
    """Every measure of a model on `count` sounds of the test stream of a seed."""
    space = instrument.space
    if count < 2:
        raise UsageError(f"{count} examples; chance needs at least 2")
    levels = sampling.draw(space, seed, 0, count, sampling.TEST)
    others = np.roll(levels, 1, axis=0)
    chunks: list[list[NDArray[np.float32]]] = []
    matched, chance = [], []
    sound = np.empty((0, 0), np.float32)
    for at in range(0, count, CHUNK):
        sound = instrument.render(space.values_of_levels(levels[at : at + CHUNK]))
        chunks.append(model.predict(sound))
        predicted = np.stack([row.argmax(axis=1) for row in chunks[-1]], axis=1)
        matched.append(metrics.sound_measures(sound, instrument.render(space.values_of_levels(predicted))))
        other = instrument.render(space.values_of_levels(others[at : at + CHUNK]))
        chance.append(metrics.sound_measures(sound, other))
    probabilities = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    masked = metrics.parameter_measures(space, probabilities, levels)
    unmasked = metrics.parameter_measures(space, probabilities, levels, masked=False)
    return {
        "model": model.name,
        "synth": instrument.name,
        "num_examples": count,
        "seed": seed,
        "machine": machine(),
        "device": model.device,
        "mean_mpr": {"masked": metrics.mean_mpr(masked), "unmasked": metrics.mean_mpr(unmasked)},
        "chance_mpr": float(np.mean(100 * (1 - (space.levels - 1) / 2 / space.levels))),
        "parameters": {"masked": masked, "unmasked": unmasked},
        "groups": {
            "masked": metrics.group_measures(space, masked),
            "unmasked": metrics.group_measures(space, unmasked),
        },
        "sound": summary(matched),
        "chance_sound": summary(chance),
        "inference_ms": inference_ms(model, sound[0]),
        "training": model.facts.training,
    }


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def show(found: dict[str, Any], console: Console) -> None:
    """Prints the measures; the paper's figures stand beside those of its own synth."""
    paper = found["synth"] == "paper"
    unmasked = {row["name"]: row for row in found["parameters"]["unmasked"]}
    table = _table(
        f"{found['model']}: {found['num_examples']} sounds of the test stream of seed {found['seed']}",
        ("parameter", "MPR", "all", "paper", "top 1 %", "2", "3", "4", "5", "MAE"),
    )
    for row in found["parameters"]["masked"]:
        table.add_row(
            row["name"],
            f"{row['mpr']:.2f}",
            f"{unmasked[row['name']]['mpr']:.2f}",
            f"{PAPER_MPR[row['name']]:.2f}" if paper else "",
            *(f"{100 * top:.0f}" for top in row["top"]),
            f"{row['mae']:.2f}",
        )
    table.add_section()
    means = found["mean_mpr"]
    table.add_row(
        "mean", f"{means['masked']:.2f}", f"{means['unmasked']:.2f}", f"{PAPER_MEAN_MPR:.2f}" if paper else ""
    )
    table.add_row("chance", f"{found['chance_mpr']:.2f}")
    table.add_section()
    everywhere = {row["name"]: row for row in found["groups"]["unmasked"]}
    for row in found["groups"]["masked"]:
        theirs = f"{np.mean([PAPER_MPR[name] for name in row['params']]):.2f}" if paper else ""
        tops = (f"{100 * top:.0f}" for top in row["top"])
        all_mpr = f"{everywhere[row['name']]['mpr']:.2f}"
        table.add_row(row["name"], f"{row['mpr']:.2f}", all_mpr, theirs, *tops, f"{row['mae']:.2f}")
    console.print(table)
    console.print("MPR counts a parameter where it is heard, 'all' everywhere; paper: its Conv6XL.")
    table = _table(
        "sounds of the predicted patches",
        ("measure", "model", "chance", "model / chance", "paper", "model / paper"),
    )
    for key, title in (("rho_stft", "rho(STFT)"), ("rho_ft", "rho(FT)"), ("f_delta", "F_delta")):
        for kind in ("mean", "median"):
            mine, chance = found["sound"][key][kind], found["chance_sound"][key][kind]
            conv6xl = PAPER_SOUND[key][kind]
            digits = 1 if key == "f_delta" else 4
            table.add_row(
                f"{title} {kind}",
                f"{mine:.{digits}f}",
                f"{chance:.{digits}f}",
                f"{mine / chance:.2f}",
                *((f"{conv6xl:.{digits}f}", f"{mine / conv6xl:.2f}") if paper else ("", "")),
            )
    console.print(table)
    console.print("F_delta grows with loudness: the paper's and ours are on different data.")
    times = found["inference_ms"]
    console.print(
        f"one window on one thread of {found['machine']['cpu']} ({found['device']}): "
        f"median {times['p50']:.2f} ms, 99th percentile {times['p99']:.2f} ms"
    )


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, help="the name of a shipped model, an ONNX file, or its folder")
    parser.add_argument("--num-examples", type=int, default=4096, help="sounds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the test stream (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file to write the measures to")
    args = parser.parse_args()
    try:
        model = load_model(args.model, args.device)
        instrument = synth(model.synth)
        model.require(instrument)
        found = evaluate(model, instrument, args.num_examples, args.seed)
        show(found, Console())
        if args.out:
            write_json(args.out, found)
    except InversynthError as error:
        print(f"evaluate: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
