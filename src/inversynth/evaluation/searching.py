"""What searches with the renderer reach: the refinement, and the baselines, from the same network and test sounds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..baselines import BASELINES
from ..render import Synth
from .comparing import CHUNK, Columns, Report, compare, joined

NEAR_DB = -40.0
"""A residual below this can hardly be heard."""


def found_patches(
    instrument: Synth, levels: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[dict[str, Any], Columns]:
    """The figures of the (n, P) patches that a search found for the sounds of (n, P) levels, and each sound's measures.

    `exact`: the share of the levels that are right, where they have an effect, a value counting as its nearest level;
    `residual_db`: the norm of the difference of the waveforms over that of the target's, in dB, its mean, median and
    the share below -40 dB; `sound`: the summary of every measure of sounds.
    """
    space = instrument.space
    parts = []
    for at in range(0, len(levels), CHUNK):
        target = instrument.render(space.values_of_levels(levels[at : at + CHUNK]))
        sound = instrument.render(values[at : at + CHUNK])
        parts.append(compare(target, sound, instrument) | {"residual_db": residual_db(target, sound)})
    measures = joined(parts)
    residual = measures["residual_db"]
    right = space.levels_of_values(values) == levels
    heard = space.active(levels)
    facts = {
        "exact": float(right[heard].mean()),
        "residual_db": {
            "mean": float(residual.mean()),
            "median": float(np.median(residual)),
            "near": float(np.mean(residual < NEAR_DB)),
        },
        "sound": metrics.summary({key: measures[key] for key in metrics.TITLES}),
    }
    return facts, measures


def residual_db(target: NDArray[np.float32], sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,) the relative residuals of waveforms in dB, no lower than -120: float32 knows no less.

    Of a silent target, relative to a norm of 1.
    """
    a, b = np.asarray(target, np.float64), np.asarray(sound, np.float64)
    norm = np.linalg.norm(a, axis=1)
    share = np.linalg.norm(b - a, axis=1) / np.where(norm > 0, norm, 1)
    return np.asarray(20 * np.log10(np.maximum(share, 1e-6)))


def run_baselines(
    instrument: Synth,
    levels: NDArray[np.int64],
    probabilities: list[NDArray[np.float32]],
    renders: int,
    seed: int,
    report: Report,
) -> list[dict[str, Any]]:
    """One row a baseline: `name`, `seconds` a sound, and the figures of `found_patches`."""
    space = instrument.space
    rows = []
    for number, (name, baseline) in enumerate(BASELINES.items()):
        values = np.empty((len(levels), len(space)))
        seconds = 0.0
        for item, right in enumerate(levels):
            target = instrument.render(space.values_of_levels(right[None]))[0]
            started = time.perf_counter()
            own = [row[item] for row in probabilities]
            values[item] = baseline(instrument.scorer(target), own, renders, seed + item)
            seconds += time.perf_counter() - started
            done = number * len(levels) + item + 1
            report(done, len(BASELINES) * len(levels), done)
        facts, _ = found_patches(instrument, levels, values)
        rows.append({"name": name, "seconds": seconds / len(levels)} | facts)
    return rows
