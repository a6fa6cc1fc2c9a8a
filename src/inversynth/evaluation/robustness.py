"""How much a model loses when its targets are degraded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..audio.augmentation import DEGRADATIONS, RATES_HZ, Sounds, between_notes, resampled_to
from ..audio.windows import window
from ..predict.model import Model
from .comparing import Report, likeliest
from .examples import Examples

CLEAN = "clean"


def robustness(model: Model, examples: Examples, seed: int, report: Report) -> list[dict[str, Any]]:
    """One row a condition, the clean one first: `name`, `mpr` (masked mean, percent), and the summary of `rho_stft`.

    The model gets each degraded sound by way of `audio.windows.window`, as all that is matched; its patch is rendered
    and compared with the clean sound.
    For pitches between the notes that is the sound at that pitch, and the level that the note was moved from counts as
    right, though the next is as near.
    """
    synth, space = examples.synth, examples.synth.space
    rate = synth.format.sample_rate
    probabilities: dict[str, list[list[NDArray[np.float32]]]] = {}
    rhos: dict[str, list[NDArray[np.float64]]] = {}
    for rows in examples.chunks():
        for name, degraded, target in _degraded(examples, rows, np.random.default_rng((seed, rows.start))):
            sounds = np.stack([window(sound, rate, synth.format) for sound in degraded])
            predicted = examples.predict(model, sounds, rows)
            match = examples.render(space.values_of_levels(likeliest(predicted)), rows)
            probabilities.setdefault(name, []).append(predicted)
            measures = metrics.sound_measures(target, match, synth.window_samples(rate))
            rhos.setdefault(name, []).append(measures["rho_stft"])
        report(rows.stop, len(examples), rows.stop)
    found = []
    for name, parts in probabilities.items():
        joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
        mpr = metrics.mean_mpr(metrics.parameter_measures(space, joined, examples.levels, examples.audible))
        found.append({"name": name, "mpr": mpr} | metrics.summary({"rho_stft": np.concatenate(rhos[name])}))
    return found


def _degraded(examples: Examples, rows: slice, random: np.random.Generator) -> Iterator[tuple[str, Sounds, Sounds]]:
    """Of each condition its name, the degraded sounds, and what they should be matched with."""
    audio, values = examples.synth.format, examples.values[rows]
    clean = examples.render(values, rows)
    yield CLEAN, clean, clean
    for name, degrade in DEGRADATIONS.items():
        yield name, degrade(clean, audio.sample_rate, random), clean
    for rate in RATES_HZ:
        yield f"rendered at {rate / 1000:g} kHz", resampled_to(audio, examples.render(values, rows, rate), rate), clean
    moved = between_notes(examples.synth.space, values)
    if not np.array_equal(moved, values):
        sounds = examples.render(moved, rows)
        yield "between the notes, a quarter tone", sounds, sounds
