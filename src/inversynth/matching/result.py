"""One sound in; the patch, its sound, a picture of both and their measures out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics, synths
from ..audio.onsets import window
from ..audio.sources import read_file
from ..errors import UsageError
from ..predict.model import Model, load_model
from ..predict.shipped import default_model
from ..search.refine import Progress, Refinement, check_budget
from ..search.refine import refine as search
from ..spec import AudioFormat, ParamSpace
from ..synths.sampling import check_seed
from ..synths.synth import Synth
from ..system.files import wav, writing

SILENT_PEAK = 1e-5
"""A sound whose peak is below this (-100 dB of full scale) is silence."""
LOUD_PEAK = 1e3
"""A sound whose peak is above this (+60 dB) isn't scaled to a full scale of 1: no network was trained on it."""

POOR_RHO_STFT = 0.7
"""Two random patches of the paper's synth correlate with 0.63 in the mean (see the cards of the models)."""
POOR_LEVEL_DB = 12.0
USUAL_PEAKS = 0.1, 10.0
"""Nearly all random patches of the paper's synth peak within these: a network hears other sounds less well."""


@dataclass(frozen=True)
class Setting:
    """One parameter of a patch: its value in its unit, its level, and the probability the network gave it."""

    name: str
    value: float
    unit: str
    level: int
    confidence: float


@dataclass(frozen=True)
class Match:
    """A patch and how near it comes.

    `name` says whose; `target` and `sound`: (samples,) float32 of `audio`, what the network heard and what the
    patch sounds; `measures`: `rho_stft`, `rho_ft` and `f_delta` of `metrics.sound_measures`; `synth`, `model` and
    `device` as used; `distributions`: P arrays (levels,), the network's probabilities; `command`: the command line
    that does it again; `refinement`: what the search found from the network's patch, if it was asked for.
    """

    name: str
    patch: tuple[Setting, ...]
    target: NDArray[np.float32]
    sound: NDArray[np.float32]
    audio: AudioFormat
    measures: dict[str, float]
    synth: Synth
    model: str
    device: str
    distributions: tuple[NDArray[np.float32], ...]
    command: str
    refinement: Refinement | None = None

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
        difference_db = self.louder_db
        if self.measures["rho_stft"] < POOR_RHO_STFT:
            what = f"a correlation below {POOR_RHO_STFT} is near that of unrelated sounds"
        elif abs(difference_db) > POOR_LEVEL_DB:
            what = f"the match is {abs(difference_db):.0f} dB {'louder' if difference_db > 0 else 'quieter'}"
        else:
            return None
        peak = float(np.abs(self.target).max())
        if not USUAL_PEAKS[0] <= peak <= USUAL_PEAKS[1]:
            quiet = "quiet" if peak < 1 else "loud"
            return f"{what}: this sound, with a peak of {peak:.2g}, is too {quiet} to be heard well; try --normalise"
        return f"{what}: this sound may be beyond what {self.synth.name} can make, or the model can hear"

    def save(self, folder: str | Path) -> None:
        """Writes `match.wav` (float32, not clipped), `match.png`, `report.html` and, last, `patch.json` into a folder.

        patch.json is a list of {name, value, unit, level, confidence} in the order of the synth's space. Beside
        them come, for the refinement's other patches, `variation-2.wav`, `variation-2.json`, ...; those of an earlier
        match that are more are removed. Raises `InversynthError`, leaving none of a match's files half-written.
        """
        from .picture import draw, plain
        from .report import page

        place = Path(folder)
        others = self.refinement.best[1:] if self.refinement else ()
        with contextlib.ExitStack() as files:
            patch = files.enter_context(writing(place / "patch.json"))
            report = files.enter_context(writing(place / "report.html"))
            picture = files.enter_context(writing(place / "match.png"))
            sound = files.enter_context(writing(place / "match.wav"))
            sound.write_bytes(wav(self.sound, self.audio.sample_rate))
            with plain():
                draw(self).print_png(picture)
            report.write_text(page(self), encoding="utf-8", errors="replace")  # a name may hold what is no character
            patch.write_text(_json(self.patch), encoding="utf-8")
            for number, other in enumerate(others, 2):
                text = files.enter_context(writing(place / f"variation-{number}.json"))
                sound = files.enter_context(writing(place / f"variation-{number}.wav"))
                instrument, audio = self.synth, self.audio
                wave = instrument.render(other.values[None], audio.sample_rate, audio.seconds)[0]
                text.write_text(
                    _json(_settings(instrument.space, other.values, other.levels, self.distributions)), encoding="utf-8"
                )
                sound.write_bytes(wav(wave, audio.sample_rate))
        for file in place.glob("variation-*"):
            named = re.fullmatch(r"variation-(\d+)\.(json|wav)", file.name)
            if named and int(named[1]) > 1 + len(others) and not file.is_dir():
                file.unlink(missing_ok=True)


def _json(patch: Sequence[Setting]) -> str:
    return json.dumps([dataclasses.asdict(setting) for setting in patch], indent=2) + "\n"


def match(
    target: str | Path | ArrayLike,
    synth: Synth | None = None,
    model: str | Path | Model | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    sample_rate: int | None = None,
    normalise: bool = False,
    refine: float | None = None,
    renders: int | None = None,
    variations: int = 1,
    levels_only: bool = False,
    seed: int = 0,
    watch: Callable[[Progress], None] | None = None,
) -> Match:
    """Finds the patch of a synth that makes a sound.

    target: the path of an audio file, or (samples,) samples with their `sample_rate` in Hz. model: a name,
    a path or a loaded `Model`; by default the one shipped for the synth. device: see `load_model`.
    normalise: scale the peak of what the network hears to 1 first. With `out`, the match is saved there.
    refine: seconds to search for a better patch with the renderer, from the network's on; `renders`, `variations`,
    `levels_only`, `seed` and `watch` are those of `inversynth.search.refine`, and need one of `refine` and `renders`.
    Raises `UsageError` for a target that can't be read or is silent, and `MismatchError` for a model of
    another synth.
    """
    instrument = synth or synths.load()
    refined = refine is not None or renders is not None
    if refined:
        check_budget(refine, renders, variations)
    elif variations != 1 or levels_only:
        raise UsageError(
            "variations and levels_only are for a refinement; give it seconds (--refine) or renders (--renders)"
        )
    check_seed(seed)
    if model is None:
        model = default_model(instrument)
    network = model if isinstance(model, Model) else load_model(model, device)
    network.require(instrument)
    name = str(target) if isinstance(target, str | Path) else "the target"
    samples, rate = read_file(target) if isinstance(target, str | Path) else _checked(target, sample_rate)
    loudest = np.abs(samples).max()
    if loudest > LOUD_PEAK:
        if not normalise:
            raise UsageError(f"{name} peaks at {loudest:g}, where 1 is full scale; normalise it (--normalise)")
        samples = samples / loudest
    heard = window(samples, rate, network.audio)
    peak = np.abs(heard).max()
    if peak < SILENT_PEAK:
        raise UsageError(
            f"{name} is silent (mixed to mono and without its offset, its peak is {peak:g}); give a recording of a note"
        )
    if normalise:
        heard = heard / peak
    probabilities = network.predict(heard[None])
    distributions = tuple(row[0] for row in probabilities)
    refinement = None
    if refined:
        refinement = search(
            instrument, heard, distributions, refine, renders, variations, levels_only, seed, watch=watch
        )
        levels, values = refinement.best[0].levels, refinement.best[0].values
    else:
        levels = np.array([int(row.argmax()) for row in distributions])
        values = instrument.space.values_of_levels(levels[None])[0]
    sound = instrument.render(values[None], network.audio.sample_rate, network.audio.seconds)[0]
    command = [
        "inversynth",
        "match",
        f"./{Path(name).name}",
        "--synth",
        instrument.origin or instrument.name,
        "--model",
        network.name,
    ]
    command += ["--normalise"] * normalise
    if refined:
        command += [] if refine is None else ["--refine", f"{refine:g}"]
        command += [] if renders is None else ["--renders", str(renders)]
        command += ["--variations", str(variations)] * (variations > 1) + ["--levels-only"] * levels_only
        command += ["--seed", str(seed)]
    found = Match(
        name=Path(name).name,
        patch=_settings(instrument.space, values, levels, distributions),
        target=heard,
        sound=sound,
        audio=network.audio,
        measures={key: float(row[0]) for key, row in metrics.sound_measures(heard[None], sound[None]).items()},
        synth=instrument,
        model=network.name,
        device=network.device,
        distributions=distributions,
        command=shlex.join(command),
        refinement=refinement,
    )
    if out is not None:
        found.save(out)
    return found


def _settings(
    space: ParamSpace,
    values: NDArray[np.float64],
    levels: NDArray[np.int64],
    distributions: Sequence[NDArray[np.float32]],
) -> tuple[Setting, ...]:
    return tuple(
        Setting(param.name, float(value), param.unit, int(level), float(row[level]))
        for param, value, level, row in zip(space, values, levels, distributions, strict=True)
    )


def _checked(target: ArrayLike, sample_rate: int | None) -> tuple[NDArray[np.float32], int]:
    try:
        sound = np.asarray(target, np.float32)
    except (TypeError, ValueError):
        raise UsageError("the target is neither a path nor an array of samples") from None
    if sound.ndim != 1 or not len(sound):
        raise UsageError(f"the target must have the shape (samples,), not {sound.shape}; mix it to mono")
    if sample_rate is None:
        raise UsageError("an array of samples needs its sample_rate, in Hz")
    if not np.isfinite(sound).all():
        raise UsageError("the target holds NaN or infinite samples")
    AudioFormat(sample_rate, 1.0)
    return sound, sample_rate
