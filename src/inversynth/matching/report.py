"""`report.html`: one page with a match's sounds, pictures, knobs and scores, which needs nothing but itself."""

from __future__ import annotations

import base64
import io
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..search.refine import Candidate, Refinement
from ..spec import Param, ParamSpace
from ..version import __version__
from .picture import FLOOR_DB, MATCH_COLOUR, TARGET_COLOUR, label, note, number, panel, spectrograms
from .result import POOR_RHO_STFT, Match

DIFFERENCE_DB = 40.0
"""The picture of a difference runs from minus to plus this."""
SEGMENTS = 400
"""Points of a drawn waveform."""
MAX_BARS = 64
"""A distribution over more levels than this is drawn as that many sums."""
SWEEP = 135.0
"""A knob turns by this many degrees to either side of its top."""

VERDICTS = (
    (0.99, "nearly the same"),
    (0.95, "very close"),
    (0.90, "close"),
    (0.80, "related"),
    (POOR_RHO_STFT, "distantly alike"),
    (-math.inf, "hardly alike"),
)
"""What a correlation of the log spectrograms means in words, from which figure on; ours."""

MEASURES = {
    "rho_stft": ("Spectrograms", "how alike the sounds are from moment to moment, as a correlation: 1 is the same"),
    "rho_ft": ("Spectra", "how alike their harmonics are over the whole sound; a slightly wrong pitch costs much here"),
    "f_delta": ("Difference", "how much of the spectrogram is off: 0 is nothing; loud sounds have more to be off"),
}
SCORES = {
    "rho_stft": "correlation of the log spectrograms",
    "log_l1": "mean difference of the log spectrograms (nats)",
    "convergence": "spectral convergence",
    "residual_db": "residual of the waveforms (dB)",
}


def page(match: Match, made: datetime | None = None) -> str:
    """The report of a match as HTML; `made`: when, by default now.

    Nothing in it refers to anything outside it, and all text of the user's is escaped. Sounds are 16-bit WAV, all
    scaled alike, and only if one of them would clip.
    """
    instrument = match.synth
    space, found = instrument.space, match.refinement
    others = found.best[1:] if found else ()
    made = made or datetime.now().astimezone()
    sounds = [match.target, match.sound]
    if others:
        patches = np.array([candidate.values for candidate in others])
        sounds += list(instrument.render(patches, match.audio.sample_rate, match.audio.seconds))
    gain = 1 / max(1.0, *(float(np.abs(sound).max()) for sound in sounds))
    names = ["target", "match", *(f"variation {i}" for i in range(2, 2 + len(others)))]
    pictures = spectrograms(*sounds)
    rho = match.measures["rho_stft"]
    parts = {
        "name": f"<bdi>{escape(match.name)}</bdi>",
        "title": escape(match.name),
        "verdict": next(word for bound, word in VERDICTS if rho >= bound),
        "score": f"{rho:.3f}",
        "lead": _lead(match),
        "warning": f'<p class="warning" role="note">{escape(match.warning)}</p>' if match.warning else "",
        "choices": "".join(_choice(i, name) for i, name in enumerate(names)),
        "quieter": f"All sounds are {-20 * math.log10(gain):.1f} dB quieter here, lest one clips." if gain < 1 else "",
        "figures": _figures(match, pictures, gain),
        "floor": f"{-FLOOR_DB:.0f}",
        "range": f"{DIFFERENCE_DB:.0f}",
        "panel": _panel(space, match),
        "legend": _legend(found),
        "search": _search(found) if found else "",
        "variations": _variations(space, match, sounds, pictures, gain) if others else "",
        "measures": _measures(match),
        "command": escape(match.command),
        "made": f'<time datetime="{made.isoformat()}">{made.isoformat(" ", "minutes")}</time>',
        "facts": escape(f"inversynth {__version__}, synth {match.synth.name}, model {match.model} on {match.device}"),
    }
    style = Template(STYLE).substitute(target=TARGET_COLOUR, match=MATCH_COLOUR)
    return Template(PAGE).substitute(parts, style=style, script=SCRIPT)


# -- words ---------------------------------------------------------------------------------------


def _lead(match: Match) -> str:
    text = f"as a patch of the synth {match.synth.name}, "
    if match.refinement is None:
        return escape(f"{text}heard by the network {match.model}")
    found = match.refinement
    return escape(
        f"{text}heard by the network {match.model} and refined in {found.seconds:.2g} s by {found.renders:,} renders"
    )


def _legend(found: Refinement | None) -> str:
    text = (
        "The rays around a knob are what the network heard: the longer, the likelier that level. "
        "The percentage is how sure it is of the level shown"
    )
    if found is None:
        return f"{text}; knobs that it is unsure of are pale. Those that can't be heard in this patch are empty."
    return (
        f"{text}. The search has set the knobs; where it went elsewhere, a thin line stays at the network's choice. "
        "Knobs that can't be heard in this patch are empty."
    )


def _measures(match: Match) -> str:
    rows = [
        (*MEASURES.get(key, (key, "")), f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}")
        for key, value in match.measures.items()
    ]
    louder = match.louder_db
    told = f"by how much the match is {'louder' if louder > 0 else 'quieter'}, in mean power"
    rows.append(("Loudness", told, f"{abs(louder):.1f} dB"))
    return f'<div class="told">{_table(("measure", "what it tells", "figure"), rows)}</div>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in more)}</tr>'
        for first, *more in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _value(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


# -- sounds and pictures -------------------------------------------------------------------------


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _audio(sound: NDArray[np.float32], sample_rate: int, gain: float, name: str) -> str:
    """A player; the script hides it and plays all of them in step."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, gain * sound, sample_rate, format="WAV", subtype="PCM_16")
    source = _data("audio/wav", file.getvalue())
    return f'<audio controls preload="auto" aria-label="{name}" src="{source}"></audio>'


def _choice(i: int, name: str) -> str:
    """A button that lets one sound be heard; of the variations, it shows the number alone."""
    key, shown = ("AB"[i], f"<span>{name}</span>") if i < 2 else (str(i), "")
    pressed = "true" if i == 0 else "false"
    return (
        f'<button type="button" data-sound="{i}" aria-pressed="{pressed}" aria-keyshortcuts="{key}" '
        f'aria-label="{name}" title="{name}"><kbd>{key}</kbd>{shown}</button>'
    )


def png(picture: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """(height, width) indices into a palette (256, 3) as a PNG file (ISO/IEC 15948, colour type 3)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = picture.shape
    rows = np.pad(picture, ((0, 0), (1, 0))).tobytes()  # each row after its filter, 0: none
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def _heat(decibels: NDArray[np.float64]) -> str:
    """A spectrogram (frames, bins) from `FLOOR_DB` to 0 as the address of a picture."""
    from matplotlib import colormaps

    palette = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    return _image(255 * (1 - decibels / FLOOR_DB), palette)


def _contrast(decibels: NDArray[np.float64]) -> str:
    """A difference (frames, bins) from minus to plus `DIFFERENCE_DB` as the address of a picture."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (TARGET_COLOUR, MATCH_COLOUR)]
    points = np.array([[255, 255, 255], ends[0], [0, 0, 0], ends[1], [255, 255, 255]])
    palette = np.stack([np.interp(np.arange(256), [-40, 30, 128, 226, 296], points[:, i]) for i in range(3)], axis=1)
    return _image(128 + 127 * np.clip(decibels / DIFFERENCE_DB, -1, 1), palette)


def _image(indices: NDArray[np.float64], palette: NDArray[Any]) -> str:
    picture = np.rint(indices).astype(np.uint8).T[::-1]
    return _data("image/png", png(picture, np.asarray(palette, np.uint8)))


def _ticks(top: float) -> list[float]:
    """Round numbers from 0 to `top`, four to nine of them."""
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(factor for factor in (5, 2, 1) if factor * step <= top / 4)
    return [i * step for i in range(int(top / step * (1 + 1e-9)) + 1)]


def _plot(image: str, name: str, seconds: float, khz: float) -> str:
    """A spectrogram with its axes; the script lets it seek."""
    times = "".join(f'<i style="left:{100 * at / seconds:.4g}%">{at:.4g}</i>' for at in _ticks(seconds))
    pitches = "".join(f'<i style="bottom:{100 * at / khz:.4g}%">{at:.4g}</i>' for at in _ticks(khz))
    return (
        f'<div class="plot"><div class="ys" aria-hidden="true">{pitches}</div>'
        f'<div class="seek" data-seconds="{seconds:g}" data-khz="{khz:g}"><img alt="spectrogram: {name}" src="{image}">'
        f'<b class="head"></b><output></output></div><div class="xs" aria-hidden="true">{times}</div></div>'
    )


def _wave(sound: NDArray[np.float32], top: float) -> str:
    """The outline of a waveform between -top and top: its least and largest sample in each segment."""
    parts = np.array_split(sound, min(SEGMENTS, len(sound)))
    upper = [f"{i},{-100 * float(part.max()) / top:.1f}" for i, part in enumerate(parts)]
    lower = [f"{i},{-100 * float(part.min()) / top:.1f}" for i, part in enumerate(parts)]
    outline = " ".join(upper + lower[::-1])
    return (
        f'<svg class="wave" viewBox="0 -100 {len(parts) - 1} 200" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{outline}"/></svg>'
    )


def _loudness(*sounds: NDArray[np.float32]) -> str:
    """The power of sounds over time, in dB of the first one's largest."""
    powers = [
        np.array([np.mean(part.astype(np.float64) ** 2) for part in np.array_split(sound, min(128, len(sound)))])
        for sound in sounds
    ]
    reference = powers[0].max() or 1.0
    lines = []
    for power, colour in zip(powers, ("target", "match"), strict=True):
        decibels = np.clip(10 * np.log10(power / reference + 1e-12), FLOOR_DB / 1.6, 6)
        points = " ".join(f"{i},{-at:.1f}" for i, at in enumerate(decibels))
        lines.append(f'<polyline class="{colour}" points="{points}"/>')
    return (
        f'<svg class="wave" viewBox="0 -8 {len(powers[0]) - 1} {10 - FLOOR_DB / 1.6:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(lines)}</svg>'
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
        told = f"{what}; peak {20 * math.log10(float(np.abs(sound).max()) + 1e-9):.1f} dBFS"
        out.append(
            f'<figure class="{name}"><figcaption>{name} <small>{told}</small></figcaption>{_wave(sound, top)}'
            f"{_plot(_heat(picture), name, match.audio.seconds, khz)}{_audio(sound, rate, gain, name)}</figure>"
        )
    image = _contrast(pictures[1] - pictures[0])
    out.append(
        '<figure class="difference"><figcaption>difference <small>where <b class="target">the target</b> or '
        f'<b class="match">the match</b> is stronger; above, their loudness</small></figcaption>'
        f"{_loudness(match.target, match.sound)}{_plot(image, 'difference', match.audio.seconds, khz)}</figure>"
    )
    return "".join(out)


# -- knobs ---------------------------------------------------------------------------------------


def _at(x: float, radius: float) -> str:
    angle = math.radians((2 * x - 1) * SWEEP)
    return f"{radius * math.sin(angle):.1f} {-radius * math.cos(angle):.1f}"


def _arc(x: float, radius: float) -> str:
    """The path along a knob's rim from its lowest position to x (0..1)."""
    return f"M{_at(0, radius)}A{radius} {radius} 0 {int(2 * x * SWEEP > 180)} 1 {_at(x, radius)}"


def _rays(distribution: NDArray[Any]) -> str:
    """The path of a distribution's histogram, bent around a knob; the likeliest level reaches farthest."""
    bars = np.asarray(distribution, np.float64)
    if len(bars) > MAX_BARS:
        bars = np.array([part.sum() for part in np.array_split(bars, MAX_BARS)])
    tops = 34.5 + 13 * bars / (bars.max() or 1.0)
    at = np.linspace(0, 1, len(bars))
    return "".join(f"M{_at(x, 33.5)}L{_at(x, top)}" for x, top in zip(at, tops, strict=True))


def _knob(
    param: Param, name: str, value: float, confidence: float, distribution: NDArray[Any], heard: bool, refined: bool
) -> str:
    x = min(max(float(param.x_of_value(value)), 0.0), 1.0)
    likeliest = int(np.argmax(distribution))
    moved = refined and heard and likeliest != int(param.level_of_value(value))
    ghost = f'<path class="ghost" d="M0 0L{_at(float(param.x_of_level(likeliest)), 30)}"/>' if moved else ""
    shown = _value(value, param.unit)
    sure = f"{confidence:.0%}" if heard else "unheard"
    if param.role == "pitch":
        sure = f"{note(value)}, {sure}"
    likely = ", ".join(
        f"{_value(float(param.value_of_level(level)), param.unit)} {distribution[level]:.0%}"
        for level in np.argsort(-np.asarray(distribution), kind="stable")[:3]
    )
    title = escape(f"{param.name} {shown}. The network: {likely}")
    strength = 1.0 if refined else confidence
    return (
        f'<div class="knob{"" if heard else " unheard"}" data-name="{escape(param.name)}" '
        f'style="--sure:{strength:.2f}"><svg viewBox="-50 -49 100 90" role="img"><title>{title}</title>'
        f'<path class="rays" style="stroke-width:{min(3.2, 110 / min(len(distribution), MAX_BARS)):.1f}" '
        f'd="{_rays(distribution)}"/><g><circle r="23"/><path class="rim" d="{_arc(1, 29)}"/>'
        f'<path class="turn" d="{_arc(x, 29)}"/>{ghost}<path class="hand" d="M{_at(x, 8)}L{_at(x, 20)}"/></g></svg>'
        f"<b>{escape(name)}</b><span>{escape(shown)}</span><small>{sure}</small></div>"
    )


def _panel(space: ParamSpace, match: Match) -> str:
    heard = space.active([[setting.level for setting in match.patch]])[0]
    out = []
    for group, members in panel(space).items():
        knobs = "".join(
            _knob(
                space[i],
                label(space[i], group),
                match.patch[i].value,
                match.patch[i].confidence,
                match.distributions[i],
                bool(heard[i]),
                match.refinement is not None,
            )
            for i in members
        )
        out.append(
            f'<section class="group" style="--n:{len(members)}"><h3>{escape(group)}</h3>'
            f'<div class="knobs">{knobs}</div></section>'
        )
    return "".join(out)


# -- the search ----------------------------------------------------------------------------------


def _scores(candidate: Candidate) -> list[str]:
    return [f"{getattr(candidate, key):.{1 if key.endswith('_db') else 3}f}" for key in SCORES]


def _search(found: Refinement) -> str:
    """What the search gained, and how."""
    rows = zip(SCORES.values(), _scores(found.start), _scores(found.best[0]), strict=True)
    kind = {"pursuit": "solved as a sound of the synth's own", "search": "searched by its spectrogram"}[found.method]
    return (
        f'<section><h2>The search</h2><div class="search"><figure>{_progress(found)}'
        f"<figcaption>{kind}: {found.renders:,} renders in {found.seconds:.3g} s; stopped: {escape(found.stopped)}"
        f"</figcaption></figure><div>{_table(('score', 'network', 'refined'), rows)}</div></div></section>"
    )


def _progress(found: Refinement) -> str:
    """The score against time, as steps on a logarithmic axis; nothing for a search that kept no record."""
    if not found.progress:
        return ""
    first = min([step.seconds for step in found.progress if step.seconds > 0] + [found.seconds or 1.0])
    low = 10 ** math.floor(math.log10(max(min(first, found.seconds / 10), 1e-4)))
    high = max(found.seconds, 10 * low)
    floor = math.floor(20 * min(step.rho_stft for step in found.progress) - 1e-9) / 20
    width, height = 420.0, 190.0

    def across(seconds: float) -> float:
        return width * math.log(max(seconds, low) / low) / math.log(high / low)

    def down(rho: float) -> float:
        return height * (1 - rho) / (1 - floor)

    path = f"M0 {down(found.progress[0].rho_stft):.1f}"
    dots, last = "", -math.inf
    for step in found.progress:
        path += f"H{across(step.seconds):.1f}V{down(step.rho_stft):.1f}"
        if across(step.seconds) - last < 5:
            continue
        last = across(step.seconds)
        about = f"{step.seconds:.3g} s, {step.renders:,} renders: {step.rho_stft:.4f}"
        at = f'cx="{last:.1f}" cy="{down(step.rho_stft):.1f}"'
        dots += f'<circle {at} r="2.5"><title>{about}</title></circle>'
    grid = ""
    for k in range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = across(10.0**k)
        grid += f'<path d="M{x:.1f} 0V{height}"/><text x="{x:.1f}" y="{height + 18}">{10.0**k:g} s</text>'
    for rho in np.linspace(floor, 1, 5 if (round((1 - floor) * 20) % 4 == 0) else 6):
        grid += f'<path d="M0 {down(rho):.1f}H{width}"/><text class="y" x="-8" y="{down(rho) + 4:.1f}">{rho:.3g}</text>'
    return (
        f'<svg class="progress" viewBox="-48 -12 {width + 66:g} {height + 38:g}" role="img">'
        "<title>correlation of the log spectrograms against time</title>"
        f'<g class="grid">{grid}</g><path class="line" d="{path}H{across(found.seconds):.1f}"/>{dots}</svg>'
    )


def _variations(
    space: ParamSpace,
    match: Match,
    sounds: Sequence[NDArray[np.float32]],
    pictures: Sequence[NDArray[np.float64]],
    gain: float,
) -> str:
    """The other patches of the search, with what they have different."""
    assert match.refinement is not None
    out = []
    for i, candidate in enumerate(match.refinement.best[1:], 2):
        knobs, texts = "", []
        for param, value, setting in zip(space, candidate.values, match.patch, strict=True):
            x, other = float(param.x_of_value(value)), float(param.x_of_value(setting.value))
            differs = abs(x - other) * (param.levels - 1) >= 0.5
            name, now = param.name.replace("_", " "), _value(float(value), param.unit)
            knobs += (
                f'<svg viewBox="-24 -24 48 48" class="small{" differs" if differs else ""}">'
                f'<title>{escape(name)} {escape(now)}</title><circle r="17"/><path class="turn" d="{_arc(x, 21)}"/>'
                f'<path class="hand" d="M{_at(x, 5)}L{_at(x, 15)}"/></svg>'
            )
            texts += [f"{name} {_value(setting.value, param.unit)} → {now}"] * differs
        scores = ", ".join(f"{name} {score}" for name, score in zip(SCORES.values(), _scores(candidate), strict=True))
        plot = _plot(_heat(pictures[i]), f"variation {i}", match.audio.seconds, match.audio.sample_rate / 2000)
        out.append(
            f'<article><h3><button type="button" data-sound="{i}" data-play aria-pressed="false">Listen</button> '
            f"Variation {i}</h3>{plot}{_audio(sounds[i], match.audio.sample_rate, gain, f'variation {i}')}"
            f'<div class="smalls">{knobs}</div>'
            f"<p>{escape('; '.join(texts))}</p><p><small>{escape(scores)}</small></p></article>"
        )
    return f'<section><h2>Variations</h2><div class="variations">{"".join(out)}</div></section>'


# -- the page ------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title: its patch</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<header>
<div><h1>$name</h1><p>$lead</p></div>
<div class="score"><b>$score</b><span>$verdict<small>correlation of the \
spectrograms</small></span></div>
</header>
$warning
<main>
<div class="transport" role="group" aria-label="player">
<button type="button" id="play" aria-keyshortcuts="Space" aria-label="play">▶</button>
<div class="choices" role="group" aria-label="which sound is heard">$choices</div>
<input type="range" id="place" min="0" max="1" step="0.001" value="0" aria-label="place in the sound">
<button type="button" id="loop" aria-pressed="true" aria-keyshortcuts="L"><kbd>L</kbd>loop</button>
</div>
<p class="hint keys">All sounds run in step: switch while they play, and the place stays. Space plays, X swaps, the \
arrow keys and a click into a picture seek.</p>
<section class="figures">$figures</section>
<p class="hint">Black is $floor dB below the target's peak, or no difference; full colour is a difference of \
$range dB. $quieter</p>
<section><h2>The patch</h2><div class="panel">$panel</div><p class="hint">$legend</p></section>
$search
$variations
<section><h2>How near it is</h2>$measures</section>
</main>
<footer><p>To do it again:</p><pre>$command</pre><p>$facts; $made</p></footer>
<script>$script</script>
</body>
</html>
"""

STYLE = """
:root { --target: $target; --match: $match; --back: #f3f1ec; --panel: #fff; --text: #1d1e22; --soft: #5d6068;
  --line: #dcd8cf; --knob: #2b2d33; --hand: #fff; --rim: #e2ded5; --rays: #8d9099; color-scheme: light dark; --at: 0; }
@media (prefers-color-scheme: dark) { :root { --back: #131418; --panel: #1c1e24; --text: #eceae5; --soft: #a0a3ad;
  --line: #30333c; --knob: #3a3d47; --rim: #30333c; --rays: #7d818c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 3vw, 2.5rem) 3rem; max-width: 82rem; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: clamp(1.4rem, 4vw, 2.1rem); line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .8rem; font-size: 1.15rem; }
header { display: flex; gap: 1rem 2rem; justify-content: space-between; align-items: center; flex-wrap: wrap;
  margin-bottom: 1rem; }
header p, .hint, footer, small { color: var(--soft); }
header p { margin: .2rem 0 0; }
header > div:first-child { flex: 1 1 18rem; min-width: 0; }
.hint { font-size: .85rem; margin: .6rem 0 1.2rem; }
.score { display: flex; align-items: center; }
.score span { font-weight: 650; line-height: 1.3; } .score small { display: block; font-weight: 400; }
.score b { font-size: 2.4rem; font-variant-numeric: tabular-nums; letter-spacing: -.02em; color: var(--match);
  margin-right: .6rem; }
.warning { border-left: 4px solid #d9a400; background: var(--panel); padding: .6rem 1rem; border-radius: 4px; }
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 8px;
  padding: .35rem .8rem; cursor: pointer; white-space: nowrap; }
button:hover { border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--target); outline-offset: 2px; }
kbd { font: 600 .72em ui-monospace, monospace; color: var(--soft); margin-right: .45em; }
.transport { display: none; position: sticky; top: 0; z-index: 2; gap: .6rem .9rem; align-items: center;
  flex-wrap: wrap; background: var(--panel); border: 1px solid var(--line); border-radius: 12px; padding: .6rem .8rem;
  box-shadow: 0 4px 18px #0002; }
.js .transport { display: flex; } html:not(.js) .keys { display: none; }
.js audio { display: none; }
audio { width: 100%; margin-top: .5rem; }
#play { width: 2.8rem; height: 2.8rem; border-radius: 50%; padding: 0; background: var(--text); color: var(--panel);
  font-size: 1rem; }
#place { flex: 1 1 9rem; min-width: 0; accent-color: var(--match); }
.choices kbd:only-child { margin: 0; }
.choices { display: flex; flex-wrap: wrap; gap: .3rem; }
@media (max-width: 40rem) { .choices { flex: 1 1 calc(100% - 4rem); } .choices button { padding: .35rem .5rem; }
  #place { order: 1; } #loop { order: 2; } .told tr { display: grid; grid-template-columns: 1fr auto; }
  .told th, .told td { border: 0; padding-bottom: 0; } .told :nth-child(3) { grid-area: 1 / 2; }
  .told td:nth-child(2) { grid-column: 1 / 3; padding-top: 0; font-size: .85rem; } .told thead { display: none; } }
button[aria-pressed=true] { background: var(--match); border-color: var(--match); color: #fff; }
button[data-sound="0"][aria-pressed=true] { background: var(--target); border-color: var(--target); }
#loop[aria-pressed=true] { background: none; border-color: var(--text); color: inherit; }
#loop[aria-pressed=false] { color: var(--soft); }
button[aria-pressed=true] kbd { color: inherit; opacity: .8; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; }
.figures figure, .group, article, .search > * { background: var(--panel); border: 1px solid var(--line);
  border-radius: 12px; padding: .8rem; }
.figures figcaption { font-weight: 650; min-height: 2.6em; line-height: 1.3; }
.figures figcaption small { font-weight: 400; }
b.target, .target > figcaption { color: var(--target); } b.match, .match > figcaption { color: var(--match); }
.wave { display: block; width: calc(100% - 1.9rem); margin: 0 0 .5rem 1.9rem; height: 4.2rem; }
.wave polygon { fill: var(--target); stroke: var(--target); stroke-width: .6; vector-effect: non-scaling-stroke; }
.match .wave polygon { fill: var(--match); stroke: var(--match); }
.wave polyline { fill: none; stroke: var(--target); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.wave polyline.match { stroke: var(--match); }
.plot { display: grid; grid-template-columns: 1.9rem 1fr; grid-template-rows: auto 1.3rem; font-size: .72rem;
  color: var(--soft); }
.seek { position: relative; cursor: crosshair; background: #000; touch-action: pan-y; }
.seek img { display: block; width: 100%; height: 15rem; }
article .seek img { height: 9rem; }
.ys, .xs { position: relative; } .xs { grid-column: 2; }
.ys i, .xs i { position: absolute; font-style: normal; line-height: 1; }
.ys i { right: .35rem; transform: translateY(50%); } .ys i:last-child::after { content: " k"; }
.ys i:last-child { white-space: nowrap; }
.xs i { top: .3rem; white-space: nowrap; transform: translateX(-50%); }
.xs i:first-child { transform: none; } .xs i:last-child { transform: translateX(-100%); }
.xs i:last-child::after { content: " s"; }
.head { position: absolute; top: 0; bottom: 0; left: calc(var(--at) * 100%); width: 1.5px; background: #fffc;
  pointer-events: none; }
.seek output { position: absolute; top: .3rem; right: .4rem; color: #fff; background: #000a; padding: 0 .4em;
  border-radius: 4px; pointer-events: none; font-variant-numeric: tabular-nums; }
.seek output:empty { display: none; }
.panel { display: flex; flex-wrap: wrap; gap: .8rem; }
.group { flex: var(--n) 1 calc(6.2rem * var(--n) + 1.6rem); max-width: 100%; }
.group h3 { margin: 0 0 .4rem; font-size: .74rem; letter-spacing: .12em; text-transform: uppercase;
  color: var(--soft); }
.knobs { display: grid; grid-template-columns: repeat(auto-fit, minmax(4.3rem, 1fr)); gap: .6rem .2rem; }
.knob { text-align: center; line-height: 1.25; }
.knob svg { width: 100%; max-width: 6.4rem; display: block; margin: 0 auto; }
.knob > :not(svg) { display: block; }
.knob b { font-size: .74rem; font-weight: 500; color: var(--soft); }
.knob span { font-variant-numeric: tabular-nums; font-weight: 600; font-size: .9rem; }
.knob small { font-size: .7rem; }
.knob g { opacity: calc(.22 + .78 * var(--sure)); }
.knob svg, .small { stroke-linecap: round; fill: none; }
.rays { stroke: var(--rays); stroke-linecap: butt; }
.knob circle, .small circle { fill: var(--knob); }
.rim { stroke: var(--rim); stroke-width: 4; } .turn { stroke: var(--match); stroke-width: 4; }
.hand { stroke: var(--hand); stroke-width: 3.5; } .ghost { stroke: var(--soft); stroke-width: 1.2; }
.unheard circle { fill: none; stroke: var(--rays); stroke-dasharray: 3 4; stroke-width: 1.5; }
.unheard .turn, .unheard .hand { stroke: var(--rays); }
.unheard span { color: var(--soft); font-weight: 400; }
.search { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.search figcaption { font-size: .85rem; color: var(--soft); }
.progress { display: block; width: 100%; }
.progress .grid path { stroke: var(--line); }
.progress text { fill: var(--soft); font-size: 11px; text-anchor: middle; }
.progress text.y { text-anchor: end; } .progress .line { fill: none; stroke: var(--match); stroke-width: 2.2; }
.progress circle { fill: var(--match); }
.variations { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: 1rem; }
article h3 { margin: 0 0 .7rem; font-size: 1rem; } article h3 button { margin-right: .5rem; font-weight: 400; }
article p { margin: .6rem 0 0; font-size: .85rem; }
.smalls { display: flex; flex-wrap: wrap; gap: .15rem; margin-top: .4rem; }
.small { width: 1.7rem; height: 1.7rem; opacity: .3; } .small.differs { opacity: 1; }
.small:not(.differs) .turn { stroke: var(--rays); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-size: .78rem; font-weight: 500; color: var(--soft); } tbody th { font-weight: 600; }
td:last-child { font-variant-numeric: tabular-nums; white-space: nowrap; text-align: right; padding-right: 0; }
thead th:last-child { text-align: right; padding-right: 0; }
footer { margin-top: 2.5rem; font-size: .85rem; } footer p { margin: .4rem 0; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem; margin: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; color: var(--text); font: .85rem ui-monospace, monospace; }
@media print { :root { --back: #fff; --panel: #fff; --text: #000; --soft: #444; --line: #ccc; --knob: #2b2d33;
  --rim: #e2ded5; --rays: #8d9099; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { padding: 0; font-size: 11px; } .transport.transport, audio, .head, button, .keys { display: none; }
  figure, .group, article, tr { break-inside: avoid; } .figures { grid-template-columns: repeat(3, 1fr); }
  .seek img { height: 9rem; } .group { flex-basis: calc(4.5rem * var(--n) + 1.6rem); }
  .knob svg { max-width: 4.4rem; } .progress { max-width: 24rem; } }
"""

SCRIPT = """"use strict";
(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const players = all("audio"), choices = all("[data-sound]");
  const play = document.getElementById("play"), place = document.getElementById("place");
  const loop = document.getElementById("loop");
  let context, ready, buffers = [], gains = [], sources = [];
  let chosen = 0, other = 1, start = 0, offset = 0, playing = false, looped = true;
  let seconds = Number(document.querySelector(".seek").dataset.seconds);

  // All sounds run at once from the same moment; all but the chosen one are silent.
  async function prepare() {
    context = new AudioContext();
    buffers = await Promise.all(players.map((player) => {
      const text = atob(player.src.slice(player.src.indexOf(",") + 1));
      return context.decodeAudioData(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer);
    }));
    seconds = buffers[0].duration;
    gains = buffers.map((_, i) => {
      const gain = context.createGain();
      gain.gain.value = Number(i === chosen);
      gain.connect(context.destination);
      return gain;
    });
  }
  const now = () => {
    const at = offset + (playing ? Math.max(0, context.currentTime - start) : 0);
    return looped ? at % seconds : Math.min(at, seconds);
  };
  function stop() {
    offset = now();
    sources.forEach((source) => source.stop());
    sources = [];
    playing = false;
    show();
  }
  async function run() {
    try {
      await (ready ??= prepare());
      await context.resume();
    } catch (error) {
      document.documentElement.classList.remove("js");  // the browser's own players are left
      return;
    }
    if (playing) return;
    if (offset >= seconds) offset = 0;
    start = context.currentTime + 0.01;
    sources = buffers.map((buffer, i) => {
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.loop = looped;
      source.connect(gains[i]);
      source.start(start, offset);
      return source;
    });
    playing = true;
    show();
    requestAnimationFrame(tick);
  }
  function tick() {
    if (!playing) return;
    if (!looped && now() >= seconds) stop();
    show();
    requestAnimationFrame(tick);
  }
  function show() {
    const at = now() / seconds;
    document.documentElement.style.setProperty("--at", at);
    place.value = at;
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "pause" : "play");
  }
  function choose(i) {
    if (i !== chosen) other = chosen;
    chosen = i;
    choices.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.sound) === i)));
    gains.forEach((gain, j) => gain.gain.setTargetAtTime(Number(j === i), context.currentTime, 0.004));
  }
  function seek(part) {
    const again = playing;
    if (again) stop();
    offset = Math.min(Math.max(part, 0), 1) * seconds;
    show();
    if (again) run();
  }
  function setLoop(value) {
    const again = playing;
    if (again) stop();
    looped = value;
    loop.setAttribute("aria-pressed", String(value));
    if (again) run();
  }

  play.addEventListener("click", () => playing ? stop() : run());
  loop.addEventListener("click", () => setLoop(!looped));
  place.addEventListener("input", () => seek(Number(place.value)));
  choices.forEach((button) => button.addEventListener("click", () => {
    choose(Number(button.dataset.sound));
    if ("play" in button.dataset) run();
  }));
  all(".seek").forEach((plot) => {
    const told = plot.querySelector("output");
    plot.addEventListener("click", (event) => seek(event.offsetX / plot.clientWidth));
    plot.addEventListener("pointermove", (event) => {
      const at = event.offsetX / plot.clientWidth * plot.dataset.seconds;
      const khz = (1 - event.offsetY / plot.clientHeight) * plot.dataset.khz;
      told.textContent = `${at.toFixed(2)} s, ${Math.round(1000 * khz)} Hz`;
    });
    plot.addEventListener("pointerleave", () => { told.textContent = ""; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase(), sound = ["a", "b", ...Array.from("23456789")].indexOf(key);
    if (key === " " && !event.target.closest("button")) playing ? stop() : run();
    else if (sound >= 0 && sound < players.length) choose(sound);
    else if (key === "x") choose(other);
    else if (key === "l") setLoop(!looped);
    else if (key.startsWith("arrow") && event.target !== place && /left|right/.test(key))
      seek(now() / seconds + (key === "arrowleft" ? -0.05 : 0.05));
    else return;
    event.preventDefault();
  });
  document.documentElement.classList.toggle("js", "AudioContext" in window);
})();
"""
