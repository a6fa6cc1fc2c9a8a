"""The bench: a model's every measure on fresh sounds of its synth, beside chance and beside the paper."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics, synths
from ..audio.augmentation import check as check_conditions
from ..errors import UsageError
from ..predict.model import Model, load_model
from ..predict.shipped import default_model
from ..search.audible import audible
from ..search.baselines import check as check_baselines
from ..search.refine import check_budget
from ..synths import sampling
from ..synths.synth import Synth
from ..system.files import make_folder, to_json, writing
from ..system.machine import machine
from .comparing import CHUNK, Columns, Report, compare, joined, likeliest
from .robustness import robustness
from .searching import figures, run_baselines, run_refinement

TIMED_RUNS = 500
MOST_EXAMPLES = 1 << 20
CHANCE = 1024
"""Sounds that chance is measured on, at most: to compare takes longer than to predict."""
BUDGET = 1000
"""Renders that each baseline may use for a sound, unless told otherwise."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""Opens a progress display for what is named."""


@contextlib.contextmanager
def _silent(what: str) -> Iterator[Report]:
    yield lambda done, total, fresh: None


@dataclass(frozen=True)
class Evaluation:
    """What a model was found to do.

    `facts`: all figures, as evaluation.json holds them; `sounds`, `chance` and, if asked for, `refined`: each measure
    of sounds, (n,), of the predicted patches, of unrelated ones (`CHANCE` at most) and of the refined.
    """

    facts: dict[str, Any]
    sounds: Columns
    chance: Columns
    refined: Columns | None = None

    def save(self, folder: str | Path) -> None:
        """Writes `measures.csv`, `parameters.csv`, `evaluation.png` and, last, `evaluation.json` into a folder."""
        from ..matching.picture import plain
        from .output import draw, write_measures, write_parameters

        place = make_folder(folder)
        with contextlib.ExitStack() as files:  # all are there before one gets its name, those entered last first
            facts = files.enter_context(writing(place / "evaluation.json"))
            measures, parameters, picture = (
                files.enter_context(writing(place / name))
                for name in ("measures.csv", "parameters.csv", "evaluation.png")
            )
            write_measures(self, measures)
            write_parameters(self.facts, parameters)
            with plain():
                draw(self, picture)
            facts.write_bytes(to_json(self.facts))


def evaluate(
    model: str | Path | Model | None = None,
    synth: Synth | None = None,
    num_examples: int = 4096,
    seed: int = 7,
    device: str = "auto",
    refine: float | None = None,
    baselines: bool = False,
    budget: int = BUDGET,
    conditions: bool = False,
    out: str | Path | None = None,
    progress: Progress = _silent,
) -> Evaluation:
    """Measures a model on sounds of the test stream of a seed, which no training run draws from.

    model: a name, a path or a loaded `Model`; by default the one shipped for the synth. synth: by default the
    model's. The sounds are predicted, the likeliest levels are rendered, and both sounds compared;
    chance compares sounds with the next ones, at most `CHANCE` of them. refine: seconds; each sound is also refined
    from the network's distributions for at most so long, on one core. baselines: each of `inversynth.search.baselines`
    searches each sound with a `budget` of renders. conditions: the targets are also heard as the world leaves them (see
    `robustness`). With `out`, the evaluation is saved there. `progress("...")` opens a display. Raises `UsageError` for
    fewer than 2 examples (chance compares them) or too many, a budget that nothing can be done with, or a library that
    is missing, and `MismatchError` for a model of another synth.
    """
    if model is None:
        model = default_model(synth or synths.load())
    network = model if isinstance(model, Model) else load_model(model, device)
    instrument = synth or synths.find(network.synth)
    if instrument is None:
        raise UsageError(
            f"the model {network.name} is for the synth {network.synth!r}, which isn't here; name its file"
        )
    network.require(instrument)
    if isinstance(num_examples, bool) or not 2 <= num_examples <= MOST_EXAMPLES:
        raise UsageError(f"{num_examples} examples are outside 2..{MOST_EXAMPLES}")
    if refine is not None:
        check_budget(refine, None, 1)
    if baselines:
        check_baselines(budget)
    if conditions:
        check_conditions()
    space = instrument.space
    levels = sampling.draw(space, seed, 0, num_examples, sampling.TEST)
    if out is not None:
        make_folder(out)
    with progress("evaluating") as report:
        probabilities, sounds, chance = _compared(network, instrument, levels, report)
    effective = audible(instrument, levels)
    facts = {
        "model": network.name,
        "synth": instrument.name,
        "num_examples": num_examples,
        "seed": seed,
        "machine": machine(),
        "device": network.device,
        **_of_parameters(instrument, probabilities, levels, effective),
        **figures(instrument, levels, effective, space.values_of_levels(likeliest(probabilities)), sounds),
        "chance_sound": metrics.summary(chance),
        "inference_ms": inference_ms(network, instrument),
        "training": network.facts.training,
    }
    test = instrument, levels, effective, probabilities
    refined = None
    if refine is not None:
        with progress("refining") as report:
            facts["refined"], refined = run_refinement(
                instrument, levels, effective, probabilities, refine, seed, report
            )
    if baselines:
        with progress("baselines") as report:
            rows = run_baselines(*test, budget, seed, report)
            facts["baselines"] = {"renders": budget, "rows": rows}
    if conditions:
        with progress("conditions") as report:
            facts["conditions"] = robustness(network, instrument, levels, effective, seed, report)
    found = Evaluation(facts, sounds, chance, refined)
    if out is not None:
        found.save(out)
    return found


def _compared(
    network: Model, instrument: Synth, levels: NDArray[np.int64], report: Report
) -> tuple[list[NDArray[np.float32]], Columns, Columns]:
    """The probabilities, and every measure of the predicted patches' sounds and of the next patches'."""
    space = instrument.space
    others = np.roll(levels, 1, axis=0)
    predicted, matched, chance = [], [], []
    for at in range(0, len(levels), CHUNK):
        sound, other = (instrument.render(space.values_of_levels(rows[at : at + CHUNK])) for rows in (levels, others))
        predicted.append(network.predict(sound))
        match = instrument.render(space.values_of_levels(likeliest(predicted[-1])))
        matched.append(compare(sound, match, instrument))
        if at < CHANCE:
            chance.append(compare(sound, other, instrument))
        report(at + len(sound), len(levels), at + len(sound))
    probabilities = [np.concatenate(parts) for parts in zip(*predicted, strict=True)]
    return probabilities, joined(matched), joined(chance)


def _of_parameters(
    instrument: Synth,
    probabilities: list[NDArray[np.float32]],
    levels: NDArray[np.int64],
    effective: NDArray[np.bool_],
) -> dict[str, Any]:
    """Every measure of parameters: where a parameter is heard (masked), and everywhere."""
    space = instrument.space
    ranks = np.stack([metrics.ranks(p, levels[:, i]) for i, p in enumerate(probabilities)], axis=1)
    percentiles = 100 * (1 - ranks / space.levels)
    found: dict[str, Any] = {"mean_mpr": {}, "parameters": {}, "groups": {}}
    groups = instrument.published.groups if instrument.published else None
    for kind, use in (("masked", effective), ("unmasked", np.ones(levels.shape, bool))):
        rows = metrics.parameter_measures(space, probabilities, levels, use)
        each, mean = metrics.mean_intervals(percentiles, use)
        found["mean_mpr"] |= {kind: metrics.mean_mpr(rows), f"{kind}_95": mean}
        found["parameters"][kind] = [row | {"mpr_95": ends} for row, ends in zip(rows, each, strict=True)]
        found["groups"][kind] = metrics.group_measures(space, rows, groups)
    rows = metrics.calibration(space, probabilities, levels, effective)
    chance = np.mean(100 * (1 - (space.levels - 1) / 2 / space.levels))
    return found | {"chance_mpr": float(chance), "calibration": {"parameters": rows, "pooled": metrics.pooled(rows)}}


def inference_ms(network: Model, instrument: Synth) -> dict[str, float | str]:
    """Milliseconds of one window on one thread, by `Model.engine`: median and 99th percentile."""
    space = instrument.space
    sound = instrument.render(space.values_of_levels(space.levels[None] // 2))[0]
    network.warm_up()
    times = np.empty(TIMED_RUNS)
    for i in range(TIMED_RUNS):
        started = time.perf_counter()
        network.predict_one(sound)
        times[i] = time.perf_counter() - started
    p50, p99 = 1e3 * np.percentile(times, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "runs": TIMED_RUNS, "engine": network.engine}
