"""What searches with the renderer reach: the refinement, and the baselines, from the same network and test sounds."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..search.baselines import BASELINES
from ..search.refine import INTERRUPTED, refine
from ..search.scoring import Scorer
from .comparing import Columns, Report
from .examples import Examples

SEEDS = 1 << 64
NEAR_DB = -40.0
"""A residual below this is hardly audible."""


def figures(examples: Examples, values: NDArray[np.float64], found: Columns) -> dict[str, Any]:
    """The figures of the (n, P) patches that were found for examples, from each sound's measures.

    `exact`: the share of the levels that are right, where they are audible, a value counting as its nearest; `near`:
    the share of the sounds with a residual below -40 dB; `sound`: the summary of every measure of sounds.
    """
    right = examples.synth.space.levels_of_values(values) == examples.levels
    heard = right[examples.audible]
    return {
        "exact": float(heard.mean()) if heard.size else math.nan,
        "near": float(np.mean(found["residual_db"] < NEAR_DB)),
        "sound": metrics.summary(found),
    }


def run_refinement(examples: Examples, seconds: float, seed: int, report: Report) -> tuple[dict[str, Any], Columns]:
    """Refines each sound for at most `seconds` on one core, and gives its figures and each sound's measures.

    Beside `figures`: `limit_s`; `seconds` and `renders`, the means that were used; `pursuit`, the share of the sounds
    that were recognised as the synth's own.
    """
    values = np.empty(examples.levels.shape)
    runs = []
    for item, (synth, target, own) in enumerate(examples.items()):
        run = refine(synth, target, own, seconds=seconds, seed=(seed + item) % SEEDS, workers=1)
        if run.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        values[item] = run.best[0].values
        runs.append((run.seconds, run.renders, run.method == "pursuit"))
        report(item + 1, len(examples), item + 1)
    used = dict(zip(("seconds", "renders", "pursuit"), np.mean(runs, axis=0).tolist(), strict=True))
    found = examples.measure(values)
    return {"limit_s": seconds, **used, **figures(examples, values, found)}, found


def run_baselines(examples: Examples, renders: int, seed: int, report: Report) -> list[dict[str, Any]]:
    """One row a baseline: `name`, `seconds` a sound, and its `figures`."""
    rows = []
    for number, (name, baseline) in enumerate(BASELINES.items()):
        values = np.empty(examples.levels.shape)
        seconds = 0.0
        for item, (synth, target, own) in enumerate(examples.items()):
            started = time.perf_counter()
            values[item] = baseline(Scorer(synth, target), own, renders, (seed + item) % SEEDS)
            seconds += time.perf_counter() - started
            done = number * len(examples) + item + 1
            report(done, len(BASELINES) * len(examples), done)
        found = examples.measure(values)
        rows.append({"name": name, "seconds": seconds / len(examples)} | figures(examples, values, found))
    return rows
