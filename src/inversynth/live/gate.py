"""What may move a synth: a sound that the patch resembles, or a steady note. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..audio.pitch import pitch
from ..search.scoring import Scorer
from ..spec import AudioFormat
from ..synths.synth import Synth
from .tracking import Estimate

LEAST_RHO, MOST_OFF = 0.9, 4.0
"""A patch resembles a sound if their log spectrograms correlate so well, unless it is far louder: unless what is too
much, in their magnitudes, is more than so many times the sound; ..."""
MOST_CONVERGENCE = 0.55
"""... or if what is missing or too much is at most this part of the sound. ..."""
LEAST_CONFIDENCE = 0.38
"""... And the network must know: so probable are its estimates in the mean (see `estimate`)."""
LEAST_STEADY = 0.9
LEAST_STEADY_S = 0.5
"""Else it must be a note: so much of so long a sound has one pitch."""


class Gate:
    """Tells whether a sound is one that a synth's patches, or steady notes, are like; silence, noise and speech aren't.

    Measured by benchmarks/false_moves.py, on the patches of `estimate`.
    """

    def __init__(self, synth: Synth, audio: AudioFormat) -> None:
        self._synth, self._audio = synth, audio

    def warm_up(self) -> None:
        """Does all that it ever does: first times take long. The patch of zeros resembles neither noise nor a tone."""
        count, at = len(self._synth.space), np.arange(self._audio.samples)
        nothing = Estimate(np.zeros(count, np.int64), np.ones(count))
        for sound in (
            np.random.default_rng(0).normal(0, 0.1, len(at)),
            np.sin(2 * np.pi * 440 / self._audio.sample_rate * at),
        ):
            self(sound.astype(np.float32), [nothing])

    def __call__(self, heard: NDArray[np.float32], estimates: Sequence[Estimate]) -> tuple[Estimate, bool]:
        """Of estimates of a sound (n,), a note's beginning, the one that resembles it most, and whether it may move."""
        if not heard.any():
            return estimates[0], False
        levels = np.stack([of_it.levels for of_it in estimates])
        found = Scorer(self._synth, heard)(self._synth.space.values_of_levels(levels), workers=1)
        best = int(np.argmax(found.rho_stft))
        rho, off = found.rho_stft[best], found.convergence[best]
        alike = (rho >= LEAST_RHO and off <= MOST_OFF) or off <= MOST_CONVERGENCE
        if alike and estimates[best].confidence.mean() >= LEAST_CONFIDENCE:
            return estimates[best], True
        rate = self._audio.sample_rate
        steady = len(heard) >= LEAST_STEADY_S * rate and pitch(heard, rate).steady >= LEAST_STEADY
        return estimates[best], steady
