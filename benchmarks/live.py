"""The live bridge's budgets, beside what the same path costs with other ways to run the same network.

    python benchmarks/live.py --soak 3600

What is measured is what `inversynth bench live` measures, see inversynth.live.bench, and with --soak how the bridge
does for long, see soak.py. The contenders differ in the prediction alone: onnxruntime as the bridge uses it for
networks that the native kernel doesn't know, onnxruntime with its default options, and `keras.predict` of the same
architecture with fresh weights, which cost what trained ones do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from needs import NOT_MEASURED, divided
from numpy.typing import NDArray
from pages import add_options, as_markdown, concluded, shortened, shown
from rich.console import Console
from soak import soak as soak_for
from soak import stall_rows

from inversynth import synths
from inversynth.live import bench
from inversynth.live.bench.apart import apart
from inversynth.live.bench.budgets import BUDGETS, Budget
from inversynth.live.bench.players import RATE_HZ, has_jack
from inversynth.predict.model import WARM_UP_RUNS, Model, _onnxruntime, load_model
from inversynth.predict.shipped import default_model, find
from inversynth.system.awake import HAS_IDLE_PRIORITY, awake
from inversynth.system.machine import machine

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "stage.md"
RIVAL_PERIOD = 256
SOAK_PERIOD = 1024
SHORTER = 12
"""How many times shorter the soaks at `RIVAL_PERIOD` are."""

Predict = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


class Contender:
    """A model with another way to predict; a slow one isn't rehearsed, since it would lose more than it gains."""

    def __init__(self, name: str, predict_one: Predict, rehearsed: bool) -> None:
        model = bench.load_on_cpu(name)
        self.name, self.synth, self.space, self.audio = model.name, model.synth, model.space, model.audio
        self.predict_one, self._rehearsed = predict_one, rehearsed

    def warm_up(self, runs: int = WARM_UP_RUNS) -> None:
        """As the bridge's own model does."""
        for _ in range(runs if self._rehearsed or runs == WARM_UP_RUNS else 0):
            self.predict_one(np.zeros(self.audio.samples, np.float32))


def with_onnxruntime(name: str) -> Model:
    """onnxruntime as the bridge uses it for other networks."""
    return load_model(name, "cpu", native=False)


def with_defaults(name: str) -> Contender:
    """onnxruntime with its default options, its outputs fresh at each run."""
    session = _onnxruntime().InferenceSession(str(find(name)))
    names = bench.load_on_cpu(name).space.names
    return Contender(name, lambda window: [row[0] for row in session.run(names, {"audio": window[None]})], True)


def with_keras(name: str) -> Contender:
    """`keras.Model.predict`."""
    from inversynth.networks import build as networks

    model = bench.load_on_cpu(name)
    synth = synths.find(model.facts.synth)
    own = synth.networks if synth else {}
    network = networks.build(model.facts.model, model.space, model.audio, own=own)
    heads = networks.Heads(model.space)

    def predict(window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        rows = heads.probabilities(network.predict(window[None], verbose=0))
        return [np.asarray(row)[0] for row in rows]

    return Contender(name, predict, False)


KERAS = "keras.predict"
CONTENDERS: dict[str, bench.Load] = {
    "inversynth": bench.load_on_cpu,
    "onnxruntime, the bridge's options": with_onnxruntime,
    "onnxruntime, default options": with_defaults,
    KERAS: with_keras,
}
NEEDED = {KERAS: "keras"}

CONTENDED = tuple((part, key) for part in ("path_ms", "inference_ms") for key in ("p50", "p99"))


def measure(model: str, periods: list[int], seconds: float, soak_s: float) -> dict[str, Any]:
    """All figures: each period, each contender at `RIVAL_PERIOD`, and the soak; and where no processor sleeps."""
    simulate = not has_jack()
    found: dict[str, Any] = {"machine": machine(), "model": model, "sample_rate": RATE_HZ, "seconds": seconds}

    def at(load: bench.Load, period: int) -> dict[str, Any]:
        return apart(bench.measure, load, model, period, seconds, simulate)

    def soak(period: int, seconds: float, kept_awake: bool) -> None:
        if seconds:
            row = apart(soak_for, bench.load_on_cpu, model, period, seconds, simulate)
            found.setdefault("soaks", []).append(row | {"kept_awake": kept_awake})

    found["periods"] = [at(bench.load_on_cpu, period) for period in periods]
    contenders, found[NOT_MEASURED] = divided(CONTENDERS, NEEDED)
    found["contenders"] = {name: at(load, RIVAL_PERIOD) for name, load in contenders.items()}
    soak(RIVAL_PERIOD, soak_s / SHORTER, False)
    if not HAS_IDLE_PRIORITY:
        soak(SOAK_PERIOD, soak_s, False)
        return found
    with awake():
        found["awake"] = [at(bench.load_on_cpu, period) for period in periods]
        soak(RIVAL_PERIOD, soak_s / SHORTER, True)
        soak(SOAK_PERIOD, soak_s, True)
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """The budgets at each period, the contenders, and the soaks."""
    head = ("samples a block", *(str(row["period_samples"]) for row in found["periods"]), "budget")
    waking = [(("with --awake", *head[1:]), _budgets(found["awake"]))] if "awake" in found else []
    contenders = [
        (name, *(_figure(row, *at) for at in CONTENDED), f"{row['busy_percent']:.0f}")
        for name, row in found["contenders"].items()
    ]
    return [
        (head, _budgets(found["periods"])),
        *waking,
        (
            (
                f"with {RIVAL_PERIOD} samples a block",
                "block to message, p50, ms",
                "p99, ms",
                "inference, p50, ms",
                "p99, ms",
                "% of a core",
            ),
            contenders,
        ),
        *([_soaks(found["soaks"])] if "soaks" in found else []),
    ]


def _budgets(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The budgets that were measured."""
    return [
        (budget.name, *(_cell(budget, row) for row in rows), f"{budget.most:g} {budget.unit}".rstrip())
        for budget in BUDGETS
        if budget.keys[0] in rows[0]
    ]


def _soaks(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = (f"{row['period_samples']} samples{', --awake' if row['kept_awake'] else ''}" for row in rows)
    lines = [
        ("seconds", *(f"{row['seconds']:.0f}" for row in rows)),
        (f"messages a second, to {rows[0]['outputs']} outputs", *(f"{row['messages_per_s']:.0f}" for row in rows)),
        *stall_rows(rows),
    ]
    return ("soak", *head, "budget"), [*_budgets(rows), *((*line, "") for line in lines)]


def _cell(budget: Budget, row: dict[str, Any]) -> str:
    figure = budget.figure(row)
    return "-" if figure is None else budget.shown(figure) + (" ✓" if budget.met(figure) else " ✗")


def _figure(row: dict[str, Any], part: str, key: str) -> str:
    return "-" if row[part] is None else f"{row[part][key]:.2f}"


def markdown(found: dict[str, Any]) -> str:
    """Where they were measured, and the tables."""
    last = found["periods"][-1]
    where = (
        f"On {found['machine']['cpu']}, {found['machine']['cores']} cores, with the model `{found['model']}`, "
        f"{found['seconds']:g} s a part; audio through {last['device']}, sent to {last['midi']}."
    )
    return "\n".join([where, *as_markdown(tables(found))])


def main() -> int:
    """Measures, prints tables, and writes the figures and the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=default_model(synths.load()), help="a shipped model or an ONNX file")
    parser.add_argument("--periods", type=int, nargs="+", default=list(bench.PERIODS), metavar="SAMPLES")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of three parts of a period (default: 60)")
    soak = f"and soaks, this long at {SOAK_PERIOD} samples, and 1/{SHORTER} of it at {RIVAL_PERIOD}"
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS", help=soak)
    add_options(parser, HERE / "live.json")
    args = parser.parse_args()

    def publish(found: dict[str, Any]) -> None:
        shown(args, Console(), found, tables(found), PAGE, markdown(found))

    def measured() -> dict[str, Any]:
        return measure(args.model, args.periods, shortened(args, args.seconds, 2.0), args.soak)

    return concluded("live", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
