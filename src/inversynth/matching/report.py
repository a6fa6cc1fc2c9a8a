"""`report.html`: one page with a match's sounds, pictures, knobs and scores, which needs nothing but itself."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
from numpy.typing import NDArray

from ..search.refine import Candidate, Refinement
from ..version import __version__
from . import svg
from .picture import FLOOR_DB, MATCH_COLOUR, TARGET_COLOUR, label, note_of, panel, spectrograms, value_text
from .result import Match, Variation

MEASURES = {
    "rho_stft": ("Spectrograms", "correlation of the log spectrograms, moment by moment: 1 is the same"),
    "rho_ft": ("Spectra", "correlation of the spectra of the whole sounds; a slightly wrong pitch costs much here"),
    "f_delta": (
        "Spectral distance",
        "size of the difference of the spectrograms: 0 is the same; it grows with loudness, so compare it only between "
        "matches of one target",
    ),
}
SCORES = {
    "rho_stft": "correlation of the log spectrograms",
    "log_l1": "mean difference of the log spectrograms (nats)",
    "convergence": "spectral convergence",
    "residual_db": "residual of the waveforms (dB)",
}


def verdicts(poor_rho_stft: float) -> tuple[tuple[float, str], ...]:
    """What a correlation of the log spectrograms means in words, from which figure on; ours.

    poor_rho_stft: below it, a correlation is near that of unrelated sounds.
    """
    return (
        (0.99, "nearly the same"),
        (0.95, "very close"),
        (0.90, "close"),
        (0.80, "related"),
        (poor_rho_stft, "distantly alike"),
        (-math.inf, "hardly alike"),
    )


@functools.cache
def _part(suffix: str) -> Template:
    """report.html, report.css or report.js, which come with this package."""
    return Template((files(__package__) / f"report.{suffix}").read_text(encoding="utf-8"))


def page(match: Match, made: datetime | None = None) -> str:
    """The report of a match as HTML; `made`: when, by default now.

    Nothing in it refers to anything outside it, and all text of the user's is escaped. Sounds are 16-bit WAV, all
    scaled alike, and only if one of them would clip.
    """
    found, others = match.refinement, match.variations
    made = made or datetime.now().astimezone()
    sounds = [match.target, match.sound, *(other.sound for other in others)]
    gain = 1 / max(1.0, *(float(np.abs(sound).max()) for sound in sounds))
    names = ["target", "match", *(f"variation {i}" for i in range(2, 2 + len(others)))]
    pictures = spectrograms(*sounds, window=match.window)
    parts = {
        "name": f"<bdi>{escape(match.name)}</bdi>",
        "title": escape(match.name),
        "verdict": _verdict(match),
        "score": f"{match.measures['rho_stft']:.3f}",
        "lead": _lead(match),
        "warning": f'<p class="warning" role="note">{escape(match.warning)}</p>' if match.warning else "",
        "choices": "".join(_choice(i, name) for i, name in enumerate(names)),
        "quieter": _quieter(gain) if gain < 1 else "",
        "figures": _figures(match, pictures, gain),
        "floor": f"{-FLOOR_DB:.0f}",
        "range": f"{svg.DIFFERENCE_DB:.0f}",
        "panel": _panel(match),
        "legend": _legend(match),
        "search": _search(match, found) if found else "",
        "variations": _variations(match, found, pictures[2:], gain) if found and others else "",
        "measures": _measures(match),
        "command": escape(match.command),
        "made": f'<time datetime="{made.isoformat()}">{made.isoformat(" ", "minutes")}</time>',
        "facts": escape(f"inversynth {__version__}, synth {match.synth.name}, {_model(match)}"),
    }
    style = _part("css").substitute(target=TARGET_COLOUR, match=MATCH_COLOUR)
    return _part("html").substitute(parts, style=style, script=_part("js").template)


# -- words ---------------------------------------------------------------------------------------


def _verdict(match: Match) -> str:
    bounds = verdicts(match.synth.thresholds.poor_rho_stft)
    return next(word for bound, word in bounds if match.measures["rho_stft"] >= bound)


def _quieter(gain: float) -> str:
    return f"All sounds are {-20 * math.log10(gain):.1f} dB quieter here than in their files, so that none is clipped."


def _model(match: Match) -> str:
    return f"model {match.model} on {match.device}" if match.predicted else "without a model"


def _lead(match: Match) -> str:
    text = f"as a patch of the synth {match.synth.name}, "
    text += f"predicted by the network {match.model}" if match.predicted else "found without a network"
    found = match.refinement
    if found:
        text += f"{' and refined' if match.predicted else ''} in {found.seconds:.2g} s by {found.renders:,} renders"
    return escape(text)


def _legend(match: Match) -> str:
    empty = "Empty knobs have no effect in this patch."
    if not match.predicted:
        return f"The search has set the knobs. {empty}"
    text = (
        "The rays around a knob are the network's probabilities: the longer, the likelier that level. "
        "The percentage is the probability of the level shown"
    )
    if match.refinement is None:
        return f"{text}; knobs of low probability are pale. {empty}"
    return (
        f"{text}. The search has set the knobs; where it chose another level, a thin line stays at the network's. "
        f"{empty}"
    )


def _measures(match: Match) -> str:
    rows = [
        (*MEASURES.get(key, (key, "")), f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}")
        for key, value in match.measures.items()
    ]
    louder = match.louder_db
    what = f"by how much the match is {'louder' if louder > 0 else 'quieter'}, in mean power"
    rows.append(("Loudness", what, f"{abs(louder):.1f} dB"))
    return f'<div class="explained">{_table(("measure", "what it means", "figure"), rows)}</div>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in more)}</tr>'
        for first, *more in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


# -- sounds and pictures -------------------------------------------------------------------------


def _audio(sound: NDArray[np.float32], sample_rate: int, gain: float, name: str) -> str:
    """A player; the script hides it and plays all of them in step."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, gain * sound, sample_rate, format="WAV", subtype="PCM_16")
    source = svg.data_url("audio/wav", file.getvalue())
    return f'<audio controls preload="auto" aria-label="{name}" src="{source}"></audio>'


def _choice(i: int, name: str) -> str:
    """A button that makes one sound audible; of a variation, it shows the number alone."""
    key, shown = ("AB"[i], f"<span>{name}</span>") if i < 2 else (str(i), "")
    pressed = "true" if i == 0 else "false"
    return (
        f'<button type="button" data-sound="{i}" aria-pressed="{pressed}" aria-keyshortcuts="{key}" '
        f'aria-label="{name}" title="{name}"><kbd>{key}</kbd>{shown}</button>'
    )


def _figures(match: Match, pictures: Sequence[NDArray[np.float64]], gain: float) -> str:
    """Target, match and what lies between them."""
    rate, khz = match.audio.sample_rate, match.audio.sample_rate / 2000
    top = 1.05 * max(float(np.abs(match.target).max()), float(np.abs(match.sound).max()))
    out = []
    for name, what, sound, picture in zip(
        ("target", "match"),
        ("what was given", "what the patch makes"),
        (match.target, match.sound),
        pictures[:2],
        strict=True,
    ):
        about = f"{what}; peak {20 * math.log10(float(np.abs(sound).max()) + 1e-9):.1f} dBFS"
        out.append(
            f'<figure class="{name}"><figcaption>{name} <small>{about}</small></figcaption>{svg.wave(sound, top)}'
            f"{svg.plot(svg.heat(picture), name, match.audio.seconds, khz)}{_audio(sound, rate, gain, name)}</figure>"
        )
    image = svg.contrast(pictures[1] - pictures[0])
    out.append(
        '<figure class="difference"><figcaption>difference <small>where <b class="target">the target</b> or '
        f'<b class="match">the match</b> is stronger; above, their loudness</small></figcaption>'
        f"{svg.loudness(match.target, match.sound)}{svg.plot(image, 'difference', match.audio.seconds, khz)}</figure>"
    )
    return "".join(out)


# -- the patch -----------------------------------------------------------------------------------


def _knob(match: Match, i: int, group: str, active: bool) -> str:
    param, setting, distribution = match.synth.space[i], match.patch[i], match.distributions[i]
    x = min(max(float(param.x_of_value(setting.value)), 0.0), 1.0)
    shown = value_text(param, setting.value)
    title, ghost = f"{param.name} {shown}", None
    if match.predicted:
        likeliest = np.argsort(-np.asarray(distribution), kind="stable")[:3]
        likely = (f"{value_text(param, float(param.values[k]))} {distribution[k]:.0%}" for k in likeliest)
        title += f". The network: {', '.join(likely)}"
        if match.refinement and active and likeliest[0] != int(param.level_of_value(setting.value)):
            ghost = float(param.x_of_level(likeliest[0]))
    sureness = (f"{setting.confidence:.0%}" if match.predicted else None) if active else "inactive"
    small = ", ".join(text for text in (note_of(param, setting.value), sureness) if text)
    strength = 1.0 if match.refinement else setting.confidence
    return (
        f'<div class="knob{"" if active else " inactive"}" data-name="{escape(param.name)}" '
        f'style="--sure:{strength:.2f}">{svg.knob(x, title, distribution if match.predicted else None, ghost)}'
        f"<b>{escape(label(param, group))}</b><span>{escape(shown)}</span><small>{small}</small></div>"
    )


def _panel(match: Match) -> str:
    active = match.active
    out = []
    for group, members in panel(match.synth.space).items():
        knobs = "".join(_knob(match, i, group, bool(active[i])) for i in members)
        out.append(
            f'<section class="group" style="--n:{len(members)}"><h3>{escape(group)}</h3>'
            f'<div class="knobs">{knobs}</div></section>'
        )
    return "".join(out)


# -- the search ----------------------------------------------------------------------------------


def _scores(candidate: Candidate) -> list[str]:
    return [f"{getattr(candidate, key):.{1 if key.endswith('_db') else 3}f}" for key in SCORES]


def _search(match: Match, found: Refinement) -> str:
    """What the search gained, and how."""
    rows = zip(SCORES.values(), _scores(found.start), _scores(found.best[0]), strict=True)
    header = ("score", "network" if match.predicted else "beginning", "refined")
    kind = {"pursuit": "solved as a sound of the synth's own", "search": "searched by its spectrogram"}[found.method]
    return (
        f'<section><h2>The search</h2><div class="search"><figure>{svg.progress(found.progress, found.seconds)}'
        f"<figcaption>{kind}: {found.renders:,} renders in {found.seconds:.3g} s; stopped: {escape(found.stopped)}"
        f"</figcaption></figure><div>{_table(header, rows)}</div></div></section>"
    )


def _variations(match: Match, found: Refinement, pictures: Sequence[NDArray[np.float64]], gain: float) -> str:
    """The other patches of the search, with what they have different."""
    rate, out = match.audio.sample_rate, []
    for i, (other, candidate, picture) in enumerate(zip(match.variations, found.best[1:], pictures, strict=True), 2):
        name = f"variation {i}"
        knobs, differences = _differences(match, other)
        scores = ", ".join(f"{name} {score}" for name, score in zip(SCORES.values(), _scores(candidate), strict=True))
        plot = svg.plot(svg.heat(picture), name, match.audio.seconds, rate / 2000)
        out.append(
            f'<article><h3><button type="button" data-sound="{i}" data-play aria-pressed="false">Listen</button> '
            f"Variation {i}</h3>{plot}{_audio(other.sound, rate, gain, name)}"
            f'<div class="smalls">{knobs}</div>'
            f"<p>{escape('; '.join(differences))}</p><p><small>{escape(scores)}</small></p></article>"
        )
    return f'<section><h2>Variations</h2><div class="variations">{"".join(out)}</div></section>'


def _differences(match: Match, other: Variation) -> tuple[str, list[str]]:
    """The knobs of a variation, and what is another level than in the match."""
    knobs, texts = "", []
    for param, mine, setting in zip(match.synth.space, match.patch, other.patch, strict=True):
        x = float(param.x_of_value(setting.value))
        differs = abs(x - float(param.x_of_value(mine.value))) * (param.levels - 1) >= 0.5
        name, now = param.name.replace("_", " "), value_text(param, setting.value)
        knobs += svg.small_knob(x, f"{name} {now}", differs)
        texts += [f"{name} {value_text(param, mine.value)} → {now}"] * differs
    return knobs, texts
