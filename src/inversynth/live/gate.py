"""What may move a synth: a sound that the patch resembles, or a steady note."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..audio.pitch import pitch
from ..errors import InversynthError
from ..search.scoring import Scorer
from ..spec import AudioFormat
from ..synths.synth import Synth
from .tracking import Estimate

LEAST_STEADY = 0.9
LEAST_STEADY_S = 0.5
"""Otherwise it is a note if this share of a sound of this length has one pitch."""
MOST_RENDER_S = 2e-3
"""A synth that takes longer for a patch isn't rendered between a sound and its messages."""
SILENT, UNLIKE, UNSURE = "silent", "like nothing the synth makes", "too unsure"
"""Why a sound moves nothing, unless it is a steady note."""


def renders_quickly(synth: Synth, audio: AudioFormat) -> bool:
    """Whether a synth renders a patch within `MOST_RENDER_S` on this machine: the quickest of a few tries."""
    values = synth.space.values_of_levels((synth.space.levels // 2)[None])
    took_s = []
    for _ in range(5):
        began = time.perf_counter()
        synth.render_all(values, audio.sample_rate, audio.seconds, workers=1)
        took_s.append(time.perf_counter() - began)
    return min(took_s) <= MOST_RENDER_S


class Gate:
    """Decides whether a sound resembles a synth's patches or a steady note; silence, noise and speech don't.

    A patch resembles a sound if their log spectrograms correlate by `least_rho` of the synth's thresholds, unless it is
    far louder: unless what is too much, in their magnitudes, is more than `most_off` times the sound; or if what is
    missing or too much is at most the part `most_convergence` of the sound. And the network must be sure: the mean
    probability of its estimates is at least `least_confidence`. With `renders` False the patch isn't rendered: what the
    network is sure of passes. Measured by benchmarks/false_moves.py, on the patches of `estimate`.
    """

    def __init__(self, synth: Synth, audio: AudioFormat, renders: bool = True) -> None:
        self._synth, self._audio, self.renders = synth, audio, renders
        self._limits = synth.thresholds

    def warm_up(self) -> None:
        """Runs everything once, since first calls take long. The patch of zeros resembles neither noise nor a tone."""
        count, at = len(self._synth.space), np.arange(self._audio.samples)
        nothing = Estimate(np.zeros(count, np.int64), np.ones(count))
        for sound in (
            np.random.default_rng(0).normal(0, 0.1, len(at)),
            np.sin(2 * np.pi * 440 / self._audio.sample_rate * at),
        ):
            self(sound.astype(np.float32), [nothing])

    def __call__(self, sound: NDArray[np.float32], estimates: Sequence[Estimate]) -> tuple[Estimate, str | None]:
        """Of estimates of a sound (n,), a note's beginning, the one that resembles it most, and why it moves nothing.

        None if it may.
        """
        if not sound.any():
            return estimates[0], SILENT
        best, alike = self._best(sound, estimates) if self.renders else (0, True)
        sure = estimates[best].confidence.mean() >= self._limits.least_confidence
        if (alike and sure) or self._steady(sound):
            return estimates[best], None
        return estimates[best], UNSURE if alike else UNLIKE

    def _best(self, sound: NDArray[np.float32], estimates: Sequence[Estimate]) -> tuple[int, bool]:
        """Which of the estimates makes the sound that is nearest, and whether that resembles it."""
        levels = np.stack([each.levels for each in estimates])
        try:
            scores = Scorer(self._synth, sound)(self._synth.space.values_of_levels(levels), workers=1)
        except InversynthError:  # one of them can't be rendered
            return 0, False
        best = int(np.argmax(scores.rho_stft))
        rho, off, limits = scores.rho_stft[best], scores.convergence[best], self._limits
        return best, bool((rho >= limits.least_rho and off <= limits.most_off) or off <= limits.most_convergence)

    def _steady(self, sound: NDArray[np.float32]) -> bool:
        rate = self._audio.sample_rate
        return len(sound) >= LEAST_STEADY_S * rate and pitch(sound, rate).steady >= LEAST_STEADY
