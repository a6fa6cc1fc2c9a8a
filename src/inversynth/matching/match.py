"""Matching: the target is read, the network predicts, the search refines, and the result is described."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics, synths
from ..errors import UsageError
from ..predict.model import Model, load_model
from ..search.refine import INTERRUPTED, Progress, Refinement, check_budget, refine
from ..synths.sampling import check_seed
from ..synths.synth import Synth
from .result import NO_MODEL, Match, Variation, settings
from .saving import save
from .target import Target, read_target

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Refine:
    """How a match is refined: `inversynth.search.refine` says what each means.

    At least one of `seconds` and `renders` is given. Raises `UsageError` for what isn't allowed.
    """

    seconds: float | None = None
    renders: int | None = None
    variations: int = 1
    levels_only: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_budget(self.seconds, self.renders, self.variations)
        check_seed(self.seed)


def match(
    target: str | Path | ArrayLike,
    synth: Synth | str | Path | None = None,
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
    watch: Watch | None = None,
) -> Match:
    """Finds the patch of a synth that makes a sound.

    target: the path of an audio file, or (samples,) samples with their `sample_rate` in Hz. synth: one, or its name
    or file; by default that of `synths.DEFAULT`. model: a name, a path or a loaded `Model`; by default the one shipped
    for the synth, or none, if none is shipped and the match is refined. device: see `load_model`. normalise: scale
    the peak of the target to 1
    first. With `out`, the match is saved there.
    refine: seconds to search for a better patch with the renderer; `renders`, `variations`, `levels_only`, `seed` and
    `watch` are those of `inversynth.search.refine`, and need one of `refine` and `renders`.
    Raises `UsageError` for a target that can't be read or is silent, and where there is neither a model nor a search;
    `MismatchError` for a model of another synth.
    """
    instrument = synths.load(synth or synths.DEFAULT)
    options = search_options(refine, renders, variations, levels_only, seed)
    network = open_model(instrument, model, device, options)
    sound = read_target(target, instrument.format, sample_rate, normalise)
    again = command_line(sound.name, instrument, model or network, normalise, out, options)
    found = match_target(sound, instrument, network, options, watch, again)
    if out is not None:
        save(found, out)
    return found


def search_options(
    seconds: float | None, renders: int | None, variations: int, levels_only: bool, seed: int
) -> Refine | None:
    """What is asked of a refinement; None where neither seconds nor renders are given."""
    if seconds is not None or renders is not None:
        return Refine(seconds, renders, variations, levels_only, seed)
    if variations != 1 or levels_only:
        raise UsageError(
            "variations and levels_only are for a refinement; give it seconds (--refine) or renders (--renders)"
        )
    check_seed(seed)
    return None


def open_model(synth: Synth, model: str | Path | Model | None, device: str, options: Refine | None) -> Model | None:
    """The model that predicts a synth's patches: the given one, or the one shipped for it.

    None where none is given and none is shipped: then a search does it alone. Raises `UsageError` if there is no search
    either, and `MismatchError` for a model of another synth.
    """
    model = synth.default_model if model is None else model
    if model is None:
        if options is None:
            raise UsageError(
                f"no model for the synth {synth.name!r} is shipped; search without one (--refine SECONDS), "
                "or train one (inversynth train, then inversynth export) and name it (--model FILE.onnx)"
            )
        return None
    network = model if isinstance(model, Model) else load_model(model, device)
    network.require(synth)
    return network


def match_target(
    target: Target,
    synth: Synth,
    model: Model | None,
    options: Refine | None = None,
    watch: Watch | None = None,
    command: str = "",
) -> Match:
    """The patch of a synth for a target in its format: predicted by a model and refined, or by one of the two.

    command: the command line that does it again. Ctrl-C ends the search; what it has found is kept, if anything.
    """
    distributions = _predict(target, synth, model)
    if options is None:
        return _match(target, synth, model, distributions, None, command)
    refinement = _refine(target, synth, distributions, options, watch)
    try:
        return _match(target, synth, model, distributions, refinement, command)
    except KeyboardInterrupt:
        ended = dataclasses.replace(refinement, stopped=INTERRUPTED)
        return _match(target, synth, model, distributions, ended, command)


def _match(
    target: Target,
    synth: Synth,
    model: Model | None,
    distributions: tuple[NDArray[np.float32], ...],
    refinement: Refinement | None,
    command: str,
) -> Match:
    """A match of what the model or the search has found: its sound and how near it is."""
    if refinement:
        levels = np.array([candidate.levels for candidate in refinement.best])
        values = np.array([candidate.values for candidate in refinement.best])
    else:
        levels = np.array([[int(row.argmax()) for row in distributions]])
        values = synth.space.values_of_levels(levels)
    rate, window = target.audio.sample_rate, synth.window_samples(target.audio.sample_rate)
    rendered = synth.render_all(values, rate, target.audio.seconds)
    if 0 in rendered.failures:
        raise UsageError(
            f"{target.name}: the patch that was found can't be rendered by {synth.name}: {rendered.failures[0]}; "
            "search for another (--refine SECONDS)"
        )
    sounds = rendered.sounds
    patches = [settings(synth.space, *patch, distributions) for patch in zip(values, levels, strict=True)]
    measures = metrics.sound_measures(target.sound[None], sounds[:1], window)
    return Match(
        name=Path(target.name).name,
        patch=patches[0],
        target=target.sound,
        sound=sounds[0],
        audio=target.audio,
        measures={key: float(row[0]) for key, row in measures.items()},
        synth=synth,
        note=synth.note,
        model=model.name if model else NO_MODEL,
        device=model.device if model else "cpu",
        distributions=distributions,
        command=command,
        refinement=refinement,
        variations=tuple(Variation(*each) for each in zip(patches[1:], sounds[1:], strict=True)),
    )


def _predict(target: Target, synth: Synth, model: Model | None) -> tuple[NDArray[np.float32], ...]:
    """P distributions (levels,) over the levels: the model's, or uniform ones."""
    if model is None:
        return tuple(np.full(param.levels, 1 / param.levels, np.float32) for param in synth.space)
    return tuple(row[0] for row in model.predict(target.sound[None]))


def _refine(
    target: Target,
    synth: Synth,
    distributions: tuple[NDArray[np.float32], ...],
    options: Refine,
    watch: Watch | None,
) -> Refinement:
    return refine(
        synth,
        target.sound,
        distributions,
        options.seconds,
        options.renders,
        options.variations,
        options.levels_only,
        options.seed,
        watch=watch,
    )


def command_line(
    target: str | Path,
    synth: Synth,
    model: str | Path | Model | None,
    normalise: bool,
    out: str | Path | None,
    options: Refine | None,
) -> str:
    """The command line that does a match again, with paths as they were given."""
    file = str(target)
    words = ["inversynth", "match", f"./{file}" if file.startswith("-") else file]
    words += ["--synth", synth.origin or synth.name]
    words += [] if model is None else ["--model", model.name if isinstance(model, Model) else str(model)]
    words += ["--normalise"] * normalise + ([] if out is None else ["--out", str(out)])
    if options:
        words += [] if options.seconds is None else ["--refine", f"{options.seconds:g}"]
        words += [] if options.renders is None else ["--renders", str(options.renders)]
        words += ["--variations", str(options.variations)] * (options.variations > 1)
        words += ["--levels-only"] * options.levels_only + ["--seed", str(options.seed)]
    return shlex.join(words)
