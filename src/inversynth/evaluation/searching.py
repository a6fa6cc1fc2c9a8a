"""What searches with the renderer reach: the refinement, and the baselines, from the same network and test sounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..search.baselines import BASELINES
from ..search.refine import INTERRUPTED, refine
from ..search.scoring import Scorer
from ..synths.synth import Synth
from .comparing import CHUNK, Columns, Report, compare, joined

SEEDS = 1 << 64
NEAR_DB = -40.0
"""A residual below this can hardly be heard."""


def figures(
    instrument: Synth,
    levels: NDArray[np.int64],
    effective: NDArray[np.bool_],
    values: NDArray[np.float64],
    found: Columns,
) -> dict[str, Any]:
    """The figures of the (n, P) patches that were found for the sounds of (n, P) levels, from each sound's measures.

    `exact`: the share of the levels that are right, where they are `effective` (n, P), a value counting as its nearest;
    `near`: the share of the sounds with a residual below -40 dB; `sound`: the summary of every measure of sounds.
    """
    right = instrument.space.levels_of_values(values) == levels
    return {
        "exact": float(right[effective].mean()),
        "near": float(np.mean(found["residual_db"] < NEAR_DB)),
        "sound": metrics.summary(found),
    }


def measured(instrument: Synth, levels: NDArray[np.int64], values: NDArray[np.float64]) -> Columns:
    """Every measure of sounds of (n, P) patches, against the sounds of (n, P) levels."""
    targets = instrument.space.values_of_levels(levels)
    return joined(
        [
            compare(instrument.render(targets[at : at + CHUNK]), instrument.render(values[at : at + CHUNK]), instrument)
            for at in range(0, len(levels), CHUNK)
        ]
    )


def _items(
    instrument: Synth, levels: NDArray[np.int64], probabilities: list[NDArray[np.float32]]
) -> Iterator[tuple[NDArray[np.float32], list[NDArray[np.float32]]]]:
    """Of each sound its samples and its own distributions."""
    for item, right in enumerate(levels):
        target = instrument.render(instrument.space.values_of_levels(right[None]))[0]
        yield target, [row[item] for row in probabilities]


def run_refinement(
    instrument: Synth,
    levels: NDArray[np.int64],
    effective: NDArray[np.bool_],
    probabilities: list[NDArray[np.float32]],
    seconds: float,
    seed: int,
    report: Report,
) -> tuple[dict[str, Any], Columns]:
    """Refines each sound for at most so many `seconds` on one core, and gives its figures and each sound's measures.

    Beside `figures`: `limit_s`; `seconds` and `renders`, the means that were used; `pursuit`, the share of the sounds
    that were recognised as the synth's own.
    """
    values = np.empty(levels.shape)
    runs = []
    for item, (target, own) in enumerate(_items(instrument, levels, probabilities)):
        run = refine(instrument, target, own, seconds=seconds, seed=(seed + item) % SEEDS, workers=1)
        if run.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        values[item] = run.best[0].values
        runs.append((run.seconds, run.renders, run.method == "pursuit"))
        report(item + 1, len(levels), item + 1)
    used = dict(zip(("seconds", "renders", "pursuit"), np.mean(runs, axis=0).tolist(), strict=True))
    found = measured(instrument, levels, values)
    return {"limit_s": seconds, **used, **figures(instrument, levels, effective, values, found)}, found


def run_baselines(
    instrument: Synth,
    levels: NDArray[np.int64],
    effective: NDArray[np.bool_],
    probabilities: list[NDArray[np.float32]],
    renders: int,
    seed: int,
    report: Report,
) -> list[dict[str, Any]]:
    """One row a baseline: `name`, `seconds` a sound, and its `figures`."""
    rows = []
    for number, (name, baseline) in enumerate(BASELINES.items()):
        values = np.empty(levels.shape)
        seconds = 0.0
        for item, (target, own) in enumerate(_items(instrument, levels, probabilities)):
            started = time.perf_counter()
            values[item] = baseline(Scorer(instrument, target), own, renders, (seed + item) % SEEDS)
            seconds += time.perf_counter() - started
            done = number * len(levels) + item + 1
            report(done, len(BASELINES) * len(levels), done)
        found = measured(instrument, levels, values)
        rows.append(
            {"name": name, "seconds": seconds / len(levels)} | figures(instrument, levels, effective, values, found)
        )
    return rows
