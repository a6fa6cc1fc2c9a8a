"""Patches of the paper's synth for tests: random ones, and the corners of its ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inversynth import ParamSpace, synths
from inversynth.midi import Profile
from inversynth.midi.profiles import default_profile
from inversynth.synths import sampling

PAPER = synths.load("paper")
SPACE = PAPER.space
LOW, HIGH = (np.array([getattr(param, end) for param in SPACE]) for end in ("low", "high"))


def random_patches(count: int, seed: int = 11) -> NDArray[np.float64]:
    return SPACE.values_of_levels(sampling.draw(SPACE, seed, 0, count))


def profile_of(name: str, space: ParamSpace) -> Profile:
    """The default profile of a synth of that name and space."""
    return default_profile(replace(synths.load("sine"), name=name, space=space))


def corner_patches() -> NDArray[np.float64]:
    """All low, all high, each parameter alone at its other end, and random corners."""
    ends = [np.zeros(23, bool), np.ones(23, bool)]
    ends += [np.eye(23, dtype=bool)[i] ^ end for i in range(23) for end in (False, True)]
    ends += list(np.random.default_rng(1).random((24, 23)) < 0.5)
    return np.where(np.array(ends), HIGH, LOW)
