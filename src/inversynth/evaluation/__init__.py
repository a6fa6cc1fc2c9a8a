"""The bench: a model's every measure on fresh sounds of its synth, beside chance and beside published figures."""

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
from ..synths.synth import Published, Synth
from ..system.files import make_folder, to_json, writing
from ..system.machine import machine
from .comparing import Columns, Report, likeliest
from .examples import Examples, compare_predictions
from .robustness import robustness
from .searching import figures, run_baselines, run_refinement

TIMED_RUNS = 500
MOST_EXAMPLES = 1 << 20
BUDGET = 1000
"""Renders that each baseline may use for a sound, by default."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""Opens a progress display for what is named."""


@contextlib.contextmanager
def _silent(what: str) -> Iterator[Report]:
    yield lambda done, total, fresh: None


@dataclass(frozen=True)
class Evaluation:
    """What a model was found to do.

    `facts`: all figures, as evaluation.json holds them; `items`: (n,) the numbers of the sounds in the test stream;
    `sounds`, `chance` and, if asked for, `refined`: each measure of sounds, (n,), of the predicted patches, of
    unrelated ones (fewer, at most 1024) and of the refined; `published`: what others have reached with the synth.
    """

    facts: dict[str, Any]
    items: NDArray[np.int64]
    sounds: Columns
    chance: Columns
    refined: Columns | None = None
    published: Published | None = None

    def save(self, folder: str | Path) -> None:
        """Writes `measures.csv`, `parameters.csv`, `evaluation.png` and, last, `evaluation.json` into a folder."""
        from ..matching.picture import plain
        from .output import draw, without_nan, write_measures, write_parameters

        place = make_folder(folder)
        with contextlib.ExitStack() as files:  # all are there before one gets its name, those entered last first
            facts = files.enter_context(writing(place / "evaluation.json"))
            measures, parameters, picture = (
                files.enter_context(writing(place / name))
                for name in ("measures.csv", "parameters.csv", "evaluation.png")
            )
            write_measures(self, measures)
            write_parameters(self, parameters)
            with plain():
                draw(self, picture)
            facts.write_bytes(to_json(without_nan(self.facts)))


def evaluate(
    model: str | Path | Model | None = None,
    synth: Synth | str | Path | None = None,
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

    model: a name, a path or a loaded `Model`; by default the one shipped for the synth. synth: one, or its name or
    file; by default the model's. The sounds are predicted, the likeliest levels are rendered, and both sounds compared;
    chance compares sounds with the next ones. Patches that can't be rendered are left out, and counted in
    `facts["failed"]`; a predicted patch that can't be rendered counts as silence. refine: seconds; each sound is also
    refined from the network's distributions for at most that time, on one core. baselines: each of
    `inversynth.search.baselines` searches each sound with a `budget` of renders. conditions: the targets are also
    degraded (see `robustness`). With `out`, the evaluation is saved there. `progress("...")` opens a display. Raises
    `UsageError` for fewer than 2 examples (chance compares them) or too many, a budget that nothing can be done with,
    or a library that is missing, `MismatchError` for a model of another synth, and `InversynthError` where hardly any
    patch can be rendered.
    """
    network, instrument = _opened(model, None if synth is None else synths.load(synth), device)
    if isinstance(num_examples, bool) or not 2 <= num_examples <= MOST_EXAMPLES:
        raise UsageError(f"{num_examples} examples are outside 2..{MOST_EXAMPLES}")
    if refine is not None:
        check_budget(refine, None, 1)
    if baselines:
        check_baselines(budget)
    if conditions:
        check_conditions()
    drawn = instrument.draw(seed, 0, num_examples, sampling.TEST)
    if out is not None:
        make_folder(out)
    with progress("evaluating") as report:
        first = compare_predictions(network, instrument, drawn.levels, drawn.notes, report)
    items = np.flatnonzero(first.kept)
    levels, notes = drawn.levels[items], None if drawn.notes is None else drawn.notes[items]
    examples = Examples(instrument, levels, notes, first.probabilities, audible(instrument, levels, notes))
    predicted = instrument.space.values_of_levels(likeliest(first.probabilities))
    facts = {
        "model": network.name,
        "synth": instrument.name,
        "num_examples": num_examples,
        "seed": seed,
        "machine": machine(),
        "device": network.device,
        **_of_parameters(examples),
        **figures(examples, predicted, first.sounds),
        "chance_sound": metrics.summary(first.chance),
        "inference_ms": inference_ms(network, instrument),
        "training": network.facts.training,
    }
    if first.failures:
        facts["failed"] = {"count": len(first.failures), "why": next(iter(first.failures.values()))}
    refined = None
    if refine is not None:
        with progress("refining") as report:
            facts["refined"], refined = run_refinement(examples, refine, seed, report)
    if baselines:
        with progress("baselines") as report:
            facts["baselines"] = {"renders": budget, "rows": run_baselines(examples, budget, seed, report)}
    if conditions:
        with progress("conditions") as report:
            facts["conditions"] = robustness(network, examples, seed, report)
    found = Evaluation(facts, items, first.sounds, first.chance, refined, instrument.published)
    if out is not None:
        found.save(out)
    return found


def _opened(model: str | Path | Model | None, synth: Synth | None, device: str) -> tuple[Model, Synth]:
    """The model and its synth, each by default that of the other."""
    if model is None:
        model = default_model(synth or synths.load())
    network = model if isinstance(model, Model) else load_model(model, device)
    instrument = synth or synths.find(network.synth)
    if instrument is None:
        raise UsageError(
            f"the model {network.name} is for the synth {network.synth!r}, which isn't installed here; "
            "give its file (--synth FILE.py)"
        )
    network.require(instrument)
    return network, instrument


def _of_parameters(examples: Examples) -> dict[str, Any]:
    """Every measure of parameters: where a parameter is audible (masked), and everywhere."""
    space, published = examples.synth.space, examples.synth.published
    levels, probabilities = examples.levels, examples.probabilities
    ranks = np.stack([metrics.ranks(p, levels[:, i]) for i, p in enumerate(probabilities)], axis=1)
    percentiles = 100 * (1 - ranks / space.levels)
    found: dict[str, Any] = {"mean_mpr": {}, "parameters": {}, "groups": {}}
    groups = published.groups if published else None
    for kind, use in (("masked", examples.audible), ("unmasked", np.ones(levels.shape, bool))):
        rows = metrics.parameter_measures(space, probabilities, levels, use)
        each, mean = metrics.mean_intervals(percentiles, use)
        found["mean_mpr"] |= {kind: metrics.mean_mpr(rows), f"{kind}_95": mean}
        found["parameters"][kind] = [row | {"mpr_95": ends} for row, ends in zip(rows, each, strict=True)]
        found["groups"][kind] = metrics.group_measures(space, rows, groups)
    rows = metrics.calibration(space, probabilities, levels, examples.audible)
    chance = np.mean(100 * (1 - (space.levels - 1) / 2 / space.levels))
    return found | {"chance_mpr": float(chance), "calibration": {"parameters": rows, "pooled": metrics.pooled(rows)}}


def inference_ms(network: Model, instrument: Synth) -> dict[str, float | str]:
    """Milliseconds of one window on one thread, by `Model.engine`: median and 99th percentile."""
    space = instrument.space
    sound = instrument.render_all(space.values_of_levels(space.levels[None] // 2)).sounds[0]
    network.warm_up()
    times = np.empty(TIMED_RUNS)
    for i in range(TIMED_RUNS):
        started = time.perf_counter()
        network.predict_one(sound)
        times[i] = time.perf_counter() - started
    p50, p99 = 1e3 * np.percentile(times, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "runs": TIMED_RUNS, "engine": network.engine}
