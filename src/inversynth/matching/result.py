"""What a match is: a patch, the sounds of the target and of the patch, and how near they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..search.refine import Refinement
from ..spec import AudioFormat, Note, ParamSpace
from ..synths.synth import Synth

SILENT_PEAK = 1e-5
"""A sound whose peak is below this (-100 dB of full scale) is silence."""
POOR_LEVEL_DB = 12.0
"""A match that is louder or quieter than its target by more than this is hardly a match."""
NO_MODEL = "none"
"""The name of the model of a match that was found by the search alone."""


@dataclass(frozen=True)
class Setting:
    """One parameter of a patch: its value in its unit, its level, and the probability the network gave it."""

    name: str
    value: float
    unit: str
    level: int
    confidence: float


@dataclass(frozen=True)
class Variation:
    """Another patch that a search found, and its sound, (samples,) float32."""

    patch: tuple[Setting, ...]
    sound: NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """A patch and how near it comes.

    `name`: of the target; `target` and `sound`: (samples,) float32 of `audio`, the target as the network got it, and
    the patch as `note` plays it; `measures`: `rho_stft`, `rho_ft` and `f_delta` of `metrics.sound_measures`; `synth`,
    `model` (a name, or `NO_MODEL`) and `device` as used; `distributions`: P arrays (levels,), the network's
    probabilities, or uniform ones; `command`: the command line that does it again; `refinement`: what the search found,
    if it was asked for, and `variations` its other patches, `refinement.best[1:]`.
    """

    name: str
    patch: tuple[Setting, ...]
    target: NDArray[np.float32]
    sound: NDArray[np.float32]
    audio: AudioFormat
    measures: dict[str, float]
    synth: Synth
    note: Note
    model: str
    device: str
    distributions: tuple[NDArray[np.float32], ...]
    command: str
    refinement: Refinement | None = None
    variations: tuple[Variation, ...] = ()

    @property
    def predicted(self) -> bool:
        """Whether a network has given the distributions."""
        return self.model != NO_MODEL

    @property
    def active(self) -> NDArray[np.bool_]:
        """(P,) True where a parameter has an effect in the patch."""
        found: NDArray[np.bool_] = self.synth.space.active([[setting.level for setting in self.patch]])[0]
        return found

    @property
    def window(self) -> int:
        """Samples of a window of its spectrograms."""
        return self.synth.window_samples(self.audio.sample_rate)

    @property
    def louder_db(self) -> float:
        """By how many dB the match is louder than the target, by their mean power."""
        loudness = [float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) for sound in (self.target, self.sound)]
        return float(20 * np.log10((loudness[1] + SILENT_PEAK) / (loudness[0] + SILENT_PEAK)))

    @property
    def warning(self) -> str | None:
        """Why this is hardly a match, if so: it correlates like unrelated sounds, or its level is far off.

        And what may be the cause.
        """
        difference_db, thresholds = self.louder_db, self.synth.thresholds
        if self.measures["rho_stft"] < thresholds.poor_rho_stft:
            what = f"a correlation below {thresholds.poor_rho_stft} is near that of unrelated sounds"
        elif abs(difference_db) > POOR_LEVEL_DB:
            what = f"the match is {abs(difference_db):.0f} dB {'louder' if difference_db > 0 else 'quieter'}"
        else:
            return None
        peak = float(np.abs(self.target).max())
        least, most = thresholds.usual_peaks
        if not least <= peak <= most:
            quiet = "quiet" if peak < least else "loud"
            return f"{what}: this sound, with a peak of {peak:.2g}, is too {quiet} to predict well; try --normalise"
        other = "the model can infer" if self.predicted else "a search of this length can find"
        return f"{what}: this sound may be beyond what {self.synth.name} can make, or {other}"


def settings(
    space: ParamSpace,
    values: NDArray[np.float64],
    levels: NDArray[np.int64],
    distributions: Sequence[NDArray[np.float32]],
) -> tuple[Setting, ...]:
    """A patch: (P,) values in units, their (P,) levels, and how probable P distributions (levels,) make these."""
    return tuple(
        Setting(param.name, float(value), param.unit, int(level), float(row[level]))
        for param, value, level, row in zip(space, values, levels, distributions, strict=True)
    )
