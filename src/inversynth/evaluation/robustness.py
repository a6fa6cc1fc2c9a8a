"""How much a model loses when the world has been at its targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..audio.augmentation import PERTURBATIONS, RATES_HZ, Sounds, between_notes, rendered_at
from ..audio.onsets import window
from ..predict.model import Model
from ..synths.synth import Synth
from .comparing import CHUNK, Report, likeliest

CLEAN = "clean"


def robustness(
    network: Model,
    instrument: Synth,
    levels: NDArray[np.int64],
    effective: NDArray[np.bool_],
    seed: int,
    report: Report,
) -> list[dict[str, Any]]:
    """One row a condition, the clean one first: `name`, `mpr` (masked mean, percent), and the summary of `rho_stft`.

    The network hears each sound as the condition leaves it, by way of `listening.window`, as all that is matched; its
    patch is rendered and compared with the clean sound.
    For pitches between the notes that is the sound at that pitch, and the level that the note was moved from counts as
    right, though the next is as near.
    """
    space = instrument.space
    probabilities: dict[str, list[list[NDArray[np.float32]]]] = {}
    rhos: dict[str, list[NDArray[np.float64]]] = {}
    for at in range(0, len(levels), CHUNK):
        values = space.values_of_levels(levels[at : at + CHUNK])
        for name, heard, target in _heard(instrument, values, np.random.default_rng((seed, at))):
            rate = instrument.format.sample_rate
            predicted = network.predict(np.stack([window(sound, rate, instrument.format) for sound in heard]))
            match = instrument.render(space.values_of_levels(likeliest(predicted)))
            probabilities.setdefault(name, []).append(predicted)
            rhos.setdefault(name, []).append(metrics.sound_measures(target, match)["rho_stft"])
        report(at + len(values), len(levels), at + len(values))
    rows = []
    for name, parts in probabilities.items():
        joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
        mpr = metrics.mean_mpr(metrics.parameter_measures(space, joined, levels, effective))
        rows.append({"name": name, "mpr": mpr} | metrics.summary({"rho_stft": np.concatenate(rhos[name])}))
    return rows


def _heard(
    instrument: Synth, values: NDArray[np.float64], random: np.random.Generator
) -> Iterator[tuple[str, Sounds, Sounds]]:
    """Of each condition its name, what is heard, and what it should be matched with."""
    clean = instrument.render(values)
    yield CLEAN, clean, clean
    for name, perturb in PERTURBATIONS.items():
        yield name, perturb(clean, instrument.format.sample_rate, random), clean
    for rate in RATES_HZ:
        yield f"rendered at {rate / 1000:g} kHz", rendered_at(instrument, values, rate), clean
    moved = between_notes(instrument.space, values)
    if not np.array_equal(moved, values):
        sounds = instrument.render(moved)
        yield "between the notes, a quarter tone", sounds, sounds
